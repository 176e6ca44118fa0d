// SPDX-License-Identifier: Apache-2.0

package report

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/runtime/reconcile"
	"plumbline.dev/plumbline/schema/metric"
)

var began = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func drifted() reconcile.Report {
	return reconcile.Report{Time: began, Status: reconcile.Drifted, Reason: reconcile.ReasonDriftDetected, Seconds: 0.5,
		Drifts: []reconcile.Drift{{Drift: plan.Drift{Kind: plan.StaleBackend}}, {Drift: plan.Drift{Kind: plan.StaleBackend}}},
		Counts: reconcile.Counts{Frontends: 4, Backends: 5, Unconfirmed: 1}, Planned: 3, Applied: 2,
		Maps: []reconcile.MapFill{{Name: "cilium_lb4_services_v2", Entries: 7, MaxEntries: 100}}}
}

// Every metric that is named is exposed once a round has been, and no other.
func TestExposesWhatIsNamed(t *testing.T) {
	m := NewMetrics("v1")
	m.Observe(drifted())
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	exposed := map[string]bool{}
	for _, f := range families {
		exposed[f.GetName()] = true
		if got := strings.ToLower(f.GetType().String()); !strings.HasPrefix(got, string(kindOf(t, f.GetName()))) {
			t.Errorf("%s is a %s", f.GetName(), got)
		}
	}
	for _, d := range metric.All() {
		if !exposed[d.Name] {
			t.Errorf("%s is not exposed", d.Name)
		}
	}
	problems, err := testutil.GatherAndLint(m.registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}

func kindOf(t *testing.T, name string) metric.Kind {
	t.Helper()
	for _, d := range metric.All() {
		if d.Name == name {
			return d.Kind
		}
	}
	t.Errorf("%s is exposed and not named", name)
	return ""
}

func TestMetricsFollowRounds(t *testing.T) {
	m := NewMetrics("v1")
	m.Observe(drifted())
	value := func(d metric.Metric, labels ...string) float64 { return testutil.ToFloat64(m.gauge(d, labels...)) }
	check := func(name string, got, want float64) {
		t.Helper()
		if got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	check("drifts", value(metric.Drifts, "stale-backend"), 2)
	check("other drifts", value(metric.Drifts, "slot-gap"), 0)
	check("status", value(metric.Status, "Drifted"), 1)
	check("last in sync", value(metric.LastInSync), 0)
	check("entries", value(metric.MapEntries, "cilium_lb4_services_v2"), 7)

	m.Observe(reconcile.Report{Time: began.Add(time.Minute), Status: reconcile.Unknown, Reason: reconcile.ReasonReadFailed, WantAgeSeconds: 60, Suspended: true})
	check("suspended", value(metric.Suspended), 1)
	check("drifts, where the kernel could not be read", value(metric.Drifts, "stale-backend"), 2)
	check("status", value(metric.Status, "Drifted"), 0)
	check("source age", value(metric.SourceAge), 60)

	m.Observe(reconcile.Report{Time: began.Add(2 * time.Minute), Status: reconcile.InSync, Reason: reconcile.ReasonInSync})
	check("suspended, once resumed", value(metric.Suspended), 0)
	check("drifts, once mended", value(metric.Drifts, "stale-backend"), 0)
	check("last in sync", value(metric.LastInSync), float64(began.Add(2*time.Minute).Unix()))
	check("steps", testutil.ToFloat64(m.counter(metric.Steps, "applied")), 2)
}

func TestHealth(t *testing.T) {
	now := began
	h := NewHealth(10*time.Second, func() time.Time { return now })
	expect := func(when string, healthy, ready bool) {
		t.Helper()
		if err := h.Healthy(); (err == nil) != healthy {
			t.Errorf("%s: healthy: %v", when, err)
		}
		if err := h.Ready(); (err == nil) != ready {
			t.Errorf("%s: ready: %v", when, err)
		}
	}
	expect("before the first round", true, false)
	h.Observe(reconcile.Report{Status: reconcile.Unknown, Reason: reconcile.ReasonReadFailed, Err: errors.New("no such file")})
	expect("after a round that could not read", true, false)
	h.Observe(drifted())
	expect("with drift", true, true)
	now = now.Add(31 * time.Second)
	expect("without a round for three intervals", false, false)
	h.Observe(drifted())
	expect("when rounds come again", true, true)
}

func TestHandler(t *testing.T) {
	m, h := NewMetrics("v1"), NewHealth(time.Minute, time.Now)
	get := func(handler http.Handler, path string) (int, string) {
		t.Helper()
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w.Code, w.Body.String()
	}
	plain := Handler(m, h, false)
	if code, body := get(plain, "/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "no round has ended yet") {
		t.Errorf("/readyz: %d %s", code, body)
	}
	if code, body := get(plain, "/healthz"); code != http.StatusOK || body != "ok\n" {
		t.Errorf("/healthz: %d %s", code, body)
	}
	if code, body := get(plain, "/metrics"); code != http.StatusOK || !strings.Contains(body, `plumbline_build_info{version="v1"} 1`) {
		t.Errorf("/metrics: %d %s", code, body)
	}
	if code, _ := get(plain, "/debug/pprof/"); code != http.StatusNotFound {
		t.Errorf("/debug/pprof/ without being asked for: %d", code)
	}
	if code, _ := get(Handler(m, h, true), "/debug/pprof/"); code != http.StatusOK {
		t.Errorf("/debug/pprof/: %d", code)
	}
}

func TestServe(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	at, done, err := Serve(ctx, "127.0.0.1:0", Handler(NewMetrics("v1"), NewHealth(time.Minute, time.Now), false))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.Get("http://" + at.String() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil || string(body) != "ok\n" {
		t.Errorf("%q %v", body, err)
	}
	if err := response.Body.Close(); err != nil {
		t.Error(err)
	}
	if _, _, err := Serve(ctx, at.String(), nil); err == nil {
		t.Error("one address was listened at twice")
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("ended by %v", err)
	}
}

// The document lists the metrics as they are.
func TestDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/AGENT.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "| `plumbline_") {
			rows++
		}
	}
	for _, d := range metric.All() {
		row := fmt.Sprintf("| `%s` | %s | %s | %s |\n", d.Name, d.Kind, strings.Join(d.Labels, ", "), d.Help)
		if !strings.Contains(string(text), row) {
			t.Errorf("docs/AGENT.md lacks the row\n%s", row)
		}
	}
	if rows != len(metric.All()) {
		t.Errorf("docs/AGENT.md has %d rows, want %d", rows, len(metric.All()))
	}
}
