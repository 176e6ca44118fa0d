// SPDX-License-Identifier: Apache-2.0

package emit

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/prometheus/prometheus/promql/parser"
	corev1 "k8s.io/api/core/v1"

	"plumbline.dev/plumbline/schema/state"
)

func TestMonitoringIsTheOperators(t *testing.T) {
	env, o := guarded(state.Repair)
	files := manifests(t, env, nil, o)
	rules := decode[monitoringv1.PrometheusRule](t, files, "monitoring/prometheusrule.yaml")
	monitor := decode[monitoringv1.PodMonitor](t, files, "monitoring/podmonitor.yaml")
	if rules.Labels["release"] != "prometheus" || monitor.Labels["release"] != "prometheus" {
		t.Errorf("labels %v, %v: no Prometheus selects them", rules.Labels, monitor.Labels)
	}
	seen := map[string]bool{}
	for _, r := range rules.Spec.Groups[0].Rules {
		if seen[r.Alert] || r.Labels["severity"] == "" || r.Annotations["summary"] == "" {
			t.Errorf("alert %q", r.Alert)
		}
		seen[r.Alert] = true
	}
	pods := agentOf(t, state.Repair).Spec.Template
	for key, value := range monitor.Spec.Selector.MatchLabels {
		if pods.Labels[key] != value {
			t.Errorf("selects %s=%s, agents have %v", key, value, pods.Labels)
		}
	}
	if port := monitor.Spec.PodMetricsEndpoints[0].Port; *port != pods.Spec.Containers[0].Ports[0].Name {
		t.Errorf("scrapes the port %s", *port)
	}
}

// Who reads only is never blamed for not writing.
func TestAlertsFollowTheMode(t *testing.T) {
	for mode, want := range map[state.Mode]bool{state.Observe: false, state.Repair: true, state.Own: true} {
		env, o := guarded(mode)
		data := string(manifests(t, env, nil, o)["monitoring/prometheusrule.yaml"])
		if got := strings.Contains(data, "PlumblineRepairFails"); got != want {
			t.Errorf("%s: an alert on repairs: %v", mode, got)
		}
	}
}

func TestDashboardIsGrafanas(t *testing.T) {
	env, o := guarded(state.Observe)
	cm := decode[corev1.ConfigMap](t, manifests(t, env, nil, o), "monitoring/dashboard.yaml")
	if cm.Labels["grafana_dashboard"] != "1" || cm.Namespace != "plumbline" {
		t.Errorf("%s, labels %v", cm.Namespace, cm.Labels)
	}
	var board struct {
		UID    string
		Panels []struct {
			ID      int
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(cm.Data["plumbline-dev.json"]), &board); err != nil {
		t.Fatal(err)
	}
	taken := map[[2]int]bool{}
	for _, p := range board.Panels {
		at := [2]int{p.GridPos.X, p.GridPos.Y}
		if taken[at] || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %d stands at %v", p.ID, p.GridPos)
		}
		taken[at] = true
	}
	if len(board.Panels) != len(panels()) {
		t.Errorf("%d panels", len(board.Panels))
	}
}

// Every expression is one, and gives what it is used as: an alert series, a graph
// a line.
func TestExpressionsParse(t *testing.T) {
	p := parser.NewParser(parser.Options{})
	check := func(name, expr string) {
		t.Helper()
		parsed, err := p.ParseExpr(strings.ReplaceAll(expr, "$__rate_interval", "5m"))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if parsed.Type() != parser.ValueTypeVector {
			t.Errorf("%s gives a %s", name, parsed.Type())
		}
	}
	_, o := guarded(state.Own)
	for _, a := range alerts("dev", o.Settings) {
		check(a.name, a.expr)
	}
	for _, p := range panels() {
		check(p.title, p.expr)
	}
}

// The document lists the alerts as they are, and the capabilities of each mode.
func TestDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/MANIFESTS.md")
	if err != nil {
		t.Fatal(err)
	}
	_, o := guarded(state.Own)
	list := alerts("dev", o.Settings)
	for _, a := range list {
		if row := fmt.Sprintf("| `%s` | %s | ", a.name, a.severity); !strings.Contains(string(text), row) {
			t.Errorf("docs/MANIFESTS.md lacks the row %s", row)
		}
	}
	if rows := strings.Count(string(text), "\n| `Plumbline"); rows != len(list) {
		t.Errorf("docs/MANIFESTS.md has %d alerts, want %d", rows, len(list))
	}
	for _, capability := range capabilities(state.Own, true, true) {
		row := "| `" + capability + "` |"
		for _, mode := range []state.Mode{state.Observe, state.Repair, state.Own} {
			switch {
			case slices.Contains(capabilities(mode, false, false), capability):
				row += " yes |"
			case slices.Contains(capabilities(mode, true, true), capability):
				row += " if asked for |"
			default:
				row += " |"
			}
		}
		if !strings.Contains(string(text), row) {
			t.Errorf("docs/MANIFESTS.md lacks the row %s", row)
		}
	}
}

func TestSilence(t *testing.T) {
	if got := silence(30 * time.Second); got != 150 {
		t.Errorf("30s: %d", got)
	}
	if got := silence(1500 * time.Millisecond); got != 65 {
		t.Errorf("1.5s: %d", got)
	}
}
