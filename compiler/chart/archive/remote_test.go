// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"cuelabs.dev/go/oci/ociregistry"
	"cuelabs.dev/go/oci/ociregistry/ocimem"
	"cuelabs.dev/go/oci/ociregistry/ociserver"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"plumbline.dev/plumbline/compiler/chart"
	"plumbline.dev/plumbline/compiler/chart/charttest"
)

// server is a registry or repository that counts what it is asked.
type server struct {
	*httptest.Server
	asked atomic.Int32
}

func serve(t *testing.T, handler http.Handler) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// repository is a Helm repository of one chart in some versions. Its answers can
// be changed.
func repository(t *testing.T, index string, files map[string][]byte) *server {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/charts/index.yaml", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, index) })
	for name, data := range files {
		mux.HandleFunc("/charts/"+name, func(w http.ResponseWriter, _ *http.Request) { w.Write(data) })
	}
	return serve(t, mux)
}

func entry(version, url, digest string) string {
	return fmt.Sprintf("  - {version: %s, urls: [%q], digest: %q}\n", version, url, digest)
}

// ociRegistry holds the chart under the tag 1.17.2, and an image.
func ociRegistry(t *testing.T, packed []byte) http.Handler {
	t.Helper()
	registry := ocimem.New()
	push := func(repo, mediaType string, data []byte) ociregistry.Descriptor {
		d := ociregistry.Descriptor{MediaType: mediaType, Digest: ociregistry.Digest(digestOf(data)), Size: int64(len(data))}
		if _, err := registry.PushBlob(t.Context(), repo, d, bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
		return d
	}
	manifest := func(repo, tag, mediaType string, data []byte) {
		text, err := json.Marshal(ociregistry.Manifest{
			Versioned: ocispec.Manifest{}.Versioned, MediaType: ocispec.MediaTypeImageManifest,
			Config: push(repo, "application/vnd.cncf.helm.config.v1+json", []byte("{}")),
			Layers: []ociregistry.Descriptor{push(repo, mediaType, data)},
		})
		if err != nil {
			t.Fatal(err)
		}
		text = bytes.Replace(text, []byte(`"schemaVersion":0`), []byte(`"schemaVersion":2`), 1)
		if _, err := registry.PushManifest(t.Context(), repo, tag, text, ocispec.MediaTypeImageManifest); err != nil {
			t.Fatal(err)
		}
	}
	for _, tag := range []string{"1.17.2", "1.17.3", "1.16.0_rc1"} {
		manifest("charts/cilium", tag, chartLayers[0], packed)
	}
	manifest("cilium/cilium", "1.17.2", ocispec.MediaTypeImageLayerGzip, []byte("image"))
	return ociserver.New(registry, nil)
}

func finder(t *testing.T, progress *bytes.Buffer) *Finder {
	t.Helper()
	f := &Finder{Cache: filepath.Join(t.TempDir(), "charts"), Client: NewClient()}
	if progress != nil {
		f.Progress = progress
	}
	return f
}

// Both kinds of source give the same archive under the same digest, and none is
// asked twice.
func TestRemote(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	packed := small.Pack(t)
	digest := digestOf(packed)
	oci := serve(t, ociRegistry(t, packed))
	index := "entries:\n  cilium:\n" + entry("1.18.0", "x.tgz", "") + entry(version, "cilium-1.17.2.tgz", strings.TrimPrefix(digest, "sha256:"))
	helm := repository(t, index, map[string][]byte{"cilium-1.17.2.tgz": packed})
	for _, test := range []struct {
		name, source string
		server       *server
	}{
		{"oci", "oci://" + strings.TrimPrefix(oci.URL, "http://") + "/charts/cilium", oci},
		{"helm", helm.URL + "/charts", helm},
		{"helm, with a slash", helm.URL + "/charts/", helm},
	} {
		t.Run(test.name, func(t *testing.T) {
			var progress bytes.Buffer
			f := finder(t, &progress)
			for _, pin := range []string{"", digest} {
				r := chart.Reference{Name: "cilium", Version: version, Source: test.source, Digest: pin}
				a, err := f.Find(t.Context(), r)
				if err != nil {
					t.Fatal(err)
				}
				if a.Digest != digest || a.From != test.source || len(a.Files) != len(small) {
					t.Errorf("found %+v, want %d files of %s from %s", a, len(small), digest, test.source)
				}
			}
			if !strings.Contains(progress.String(), "cilium 1.17.2: "+digest+"\n") {
				t.Errorf("progress does not tell the digest: %q", progress.String())
			}
			asked := test.server.asked.Load()
			f.Client = nil // a cached chart needs no network
			if _, err := f.Find(t.Context(), chart.Reference{Name: "cilium", Version: version, Source: test.source}); err != nil {
				t.Fatal(err)
			}
			if _, err := f.Find(t.Context(), chart.Reference{Name: "cilium", Version: version, Source: "https://elsewhere.invalid", Digest: digest}); err != nil {
				t.Errorf("by its digest an archive is found from wherever it came: %v", err)
			}
			if got := test.server.asked.Load(); got != asked {
				t.Errorf("the server was asked %d times for what is cached", got-asked)
			}
		})
	}
}

// A cache that holds something else is no chart, and is mended.
func TestCacheIsVerified(t *testing.T) {
	packed := small.Pack(t)
	index := "entries:\n  cilium:\n" + entry(version, "a.tgz", "")
	helm := repository(t, index, map[string][]byte{"a.tgz": packed})
	f := finder(t, nil)
	r := chart.Reference{Name: "cilium", Version: version, Source: helm.URL + "/charts"}
	for _, damage := range []func(path string) error{
		func(string) error { return nil },
		func(path string) error { return os.WriteFile(path, packed[:len(packed)/2], 0o644) },
		func(path string) error { return os.WriteFile(path, charttest.Small("6.6.6", "x: y").Pack(t), 0o644) },
		os.Remove,
	} {
		a, err := f.Find(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		if a.Digest != digestOf(packed) {
			t.Errorf("digest %s, want %s", a.Digest, digestOf(packed))
		}
		if err := damage(f.archivePath(a.Digest)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(f.namePath(r), []byte("../../etc/passwd\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Find(t.Context(), r); err != nil {
		t.Errorf("a damaged name: %v", err)
	}
	left, err := filepath.Glob(filepath.Join(f.Cache, "*", ".new-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// Nothing of what is wrong is taken, and nothing of it is kept.
func TestRemoteRefused(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	packed := small.Pack(t)
	digest, other := digestOf(packed), "sha256:"+strings.Repeat("0", 64)
	oci := serve(t, ociRegistry(t, packed))
	ociSource := "oci://" + strings.TrimPrefix(oci.URL, "http://")
	tampered := serve(t, tamper(ociRegistry(t, packed)))
	index := "entries:\n  cilium:\n" + entry(version, "cut.tgz", digest) + entry("1.17.3", "short", "") + entry("1.17.4", "gone.tgz", "") +
		entry("1.17.5", "http://192.0.2.1/x.tgz", "") + entry("1.17.6", "redirect", "") + entry("1.17.7", "good.tgz", digest) + entry("1.17.8", "page.tgz", "")
	helm := repository(t, index, map[string][]byte{"cut.tgz": packed[:len(packed)/2], "good.tgz": packed, "page.tgz": []byte("<html>")})
	mux, ok := helm.Config.Handler.(http.HandlerFunc)
	if !ok {
		t.Fatal("the repository is no HandlerFunc")
	}
	helm.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/charts/short": // the connection ends before the content does
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, "x")
		case "/charts/redirect":
			http.Redirect(w, r, "http://192.0.2.1/x.tgz", http.StatusFound)
		case "/private/index.yaml":
			w.WriteHeader(http.StatusUnauthorized)
		default:
			mux(w, r)
		}
	})
	const environment = true
	for name, test := range map[string]struct {
		reference   chart.Reference
		environment bool
		code        chart.Code
		message     string
	}{
		"oci: no version":        {chart.Reference{Source: ociSource + "/charts/cilium", Version: "1.17.9"}, environment, chart.CodeNotFound, "has no cilium 1.17.9; it has 1.16.0+rc1, 1.17.2, 1.17.3"},
		"oci: no repository":     {chart.Reference{Source: ociSource + "/charts/silium", Version: version}, environment, chart.CodeNotFound, "has no chart cilium"},
		"oci: an image":          {chart.Reference{Source: ociSource + "/cilium/cilium", Version: version}, environment, chart.CodeUnreadable, "holds no Helm chart"},
		"oci: another digest":    {chart.Reference{Source: ociSource + "/charts/cilium", Version: version, Digest: other}, environment, chart.CodeDigest, "has the digest " + digest + ", and chart.digest wants " + other},
		"oci: a tampered layer":  {chart.Reference{Source: "oci://" + strings.TrimPrefix(tampered.URL, "http://") + "/charts/cilium", Version: version}, false, "", "mismatched digest"},
		"oci: no host":           {chart.Reference{Source: "oci://", Version: version}, environment, chart.CodeSource, "is no address"},
		"helm: no version":       {chart.Reference{Source: helm.URL + "/charts", Version: "1.16.0"}, environment, chart.CodeNotFound, "has no cilium 1.16.0; it has 1.17.2, 1.17.3"},
		"helm: no repository":    {chart.Reference{Source: helm.URL + "/nothing", Version: version}, environment, chart.CodeNotFound, "index.yaml is not there (404 Not Found)"},
		"helm: cut short":        {chart.Reference{Source: helm.URL + "/charts", Version: version}, environment, chart.CodeDigest, "the repository's index says " + digest},
		"helm: connection ends":  {chart.Reference{Source: helm.URL + "/charts", Version: "1.17.3"}, false, "", "unexpected EOF"},
		"helm: archive gone":     {chart.Reference{Source: helm.URL + "/charts", Version: "1.17.4"}, environment, chart.CodeNotFound, "gone.tgz is not there"},
		"helm: plain address":    {chart.Reference{Source: helm.URL + "/charts", Version: "1.17.5"}, false, "", "http://192.0.2.1/x.tgz, which is not encrypted"},
		"helm: plain redirect":   {chart.Reference{Source: helm.URL + "/charts", Version: "1.17.6"}, false, "", "redirect to http://192.0.2.1/x.tgz, which is not encrypted"},
		"helm: another digest":   {chart.Reference{Source: helm.URL + "/charts", Version: "1.17.7", Digest: other}, environment, chart.CodeDigest, "chart.digest wants " + other},
		"helm: a page":           {chart.Reference{Source: helm.URL + "/charts", Version: "1.17.8"}, environment, chart.CodeUnreadable, "is no archive of a chart"},
		"helm: private":          {chart.Reference{Source: helm.URL + "/private", Version: version}, false, "", "401 Unauthorized"},
		"plain http":             {chart.Reference{Source: "http://192.0.2.1/charts", Version: version}, environment, chart.CodeSource, "is not encrypted"},
		"credentials":            {chart.Reference{Source: "https://me:secret@192.0.2.1/charts", Version: version}, environment, chart.CodeSource, "https://me:xxxxx@192.0.2.1/charts holds credentials"},
		"no server":              {chart.Reference{Source: "http://127.0.0.1:1", Version: version}, false, "", "refused"},
		"a digest of no use":     {chart.Reference{Source: helm.URL + "/charts", Version: version, Digest: "sha256:x"}, false, "", "64 hexadecimal digits"},
		"oci: no server":         {chart.Reference{Source: "oci://127.0.0.1:1/charts/cilium", Version: version}, false, "", "refused"},
		"oci: no such reference": {chart.Reference{Source: "oci://127.0.0.1:1/UPPER", Version: version}, environment, chart.CodeSource, "names no repository"},
	} {
		t.Run(name, func(t *testing.T) {
			f := finder(t, nil)
			test.reference.Name = "cilium"
			_, err := f.Find(t.Context(), test.reference)
			if err == nil {
				t.Fatal("it was taken")
			}
			text := err.Error()
			if test.environment {
				p := problem(t, err)
				text = p.Message + "; " + p.Hint
				if p.Code != test.code {
					t.Errorf("code %s, want %s", p.Code, test.code)
				}
			}
			if !strings.Contains(text, test.message) {
				t.Errorf("error %q, want %q", text, test.message)
			}
			if kept, _ := filepath.Glob(filepath.Join(f.Cache, "*", "*")); len(kept) > 0 {
				t.Errorf("kept %v", kept)
			}
		})
	}
}

// tamper changes a byte of each large answer.
func tamper(registry http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		recorded := httptest.NewRecorder()
		registry.ServeHTTP(recorded, r)
		data := recorded.Body.Bytes()
		if strings.Contains(r.URL.Path, "/blobs/") && len(data) > 100 {
			data[50] ^= 1
		}
		for name, list := range recorded.Header() {
			w.Header()[name] = list
		}
		w.WriteHeader(recorded.Code)
		w.Write(data)
	})
}

// The credentials are those of the user's Docker configuration.
func TestCredentials(t *testing.T) {
	registry := ociRegistry(t, small.Pack(t))
	private := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name, password, ok := r.BasicAuth(); !ok || name != "me" || password != "secret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="charts"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		registry.ServeHTTP(w, r)
	}))
	host := strings.TrimPrefix(private.URL, "http://")
	r := chart.Reference{Name: "cilium", Version: version, Source: "oci://" + host + "/charts/cilium"}
	home := t.TempDir()
	t.Setenv("DOCKER_CONFIG", home)
	if _, err := finder(t, nil).Find(t.Context(), r); err == nil || !strings.Contains(err.Error(), "log in with docker login") {
		t.Errorf("without credentials: %v", err)
	}
	auth := base64.StdEncoding.EncodeToString([]byte("me:secret"))
	write(t, filepath.Join(home, "config.json"), fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, host, auth))
	if _, err := finder(t, nil).Find(t.Context(), r); err != nil {
		t.Errorf("with credentials: %v", err)
	}
}

func TestCacheDir(t *testing.T) {
	getenv := func(string) string { return "/somewhere" }
	if got := CacheDir(getenv); got != "/somewhere/charts" {
		t.Errorf("CacheDir = %s, want /somewhere/charts", got)
	}
	t.Setenv("XDG_CACHE_HOME", "/cache")
	if got := CacheDir(func(string) string { return "" }); got != "/cache/plumbline/charts" {
		t.Errorf("CacheDir = %s, want /cache/plumbline/charts", got)
	}
}
