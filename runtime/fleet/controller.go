// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"

	"plumbline.dev/plumbline/runtime/api/v1alpha1"
)

// Config is what a Controller works with.
type Config struct {
	Client dynamic.Interface
	// Metadata asks for the nodes: of each there is much, and their names are enough.
	Metadata  metadata.Interface
	Namespace string
	Datapath  string
	Log       *slog.Logger
	Now       func() time.Time
	// Every is after how long all is summed up again at the latest, whatever happens.
	Every time.Duration
	// Say tells of what the Datapath has come to.
	Say func(datapath *unstructured.Unstructured, s v1alpha1.DatapathStatus)
	// Done is told of each round.
	Done func(Round)
}

// Round is what one round came to.
type Round struct {
	// Datapath is the one that was summed up, as it was before; nil where there is
	// none.
	Datapath *unstructured.Unstructured
	Status   v1alpha1.DatapathStatus
	Settings Settings
	// Wrote tells that the status has changed and was written.
	Wrote bool
	Took  time.Duration
	Err   error
}

// Controller sums up the reports of a cluster's nodes in its Datapath's status. Where
// that changes it tells Flux to look at the Kustomization that holds the Datapath, and
// says so in an Event. A round costs what the fleet is large, and each status that it
// writes goes to every agent: rounds keep a distance, and a report that says nothing
// new is no cause for one.
type Controller struct {
	cfg   Config
	wake  chan struct{}
	watch watched
	names []string // of the nodes that count, sorted
	// selector is by which names were listed.
	selector map[string]string
	fails    int // rounds in a row
}

var (
	datapaths      = schema.GroupVersionResource{Group: v1alpha1.Group, Version: v1alpha1.Version, Resource: "datapaths"}
	datapathNodes  = schema.GroupVersionResource{Group: v1alpha1.Group, Version: v1alpha1.Version, Resource: "datapathnodes"}
	nodes          = corev1.SchemeGroupVersion.WithResource("nodes")
	kustomizations = schema.GroupVersionResource{Group: "kustomize.toolkit.fluxcd.io", Version: "v1", Resource: "kustomizations"}
)

// requestedAt is Flux's annotation for a request to reconcile.
const requestedAt = "reconcile.fluxcd.io/requestedAt"

// New makes a Controller.
func New(cfg Config) *Controller {
	c := &Controller{cfg: cfg, wake: make(chan struct{}, 1)}
	c.watch = c.watches()
	return c
}

// Run sums up until ctx ends.
func (c *Controller) Run(ctx context.Context) error {
	synced, err := c.watch.start(ctx)
	if err != nil || !synced {
		return err
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.wake:
		case <-timer.C:
		}
		r := c.timed(ctx)
		if r.Err != nil && ctx.Err() == nil {
			c.cfg.Log.Error("the Datapath's status is not up to date", "error", r.Err)
		}
		c.cfg.Done(r)
		if !c.rest(ctx, c.distance()) {
			return nil
		}
		timer.Reset(c.due(r.Err))
	}
}

// distance is what lies between two rounds at least: half a millisecond for each node.
func (c *Controller) distance() time.Duration {
	return max(100*time.Millisecond, time.Duration(len(c.names))*500*time.Microsecond)
}

func (c *Controller) rest(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// due is when the next round is due though nothing happens: as soon as a report grows
// old. One that failed is tried again, ever more rarely.
func (c *Controller) due(err error) time.Duration {
	if err != nil {
		c.fails = min(c.fails+1, 10)
		return min(c.cfg.Every, 500*time.Millisecond<<c.fails)
	}
	c.fails = 0
	next, now := c.cfg.Every, c.cfg.Now()
	for _, r := range c.watch.reported() {
		if left := r.until().Sub(now); r.Err == nil && left >= 0 {
			next = min(next, left+time.Millisecond)
		}
	}
	return next
}

func (c *Controller) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *Controller) timed(ctx context.Context) Round {
	begun := time.Now()
	r := c.round(ctx)
	r.Took = time.Since(begun)
	return r
}

