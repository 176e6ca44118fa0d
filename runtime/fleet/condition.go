// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"plumbline.dev/plumbline/runtime/api/v1alpha1"
	"plumbline.dev/plumbline/schema/crd"
	"plumbline.dev/plumbline/schema/state"
)

// tally is a status on its way: the nodes by what their reports come to.
type tally struct {
	in      Input
	status  v1alpha1.DatapathStatus
	named   map[string][]string
	garbled []string // nodes with a report that can't be understood
}

// verdict is what a condition comes to.
type verdict struct {
	status          metav1.ConditionStatus
	reason, message string
}

// conditions gives Ready and Drifted, and kstatus' own where they apply.
func (t *tally) conditions() []metav1.Condition {
	ready, drift := t.ready(), t.drifted()
	if t.in.Settings.held() {
		ready = suspended(ready)
	}
	list := []metav1.Condition{t.since(v1alpha1.Ready, ready), t.since(v1alpha1.Drifted, drift)}
	switch {
	case ready.status == metav1.ConditionTrue:
	case t.stalled(ready):
		list = append(list, t.since(v1alpha1.Stalled, verdict{metav1.ConditionTrue, ready.reason, ready.message}))
	default:
		list = append(list, t.since(v1alpha1.Reconciling, verdict{metav1.ConditionTrue, ready.reason, ready.message}))
	}
	return list
}

// suspended says so in whatever Ready is. Where all is in sync it is not Ready: what
// changes from now on nobody writes, and an audit finds that only afterwards.
func suspended(ready verdict) verdict {
	if ready.status == metav1.ConditionTrue {
		ready.status, ready.reason = metav1.ConditionFalse, ReasonSuspended
	}
	ready.message += "; writing is suspended"
	return ready
}

// stalled tells that it takes somebody's hand: there is drift and no agent may mend
// it, or the settings can't be understood.
func (t *tally) stalled(ready verdict) bool {
	mends := t.in.Settings.Mode != state.Observe && !t.in.Settings.Suspend
	return t.in.Invalid != nil || ready.status == metav1.ConditionFalse && ready.reason != crd.ReasonNoPins && !mends
}

// off are the nodes that are known not to be as they should.
func (t *tally) off() int {
	if !t.status.Guarded {
		return t.status.Nodes.Drifted
	}
	return t.status.Nodes.Drifted + t.status.Nodes.NoPins
}

// fresh tells of a cluster that never had Cilium.
func (t *tally) fresh() bool {
	return t.status.Nodes.NoPins > 0 && !t.status.Guarded
}

// blind tells that too little is known: of more nodes than the limits allow, or of all
// of them, nothing for sure.
func (t *tally) blind() bool {
	n := t.status.Nodes
	unsure := n.Unknown + n.Other
	return unsure > t.in.Settings.Limits.UnknownNodes.Of(n.Total) || unsure > 0 && unsure == n.Total
}

func (t *tally) ready() verdict {
	n, limits := t.status.Nodes, t.in.Settings.Limits
	switch {
	case t.in.Invalid != nil:
		return verdict{metav1.ConditionFalse, ReasonInvalid, t.in.Invalid.Error()}
	case t.off() > limits.DriftedNodes.Of(n.Total):
		return verdict{metav1.ConditionFalse, t.offReason(), t.offText()}
	case n.Total == 0:
		return verdict{metav1.ConditionUnknown, ReasonNoNodes, "the cluster has no nodes"}
	case t.blind():
		return verdict{metav1.ConditionUnknown, t.blindReason(), t.blindText()}
	case t.fresh():
		return verdict{metav1.ConditionFalse, crd.ReasonNoPins, "Cilium has no maps on any node: there is nothing to compare yet"}
	case n.InSync == n.Total:
		return verdict{metav1.ConditionTrue, ReasonInSync, "the maps of every node are as they should be"}
	}
	text := fmt.Sprintf("the maps of %d of %d nodes are as they should be", n.InSync, n.Total)
	if t.off() > 0 {
		text += "; within limits.driftedNodes (" + limits.DriftedNodes.String() + "): " + t.offText()
	}
	if n.Unknown+n.Other > 0 {
		text += "; within limits.unknownNodes (" + limits.UnknownNodes.String() + "): " + t.blindText()
	}
	return verdict{metav1.ConditionTrue, ReasonInSync, text}
}

