// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"plumbline.dev/plumbline/runtime/fleet"
	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/runtime/reconcile"
	"plumbline.dev/plumbline/runtime/report"
)

const watched = `package environments

environment: {
	name: "dev"
	chart: version: "1.17.2"
	api: host: "10.0.0.1"
	datapath: mode: "repair"
	agent: {image: "registry.example/plumb-agent:v1", monitoring: enabled: true}
	values: {ipam: mode: "kubernetes", operator: replicas: 1}
}
`

// What alerts and dashboard ask for is what an agent or the controller serves: each name, each of
// its labels, and for an exact or alternative match some value.
func TestAlertsAskForWhatAgentsServe(t *testing.T) {
	series := served(t)
	expressions := built(t)
	if len(expressions) < 15 {
		t.Errorf("%d expressions: this test looks at too little", len(expressions))
	}
	for _, expr := range expressions {
		parsed, err := parser.NewParser(parser.Options{}).ParseExpr(strings.ReplaceAll(expr, "$__rate_interval", "5m"))
		if err != nil {
			t.Errorf("%s: %v", expr, err)
			continue
		}
		parser.Inspect(parsed, func(n parser.Node, _ []parser.Node) error {
			switch n := n.(type) {
			case *parser.VectorSelector:
				if !slices.ContainsFunc(series, func(s labels.Labels) bool { return answers(s, n.LabelMatchers) }) {
					t.Errorf("%s: no agent serves %s", expr, n)
				}
			case *parser.AggregateExpr:
				for _, label := range n.Grouping {
					// Prometheus adds the node, as the PodMonitor says, and le is a histogram's.
					if label != "node" && !slices.ContainsFunc(series, func(s labels.Labels) bool { return s.Has(label) }) {
						t.Errorf("%s: nothing has the label %s", expr, label)
					}
				}
			}
			return nil
		})
	}
}

// answers tells whether a series is one that matchers ask for, each matcher of a
// label taken as one that the series has to have.
func answers(s labels.Labels, matchers []*labels.Matcher) bool {
	return !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !s.Has(m.Name) || !m.Matches(s.Get(m.Name)) })
}

var sample = regexp.MustCompile(`(?m)^([a-z_]+)(?:\{(.*)\})? \S+$`)

// served are the series of an agent that has gone through every status.
func served(t *testing.T) []labels.Labels {
	t.Helper()
	metrics, health := report.NewMetrics("v1"), report.NewHealth(time.Minute, time.Now)
	server := httptest.NewServer(report.Handler(metrics, health, false))
	defer server.Close()
	for _, reason := range []reconcile.Reason{reconcile.ReasonDriftDetected, reconcile.ReasonApplyFailed} {
		metrics.Observe(reconcile.Report{Time: time.Now(), Status: reconcile.Drifted, Reason: reason,
			Drifts: []reconcile.Drift{{Drift: plan.Drift{Kind: plan.StaleBackend}}},
			Maps:   []reconcile.MapFill{{Name: "cilium_lb4_services_v2", Entries: 7, MaxEntries: 100}}})
	}
	response, err := http.Get(server.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var text strings.Builder
	if err := response.Write(&text); err != nil {
		t.Fatal(err)
	}
	text.WriteString(servedByController())
	var list []labels.Labels
	for _, m := range sample.FindAllStringSubmatch(strings.ReplaceAll(text.String(), "\r", ""), -1) {
		b := labels.NewBuilder(labels.FromStrings("__name__", m[1]))
		for _, pair := range regexp.MustCompile(`([a-z_]+)="([^"]*)"`).FindAllStringSubmatch(m[2], -1) {
			b.Set(pair[1], pair[2])
		}
		list = append(list, b.Labels())
	}
	return list
}

// servedByController is what the controller serves of the Datapath dev.
func servedByController() string {
	metrics := fleet.NewMetrics()
	metrics.Lead(true)
	datapath := &unstructured.Unstructured{Object: map[string]any{"kind": "Datapath", "metadata": map[string]any{"name": "dev", "namespace": "plumbline"}}}
	metrics.Observe(fleet.Round{Datapath: datapath, Status: fleet.Summarize(fleet.Input{Nodes: []string{"n1"}, Now: time.Now()})})
	w := httptest.NewRecorder()
	metrics.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w.Body.String()
}

// built are the expressions of what plumb builds.
func built(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "environments", "dev"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "environments", "dev", "dev.cue"), []byte(watched), 0o600); err != nil {
		t.Fatal(err)
	}
	runPlumb(t, dir, []string{"build", "dev", "-o", "out"})
	var rule struct {
		Spec struct {
			Groups []struct{ Rules []struct{ Expr string } }
		}
	}
	var dashboard struct{ Data map[string]string }
	for name, into := range map[string]any{"prometheusrule": &rule, "dashboard": &dashboard} {
		data, err := os.ReadFile(filepath.Join(dir, "out", "monitoring", name+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(data, into); err != nil {
			t.Fatal(err)
		}
	}
	var list []string
	for _, r := range rule.Spec.Groups[0].Rules {
		list = append(list, r.Expr)
	}
	var board struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	if err := json.Unmarshal([]byte(dashboard.Data["plumbline-dev.json"]), &board); err != nil {
		t.Fatal(err)
	}
	for _, p := range board.Panels {
		list = append(list, p.Targets[0].Expr)
	}
	return list
}
