// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"plumbline.dev/plumbline/schema/state"
)

// apiServer is as much of an API server as a reflector sees: lists, and watches that
// can be cut.
type apiServer struct {
	mutex   sync.Mutex
	version int
	objects map[string]map[string]map[string]any // by resource, then by name
	watches map[chan []byte]string               // and the resource of each
	down    bool
}

func newAPIServer(t *testing.T) (*apiServer, *rest.Config) {
	t.Helper()
	a := &apiServer{version: 1, objects: map[string]map[string]map[string]any{}, watches: map[chan []byte]string{}}
	server := httptest.NewServer(a)
	t.Cleanup(func() {
		a.setDown(true)
		a.cut()
		server.CloseClientConnections()
		server.Close()
	})
	return a, &rest.Config{Host: server.URL, QPS: 1000, Burst: 1000}
}

var kinds = map[string][2]string{"services": {"v1", "Service"}, "endpointslices": {"discovery.k8s.io/v1", "EndpointSlice"}, "nodes": {"v1", "Node"}, "pods": {"v1", "Pod"}}

// ServeHTTP serves /api/v1/RESOURCE and /apis/GROUP/VERSION/RESOURCE.
func (a *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(r.URL.Path, "/")
	resource := parts[len(parts)-1]
	a.mutex.Lock()
	if a.down {
		a.mutex.Unlock()
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Query().Get("watch") != "" {
		if r.URL.Query().Get("sendInitialEvents") != "" {
			a.mutex.Unlock()
			w.WriteHeader(http.StatusUnprocessableEntity) // as a server that knows no such lists
			json.NewEncoder(w).Encode(map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Invalid", "code": 422})
			return
		}
		if rv := r.URL.Query().Get("resourceVersion"); rv != fmt.Sprint(a.version) { // what came since is not kept
			a.mutex.Unlock()
			w.WriteHeader(http.StatusGone)
			json.NewEncoder(w).Encode(map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired", "code": 410})
			return
		}
		events := make(chan []byte, 64)
		a.watches[events] = resource
		a.mutex.Unlock()
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		for event := range events {
			w.Write(event)
			w.(http.Flusher).Flush()
		}
		return
	}
	defer a.mutex.Unlock()
	items := []any{}
	for _, o := range a.objects[resource] {
		items = append(items, o)
	}
	json.NewEncoder(w).Encode(map[string]any{"apiVersion": kinds[resource][0], "kind": kinds[resource][1] + "List", "metadata": map[string]any{"resourceVersion": fmt.Sprint(a.version)}, "items": items})
}

// put stores an object, and tells those who watch.
func (a *apiServer) put(resource, name string, rest map[string]any) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	a.version++
	o := map[string]any{"apiVersion": kinds[resource][0], "kind": kinds[resource][1]}
	for k, v := range rest {
		o[k] = v
	}
	meta := map[string]any{"name": name, "namespace": "test", "resourceVersion": fmt.Sprint(a.version)}
	if labels, ok := rest["labels"]; ok {
		meta["labels"] = labels
		delete(o, "labels")
	}
	o["metadata"] = meta
	kind := "MODIFIED"
	if a.objects[resource] == nil {
		a.objects[resource] = map[string]map[string]any{}
	}
	if a.objects[resource][name] == nil {
		kind = "ADDED"
	}
	a.objects[resource][name] = o
	a.tell(resource, kind, o)
}

func (a *apiServer) remove(resource, name string) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	a.version++
	o := a.objects[resource][name]
	delete(a.objects[resource], name)
	a.tell(resource, "DELETED", o)
}

func (a *apiServer) tell(resource, kind string, o map[string]any) {
	data, err := json.Marshal(map[string]any{"type": kind, "object": o})
	if err != nil {
		panic(err)
	}
	for events, of := range a.watches {
		if of == resource {
			events <- data
		}
	}
}

// cut ends all watches.
func (a *apiServer) cut() {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	for events := range a.watches {
		close(events)
		delete(a.watches, events)
	}
}

func (a *apiServer) setDown(down bool) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	a.down = down
}

func service(ip string) map[string]any {
	return map[string]any{"spec": map[string]any{"type": "ClusterIP", "clusterIP": ip, "clusterIPs": []string{ip}, "ports": []any{map[string]any{"port": 80, "protocol": "TCP"}}}}
}

// follower applies what a Cluster gives.
type follower struct {
	t       *testing.T
	cluster *Cluster
	changed chan struct{}
	have    []string
}

func follow(t *testing.T, cfg *rest.Config) *follower {
	t.Helper()
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	f := &follower{t: t, changed: make(chan struct{}, 1)}
	f.cluster = Start(t.Context(), ClusterConfig{Client: client, Node: state.Node{Name: "n1"}, Settings: &state.Settings{Mode: state.Own}, Retry: &wait.Backoff{Duration: 10 * time.Millisecond}, Changed: func() {
		select {
		case f.changed <- struct{}{}:
		default:
		}
	}})
	return f
}