// drifted says whether there is drift, whatever the limits.
func (t *tally) drifted() verdict {
	n := t.status.Nodes
	switch {
	case t.off() > 0:
		return verdict{metav1.ConditionTrue, t.offReason(), t.offText()}
	case n.Total == 0:
		return verdict{metav1.ConditionUnknown, ReasonNoNodes, "the cluster has no nodes"}
	case n.Unknown > 0 && t.blind():
		return verdict{metav1.ConditionUnknown, ReasonNoReports, t.blindText()}
	case t.fresh():
		return verdict{metav1.ConditionFalse, crd.ReasonNoPins, "Cilium has no maps on any node: there is nothing to compare yet"}
	case n.Unknown+n.Other > 0:
		return verdict{metav1.ConditionFalse, t.blindReason(), t.blindText()}
	}
	return verdict{metav1.ConditionFalse, ReasonInSync, "the maps of every node are as they should be"}
}

func (t *tally) offReason() string {
	if t.status.Nodes.Drifted > 0 {
		return ReasonDriftDetected
	}
	return ReasonNodesLack
}

// offText counts and names the nodes that are not as they should be, and tells of the
// first drift.
func (t *tally) offText() string {
	var parts []string
	if n := t.status.Nodes.Drifted; n > 0 {
		text := fmt.Sprintf("drift on %d of %d nodes: %s", n, t.status.Nodes.Total, list(t.named[drifted]))
		if len(t.status.Drifts) > 0 {
			d := t.status.Drifts[0]
			text += fmt.Sprintf("; %s: %s %s", d.Node, strings.TrimSpace(d.Service+" "+d.Kind), d.Message)
		}
		parts = append(parts, text)
	}
	if t.off() > t.status.Nodes.Drifted {
		parts = append(parts, "Cilium has no maps on "+list(t.named[noPins]))
	}
	return strings.Join(parts, "; ")
}

func (t *tally) blindReason() string {
	if t.status.Nodes.Unknown > 0 {
		return ReasonNoReports
	}
	return ReasonNotInSync
}

// blindText names the nodes of which nothing is known for sure.
func (t *tally) blindText() string {
	var parts []string
	if nodes := t.named[unknown]; len(nodes) > 0 {
		parts = append(parts, "nothing is known of "+list(nodes))
	}
	if len(t.garbled) > 0 {
		parts = append(parts, "reports that can't be understood of "+list(t.garbled))
	}
	if nodes := t.named[other]; len(nodes) > 0 {
		parts = append(parts, "differences that are not confirmed on "+list(nodes))
	}
	return strings.Join(parts, "; ")
}

func list(nodes []string) string {
	if len(nodes) > maxNamed {
		return fmt.Sprintf("%s and %d more nodes", strings.Join(nodes[:maxNamed], ", "), len(nodes)-maxNamed)
	}
	return strings.Join(nodes, ", ")
}

// since makes a condition, and takes over when it came to its status if that has not
// changed.
func (t *tally) since(kind string, v verdict) metav1.Condition {
	c := metav1.Condition{Type: kind, Status: v.status, Reason: v.reason, Message: v.message, ObservedGeneration: t.in.Generation,
		LastTransitionTime: metav1.NewTime(t.in.Now.UTC().Truncate(time.Second))}
	before := t.in.Before.Conditions
	i := slices.IndexFunc(before, func(b metav1.Condition) bool { return b.Type == kind })
	if i >= 0 && before[i].Status == c.Status {
		c.LastTransitionTime = before[i].LastTransitionTime
	}
	return c
}
