// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"plumbline.dev/plumbline/runtime/api/v1alpha1"
	"plumbline.dev/plumbline/schema/crd"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func said(node, status, reason string) Report {
	return Report{node, v1alpha1.NodeStatus{Settings: 7, Reported: metav1.NewTime(now.Add(-time.Minute)), IntervalSeconds: 30, Status: status, Reason: reason}}
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
		reports        []Report
		guarded        bool
		ready, drifted string
	}{
		"all in sync":                {[]string{"a"}, []Report{fine}, false, "True InSync", "False InSync"},
		"one drifts":                 {[]string{"a", "b"}, []Report{fine, drift}, false, "False DriftDetected", "True DriftDetected"},
		"no report":                  {[]string{"a", "b"}, []Report{fine}, false, "Unknown NoReports", "Unknown NoReports"},
		"an old report":              {[]string{"a", "b"}, []Report{fine, old}, false, "Unknown NoReports", "Unknown NoReports"},
		"a report of old settings":   {[]string{"a", "b"}, []Report{fine, other}, false, "Unknown NoReports", "Unknown NoReports"},
		"drift outweighs no report":  {[]string{"b", "c"}, []Report{drift}, false, "False DriftDetected", "True DriftDetected"},
		"a report of no node":        {[]string{"a"}, []Report{fine, drift}, false, "True InSync", "False InSync"},
		"no nodes":                   {nil, []Report{fine}, false, "Unknown NoNodes", "Unknown NoNodes"},
		"unconfirmed":                {[]string{"a", "b"}, []Report{fine, said("b", "OutOfSync", "Unconfirmed")}, false, "Unknown NotInSync", "False NotInSync"},
		"the kernel can't be read":   {[]string{"b"}, []Report{said("b", "Unknown", "ReadFailed")}, false, "Unknown NoReports", "Unknown NoReports"},
		"no Cilium yet":              {[]string{"b"}, []Report{said("b", "Unknown", crd.ReasonNoPins)}, false, "False NoPins", "False NoPins"},
		"Cilium was there":           {[]string{"b"}, []Report{said("b", "Unknown", crd.ReasonNoPins)}, true, "False NodesLack", "True NodesLack"},
		"Cilium is not on all nodes": {[]string{"a", "b"}, []Report{fine, said("b", "Unknown", crd.ReasonNoPins)}, false, "False NodesLack", "True NodesLack"},
	} {
		s := Summarize(Input{Generation: 7, Nodes: test.nodes, Reports: test.reports, Guarded: test.guarded, Now: now})
		got := []string{text(s.Conditions[0]), text(s.Conditions[1])}
		if diff := cmp.Diff([]string{test.ready, test.drifted}, got); diff != "" {
			t.Errorf("%s: Ready and Drifted (-want +got):\n%s", name, diff)
		}
		if n := s.Nodes; n.InSync+n.Drifted+n.NoPins+n.Unknown+n.Other != n.Total || n.Total != len(test.nodes) {
			t.Errorf("%s: %+v does not add up", name, n)
		}
	}
}

func text(c metav1.Condition) string { return string(c.Status) + " " + c.Reason }

// What says the same stays the same, and the message names node and service.
func TestSummarizeIsStable(t *testing.T) {
	drift := said("b", "Drifted", "DriftDetected")
	drift.Status.DriftCount, drift.Status.Drifts = 1, []v1alpha1.Drift{{Kind: "slot-gap", Service: "shop/web", Message: "slot 1 is gone"}}
	in := Input{Generation: 7, Nodes: []string{"b"}, Reports: []Report{drift}, Now: now}
	first := Summarize(in)
	in.Before, in.Guarded, in.Now = first.Conditions, first.Guarded, now.Add(20*time.Second)
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
