// SPDX-License-Identifier: Apache-2.0

package source

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/rogpeppe/go-internal/txtar"

	"plumbline.dev/plumbline/schema/state"
)

var compareValues = cmp.Options{cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty()}

// read lays out an archive's files, reads them, and gives the snapshot with
// every notice as text; places are relative to the archive.
func read(t *testing.T, archive string, node state.Node, paths ...string) (*state.Snapshot, []string) {
	t.Helper()
	dir := t.TempDir()
	for _, f := range txtar.Parse([]byte(archive)).Files {
		path := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for i := range paths {
		paths[i] = filepath.Join(dir, paths[i])
	}
	if len(paths) == 0 {
		paths = []string{dir}
	}
	snapshot, notices, err := Files(paths, node)
	if err != nil {
		t.Fatal(err)
	}
	relative := func(s string) string { return strings.ReplaceAll(s, dir+string(filepath.Separator), "") }
	var texts []string
	for _, n := range notices {
		texts = append(texts, relative(fmt.Sprintf("%s %s %s", n.Severity, n.Code, n)))
	}
	for i := range snapshot.Services {
		snapshot.Services[i].Pos.File = relative(snapshot.Services[i].Pos.File)
	}
	return snapshot, texts
}

func names(s *state.Snapshot) []string {
	var list []string
	for _, svc := range s.Services {
		list = append(list, svc.Pos.String()+" "+svc.Key())
	}
	return list
}

// Every document of every file is read: several in one file, lists with and
// without their items' kinds, JSON, and folders below folders.
func TestFilesFindsEveryObject(t *testing.T) {
	s, notices := read(t, `
-- a.yaml --
# a comment
apiVersion: v1
kind: Service
metadata: {name: one, namespace: x}
---
---
apiVersion: v1
kind: Service
metadata: {name: two, namespace: x}
-- b/c/list.yml --
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Service
  metadata: {name: three, namespace: x}
- apiVersion: v1
  kind: List
  items:
  - apiVersion: v1
    kind: Service
    metadata: {name: four, namespace: x}
-- b/typed.json --
{"apiVersion": "v1", "kind": "ServiceList",
	"items": [
	{"metadata": {"name": "five", "namespace": "x"}}]}
-- b/empty.yaml --
apiVersion: v1
kind: ServiceList
items: []
-- b/notes.txt --
not read
-- kustomization.yaml --
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
-- more.yaml --
apiVersion: apps/v1
kind: Deployment
metadata: {name: a}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: b}
`, state.Node{})
	want := []string{"a.yaml:2 x/one", "a.yaml:7 x/two", "b/c/list.yml:4 x/three", "b/c/list.yml:10 x/four", "b/typed.json:3 x/five"}
	if diff := cmp.Diff(want, names(s)); diff != "" {
		t.Errorf("services (-want +got):\n%s", diff)
	}
	wantNotices := []string{
		"info snapshot/ignored-kind kustomization.yaml:1: Kustomization: 1 object of kind Kustomization (kustomize.config.k8s.io/v1beta1) have no bearing on the datapath and are not read",
		"info snapshot/ignored-kind more.yaml:1: Deployment: 2 objects of kind Deployment (apps/v1) have no bearing on the datapath and are not read",
	}
	if diff := cmp.Diff(wantNotices, notices); diff != "" {
		t.Errorf("notices (-want +got):\n%s", diff)
	}
}

func TestFilesReadsAPathOnce(t *testing.T) {
	const archive = `
-- d/a.yaml --
apiVersion: v1
kind: Service
metadata: {name: one, namespace: x}
-- d/service --
apiVersion: v1
kind: Service
metadata: {name: two, namespace: x}
`
	s, _ := read(t, archive, state.Node{}, "d", "d/a.yaml", "d/../d/service")
	if diff := cmp.Diff([]string{"d/a.yaml:1 x/one", "d/service:1 x/two"}, names(s)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What can't be understood is said with its place, and all of it at once; what
// can be is read all the same.
func TestFilesSaysWhatIsWrong(t *testing.T) {
	s, notices := read(t, `
-- a.yaml --
apiVersion: v1
kind: Service
metadata: {name: good, namespace: x}
spec:
  clusterIp: 10.96.0.1
  ports:
  - name: http
    port: 80
    targetport: 8080
---
apiVersion: v1
kind: Service
metadata: {name: typed, namespace: x}
spec:
  ports: {port: 80}
---
apiVersion: v1
kind: Service
metadata: {namespace: x}
---
apiVersion: v1
metadata: {name: kindless}
---
replicas: 3
---
apiVersion: discovery.k8s.io/v1beta1
kind: EndpointSlice
metadata: {name: old}
---
apiVersion: v1
kind: Service
metadata: {name: twice, name: again}
---
apiVersion: v1
kind: ServiceList
items: {}
-- broken.yaml --
apiVersion: v1
kind: Service
metadata: {name: before, namespace: x}
---
apiVersion: v1
kind: [
-- nothing/readme.txt --
`, state.Node{}, "a.yaml", "broken.yaml", "nothing")
	if diff := cmp.Diff([]string{"a.yaml:1 x/good", "broken.yaml:1 x/before"}, names(s)); diff != "" {
		t.Errorf("services (-want +got):\n%s", diff)
	}
	want := []string{
		`warning snapshot/empty-folder Folder nothing: nothing in it ends in .yaml, .yml or .json`,
		`warning snapshot/unknown-field a.yaml:5: Service x/good: spec.clusterIp: the API has no such field; it is left out; check its spelling and place`,
		`warning snapshot/unknown-field a.yaml:9: Service x/good: spec.ports[0].targetport: the API has no such field; it is left out; check its spelling and place`,
		`error snapshot/malformed-object a.yaml:11: Service x/typed: cannot unmarshal object into Go struct field ServiceSpec.spec.ports of type []v1.ServicePort; the object is left out`,
		`error snapshot/malformed-object a.yaml:17: Service x/: metadata.name is missing; the object is left out`,
		`error snapshot/incomplete-object a.yaml:21: Document: apiVersion is "v1" and kind is ""; the object is left out; give both apiVersion and kind`,
		`warning snapshot/not-an-object a.yaml:24: Document: it has neither apiVersion nor kind: it is no Kubernetes object and is left out`,
		`error snapshot/unknown-version a.yaml:26: EndpointSlice old: version discovery.k8s.io/v1beta1 is not read; the object is left out; want discovery.k8s.io/v1`,
		`error snapshot/malformed-object a.yaml:30: Service twice: line 32: key "name" repeats line 32; the object is left out`,
		`error snapshot/malformed-object a.yaml:36: ServiceList: items: want a list`,
		`error snapshot/not-yaml broken.yaml:6: File: the file is no YAML: line 6: did not find expected node content; mend the file; what stands behind this place was not read`,
	}
	if diff := cmp.Diff(want, notices); diff != "" {
		t.Errorf("notices (-want +got):\n%s", diff)
	}
}

// I1: a path that can't be read is an error, never fewer objects; every such
// path is named.
func TestFilesUnreadable(t *testing.T) {
	dir := t.TempDir()
	s, notices, err := Files([]string{filepath.Join(dir, "no-file"), dir, filepath.Join(dir, "no-other")}, state.Node{})
	if s != nil || notices != nil || err == nil {
		t.Fatalf("got %v, %v, %v", s, notices, err)
	}
	for _, want := range []string{"no-file", "no-other"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}

// YAML is read as Kubernetes reads it.
func TestFilesYAML(t *testing.T) {
	s, notices := read(t, `
-- a.yaml --
apiVersion: v1
kind: Service
metadata:
  name: a
  namespace: "1"
  creationTimestamp: 2026-01-02T03:04:05Z
  annotations: &common
    service.cilium.io/node: "2026-01-02"
    service.cilium.io/type: LoadBalancer
spec:
  ports: &ports
  - {name: http, port: 0x50, targetPort: http}
---
apiVersion: v1
kind: Service
metadata:
  name: b
  namespace: x
  annotations:
    <<: {service.cilium.io/type: NodePort, service.cilium.io/node: 2026-01-02}
    service.cilium.io/node: edge
spec:
  clusterIP: none
`, state.Node{})
	want := []state.Service{
		{Namespace: "1", Name: "a", Type: "ClusterIP", Pos: state.Position{File: "a.yaml", Line: 1},
			Annotations: map[string]string{"service.cilium.io/node": "2026-01-02", "service.cilium.io/type": "LoadBalancer"},
			Ports:       []state.ServicePort{{Name: "http", Protocol: state.TCP, Port: 80}}},
		{Namespace: "x", Name: "b", Type: "ClusterIP", Headless: true, Pos: state.Position{File: "a.yaml", Line: 14},
			Annotations: map[string]string{"service.cilium.io/node": "edge", "service.cilium.io/type": "NodePort"}},
	}
	if diff := cmp.Diff(want, s.Services, compareValues); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(notices) > 0 {
		t.Errorf("unexpected notices: %q", notices)
	}
}

// A document whose aliases explode is refused, not expanded.
func TestFilesAliasBomb(t *testing.T) {
	var b strings.Builder
	b.WriteString("\n-- a.yaml --\napiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: x}\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := range 12 {
		fmt.Fprintf(&b, "a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i+1, i+1, i, i, i, i, i, i, i, i)
	}
	s, notices := read(t, b.String(), state.Node{})
	if len(s.Services) != 0 || len(notices) != 1 || !strings.Contains(notices[0], "aliases expand to too much") {
		t.Errorf("got %d services and %.200q", len(s.Services), notices)
	}
}

const nodes = `
-- nodes.yaml --
apiVersion: v1
kind: Node
metadata: {name: a, labels: {topology.kubernetes.io/zone: zone-a, disk: ssd}}
status:
  addresses:
  - {type: Hostname, address: a}
  - {type: ExternalIP, address: 198.51.100.1}
  - {type: InternalIP, address: 192.0.2.1}
  - {type: InternalIP, address: "2001:db8::1"}
---
apiVersion: v1
kind: Node
metadata: {name: b}
`

func TestFilesNode(t *testing.T) {
	given := state.Node{Name: "a", Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.9")}, Zone: "mine", Labels: map[string]string{}}
	for name, c := range map[string]struct{ in, want state.Node }{
		"all of it from the file": {state.Node{Name: "a"}, state.Node{
			Name: "a", Zone: "zone-a", Labels: map[string]string{"topology.kubernetes.io/zone": "zone-a", "disk": "ssd"},
			Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")},
		}},
		"what the caller says stays": {given, given},
	} {
		s, notices := read(t, nodes, c.in)
		if diff := cmp.Diff(c.want, s.Node, compareValues); diff != "" || len(notices) > 0 {
			t.Errorf("%s: notices %q (-want +got):\n%s", name, notices, diff)
		}
	}
	_, notices := read(t, nodes, state.Node{Name: "c"})
	if len(notices) != 1 || !strings.Contains(notices[0], `snapshot/no-node Node "c": the files have no such node, but a, b`) {
		t.Errorf("got %q", notices)
	}
}

func FuzzFile(f *testing.F) {
	f.Add([]byte("apiVersion: v1\nkind: List\nitems:\n- &a {apiVersion: v1, kind: Service, metadata: {name: x}}\n- *a\n"))
	f.Add([]byte("a: &a\n  <<: *a\n"))
	f.Add([]byte("apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{ports: [{hostPort: 80, hostIP: x}]}]}\n---\n{"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := &reader{snapshot: &state.Snapshot{}, ignored: map[string]*ignored{}}
		r.file("f", data)
		r.finish()
		for _, n := range r.notices {
			if n.Code == "" || n.Message == "" || n.Object == "" {
				t.Errorf("a notice without a code, message or object: %+v", n)
			}
		}
	})
}
