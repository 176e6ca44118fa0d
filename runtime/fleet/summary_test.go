// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"plumbline.dev/plumbline/runtime/api/v1alpha1"
	"plumbline.dev/plumbline/schema/crd"
	"plumbline.dev/plumbline/schema/state"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func said(node, status, reason string) *Report {
	return &Report{Node: node, Status: v1alpha1.NodeStatus{Settings: 7, Reported: metav1.NewTime(now.Add(-time.Minute)), IntervalSeconds: 30, Status: status, Reason: reason}}
}

func TestSummarize(t *testing.T) {
	drift := said("b", "Drifted", "DriftDetected")
	drift.Status.DriftCount, drift.Status.Drifts = 1, []v1alpha1.Drift{{Kind: "slot-gap", Service: "shop/web", Message: "slot 1 is gone"}}
	old := said("b", "InSync", "InSync")
	old.Status.Reported = metav1.NewTime(now.Add(-91 * time.Second))
	other := said("b", "InSync", "InSync")
	other.Status.Settings = 6
	fine := said("a", "InSync", "InSync")
	for name, test := range map[string]struct {
		nodes          []string
		reports        []*Report
		guarded        bool
		ready, drifted string
	}{
		"all in sync":                {[]string{"a"}, []*Report{fine}, false, "True InSync", "False InSync"},
		"one drifts":                 {[]string{"a", "b"}, []*Report{fine, drift}, false, "False DriftDetected", "True DriftDetected"},
		"no report":                  {[]string{"a", "b"}, []*Report{fine}, false, "Unknown NoReports", "Unknown NoReports"},
		"an old report":              {[]string{"a", "b"}, []*Report{fine, old}, false, "Unknown NoReports", "Unknown NoReports"},
		"a report of old settings":   {[]string{"a", "b"}, []*Report{fine, other}, false, "Unknown NoReports", "Unknown NoReports"},
		"drift outweighs no report":  {[]string{"b", "c"}, []*Report{drift}, false, "False DriftDetected", "True DriftDetected"},
		"a report of no node":        {[]string{"a"}, []*Report{fine, drift}, false, "True InSync", "False InSync"},
		"no nodes":                   {nil, []*Report{fine}, false, "Unknown NoNodes", "Unknown NoNodes"},
		"unconfirmed":                {[]string{"a", "b"}, []*Report{fine, said("b", "OutOfSync", "Unconfirmed")}, false, "Unknown NotInSync", "False NotInSync"},
		"the kernel can't be read":   {[]string{"b"}, []*Report{said("b", "Unknown", "ReadFailed")}, false, "Unknown NoReports", "Unknown NoReports"},
		"no Cilium yet":              {[]string{"b"}, []*Report{said("b", "Unknown", crd.ReasonNoPins)}, false, "False NoPins", "False NoPins"},
		"Cilium was there":           {[]string{"b"}, []*Report{said("b", "Unknown", crd.ReasonNoPins)}, true, "False NodesLack", "True NodesLack"},
		"Cilium is not on all nodes": {[]string{"a", "b"}, []*Report{fine, said("b", "Unknown", crd.ReasonNoPins)}, false, "False NodesLack", "True NodesLack"},
	} {
		s := Summarize(Input{Generation: 7, Nodes: test.nodes, Reports: test.reports, Before: v1alpha1.DatapathStatus{Guarded: test.guarded}, Now: now})
		got := []string{text(s.Conditions[0]), text(s.Conditions[1])}
		if diff := cmp.Diff([]string{test.ready, test.drifted}, got); diff != "" {
			t.Errorf("%s: Ready and Drifted (-want +got):\n%s", name, diff)
		}
		if n := s.Nodes; n.InSync+n.Drifted+n.NoPins+n.Unknown+n.Other != n.Total || n.Total != len(test.nodes) {
			t.Errorf("%s: %+v does not add up", name, n)
		}
	}
}

// Where agents may not write it is said, and all in sync is not Ready.
func TestSummarizeSuspended(t *testing.T) {
	drift := said("a", "Drifted", "Suspended")
	drift.Status.DriftCount, drift.Status.Drifts = 1, []v1alpha1.Drift{{Kind: "slot-gap", Service: "shop/web", Message: "slot 1 is gone"}}
	for name, test := range map[string]struct {
		report         *Report
		ready, drifted string
	}{
		"in sync":  {said("a", "InSync", "InSync"), "False Suspended", "False InSync"},
		"drift":    {drift, "False DriftDetected", "True DriftDetected"},
		"a change": {said("a", "OutOfSync", "Suspended"), "Unknown NotInSync", "False NotInSync"},
	} {
		s := Summarize(Input{Generation: 7, Nodes: []string{"a"}, Reports: []*Report{test.report}, Now: now, Settings: Settings{Mode: state.Repair, Suspend: true}})
		got := []string{text(s.Conditions[0]), text(s.Conditions[1])}
		if diff := cmp.Diff([]string{test.ready, test.drifted}, got); diff != "" {
			t.Errorf("%s: Ready and Drifted (-want +got):\n%s", name, diff)
		}
		if m := s.Conditions[0].Message; !strings.HasSuffix(m, "; writing is suspended") {
			t.Errorf("%s: message %q", name, m)
		}
	}
}

