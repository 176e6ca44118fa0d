// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

const (
	fluxNamespace  = "flux-system"
	apiKustomize   = "kustomize.toolkit.fluxcd.io/v1"
	apiSource      = "source.toolkit.fluxcd.io/v1"
	reconcileAt    = "reconcile.fluxcd.io/requestedAt"
	artifactSuffix = ".tar.gz"
)

// flux is kustomize-controller, and what source-controller would serve.
type flux struct {
	*cluster
	controller *process
	server     *httptest.Server

	mu        sync.Mutex
	artifacts map[string][]byte // by URL path
	published int
	sources   map[source]bool // that are there
}

// source is what Flux takes files from.
type source struct{ kind, namespace, name string }

// gitSource is the one that an environment names where it names none.
var gitSource = source{"GitRepository", fluxNamespace, "flux-system"}

// ref is how a Kustomization of the source's namespace refers to it.
func (s source) ref() map[string]any { return map[string]any{"kind": s.kind, "name": s.name} }

// newFlux brings Flux into a cluster.
func newFlux(t testing.TB, c *cluster) *flux {
	t.Helper()
	f := &flux{cluster: c, artifacts: map[string][]byte{}, sources: map[source]bool{}}
	f.server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.server.Close)
	for _, file := range globbed(t, filepath.Join(os.Getenv(envTools), "crds", "*.yaml")) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		definition := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(data, definition); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		c.create(t, definition)
	}
	for _, file := range globbed(t, filepath.Join(os.Getenv(envTools), "crds", "*.yaml")) {
		group, plural := crdName(filepath.Base(file))
		c.await(t, named("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", plural+"."+group), "established", hasCondition("Established", "True"))
	}
	c.create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: fluxNamespace}})
	f.controller = start(t, []string{"KUBECONFIG=" + c.kubeconfig(t, adminToken), "RUNTIME_NAMESPACE=" + fluxNamespace},
		tool("kustomize-controller"), "--metrics-addr=0", "--health-addr=127.0.0.1:0", "--watch-all-namespaces=true", "--enable-leader-election=false",
		"--requeue-dependency=1s", "--interval-jitter-percentage=0", "--http-retry=1", "--log-encoding=console", "--feature-gates=ExternalArtifact=true")
	return f
}

// crdName parts the name that controller-gen gives a file: GROUP_PLURAL.yaml.
func crdName(file string) (group, plural string) {
	for i := range file {
		if file[i] == '_' {
			return file[:i], file[i+1 : len(file)-len(".yaml")]
		}
	}
	return "", file
}

func globbed(t testing.TB, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: no files (%v)", pattern, err)
	}
	return files
}

func (f *flux) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	data, ok := f.artifacts[r.URL.Path]
	f.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Write(data)
}

// artifact serves files as source-controller does, and gives what it would say of
// them: each call is a revision of its own.
func (f *flux) artifact(t testing.TB, files map[string][]byte) map[string]any {
	t.Helper()
	data := tarball(t, files)
	digest := fmt.Sprintf("%x", sha256.Sum256(data))
	f.mu.Lock()
	defer f.mu.Unlock()
	f.published++
	path := fmt.Sprintf("/%d%s", f.published, artifactSuffix)
	f.artifacts[path] = data
	return map[string]any{
		"path": path[1:], "url": f.server.URL + path, "revision": fmt.Sprintf("r%d@sha256:%s", f.published, digest),
		"digest": "sha256:" + digest, "size": len(data), "lastUpdateTime": time.Now().UTC().Format(time.RFC3339),
	}
}

// publish makes files the newest revision of the source that an environment names
// where it names none, and gives the revision.
func (f *flux) publish(t testing.TB, files map[string][]byte) string {
	t.Helper()
	return f.publishAs(t, gitSource, files)
}

// publishAs makes files the newest revision of a source, and gives the revision.
func (f *flux) publishAs(t testing.TB, s source, files map[string][]byte) string {
	t.Helper()
	object := named(apiSource, s.kind, s.namespace, s.name)
	switch s.kind {
	case "GitRepository": // suspended: nobody fetches it, and its artifact is what is said here
		object.Object["spec"] = map[string]any{"interval": "1h", "url": "https://git.invalid/environments", "suspend": true}
	case "ExternalArtifact": // made for somebody to say what its artifact is
		object.Object["spec"] = map[string]any{}
	}
	if !f.sources[s] {
		f.create(t, object)
		f.sources[s] = true
	}
	artifact := f.artifact(t, files)
	now := time.Now().UTC().Format(time.RFC3339)
	status := map[string]any{
		"artifact":   artifact,
		"conditions": []any{map[string]any{"type": "Ready", "status": "True", "reason": "Succeeded", "message": "stored artifact", "lastTransitionTime": now, "observedGeneration": 1}},
	}
	if s.kind == "GitRepository" {
		status["observedGeneration"] = 1
	}
	f.setStatus(t, object, status)
	return artifact["revision"].(string)
}

func tarball(t testing.TB, files map[string][]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	w := tar.NewWriter(zipped)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(files[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// kustomization is a Kustomization of Flux.
func kustomization(name string) resource { return kustomizationIn(fluxNamespace, name) }

func kustomizationIn(namespace, name string) resource {
	return named(apiKustomize, "Kustomization", namespace, name)
}

// applied is that a Kustomization is Ready at a revision.
func applied(revision string) func(resource) bool {
	return func(r resource) bool {
		return isReady(r) && r.text("status", "lastAppliedRevision") == revision
	}
}
