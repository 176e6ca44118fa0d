// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"plumbline.dev/plumbline/cmd/internal/cluster"
)

// apis answer by path and query; what has no answer is not found.
type apis struct {
	answers   map[string]string
	forbidden string
	asked     []string
}

func (a *apis) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	q := r.URL.Query()
	for _, name := range []string{"labelSelector", "fieldSelector", "continue"} {
		if v := q.Get(name); v != "" {
			path += " " + v
		}
	}
	a.asked = append(a.asked, path)
	w.Header().Set("Content-Type", "application/json")
	answer, ok := a.answers[path]
	switch {
	case a.forbidden != "" && strings.HasPrefix(path, a.forbidden):
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"that is forbidden","reason":"Forbidden","code":403}`)
	case !ok:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"there is none","reason":"NotFound","code":404}`)
	default:
		fmt.Fprint(w, answer)
	}
}

func (a *apis) run(t *testing.T, args ...string) (out, said string, code int) {
	t.Helper()
	api := httptest.NewServer(a)
	t.Cleanup(api.Close)
	path := filepath.Join(t.TempDir(), "kubeconfig")
	config := fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","current-context":"c","clusters":[{"name":"c","cluster":{"server":%q}}],"contexts":[{"name":"c","context":{"cluster":"c","user":"u"}}],"users":[{"name":"u","user":{}}]}`, api.URL)
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	code = run(&env{ctx: t.Context(), stdout: &stdout, stderr: &stderr, now: time.Now}, append(args, "--kubeconfig", path))
	return stdout.String(), stderr.String(), code
}

const (
	daemonSet = `{"apiVersion":"apps/v1","kind":"DaemonSet","metadata":{"name":"cilium","namespace":"kube-system"},"spec":{"selector":{"matchLabels":{"k8s-app":"cilium"}}}}`
	aPod      = `{"apiVersion":"v1","kind":"PodList","metadata":{"continue":%q},"items":[{"apiVersion":"v1","kind":"Pod","metadata":{"name":%q}}]}`
	aNode     = `{"apiVersion":"v1","kind":"NodeList","metadata":{},"items":[{"metadata":{"name":"w1"}}]}`
)

func cluster117() *apis {
	return &apis{answers: map[string]string{
		"/apis/apps/v1/namespaces/kube-system/daemonsets/cilium":                  daemonSet,
		"/apis/apps/v1/namespaces/kube-system/controllerrevisions k8s-app=cilium": `{"apiVersion":"apps/v1","kind":"ControllerRevisionList","metadata":{},"items":[]}`,
		"/api/v1/namespaces/kube-system/pods k8s-app=cilium":                      fmt.Sprintf(aPod, "next", "a"),
		"/api/v1/namespaces/kube-system/pods k8s-app=cilium next":                 fmt.Sprintf(aPod, "", "b"),
		"/api/v1/nodes kubernetes.io/os=linux":                                    aNode,
		"/api/v1/namespaces/kube-system/configmaps/cilium-config":                 `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"cilium-config"},"data":{"a":"b"}}`,
	}}
}

// All of it is read, in pages; what is not there is told from what can't be read.
func TestInstalled(t *testing.T) {
	c := cluster117()
	out, said, code := c.run(t, "installed", "flux-system", "cilium", "kube-system", "cilium-config", "cilium")
	var held cluster.Installed
	if err := json.Unmarshal([]byte(out), &held); err != nil || code != exitOK {
		t.Fatalf("%v, exit code %d: %s", err, code, said)
	}
	if held.Release != nil || held.Config == nil || held.DaemonSet == nil || len(held.Pods) != 2 || !slices.Equal(held.Nodes, []string{"w1"}) {
		t.Errorf("got %+v", held)
	}
	for path := range c.answers {
		c := cluster117()
		c.forbidden = path
		out, said, code := c.run(t, "installed", "flux-system", "cilium", "kube-system", "cilium-config", "cilium")
		if code != exitFailed || out != "" || !strings.Contains(said, "that is forbidden; grant get and list of it") {
			t.Errorf("%s: exit code %d, %q, %q", path, code, out, said)
		}
	}
}

// A snapshot has what there is, kinds that the API server does not know aside, and of
// pods the node's. It is whole or none.
func TestSnapshot(t *testing.T) {
	list := func(kind, name string) string {
		return fmt.Sprintf(`{"apiVersion":"v1","kind":"%sList","metadata":{},"items":[{"metadata":{"name":%q,"managedFields":[{}]}}]}`, kind, name)
	}
	c := &apis{answers: map[string]string{
		"/api/v1/nodes": aNode, "/api/v1/services": list("Service", "web"), "/apis/discovery.k8s.io/v1/endpointslices": list("EndpointSlice", "web-1"),
		"/apis/cilium.io/v2/ciliumnodes": list("CiliumNode", "w1"), "/api/v1/pods spec.nodeName=w1": fmt.Sprintf(aPod, "", "a"),
	}}
	out, said, code := c.run(t, "snapshot", "w1")
	var got struct {
		Kind  string
		Items []struct{ Metadata map[string]any }
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != exitOK || got.Kind != "List" {
		t.Fatalf("%v, exit code %d: %s%s", err, code, said, out)
	}
	var names []string
	for _, o := range got.Items {
		names = append(names, fmt.Sprint(o.Metadata["name"]))
		if o.Metadata["managedFields"] != nil {
			t.Errorf("%v has managed fields", o.Metadata)
		}
	}
	if !slices.Equal(names, []string{"w1", "web", "web-1", "w1", "a"}) {
		t.Errorf("got %v", names)
	}
	delete(c.answers, "/api/v1/services") // Kubernetes' own kinds are always known
	if out, said, code := c.run(t, "snapshot", "w1"); code != exitFailed || out != "" || !strings.Contains(said, "read services: ") {
		t.Errorf("exit code %d, %q, %q", code, out, said)
	}
	c.forbidden = "/apis/cilium.io/v2/ciliumnodes"
	if out, said, code := c.run(t, "snapshot", "w1"); code != exitFailed || out != "" || !strings.Contains(said, "grant get and list") {
		t.Errorf("exit code %d, %q, %q", code, out, said)
	}
}