func text(c metav1.Condition) string { return string(c.Status) + " " + c.Reason }

// What says the same stays the same, and the message names node and service.
func TestSummarizeIsStable(t *testing.T) {
	drift := said("b", "Drifted", "DriftDetected")
	drift.Status.DriftCount, drift.Status.Drifts = 1, []v1alpha1.Drift{{Kind: "slot-gap", Service: "shop/web", Message: "slot 1 is gone"}}
	in := Input{Generation: 7, Nodes: []string{"b"}, Reports: []*Report{drift}, Now: now}
	first := Summarize(in)
	in.Before, in.Now = first, now.Add(20*time.Second)
	if diff := cmp.Diff(first, Summarize(in)); diff != "" {
		t.Errorf("a later round says (-before +now):\n%s", diff)
	}
	if m := first.Conditions[0].Message; !strings.Contains(m, "b: shop/web") || !strings.Contains(m, "slot 1 is gone") {
		t.Errorf("message %q", m)
	}
	many := Summarize(Input{Generation: 7, Nodes: strings.Fields("a b c d e f g h"), Now: now})
	if m := many.Conditions[0].Message; m != "nothing is known of a, b, c, d, e and 3 more nodes" {
		t.Errorf("message %q", m)
	}
}

// fleetOf is n nodes in sync, and others after them.
func fleetOf(n int, others ...*Report) (in Input) {
	in = Input{Generation: 7, Now: now}
	for i := range n {
		others = append(others, said(fmt.Sprintf("n%03d", i), "InSync", "InSync"))
	}
	for _, r := range others {
		in.Nodes, in.Reports = append(in.Nodes, r.Node), append(in.Reports, r)
	}
	slices.Sort(in.Nodes)
	return in
}

