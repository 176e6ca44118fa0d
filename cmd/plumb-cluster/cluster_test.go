// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"plumbline.dev/plumbline/cmd/internal/cluster"
	"plumbline.dev/plumbline/runtime/fleet"
)

var now = time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)

// server is an API server of one Datapath and two nodes, as far as the commands ask.
type server struct {
	sync.Mutex
	forbidden string // a resource that may not be listed
	none      bool   // no Datapath
	ready     string
	reported  map[string]time.Time // by node
	requested string
	handles   bool // a request is handled as it comes
}

func (c *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.Lock()
	defer c.Unlock()
	parts := strings.Split(r.URL.Path, "/")
	last := parts[len(parts)-1]
	w.Header().Set("Content-Type", "application/json")
	switch {
	case last == c.forbidden:
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"%s is forbidden","reason":"Forbidden","code":403}`, last)
	case r.Method == http.MethodPatch:
		body, _ := io.ReadAll(r.Body)
		var patch struct {
			Metadata struct{ Annotations map[string]string }
		}
		if err := json.Unmarshal(body, &patch); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		c.requested = patch.Metadata.Annotations["reconcile.fluxcd.io/requestedAt"]
		fmt.Fprint(w, c.datapath())
	case last == "datapaths" && c.none:
		fmt.Fprint(w, list("Datapath"))
	case last == "datapaths":
		fmt.Fprint(w, list("Datapath", c.datapath()))
	case last == "prod":
		fmt.Fprint(w, c.datapath())
	case last == "datapathnodes":
		fmt.Fprint(w, list("DatapathNode", c.node("w1", `"status":"InSync","reason":"InSync","driftCount":0,"drifts":[]`),
			c.node("w2", `"status":"Drifted","reason":"DriftDetected","driftCount":1,"drifts":[{"kind":"slot-gap","service":"shop/web","message":"slot 1 is gone"}]`)))
	case last == "nodes":
		fmt.Fprint(w, `{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","metadata":{},"items":[{"metadata":{"name":"w1"}},{"metadata":{"name":"w2"}},{"metadata":{"name":"w3"}},{"metadata":{"name":"win","labels":{"kubernetes.io/os":"windows"}}}]}`)
	default:
		http.NotFound(w, r)
	}
}

func list(kind string, items ...string) string {
	return fmt.Sprintf(`{"kind":"%sList","apiVersion":"plumbline.dev/v1alpha1","metadata":{},"items":[%s]}`, kind, strings.Join(items, ","))
}

func (c *server) handled() string {
	if c.handles {
		return c.requested
	}
	return ""
}

func (c *server) datapath() string {
	return fmt.Sprintf(`{"kind":"Datapath","apiVersion":"plumbline.dev/v1alpha1","metadata":{"namespace":"plumbline","name":"prod","generation":4},"status":{"observedGeneration":4,"lastHandledReconcileAt":%q,"nodes":{"total":3,"inSync":1},"conditions":[{"type":"Ready","status":%q,"reason":"R","message":"so it is"}]}}`, c.handled(), c.ready)
}

func (c *server) node(name, status string) string {
	return fmt.Sprintf(`{"kind":"DatapathNode","apiVersion":"plumbline.dev/v1alpha1","metadata":{"namespace":"plumbline","name":%q},"status":{"settingsGeneration":4,"lastHandledReconcileAt":%q,"reportedAt":%q,"intervalSeconds":30,"agentVersion":"1.0.0","layout":"cilium/1.17",%s}}`,
		name, c.handled(), c.reported[name].Format(time.RFC3339), status)
}

// plumb runs a command against the cluster.
func (c *server) plumb(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	api := httptest.NewServer(c)
	t.Cleanup(api.Close)
	path := filepath.Join(t.TempDir(), "kubeconfig")
	config := fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","current-context":"c","clusters":[{"name":"c","cluster":{"server":%q}}],"contexts":[{"name":"c","context":{"cluster":"c","user":"u"}}],"users":[{"name":"u","user":{}}]}`, api.URL)
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, said bytes.Buffer
	code = run(&env{ctx: t.Context(), stdout: &out, stderr: &said, now: func() time.Time { return now }}, append(args, "--kubeconfig", path))
	return out.String(), said.String(), code
}

func young() map[string]time.Time {
	return map[string]time.Time{"w1": now.Add(-12 * time.Second), "w2": now.Add(-3 * time.Second)}
}

