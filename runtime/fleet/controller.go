// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"

	"plumbline.dev/plumbline/runtime/api/v1alpha1"
)

// Config is what a Controller works with.
type Config struct {
	Client    dynamic.Interface
	Namespace string
	Datapath  string
	Log       *slog.Logger
	Now       func() time.Time
	// Every is after how long all is summed up again, so that a report grows old
	// without anything that happens.
	Every time.Duration
	// Done is told of each round, with its error.
	Done func(error)
}

// Controller sums up the reports of a cluster's nodes in its Datapath's status. Where
// that changes it tells Flux to look at the Kustomization that holds the Datapath, and
// says so in an Event.
type Controller struct {
	cfg      Config
	wake     chan struct{}
	datapath cache.SharedIndexInformer
	reports  cache.SharedIndexInformer
	nodes    cache.SharedIndexInformer
	// decoded are reports by node, as of a version: there are many, and few change
	// between two rounds.
	decoded map[string]decoded
}

type decoded struct {
	version string
	status  v1alpha1.NodeStatus
}

var (
	datapaths      = schema.GroupVersionResource{Group: v1alpha1.Group, Version: v1alpha1.Version, Resource: "datapaths"}
	datapathNodes  = schema.GroupVersionResource{Group: v1alpha1.Group, Version: v1alpha1.Version, Resource: "datapathnodes"}
	nodes          = corev1.SchemeGroupVersion.WithResource("nodes")
	events         = corev1.SchemeGroupVersion.WithResource("events")
	kustomizations = schema.GroupVersionResource{Group: "kustomize.toolkit.fluxcd.io", Version: "v1", Resource: "kustomizations"}
)

// Annotations and labels of Flux's.
const (
	requestedAt = "reconcile.fluxcd.io/requestedAt"
	ownerLabel  = "kustomize.toolkit.fluxcd.io/"
)

// New makes a Controller.
func New(cfg Config) *Controller {
	c := &Controller{cfg: cfg, wake: make(chan struct{}, 1)}
	here := dynamicinformer.NewFilteredDynamicSharedInformerFactory(cfg.Client, 0, cfg.Namespace, nil)
	named := dynamicinformer.NewFilteredDynamicSharedInformerFactory(cfg.Client, 0, cfg.Namespace, func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, cfg.Datapath).String()
	})
	everywhere := dynamicinformer.NewDynamicSharedInformerFactory(cfg.Client, 0)
	c.datapath, c.reports, c.nodes = named.ForResource(datapaths).Informer(), here.ForResource(datapathNodes).Informer(), everywhere.ForResource(nodes).Informer()
	return c
}

// bare keeps of a node its name and labels: there are many, and kubelets write them
// all the time.
func bare(object any) (any, error) {
	if o, ok := object.(*unstructured.Unstructured); ok {
		name, labels, version := o.GetName(), o.GetLabels(), o.GetResourceVersion()
		o.Object = map[string]any{"apiVersion": "v1", "kind": "Node"}
		o.SetName(name)
		o.SetLabels(labels)
		o.SetResourceVersion(version)
	}
	return object, nil
}

// Run sums up until ctx ends.
func (c *Controller) Run(ctx context.Context) error {
	if err := c.nodes.SetTransform(bare); err != nil {
		return err
	}
	for _, informer := range []cache.SharedIndexInformer{c.datapath, c.reports, c.nodes} {
		if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: func(any) { c.signal() }, DeleteFunc: func(any) { c.signal() },
			UpdateFunc: func(before, now any) {
				if !reflect.DeepEqual(meaning(before), meaning(now)) {
					c.signal()
				}
			},
		}); err != nil {
			return err
		}
		go informer.RunWithContext(ctx)
	}
	if !cache.WaitForCacheSync(ctx.Done(), c.datapath.HasSynced, c.reports.HasSynced, c.nodes.HasSynced) {
		return nil // ended
	}
	tick := time.NewTicker(c.cfg.Every)
	defer tick.Stop()
	for {
		err := c.round(ctx)
		if err != nil && ctx.Err() == nil {
			c.cfg.Log.Error("the Datapath's status is not up to date", "error", err)
		}
		c.cfg.Done(err)
		select {
		case <-ctx.Done():
			return nil
		case <-c.wake:
		case <-tick.C:
		}
	}
}

func (c *Controller) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// meaning is what of an object says anything here: not its version.
func meaning(object any) any {
	o, ok := object.(*unstructured.Unstructured)
	if !ok {
		return nil
	}
	return []any{o.Object["spec"], o.Object["status"], o.GetGeneration(), o.GetAnnotations(), o.GetLabels()}
}

