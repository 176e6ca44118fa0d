// SPDX-License-Identifier: Apache-2.0

// Package fleet sums up what the agents of a cluster report. Summarize is pure; the
// Controller around it watches, writes the Datapath's status, and tells Flux.
package fleet

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"plumbline.dev/plumbline/runtime/api/v1alpha1"
	"plumbline.dev/plumbline/schema/crd"
)

// The reasons of a Datapath's conditions, a closed set; crd.ReasonNoPins is one more.
const (
	ReasonInSync        = "InSync"
	ReasonDriftDetected = "DriftDetected"
	ReasonNoReports     = "NoReports" // of some nodes there is none that counts
	ReasonNotInSync     = "NotInSync" // differences that are not confirmed, or can't be told
	ReasonNoNodes       = "NoNodes"   // the cluster has none yet
	ReasonNodesLack     = "NodesLack" // some nodes have no maps, others have
	maxDrifts           = 32          // of which a status tells
	maxNamed            = 5           // nodes that a message names
	stale               = 3           // intervals after which a report counts for nothing
)

// Reasons lists those of a Datapath's conditions.
func Reasons() []string {
	return []string{ReasonInSync, ReasonDriftDetected, ReasonNoReports, ReasonNotInSync, ReasonNoNodes, ReasonNodesLack, crd.ReasonNoPins}
}

// Report is a node's report, by the node's name.
type Report struct {
	Node   string
	Status v1alpha1.NodeStatus
}

// Input is what a Datapath is summed up from.
type Input struct {
	Generation int64
	Requested  string   // the last request to reconcile, taken over as handled
	Nodes      []string // of the cluster, sorted
	Reports    []Report
	Guarded    bool // as the status before says
	Before     []metav1.Condition
	Now        time.Time
}

// Summarize gives a Datapath's status. A node without a report that is young and of
// the Datapath's own generation is Unknown, and a cluster with one never Ready: what
// nobody has looked at is not healthy. Messages name nodes and hold no times, so that
// a status that says the same stays the same.
func Summarize(in Input) v1alpha1.DatapathStatus {
	s := v1alpha1.DatapathStatus{ObservedGeneration: in.Generation, LastHandledReconcileAt: in.Requested}
	by := map[string]*v1alpha1.NodeStatus{}
	for i := range in.Reports {
		by[in.Reports[i].Node] = &in.Reports[i].Status
	}
	named := map[string][]string{}
	for _, node := range in.Nodes {
		kind := kindOf(by[node], in)
		named[kind] = append(named[kind], node)
		if kind == drifted {
			for _, d := range by[node].Drifts {
				d.Node = node
				s.Drifts = append(s.Drifts, d)
			}
		}
	}
	s.Drifts = s.Drifts[:min(len(s.Drifts), maxDrifts)]
	s.Nodes = v1alpha1.Nodes{Total: len(in.Nodes), InSync: len(named[inSync]), Drifted: len(named[drifted]), NoPins: len(named[noPins]), Unknown: len(named[unknown]), Other: len(named[other])}
	s.Guarded = in.Guarded || s.Nodes.InSync+s.Nodes.Drifted+s.Nodes.Other > 0
	ready, drift := conditions(s, named)
	s.Conditions = []metav1.Condition{since(in, ready), since(in, drift)}
	return s
}

const (
	inSync  = "in sync"
	drifted = "drifted"
	noPins  = "without Cilium's maps"
	unknown = "unknown"
	other   = "not in sync"
)

// kindOf judges a node's report; nil is none.
func kindOf(r *v1alpha1.NodeStatus, in Input) string {
	switch {
	case r == nil || r.Settings != in.Generation:
		return unknown
	case in.Now.Sub(r.Reported.Time) > stale*time.Duration(r.IntervalSeconds)*time.Second:
		return unknown
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

// conditions gives Ready and Drifted.
func conditions(s v1alpha1.DatapathStatus, named map[string][]string) (ready, drift metav1.Condition) {
	say := func(kind, status, reason, message string) metav1.Condition {
		return metav1.Condition{Type: kind, Status: metav1.ConditionStatus(status), Reason: reason, Message: message, ObservedGeneration: s.ObservedGeneration}
	}
	n := s.Nodes
	switch {
	case n.Drifted > 0:
		text := driftText(s, named[drifted])
		return say(v1alpha1.Ready, "False", ReasonDriftDetected, text), say(v1alpha1.Drifted, "True", ReasonDriftDetected, text)
	case n.Total == 0:
		return say(v1alpha1.Ready, "Unknown", ReasonNoNodes, "the cluster has no nodes"), say(v1alpha1.Drifted, "Unknown", ReasonNoNodes, "the cluster has no nodes")
	case n.Unknown > 0:
		text := "nothing is known of " + list(named[unknown])
		return say(v1alpha1.Ready, "Unknown", ReasonNoReports, text), say(v1alpha1.Drifted, "Unknown", ReasonNoReports, text)
	case n.NoPins == n.Total && !s.Guarded:
		text := "Cilium has no maps on any node: there is nothing to compare yet"
		return say(v1alpha1.Ready, "False", crd.ReasonNoPins, text), say(v1alpha1.Drifted, "False", crd.ReasonNoPins, text)
	case n.NoPins > 0:
		text := "Cilium has no maps on " + list(named[noPins])
		return say(v1alpha1.Ready, "False", ReasonNodesLack, text), say(v1alpha1.Drifted, "True", ReasonNodesLack, text)
	case n.Other > 0:
		text := "differences that are not confirmed on " + list(named[other])
		return say(v1alpha1.Ready, "Unknown", ReasonNotInSync, text), say(v1alpha1.Drifted, "False", ReasonNotInSync, text)
	}
	text := "the maps of every node are as they should be"
	return say(v1alpha1.Ready, "True", ReasonInSync, text), say(v1alpha1.Drifted, "False", ReasonInSync, text)
}

func driftText(s v1alpha1.DatapathStatus, nodes []string) string {
	text := "drift on " + list(nodes)
	if len(s.Drifts) > 0 {
		d := s.Drifts[0]
		text += fmt.Sprintf(": %s: %s %s", d.Node, strings.TrimSpace(d.Service+" "+d.Kind), d.Message)
	}
	return text
}

func list(nodes []string) string {
	if len(nodes) > maxNamed {
		return fmt.Sprintf("%s and %d more nodes", strings.Join(nodes[:maxNamed], ", "), len(nodes)-maxNamed)
	}
	return strings.Join(nodes, ", ")
}

// since takes over when a condition came to its status, if it has not changed.
func since(in Input, c metav1.Condition) metav1.Condition {
	c.LastTransitionTime = metav1.NewTime(in.Now.UTC().Truncate(time.Second))
	i := slices.IndexFunc(in.Before, func(b metav1.Condition) bool { return b.Type == c.Type })
	if i >= 0 && in.Before[i].Status == c.Status {
		c.LastTransitionTime = in.Before[i].LastTransitionTime
	}
	return c
}
