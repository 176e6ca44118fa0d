// SPDX-License-Identifier: Apache-2.0

package report

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"plumbline.dev/plumbline/runtime/api/v1alpha1"
	"plumbline.dev/plumbline/runtime/reconcile"
	"plumbline.dev/plumbline/runtime/store"
	"plumbline.dev/plumbline/schema/crd"
	"plumbline.dev/plumbline/schema/state"
)

// heartbeat gives after how long a report is written that says nothing new: in the
// second round after the last one. Rounds are an interval apart, give or take a jitter
// by which a fleet's reports spread: two whole intervals the second round would miss
// half the time, and the third may come after the report has ceased to count.
func heartbeat(interval time.Duration) time.Duration { return interval * 3 / 2 }

// maxReported is how many drifts a report holds where the settings set no limit.
const maxReported = 32

// Node writes a node's reports into its DatapathNode: one that says something new at
// once, another now and then. It belongs to one goroutine.
type Node struct {
	Client    dynamic.Interface
	Namespace string
	Name      string // of the node
	Version   string // of the agent
	// Settings is the generation of the Datapath that the agent works by, Layout what
	// it has for the maps, Interval the time between two rounds, Limit how many drifts
	// are told.
	Settings int64
	Layout   string
	Interval time.Duration
	Limit    int
	// Handled is the last request to reconcile that the round has begun after.
	Handled string
	Now     func() time.Time

	generation int64 // of the DatapathNode
	written    *v1alpha1.NodeStatus
}

var datapathNodes = schema.GroupVersionResource{Group: v1alpha1.Group, Version: v1alpha1.Version, Resource: "datapathnodes"}

// Write writes a round's report, if it is time to. An error is of the API server;
// the next call tries again.
func (n *Node) Write(ctx context.Context, r reconcile.Report) error {
	now := n.Now()
	s := n.status(r, now)
	if n.written != nil && now.Sub(n.written.Reported.Time) < heartbeat(n.Interval) && says(s, *n.written) {
		return nil
	}
	err := n.patch(ctx, s)
	if apierrors.IsNotFound(err) {
		if err = n.create(ctx); err == nil {
			err = n.patch(ctx, s)
		}
	}
	if err != nil {
		return fmt.Errorf("report of node %s: %w", n.Name, err)
	}
	n.written = &s
	return nil
}

// says tells whether two reports say the same, whenever they were written.
func says(a, b v1alpha1.NodeStatus) bool {
	a.Reported, b.Reported = metav1.Time{}, metav1.Time{}
	for _, s := range []*v1alpha1.NodeStatus{&a, &b} {
		s.Conditions = slices.Clone(s.Conditions)
		for i := range s.Conditions {
			s.Conditions[i].LastTransitionTime = metav1.Time{}
		}
	}
	return reflect.DeepEqual(a, b)
}

func (n *Node) status(r reconcile.Report, now time.Time) v1alpha1.NodeStatus {
	s := v1alpha1.NodeStatus{
		ObservedGeneration: max(1, n.generation), LastHandledReconcileAt: n.Handled, Settings: n.Settings, Reported: metav1.NewTime(now.UTC().Truncate(time.Second)), IntervalSeconds: int64(max(1, n.Interval.Seconds())),
		Agent: n.Version, Layout: n.Layout, Status: r.Status.String(), Reason: string(r.Reason), DriftCount: len(r.Drifts),
	}
	if errors.Is(r.Err, store.ErrNoPins) {
		s.Reason = crd.ReasonNoPins
	}
	if r.Err != nil {
		s.Message = clip(r.Err.Error(), v1alpha1.MaxMessage)
	}
	s.Drifts = n.drifts(r)
	s.Conditions = n.conditions(s, r, now)
	return s
}

// drifts are the first ones, as far as the settings and the definition go.
func (n *Node) drifts(r reconcile.Report) []v1alpha1.Drift {
	limit := n.Limit
	if limit == 0 {
		limit = maxReported
	}
	var list []v1alpha1.Drift
	size := 0
	for _, d := range r.Drifts[:min(len(r.Drifts), limit, v1alpha1.MaxDrifts)] {
		told := v1alpha1.Drift{Kind: string(d.Kind), Service: d.Service, Frontend: d.Frontend, Backend: d.Backend, Message: clip(d.Message, v1alpha1.MaxDriftMessage)}
		if size += len(told.Kind) + len(told.Service) + len(told.Frontend) + len(told.Backend) + len(told.Message); size > v1alpha1.MaxReport {
			break
		}
		list = append(list, told)
	}
	return list
}

// clip shortens a text to so many bytes, and shows that it has.
func clip(text string, to int) string {
	const more = " …"
	if len(text) <= to {
		return text
	}
	return strings.ToValidUTF8(text[:to-len(more)], "") + more
}

// conditions gives Ready and Drifted, and kstatus' own: drift that no agent may mend
// waits for somebody, all else that is not Ready is under way.
func (n *Node) conditions(s v1alpha1.NodeStatus, r reconcile.Report, now time.Time) []metav1.Condition {
	ready, drifted := metav1.ConditionUnknown, metav1.ConditionUnknown
	progress := v1alpha1.Reconciling
	switch r.Status {
	case reconcile.InSync:
		ready, drifted, progress = metav1.ConditionTrue, metav1.ConditionFalse, ""
	case reconcile.Drifted:
		ready, drifted = metav1.ConditionFalse, metav1.ConditionTrue
		if r.Mode == state.Observe || r.Suspended {
			progress = v1alpha1.Stalled
		}
	case reconcile.OutOfSync:
		drifted = metav1.ConditionFalse
	}
	list := []metav1.Condition{{Type: v1alpha1.Ready, Status: ready}, {Type: v1alpha1.Drifted, Status: drifted}}
	if progress != "" {
		list = append(list, metav1.Condition{Type: progress, Status: metav1.ConditionTrue})
	}
	message := s.Message
	if len(s.Drifts) > 0 {
		message = s.Drifts[0].Message
	}
	for i := range list {
		c := &list[i]
		c.Reason, c.Message, c.ObservedGeneration = s.Reason, message, s.ObservedGeneration
		c.LastTransitionTime = metav1.NewTime(now.UTC().Truncate(time.Second))
		if n.written == nil {
			continue
		}
		if before := meta.FindStatusCondition(n.written.Conditions, c.Type); before != nil && before.Status == c.Status {
			c.LastTransitionTime = before.LastTransitionTime
		}
	}
	return list
}

func (n *Node) create(ctx context.Context) error {
	o := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": v1alpha1.Group + "/" + v1alpha1.Version, "kind": "DatapathNode", "metadata": map[string]any{"name": n.Name, "namespace": n.Namespace},
	}}
	_, err := n.Client.Resource(datapathNodes).Namespace(n.Namespace).Create(ctx, o, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func (n *Node) patch(ctx context.Context, s v1alpha1.NodeStatus) error {
	data, err := json.Marshal(map[string]any{"status": s})
	if err != nil {
		return err
	}
	o, err := n.Client.Resource(datapathNodes).Namespace(n.Namespace).Patch(ctx, n.Name, types.MergePatchType, data, metav1.PatchOptions{}, "status")
	if err == nil {
		n.generation = o.GetGeneration()
	}
	return err
}