func (c *Controller) round(ctx context.Context) Round {
	datapath, err := c.watch.found()
	if err != nil || datapath == nil {
		return Round{Err: err} // there is none to sum up
	}
	r := Round{Datapath: datapath}
	before, err := statusOf[v1alpha1.DatapathStatus](datapath)
	if err != nil {
		r.Err = err
		return r
	}
	settings, invalid := settingsOf(datapath)
	if !maps.Equal(settings.NodeSelector, c.selector) {
		c.selector = settings.NodeSelector
		c.watch.relist()
	}
	c.names = c.watch.nodesOf(&settings, c.names)
	r.Settings = settings
	c.sweep(ctx)
	r.Status = Summarize(Input{
		Generation: datapath.GetGeneration(), Settings: settings, Invalid: invalid, Requested: datapath.GetAnnotations()[requestedAt],
		Nodes: c.names, Reports: c.watch.reported(), Before: before, Now: c.cfg.Now(),
	})
	if reflect.DeepEqual(normal(r.Status), normal(before)) {
		return r
	}
	if r.Err = c.write(ctx, r.Status); r.Err != nil {
		return r
	}
	r.Wrote = true
	if changed(before.Conditions, r.Status.Conditions) {
		c.cfg.Say(datapath, r.Status)
		r.Err = c.poke(ctx, datapath)
	}
	return r
}

// maxSwept is how many reports one round deletes.
const maxSwept = 64

// sweep deletes reports of nodes that have left the cluster, once they count for
// nothing; one that is written meanwhile stays. It is no part of the sum, so that
// what it can't delete is logged, and tried again.
func (c *Controller) sweep(ctx context.Context) {
	left := c.watch.left(c.cfg.Now())
	for _, k := range left[:min(len(left), maxSwept)] {
		version := k.ResourceVersion
		err := c.cfg.Client.Resource(datapathNodes).Namespace(k.Namespace).Delete(ctx, k.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{ResourceVersion: &version}})
		switch {
		case err == nil:
			c.cfg.Log.Info("deleted the report of a node that has left the cluster", "node", k.Name)
		case ctx.Err() == nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err):
			c.cfg.Log.Error("the report of a node that has left the cluster stays", "node", k.Name, "error", err)
		}
	}
}

func (c *Controller) write(ctx context.Context, status v1alpha1.DatapathStatus) error {
	data, err := json.Marshal(map[string]any{"status": status})
	if err != nil {
		return err
	}
	if _, err := c.cfg.Client.Resource(datapaths).Namespace(c.cfg.Namespace).Patch(ctx, c.cfg.Datapath, types.MergePatchType, data, metav1.PatchOptions{}, "status"); err != nil {
		return fmt.Errorf("status of Datapath %s: %w", c.cfg.Datapath, err)
	}
	return nil
}

// normal is a status as JSON has it, so that an absent list and an empty one are one.
func normal(s v1alpha1.DatapathStatus) any {
	if len(s.Drifts) == 0 {
		s.Drifts = nil
	}
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	var out any
	if err := json.Unmarshal(data, &out); err != nil {
		return err
	}
	return out
}

func changed(before, now []metav1.Condition) bool {
	return slices.ContainsFunc(now, func(c metav1.Condition) bool {
		b := meta.FindStatusCondition(before, c.Type)
		return b == nil || b.Status != c.Status || b.Reason != c.Reason
	})
}

func statusOf[T any](o *unstructured.Unstructured) (T, error) {
	var out T
	status, ok := o.Object["status"].(map[string]any)
	if !ok {
		return out, nil
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(status, &out); err != nil {
		return out, fmt.Errorf("status of %s %s: %w", o.GetKind(), o.GetName(), err)
	}
	return out, nil
}

// settingsOf reads what of a Datapath's spec its sum depends on.
func settingsOf(datapath *unstructured.Unstructured) (Settings, error) {
	var s Settings
	data, err := json.Marshal(datapath.Object["spec"])
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err != nil {
		return Settings{}, fmt.Errorf("the spec can't be understood: %w", err)
	}
	return s, nil
}