func TestStatus(t *testing.T) {
	c := &server{ready: "False", reported: young()}
	out, said, code := c.plumb(t, "status", "-o", "wide")
	want := `plumbline/prod: Ready False (R), 1 of 3 nodes in sync: so it is
NODE  STATE    REASON         DRIFTS  REPORTED  LAYOUT       AGENT  SAYS
w1    in sync  InSync         0       12s       cilium/1.17  1.0.0  -
w2    drifted  DriftDetected  1       3s        cilium/1.17  1.0.0  shop/web slot-gap: slot 1 is gone
w3    unknown  -              0       -         -            -      there is no report of it
`
	if diff := cmp.Diff(want, out); diff != "" || code != exitFindings || said != "" {
		t.Errorf("exit code %d, stderr %q (-want +got):\n%s", code, said, diff)
	}
	c.ready = "True"
	if _, _, code := c.plumb(t, "status"); code != exitOK {
		t.Errorf("exit code %d of one that is Ready", code)
	}
}

// A report that has grown old is unknown, whatever it says.
func TestStatusOfOldReports(t *testing.T) {
	c := &server{ready: "True", reported: young()}
	c.reported["w1"] = now.Add(-91 * time.Second)
	out, _, _ := c.plumb(t, "status", "-o", "json")
	var got fleet.Fleet
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	if r := got.Datapaths[0].Rows[0]; !got.Ready || r.State != "unknown" || r.Message != "its report is older than three intervals" {
		t.Errorf("got %+v", r)
	}
}

// What can't be read is no absence (I1), and what is not there is said.
func TestStatusOfNothing(t *testing.T) {
	for _, resource := range []string{"datapaths", "datapathnodes", "nodes"} {
		c := &server{ready: "True", forbidden: resource}
		if out, said, code := c.plumb(t, "status"); code != exitFailed || out != "" || !strings.Contains(said, "forbidden") {
			t.Errorf("%s: exit code %d, %q, %q", resource, code, out, said)
		}
	}
	c := &server{none: true}
	if out, said, code := c.plumb(t, "status"); code != exitFindings || out != "" || !strings.Contains(said, "no Datapath in namespace plumbline") {
		t.Errorf("exit code %d, %q, %q", code, out, said)
	}
}

func TestReconcile(t *testing.T) {
	c := &server{ready: "True", reported: young(), handles: true}
	out, said, code := c.plumb(t, "reconcile", "prod")
	if code != exitOK || out != "plumbline/prod: every node that reports has looked\n" || said != "plumb: asked Datapath plumbline/prod\n" {
		t.Errorf("exit code %d, %q, %q", code, out, said)
	}
	if c.requested != "2026-11-20T08:00:00Z" {
		t.Errorf("the request is %q", c.requested)
	}
	c.handles = false
	out, _, code = c.plumb(t, "reconcile", "--timeout", "300ms")
	if code != exitFindings || out != "plumbline/prod: not within 300ms: w1, w2 have not looked\n" {
		t.Errorf("exit code %d, %q", code, out)
	}
	if out, _, code := c.plumb(t, "reconcile", "--wait=false"); code != exitOK || out != "plumbline/prod: asked\n" {
		t.Errorf("exit code %d, %q", code, out)
	}
	c.none = true
	if _, said, code := c.plumb(t, "reconcile"); code != exitFailed || !strings.Contains(said, "no Datapath") {
		t.Errorf("exit code %d, %q", code, said)
	}
}

// --watch prints what changes, and nothing of what stays.
func TestStatusChanges(t *testing.T) {
	var out bytes.Buffer
	e := &env{stdout: &out, now: func() time.Time { return now }}
	f := statusOf(t)
	before := []fleet.View{{Namespace: "a", Name: "b", Rows: []fleet.Row{{Node: "w1", State: "in sync"}, {Node: "w2", State: "in sync"}}}}
	after := []fleet.View{{Namespace: "a", Name: "b", Rows: []fleet.Row{{Node: "w1", State: "in sync"}, {Node: "w2", State: "drifted", Drifts: 1}}}}
	if err := f.changes(e, before, after); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); got != "w2  drifted  -  1  -\n" {
		t.Errorf("got %q", got)
	}
}

func statusOf(t *testing.T) *statusFlags {
	t.Helper()
	return &statusFlags{&cluster.Status{Flags: cluster.Flags{Output: "text"}}}
}
