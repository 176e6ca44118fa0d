// SPDX-License-Identifier: Apache-2.0

// Package fleet sums up what the agents of a cluster report. Summarize is pure; the
// Controller around it watches, writes the Datapath's status, and tells Flux.
package fleet

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"plumbline.dev/plumbline/runtime/api/v1alpha1"
	"plumbline.dev/plumbline/schema/crd"
	"plumbline.dev/plumbline/schema/state"
)

// The reasons of a Datapath's conditions, a closed set; crd.ReasonNoPins is one more.
const (
	ReasonInSync        = "InSync"
	ReasonDriftDetected = "DriftDetected"
	ReasonNoReports     = "NoReports"       // of some nodes there is none that counts
	ReasonNotInSync     = "NotInSync"       // differences that are not confirmed, or can't be told
	ReasonNoNodes       = "NoNodes"         // the cluster has none yet
	ReasonNodesLack     = "NodesLack"       // some nodes have no maps, others have
	ReasonInvalid       = "InvalidSettings" // the Datapath's spec can't be understood
	ReasonSuspended     = "Suspended"       // in sync, and nobody would write what changes
)

const (
	maxDrifts = 32 // of which a status tells
	maxNamed  = 5  // nodes that a message names
	stale     = 3  // intervals after which a report counts for nothing
)

// Reasons lists those of a Datapath's conditions.
func Reasons() []string {
	return []string{ReasonInSync, ReasonDriftDetected, ReasonNoReports, ReasonNotInSync, ReasonNoNodes, ReasonNodesLack, ReasonInvalid, ReasonSuspended, crd.ReasonNoPins}
}

// Report is a node's report, by the node's name. Err is why its status can't be
// understood.
type Report struct {
	Node   string
	Status v1alpha1.NodeStatus
	Err    error
}

// old tells that a report counts for nothing any more.
func (r *Report) old(now time.Time) bool {
	return now.After(r.until())
}

// until is when a report begins to count for nothing.
func (r *Report) until() time.Time {
	return r.Status.Reported.Add(stale * time.Duration(r.Status.IntervalSeconds) * time.Second)
}

// Settings are what of a Datapath's spec its sum depends on.
type Settings struct {
	Mode    state.Mode   `json:"mode"`
	Limits  state.Limits `json:"limits"`
	Suspend bool         `json:"suspend"`
	// NodeSelector are labels of the nodes that have an agent.
	NodeSelector map[string]string `json:"nodeSelector"`
}

// counts tells whether a node is to have an agent: one that runs Linux, as far as is
// known, and has the labels.
func (s *Settings) counts(node *metav1.PartialObjectMetadata) bool {
	if system := node.Labels["kubernetes.io/os"]; system != "linux" && system != "" {
		return false
	}
	for key, value := range s.NodeSelector {
		if have, ok := node.Labels[key]; !ok || have != value {
			return false
		}
	}
	return true
}

// held tells that agents would write, and may not. One that observes writes nothing
// anyway.
func (s *Settings) held() bool { return s.Suspend && s.Mode != state.Observe }

// Input is what a Datapath is summed up from.
type Input struct {
	Generation int64
	Settings   Settings
	Invalid    error // why the spec can't be understood
	Requested  string
	Nodes      []string // of the cluster, sorted
	Reports    []*Report
	Before     v1alpha1.DatapathStatus
	Now        time.Time
}

// Summarize gives a Datapath's status. A node without a report that is young and of
// the Datapath's own generation is Unknown, and a cluster with more of those than its
// limits allow never Ready: what nobody has looked at is not healthy. Messages hold no
// times, so that a status that says the same stays the same.
func Summarize(in Input) v1alpha1.DatapathStatus {
	s := v1alpha1.DatapathStatus{ObservedGeneration: in.Generation, LastHandledReconcileAt: in.Before.LastHandledReconcileAt}
	by := make(map[string]*Report, len(in.Reports))
	for _, r := range in.Reports {
		by[r.Node] = r
	}
	t := tally{in: in, named: map[string][]string{}}
	handled := true
	for _, node := range in.Nodes {
		r := by[node]
		kind := kindOf(r, in)
		t.named[kind] = append(t.named[kind], node)
		if r != nil && r.Err != nil {
			t.garbled = append(t.garbled, node)
		}
		handled = handled && (kind == unknown || r.Status.LastHandledReconcileAt == in.Requested)
		if kind == drifted {
			s.Drifts = append(s.Drifts, told(r, maxDrifts-len(s.Drifts))...)
		}
	}
	if handled {
		s.LastHandledReconcileAt = in.Requested
	}
	s.Nodes = v1alpha1.Nodes{Total: len(in.Nodes), InSync: len(t.named[inSync]), Drifted: len(t.named[drifted]), NoPins: len(t.named[noPins]), Unknown: len(t.named[unknown]), Other: len(t.named[other])}
	s.Guarded = in.Before.Guarded || s.Nodes.InSync+s.Nodes.Drifted+s.Nodes.Other > 0
	t.status = s
	s.Conditions = t.conditions()
	return s
}

// told are the first drifts of a report, with its node.
func told(r *Report, limit int) []v1alpha1.Drift {
	list := slices.Clone(r.Status.Drifts[:min(len(r.Status.Drifts), limit)])
	for i := range list {
		list[i].Node = r.Node
	}
	return list
}

const (
	inSync  = "in sync"
	drifted = "drifted"
	noPins  = "without Cilium's maps"
	unknown = "unknown"
	other   = "not in sync"
)

// kindOf judges a node's report; nil is none.
func kindOf(report *Report, in Input) string {
	if report == nil || report.Err != nil || report.Status.Settings != in.Generation || report.old(in.Now) {
		return unknown
	}
	r := report.Status
	switch {
	case r.Reason == crd.ReasonNoPins:
		return noPins
	case r.Status == "InSync":
		return inSync
	case r.Status == "Drifted" || r.DriftCount > 0:
		return drifted
	case r.Status == "OutOfSync":
		return other
	}
	return unknown
}
