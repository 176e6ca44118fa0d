// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// environment is what a team writes, and what `plumb build` makes of it.
type environment struct {
	name     string
	files    map[string][]byte // of the source, by their paths
	settings string            // a file, as --only datapath prints it
	source   source            // that it is published by
	dir      string            // with the folder environments
	agents   string            // namespace of its agents, its controller and its Datapath
}

// base is an environment whose agent is quick. Times are short, as tests wait for
// them; what is compared is what the node has.
const base = `package environments

environment: {
	name: %[1]q
	chart: version: string | *"1.17.2"
	cluster: {kubeProxy: false, nodes: 1}
	api: host: %[2]q
	cgroup: {autoMount: false, root: %[3]q}
	agent: image: "registry.example/plumb-agent:v1"
	datapath: {
		interval: "1s"
		grace: "100ms"
		audits: {ipcache: false, endpoints: false, liveness: false}
	}
	flux: {timeout: "30s", retryInterval: "30s", kustomizations: apps: path: "./apps"}
	values: {
		kubeProxyReplacement: true
		ipam: mode: "kubernetes"
		rollOutCiliumPods: true
		operator: {replicas: 1, rollOutPods: true}
		hubble: tls: auto: method: "cronJob"
		bpf: lbMapMax: *1024 | int
	}
}
`

// build compiles an environment: the base, and CUE that is unified with it.
func build(t testing.TB, name, cgroup, more string) environment {
	t.Helper()
	dir := t.TempDir()
	folder := filepath.Join(dir, "environments", name)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{"base.cue": fmt.Sprintf(base, name, nodeAddress, cgroup), "more.cue": "package environments\n\n" + more} {
		if err := os.WriteFile(filepath.Join(folder, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	plumb(t, dir, "build", name, "-o", filepath.Join("source", "clusters", name))
	e := environment{name: name, files: map[string][]byte{}, dir: dir, settings: filepath.Join(dir, "datapath.json"), source: gitSource, agents: namespace}
	if err := os.WriteFile(e.settings, plumb(t, dir, "build", name, "--only", "datapath"), 0o644); err != nil {
		t.Fatal(err)
	}
	source := os.DirFS(filepath.Join(dir, "source"))
	err := fs.WalkDir(source, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		e.files[path], err = fs.ReadFile(source, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// plumb runs plumb, which has to succeed, and gives what it prints.
func plumb(t testing.TB, dir string, args ...string) []byte {
	t.Helper()
	command := exec.Command(binary("plumb"), args...)
	command.Dir = dir
	var out, said bytes.Buffer
	command.Stdout, command.Stderr = &out, &said
	if err := command.Run(); err != nil {
		t.Fatalf("plumb %v: %v\n%s%s", args, err, out.Bytes(), said.Bytes())
	}
	return out.Bytes()
}

// app is the ConfigMap that stands for all that comes after Cilium.
func (e environment) app() resource { return named("v1", "ConfigMap", "default", "app-"+e.name) }

// has is that the app is as the files have it that were given a value.
func has(value string) func(resource) bool {
	return func(r resource) bool { return r.text("data", "value") == value }
}

// with is the environment's files and its app, which has a value.
func (e environment) with(value string) map[string][]byte {
	files := maps.Clone(e.files)
	files["apps/app.yaml"] = []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + e.app().GetName() + ", namespace: default}\ndata: {value: " + value + "}\n")
	return files
}

// kustomization is one of the environment's.
func (e environment) kustomization(name string) resource {
	return kustomizationIn(e.source.namespace, name)
}

// datapath is the environment's.
func (e environment) datapath() resource { return named(apiPlumbline, "Datapath", e.agents, e.name) }

// object is the one in a file below the environment's folder.
func (e environment) object(t testing.TB, file string) resource {
	t.Helper()
	data, ok := e.files[path.Join("clusters", e.name, file)]
	if !ok {
		t.Fatalf("plumb build %s wrote no %s", e.name, file)
	}
	return parsed(t, file, data)
}

func parsed(t testing.TB, file string, data []byte) resource {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(data, &u.Object); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return resource{u}
}

// adopt publishes an environment, and has Flux apply all of it.
func (f *flux) adopt(t testing.TB, e environment) (revision string) {
	t.Helper()
	revision = f.publishAs(t, e.source, e.with("one"))
	k := e.kustomization("root-" + e.name)
	k.Object["spec"] = map[string]any{"interval": "10m", "path": "./clusters/" + e.name, "prune": true, "sourceRef": e.source.ref()}
	f.create(t, k)
	f.await(t, e.kustomization("root-"+e.name), "applied", applied(revision))
	return revision
}
