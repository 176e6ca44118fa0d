// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"plumbline.dev/plumbline/compiler/emit"
)

// serve starts a registry on this machine and gives its host. With a user it wants
// the password "right" of everyone.
func serve(t *testing.T, user string) string {
	t.Helper()
	t.Setenv("DOCKER_CONFIG", t.TempDir()) // nothing of this machine's owner
	next := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name, password, _ := r.BasicAuth(); user != "" && (name != user || password != "right") {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// login stores credentials as docker login does.
func login(t *testing.T, host, user, password string) {
	t.Helper()
	config := fmt.Sprintf(`{"auths": {%q: {"username": %q, "password": %q}}}`, host, user, password)
	if err := os.WriteFile(filepath.Join(os.Getenv("DOCKER_CONFIG"), "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
}

func target(t *testing.T, address string) Target {
	t.Helper()
	target, err := Parse(address, false)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func packed(t *testing.T, a Artifact) *Packed {
	t.Helper()
	p, err := a.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var sample = Artifact{
	Files: []emit.File{
		{Path: "clusters/dev/kustomization.yaml", Data: []byte("resources: []\n")},
		{Path: "clusters/dev/cilium/source.yaml", Data: []byte("kind: OCIRepository\n")},
		{Path: "clusters/dev/cilium.yaml", Data: []byte("kind: Kustomization\n")},
	},
	Source: "https://example.com/repo", Revision: "main@sha1:0123", Created: time.Unix(1700000000, 0),
}

// What is pushed comes back as the same files, under the media types and the
// annotations by which Flux knows it.
func TestRoundTrip(t *testing.T) {
	to := target(t, "oci://"+serve(t, "")+"/clusters/dev:v1")
	if before, err := to.Push(t.Context(), packed(t, sample)); err != nil || before != "" {
		t.Fatalf("%v, %v", before, err)
	}
	reference, err := name.ParseReference(strings.TrimPrefix(to.At(packed(t, sample).Digest), Scheme))
	if err != nil {
		t.Fatal(err)
	}
	pulled, err := remote.Image(reference)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := pulled.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if manifest.Config.MediaType != "application/vnd.cncf.flux.config.v1+json" || len(manifest.Layers) != 1 ||
		manifest.Layers[0].MediaType != "application/vnd.cncf.flux.content.v1.tar+gzip" {
		t.Errorf("media types: %+v", manifest)
	}
	want := map[string]string{"org.opencontainers.image.created": "2023-11-14T22:13:20Z",
		"org.opencontainers.image.source": "https://example.com/repo", "org.opencontainers.image.revision": "main@sha1:0123"}
	if diff := cmp.Diff(want, manifest.Annotations); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
	layers, err := pulled.Layers()
	if err != nil {
		t.Fatal(err)
	}
	files, folders := unpack(t, layers[0])
	wantFiles := map[string]string{}
	for _, f := range sample.Files {
		wantFiles[f.Path] = string(f.Data)
	}
	if diff := cmp.Diff(wantFiles, files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"clusters/", "clusters/dev/", "clusters/dev/cilium/"}, folders); diff != "" {
		t.Errorf("folders (-want +got):\n%s", diff)
	}
}

// unpack reads an archive and holds it to have no owner and no time.
func unpack(t *testing.T, layer v1.Layer) (files map[string]string, folders []string) {
	t.Helper()
	compressed, err := layer.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer compressed.Close()
	zip, err := gzip.NewReader(compressed)
	if err != nil {
		t.Fatal(err)
	}
	files = map[string]string{}
	for archive := tar.NewReader(zip); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files, folders
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.Gname != "" || h.ModTime.Unix() != 0 {
			t.Errorf("%s has an owner or a time: %+v", h.Name, h)
		}
		if h.Typeflag == tar.TypeDir {
			folders = append(folders, h.Name)
			continue
		}
		data, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = string(data)
	}
}

func TestReproducible(t *testing.T) {
	same := sample
	same.Files = slices.Clone(sample.Files)
	slices.Reverse(same.Files)
	if packed(t, sample).Digest != packed(t, same).Digest {
		t.Error("the order of the files shows")
	}
	other := sample
	other.Revision, other.Created = "main@sha1:4567", time.Unix(1800000000, 0)
	if packed(t, sample).Layer != packed(t, other).Layer || packed(t, sample).Digest == packed(t, other).Digest {
		t.Error("the revision shows in the layer, or nowhere")
	}
	other.Files = sample.Files[:2]
	if packed(t, sample).Layer == packed(t, other).Layer {
		t.Error("a file less makes no difference")
	}
	bare := Artifact{Files: sample.Files}
	manifest, err := packed(t, bare).image.Manifest()
	if err != nil || len(manifest.Annotations) != 0 {
		t.Errorf("want no annotation, have %v, %v", manifest.Annotations, err)
	}
}

func TestBadFiles(t *testing.T) {
	for want, paths := range map[string][]string{
		"there are no files": {}, `pack "../x"`: {"../x"}, `pack "/x"`: {"/x"}, `pack "."`: {"."}, `pack "a"`: {"a", "a"},
		"a is a file itself": {"a", "a/b"}, `pack "b": want each file once`: {"b/c", "b"},
	} {
		var a Artifact
		for _, path := range paths {
			a.Files = append(a.Files, emit.File{Path: path})
		}
		if _, err := a.Pack(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: want %q, have %v", paths, want, err)
		}
	}
}

// A tag that has another digest gets the new one and tells the old; one that has
// it is left alone.
func TestTagAgain(t *testing.T) {
	to := target(t, "oci://"+serve(t, "")+"/dev:latest")
	other := sample
	other.Revision = "main@sha1:4567"
	for _, step := range []struct {
		push Artifact
		want string
	}{{sample, ""}, {sample, packed(t, sample).Digest}, {other, packed(t, sample).Digest}, {other, packed(t, other).Digest}} {
		before, err := to.Push(t.Context(), packed(t, step.push))
		if err != nil || before != step.want {
			t.Errorf("want %s, have %s, %v", step.want, before, err)
		}
	}
}

func TestCredentials(t *testing.T) {
	host := serve(t, "flux")
	to := target(t, "oci://"+host+"/dev:v1")
	_, err := to.Push(t.Context(), packed(t, sample))
	if err == nil || !strings.Contains(err.Error(), "the registry refuses a user without credentials; docker login "+host) {
		t.Errorf("without credentials: %v", err)
	}
	login(t, host, "flux", "wrong")
	_, err = to.Push(t.Context(), packed(t, sample))
	if err == nil || !strings.Contains(err.Error(), "refuses the credentials that the Docker configuration has") || strings.Contains(err.Error(), "wrong") {
		t.Errorf("with wrong ones: %v", err)
	}
	login(t, host, "flux", "right")
	if _, err = to.Push(t.Context(), packed(t, sample)); err != nil {
		t.Errorf("with the right ones: %v", err)
	}
}

func TestNoConnection(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := listener.Addr().String()
	listener.Close() // a port that no one listens at
	to := target(t, "oci://"+host+"/dev:v1")
	if _, err := to.Push(t.Context(), packed(t, sample)); err == nil || !strings.Contains(err.Error(), "no connection to "+host) {
		t.Errorf("nobody listens: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := to.Push(ctx, packed(t, sample)); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

// trip is a transport that counts what reaches it.
type trip struct{ count int }

func (t *trip) RoundTrip(*http.Request) (*http.Response, error) {
	t.count++
	return nil, errors.New("reached")
}

func TestPlainOnlyOnThisMachine(t *testing.T) {
	for _, test := range []struct {
		url      string
		insecure bool
		allowed  bool
	}{
		{"http://127.0.0.1:5000/v2/", false, true}, {"http://[::1]:5000/v2/", false, true}, {"http://localhost/v2/", false, true},
		{"https://ghcr.io/v2/", false, true}, {"http://10.0.0.1:5000/v2/", true, true}, {"http://10.0.0.1:5000/v2/", false, false},
		{"http://registry.local/v2/", false, false}, {"http://localhost.example.com/v2/", false, false},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, test.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		next := &trip{}
		response, err := guarded{test.insecure, next}.RoundTrip(r)
		if response != nil {
			response.Body.Close()
		}
		if errors.Is(err, errPlain) == test.allowed || next.count == 1 != test.allowed {
			t.Errorf("%s, insecure %v: %v", test.url, test.insecure, err)
		}
	}
}

func TestParse(t *testing.T) {
	for address, want := range map[string]string{
		"ghcr.io/a/b:c": "want oci://REGISTRY", "oci://ghcr.io": "names no repository", "oci:///a:b": "names no repository",
		"oci://ghcr.io/a": "names no tag: want oci://ghcr.io/a:TAG", "oci://localhost:5000/a": "names no tag",
		"oci://ghcr.io/a@sha256:00": "want a tag", "oci://ghcr.io/A:b": "repository can only contain", "oci://ghcr.io/a:b c": "tag can only contain",
	} {
		if _, err := Parse(address, false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: want %q, have %v", address, want, err)
		}
	}
	const good = "oci://localhost:5000/a/b:c"
	if to := target(t, good); to.String() != good || to.Registry() != "localhost:5000" {
		t.Errorf("%s is %s on %s", good, to, to.Registry())
	}
}