// until waits until the services are these.
func (f *follower) until(want ...string) {
	f.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		delta, _, err := f.cluster.Delta(context.Background())
		if err == nil {
			for name, list := range delta.Services {
				f.have = slices.DeleteFunc(f.have, func(n string) bool { return n == name.Name })
				if len(list) > 0 {
					f.have = append(f.have, name.Name)
				}
			}
			if slices.Sort(f.have); slices.Equal(f.have, want) {
				return
			}
		}
		select {
		case <-f.changed:
		case <-deadline:
			f.t.Fatalf("services %v, want %v; the last error is %v", f.have, want, err)
		}
	}
}

func TestClusterFollows(t *testing.T) {
	api, cfg := newAPIServer(t)
	api.put("nodes", "n1", map[string]any{"status": map[string]any{"addresses": []any{map[string]any{"type": "InternalIP", "address": "192.0.2.1"}}}})
	api.put("services", "a", service("10.96.0.1"))
	f := follow(t, cfg)
	f.until("a")
	if got := f.cluster.Cilium().Node.Addresses; len(got) != 1 || got[0].String() != "192.0.2.1" {
		t.Errorf("the node's addresses are %v", got)
	}
	api.put("services", "b", service("10.96.0.2"))
	f.until("a", "b")
	api.remove("services", "a")
	f.until("b")
}

// A watch that is cut while something is deleted leaves nothing stale behind.
func TestClusterFindsWhatAWatchMissed(t *testing.T) {
	api, cfg := newAPIServer(t)
	api.put("services", "a", service("10.96.0.1"))
	api.put("services", "b", service("10.96.0.2"))
	f := follow(t, cfg)
	f.until("a", "b")
	api.setDown(true)
	api.cut()
	api.remove("services", "a")
	for {
		if _, _, err := f.cluster.Delta(t.Context()); err != nil {
			break // told that the API server is away
		}
	}
	api.put("services", "c", service("10.96.0.3"))
	api.setDown(false)
	f.until("b", "c")
}

// Before everything was told once there is nothing that could be complete (I2).
func TestClusterIsCompleteOrAnError(t *testing.T) {
	api, cfg := newAPIServer(t)
	api.setDown(true)
	f := follow(t, cfg)
	if _, _, err := f.cluster.Delta(t.Context()); err == nil {
		t.Error("no error from an API server that is away")
	}
	api.setDown(false)
	f.until()
}

// What can't be understood is told of as long as it is there.
func TestClusterTellsOfBadObjects(t *testing.T) {
	api, cfg := newAPIServer(t)
	api.put("services", "bad", map[string]any{"spec": map[string]any{"clusterIP": "10.96.0.300", "clusterIPs": []string{"10.96.0.300"}, "ports": []any{map[string]any{"port": 80, "protocol": "TCP"}}}})
	f := follow(t, cfg)
	f.until("bad")
	for range 2 {
		if _, said, err := f.cluster.Delta(t.Context()); err != nil || len(said) == 0 {
			t.Errorf("%v, %v: want a Notice each time", said, err)
		}
	}
	api.put("services", "bad", service("10.96.0.3"))
	for {
		_, said, err := f.cluster.Delta(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(said) == 0 {
			return
		}
		<-f.changed
	}
}

func TestFailover(t *testing.T) {
	away := map[string]bool{"a:1": true}
	var asked []string
	f := &failover{addresses: []string{"a:1", "b:2"}, dial: func(_ context.Context, _, address string) (net.Conn, error) {
		asked = append(asked, address)
		if away[address] {
			return nil, errors.New(address + " is away")
		}
		client, server := net.Pipe()
		server.Close()
		return client, nil
	}}
	for range 2 {
		if _, err := f.DialContext(t.Context(), "tcp", "kubernetes:443"); err != nil {
			t.Fatal(err)
		}
	}
	away["b:2"] = true
	if _, err := f.DialContext(t.Context(), "tcp", "kubernetes:443"); err == nil || !strings.Contains(err.Error(), "a:1 is away") || !strings.Contains(err.Error(), "b:2 is away") {
		t.Errorf("%v: want both reasons", err)
	}
	if want := []string{"a:1", "b:2", "b:2", "b:2", "a:1"}; !slices.Equal(asked, want) {
		t.Errorf("dialled %v, want %v", asked, want)
	}
}

func TestClientConfigNamesAMistake(t *testing.T) {
	if _, err := ClientConfig("/does/not/exist", "", nil); err == nil || !strings.Contains(err.Error(), "/does/not/exist") {
		t.Errorf("%v: want the file's name", err)
	}
}