// So many nodes may have drifted, or be unknown, before the Datapath is not Ready. It
// says how many there are in any case.
func TestSummarizeKeepsToLimits(t *testing.T) {
	drift := func(n int) (list []*Report) {
		for i := range n {
			r := said(fmt.Sprintf("d%d", i), "Drifted", "DriftDetected")
			r.Status.DriftCount, r.Status.Drifts = 1, []v1alpha1.Drift{{Kind: "slot-gap", Service: "shop/web", Message: "slot 1 is gone"}}
			list = append(list, r)
		}
		return list
	}
	garbled := &Report{Node: "g", Err: errors.New("reported: want a time")}
	bare, odd := said("p", "Unknown", crd.ReasonNoPins), said("o", "OutOfSync", "Unconfirmed")
	for name, test := range map[string]struct {
		in             Input
		drifted, blind state.Share
		want           string // Ready, then Drifted, then kstatus' own
		says           string // in Ready's message
	}{
		"one of 100, none may":           {fleetOf(99, drift(1)...), state.Share{}, state.Share{}, "False DriftDetected, True DriftDetected, Stalled", "drift on 1 of 100 nodes"},
		"one of 100, one may":            {fleetOf(99, drift(1)...), state.Share{Count: 1}, state.Share{}, "True InSync, True DriftDetected", "99 of 100 nodes are as they should be; within limits.driftedNodes (1): drift on 1 of 100 nodes: d0"},
		"two of 100, one may":            {fleetOf(98, drift(2)...), state.Share{Count: 1}, state.Share{}, "False DriftDetected, True DriftDetected, Stalled", "drift on 2"},
		"two of 100, two percent may":    {fleetOf(98, drift(2)...), state.Share{Count: 2, Percent: true}, state.Share{}, "True InSync, True DriftDetected", "(2%)"},
		"one of 99, one percent is none": {fleetOf(98, drift(1)...), state.Share{Count: 1, Percent: true}, state.Share{}, "False DriftDetected, True DriftDetected, Stalled", ""},
		"without maps counts as drift":   {fleetOf(99, bare), state.Share{Count: 1}, state.Share{}, "True InSync, True NodesLack", "no maps on p"},
		"drift and without maps":         {fleetOf(98, append(drift(1), bare)...), state.Share{Count: 1}, state.Share{}, "False DriftDetected, True DriftDetected, Stalled", "no maps on p"},
		"an unknown one may be":          {fleetOf(98, garbled), state.Share{}, state.Share{Count: 1}, "True InSync, False NoReports", "nothing is known of g; reports that can't be understood of g"},
		"an unknown one may not be":      {fleetOf(98, garbled), state.Share{Count: 9}, state.Share{}, "Unknown NoReports, Unknown NoReports, Reconciling", "reports that can't be understood of g"},
		"an unconfirmed one may be":      {fleetOf(98, odd), state.Share{}, state.Share{Count: 1}, "True InSync, False NotInSync", "not confirmed on o"},
		"two unsure ones may not be":     {fleetOf(98, odd, garbled), state.Share{}, state.Share{Count: 1}, "Unknown NoReports, Unknown NoReports, Reconciling", "not confirmed on o"},
		"all unknown never is Ready":     {fleetOf(0, garbled), state.Share{}, state.Share{Count: 100, Percent: true}, "Unknown NoReports, Unknown NoReports, Reconciling", ""},
		"drift and unknown, within both": {fleetOf(98, append(drift(1), garbled)...), state.Share{Count: 1}, state.Share{Count: 1}, "True InSync, True DriftDetected", "limits.unknownNodes (1)"},
		"no Cilium yet, one unknown":     {fleetOf(0, bare, garbled), state.Share{}, state.Share{Count: 1}, "False NoPins, False NoPins, Reconciling", ""},
	} {
		test.in.Settings.Limits = state.Limits{DriftedNodes: test.drifted, UnknownNodes: test.blind}
		s := Summarize(test.in)
		got := text(s.Conditions[0]) + ", " + text(s.Conditions[1])
		for _, c := range s.Conditions[2:] {
			got += ", " + c.Type
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if m := s.Conditions[0].Message; !strings.Contains(m, test.says) {
			t.Errorf("%s: message %q, want it to say %q", name, m, test.says)
		}
	}
}

// What agents mend is under way; what nobody mends waits for somebody. Settings that
// can't be understood are said, and no agent's word counts.
func TestSummarizeSaysWhoIsToAct(t *testing.T) {
	drift := said("d", "Drifted", "DriftDetected")
	for name, test := range map[string]struct {
		settings Settings
		invalid  error
		want     string
	}{
		"observe":          {Settings{}, nil, "Stalled DriftDetected"},
		"repair":           {Settings{Mode: state.Repair}, nil, "Reconciling DriftDetected"},
		"repair, off":      {Settings{Mode: state.Repair, Suspend: true}, nil, "Stalled DriftDetected"},
		"settings garbled": {Settings{}, errors.New("no such mode"), "Stalled InvalidSettings"},
	} {
		in := fleetOf(3, drift)
		in.Settings, in.Invalid = test.settings, test.invalid
		s := Summarize(in)
		if len(s.Conditions) != 3 || s.Conditions[2].Type+" "+s.Conditions[2].Reason != test.want {
			t.Errorf("%s: %+v, want %s", name, s.Conditions, test.want)
		}
	}
}

// A request is handled once each node that reports has looked since.
func TestSummarizeHandlesARequest(t *testing.T) {
	late := said("z", "InSync", "InSync")
	in := fleetOf(2, late)
	in.Requested, in.Before.LastHandledReconcileAt = "b", "a"
	for _, r := range in.Reports {
		r.Status.LastHandledReconcileAt = "b"
	}
	late.Status.LastHandledReconcileAt = "a"
	if s := Summarize(in); s.LastHandledReconcileAt != "a" {
		t.Errorf("handled %q while a node has not looked, want a", s.LastHandledReconcileAt)
	}
	late.Status.LastHandledReconcileAt = "b"
	if s := Summarize(in); s.LastHandledReconcileAt != "b" {
		t.Errorf("handled %q, want b", s.LastHandledReconcileAt)
	}
	late.Status.LastHandledReconcileAt, late.Status.Reported = "a", metav1.NewTime(now.Add(-time.Hour))
	if s := Summarize(in); s.LastHandledReconcileAt != "b" {
		t.Errorf("handled %q with a node that is silent, want b", s.LastHandledReconcileAt)
	}
}

// A fleet of 5,000 nodes of which one in a hundred drifts.
func BenchmarkSummarize(b *testing.B) {
	in := Input{Generation: 7, Now: now}
	for i := range 5000 {
		name := fmt.Sprintf("node-%04d", i)
		r := said(name, "InSync", "InSync")
		if i%100 == 0 {
			r = said(name, "Drifted", "DriftDetected")
			r.Status.DriftCount, r.Status.Drifts = 1, []v1alpha1.Drift{{Kind: "slot-gap", Service: "shop/web", Message: "slot 1 is gone"}}
		}
		in.Nodes, in.Reports = append(in.Nodes, name), append(in.Reports, r)
	}
	b.ReportAllocs()
	for b.Loop() {
		if s := Summarize(in); s.Nodes.Drifted != 50 || len(s.Drifts) != maxDrifts {
			b.Fatalf("%+v", s.Nodes)
		}
	}
}

// Nodes count that run Linux, as far as is known, and have the labels that are asked for.
func TestNodesThatCount(t *testing.T) {
	s := Settings{NodeSelector: map[string]string{"pool": "a", "zone": ""}}
	for _, test := range []struct {
		labels map[string]string
		want   bool
	}{
		{nil, false},
		{map[string]string{"pool": "a", "zone": ""}, true},
		{map[string]string{"pool": "a", "zone": "", "kubernetes.io/os": "linux"}, true},
		{map[string]string{"pool": "a", "zone": "", "kubernetes.io/os": "windows"}, false},
		{map[string]string{"pool": "b", "zone": ""}, false},
		{map[string]string{"pool": "a"}, false},
	} {
		n := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Labels: test.labels}}
		if got := s.counts(n); got != test.want {
			t.Errorf("%v: %v", test.labels, got)
		}
	}
	if any := (&Settings{}); !any.counts(&metav1.PartialObjectMetadata{}) {
		t.Error("without a selector a node does not count")
	}
}
