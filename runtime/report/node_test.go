// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/runtime/reconcile"
	"plumbline.dev/plumbline/runtime/store"
)

// A report is written where it says something new, and before the last one is too old
// to count; the resource is made where there is none.
func TestNodeWritesWhatIsNew(t *testing.T) {
	there, fails := false, false
	var asked []string
	var last struct {
		Status struct {
			Status, Reason string
			DriftCount     int
			Drifts         []struct{ Service string }
		}
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		body, _ := io.ReadAll(r.Body)
		switch {
		case fails:
			w.WriteHeader(http.StatusInternalServerError)
			return
		case r.Method == http.MethodPost:
			there = true
		case !there:
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`)
			return
		default:
			if err := json.Unmarshal(body, &last); err != nil {
				t.Error(err)
			}
		}
		asked = append(asked, r.Method+" "+r.URL.Path)
		fmt.Fprint(w, `{"apiVersion":"plumbline.dev/v1alpha1","kind":"DatapathNode","metadata":{"name":"n1","namespace":"plumbline"}}`)
	}))
	defer server.Close()
	client, err := dynamic.NewForConfig(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	n := &Node{Client: client, Namespace: "plumbline", Name: "n1", Version: "v1", Settings: 3, Interval: 30 * time.Second, Limit: 2, Now: func() time.Time { return now }}
	write := func(r reconcile.Report) error { return n.Write(t.Context(), r) }
	inSync := reconcile.Report{Status: reconcile.InSync, Reason: reconcile.ReasonInSync}
	drifts := []reconcile.Drift{{Drift: plan.Drift{Service: "a"}}, {Drift: plan.Drift{Service: "b"}}, {Drift: plan.Drift{Service: "c"}}}
	steps := []struct {
		name  string
		after time.Duration
		r     reconcile.Report
		want  int // writes of the status up to here
	}{
		{"the first", 0, inSync, 1},
		{"nothing new", 33 * time.Second, inSync, 1},
		{"a heartbeat, of rounds that come late", 33 * time.Second, inSync, 2},
		{"nothing new again", 27 * time.Second, inSync, 2},
		{"a heartbeat, of rounds that come early", 27 * time.Second, inSync, 3},
		{"drift", time.Second, reconcile.Report{Status: reconcile.Drifted, Reason: reconcile.ReasonDriftDetected, Drifts: drifts}, 4},
		{"the same drift", 30 * time.Second, reconcile.Report{Status: reconcile.Drifted, Reason: reconcile.ReasonDriftDetected, Drifts: drifts}, 4},
	}
	for _, s := range steps {
		now = now.Add(s.after)
		if err := write(s.r); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		if have := strings.Count(strings.Join(asked, "\n"), "PATCH"); have != s.want {
			t.Errorf("%s: %d writes, want %d: %v", s.name, have, s.want, asked)
		}
	}
	if last.Status.DriftCount != 3 || len(last.Status.Drifts) != 2 {
		t.Errorf("told %d of %d drifts, want 2 of 3", len(last.Status.Drifts), last.Status.DriftCount)
	}
	if diff := cmp.Diff("POST /apis/plumbline.dev/v1alpha1/namespaces/plumbline/datapathnodes", asked[0]); diff != "" {
		t.Errorf("the first request (-want +got):\n%s", diff)
	}
	none := reconcile.Report{Status: reconcile.Unknown, Reason: reconcile.ReasonReadFailed, Err: fmt.Errorf("read: %w", store.ErrNoPins)}
	fails = true
	if err := write(none); err == nil || errors.Is(err, store.ErrNoPins) {
		t.Errorf("%v: want the API server's error", err)
	}
	fails = false
	if err := write(none); err != nil || last.Status.Reason != "NoPins" {
		t.Errorf("%v, reason %q: want a second try, and NoPins", err, last.Status.Reason)
	}
}
