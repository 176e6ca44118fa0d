// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"plumbline.dev/plumbline/runtime/api/v1alpha1"
	"plumbline.dev/plumbline/schema/metric"
)

func served(m *Metrics) string {
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

func drifting() Round {
	return Round{
		Datapath: object("Datapath", "prod", nil), Wrote: true, Took: 20 * time.Millisecond, Settings: Settings{Suspend: true},
		Status: v1alpha1.DatapathStatus{Nodes: v1alpha1.Nodes{Total: 3, InSync: 1, Drifted: 2}, Conditions: []metav1.Condition{
			{Type: "Ready", Status: "False", Reason: "DriftDetected"}, {Type: "Drifted", Status: "True", Reason: "DriftDetected"}, {Type: "Stalled", Status: "True"},
		}},
	}
}

// Names, kinds, helps and labels are those that are declared, and Flux's own where
// they are Flux's.
func TestMetricsAreAsDeclared(t *testing.T) {
	m := NewMetrics()
	m.Lead(true)
	m.Observe(drifting())
	text := served(m)
	for _, d := range metric.Fleet() {
		for _, line := range []string{fmt.Sprintf("# HELP %s %s\n", d.Name, d.Help), fmt.Sprintf("# TYPE %s %s\n", d.Name, d.Kind)} {
			if !strings.Contains(text, line) {
				t.Errorf("lacks %q", line)
			}
		}
		if diff := missing(d.Labels, text, d.Name); len(diff) > 0 {
			t.Errorf("%s has no labels %v", d.Name, diff)
		}
	}
	for line := range strings.Lines(text) {
		name, found := strings.CutPrefix(line, "# TYPE ")
		name, _, _ = strings.Cut(name, " ")
		ours := strings.HasPrefix(name, "plumbline_") || strings.HasPrefix(name, "gotk_")
		declared := slices.ContainsFunc(metric.Fleet(), func(d metric.Metric) bool { return d.Name == name })
		if found && ours && !declared {
			t.Errorf("%s is not declared", name)
		}
	}
}

func missing(labels []string, text, name string) (none []string) {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, name) {
			for _, l := range labels {
				if !strings.Contains(line, l+`="`) {
					none = append(none, l)
				}
			}
			return none
		}
	}
	return []string{"at all"}
}

// A round is counted by what it came to, and what is no longer is not counted.
func TestMetricsCountRounds(t *testing.T) {
	m := NewMetrics()
	m.Lead(true)
	m.Observe(drifting())
	m.Observe(Round{Err: errors.New("the API server is away")})
	holds := func(what string, want bool, lines ...string) {
		t.Helper()
		text := served(m)
		for _, line := range lines {
			if strings.Contains(text, line+"\n") != want {
				t.Errorf("%s: %q is there: %t, want %t", what, line, !want, want)
			}
		}
	}
	const prod = `kind="Datapath",name="prod",namespace="plumbline"`
	said := []string{`plumbline_fleet_nodes{state="drifted"} 2`, `plumbline_fleet_nodes{state="unknown"} 0`,
		`gotk_reconcile_condition{` + prod + `,status="True",type="Drifted"} 1`, `gotk_reconcile_condition{` + prod + `,status="False",type="Reconciling"} 1`,
		`gotk_suspend_status{` + prod + `} 1`, `gotk_reconcile_duration_seconds_count{` + prod + `} 1`}
	holds("after a round that failed", true, append(said, `plumbline_fleet_rounds_total{outcome="written"} 1`, `plumbline_fleet_rounds_total{outcome="failed"} 1`, `plumbline_fleet_leader 1`)...)
	m.Observe(Round{})
	holds("without a Datapath", false, said...)
	m.Observe(drifting())
	m.Lead(false)
	holds("after the lead", false, append(said, `plumbline_fleet_leader 1`)...)
}

// The document lists the metrics as they are.
func TestDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/CLUSTER.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range metric.Fleet() {
		if row := fmt.Sprintf("| `%s` | %s | %s | %s |\n", d.Name, d.Kind, strings.Join(d.Labels, ", "), d.Help); !strings.Contains(string(text), row) {
			t.Errorf("docs/CLUSTER.md lacks the row\n%s", row)
		}
	}
	for _, reason := range Reasons() {
		if !strings.Contains(string(text), "`"+reason+"`") {
			t.Errorf("docs/CLUSTER.md lacks the reason %s", reason)
		}
	}
}