func (c *Controller) round(ctx context.Context) error {
	list := c.datapath.GetStore().List()
	if len(list) == 0 {
		return nil // there is none to sum up
	}
	datapath, ok := list[0].(*unstructured.Unstructured)
	if !ok {
		return fmt.Errorf("datapath %s: unexpected %T", c.cfg.Datapath, list[0])
	}
	before, err := statusOf[v1alpha1.DatapathStatus](datapath)
	if err != nil {
		return err
	}
	status := Summarize(Input{
		Generation: datapath.GetGeneration(), Requested: datapath.GetAnnotations()[requestedAt], Guarded: before.Guarded,
		Nodes: c.nodeNames(), Reports: c.reported(), Before: before.Conditions, Now: c.cfg.Now(),
	})
	if reflect.DeepEqual(normal(status), normal(before)) {
		return nil
	}
	data, err := json.Marshal(map[string]any{"status": status})
	if err != nil {
		return err
	}
	if _, err := c.cfg.Client.Resource(datapaths).Namespace(c.cfg.Namespace).Patch(ctx, c.cfg.Datapath, types.MergePatchType, data, metav1.PatchOptions{}, "status"); err != nil {
		return fmt.Errorf("status of Datapath %s: %w", c.cfg.Datapath, err)
	}
	if changed(before.Conditions, status.Conditions) {
		return errors.Join(c.poke(ctx, datapath), c.say(ctx, datapath, status))
	}
	return nil
}

// normal is a status as JSON has it, so that an absent list and an empty one are one.
func normal(s v1alpha1.DatapathStatus) any {
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

// nodeNames lists the nodes that run Linux.
func (c *Controller) nodeNames() []string {
	var names []string
	for _, object := range c.nodes.GetStore().List() {
		if o, ok := object.(*unstructured.Unstructured); ok && (o.GetLabels()["kubernetes.io/os"] == "linux" || o.GetLabels()["kubernetes.io/os"] == "") {
			names = append(names, o.GetName())
		}
	}
	slices.Sort(names)
	return names
}

// reported gives what can be understood of the reports; of what can't be nothing is
// known.
func (c *Controller) reported() []Report {
	before := c.decoded
	c.decoded = make(map[string]decoded, len(before))
	var list []Report
	for _, object := range c.reports.GetStore().List() {
		o, ok := object.(*unstructured.Unstructured)
		if !ok {
			continue
		}
		name, now := o.GetName(), decoded{version: o.GetResourceVersion()}
		if known, ok := before[name]; ok && known.version == now.version {
			now = known
		} else {
			var err error
			if now.status, err = statusOf[v1alpha1.NodeStatus](o); err != nil {
				c.cfg.Log.Error("a report counts for nothing", "error", err)
				continue
			}
		}
		c.decoded[name] = now
		list = append(list, Report{Node: name, Status: now.status})
	}
	return list
}

// poke has Flux look at the Kustomization that applied the Datapath, which would see
// the change at its next interval only. A Datapath that Flux did not apply has none.
func (c *Controller) poke(ctx context.Context, datapath *unstructured.Unstructured) error {
	name, namespace := datapath.GetLabels()[ownerLabel+"name"], datapath.GetLabels()[ownerLabel+"namespace"]
	if name == "" || namespace == "" {
		return nil
	}
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, requestedAt, c.cfg.Now().UTC().Format(time.RFC3339Nano))
	_, err := c.cfg.Client.Resource(kustomizations).Namespace(namespace).Patch(ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("tell Flux's Kustomization %s/%s: %w", namespace, name, err)
	}
	return nil
}

// say makes an Event of what the Datapath came to.
func (c *Controller) say(ctx context.Context, datapath *unstructured.Unstructured, s v1alpha1.DatapathStatus) error {
	ready := meta.FindStatusCondition(s.Conditions, v1alpha1.Ready)
	kind := corev1.EventTypeNormal
	if ready.Status != metav1.ConditionTrue {
		kind = corev1.EventTypeWarning
	}
	now := metav1.NewTime(c.cfg.Now().UTC())
	event := corev1.Event{
		TypeMeta:       metav1.TypeMeta{APIVersion: "v1", Kind: "Event"},
		ObjectMeta:     metav1.ObjectMeta{GenerateName: strings.ToLower(c.cfg.Datapath) + "-", Namespace: c.cfg.Namespace},
		InvolvedObject: corev1.ObjectReference{APIVersion: datapath.GetAPIVersion(), Kind: datapath.GetKind(), Name: datapath.GetName(), Namespace: datapath.GetNamespace(), UID: datapath.GetUID(), ResourceVersion: datapath.GetResourceVersion()},
		Type:           kind, Reason: ready.Reason, Message: ready.Message, Count: 1, FirstTimestamp: now, LastTimestamp: now,
		Source: corev1.EventSource{Component: "plumb-controller"},
	}
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&event)
	if err == nil {
		_, err = c.cfg.Client.Resource(events).Namespace(c.cfg.Namespace).Create(ctx, &unstructured.Unstructured{Object: object}, metav1.CreateOptions{})
	}
	if err != nil {
		return fmt.Errorf("event: %w", err)
	}
	return nil
}
