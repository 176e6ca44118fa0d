// SPDX-License-Identifier: Apache-2.0

// Package charttest gives tests charts to work with: Cilium's own, and small
// ones made of text. It is linked into tests alone.
package charttest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// sums are the checksums of the Go modules that the charts come in.
var sums = map[string]string{
	"1.17.2": "h1:hMahLKho06pzcAk8X+Co7jXhhwrj79rkTsy5FFehr8Q=",
	"1.18.6": "h1:acz5aRKhZbarCO1flx2vCP9wBh+lDc02uJgdqiTsJbA=",
	"1.19.0": "h1:hfPhb9TcoG3fRMA1/ExBFihEX1NpEWcUaV1jXJTkQVo=",
	"1.20.2": "h1:dqiEGIcXc+gqCLYG/l7VCFJ8GHyb4HUrwbZOpkX5dL8=",
}

// Versions are the releases that Cilium has, oldest first.
func Versions() []string { return slices.Sorted(maps.Keys(sums)) }

// Required says whether a test without Cilium's charts is to fail, and the charts
// are to be downloaded: PLUMB_REQUIRE_CHARTS=1.
func Required() bool { return os.Getenv("PLUMB_REQUIRE_CHARTS") == "1" }

// Cilium gives the folder of Cilium's own chart, or skips the test where it is
// not there and not Required.
func Cilium(t testing.TB, version string) string {
	t.Helper()
	dir, err := Find(version)
	if err != nil && !Required() {
		t.Skipf("%v; PLUMB_REQUIRE_CHARTS=1 downloads it", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// Find finds the folder of Cilium's own chart in the Go module of the release: in
// the module cache, or by download where it is Required.
func Find(version string) (string, error) {
	away, err := os.MkdirTemp("", "charts") // outside of any module: no go.mod changes
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(away)
	cmd := exec.Command("go", "mod", "download", "-json", "github.com/cilium/cilium@v"+version)
	cmd.Dir = away
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	if !Required() {
		cmd.Env = append(cmd.Env, "GOPROXY=off")
	}
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("chart %s is not in the module cache: %w: %s", version, err, out)
	}
	var module struct{ Dir, Sum string }
	if err := json.Unmarshal(out, &module); err != nil {
		return "", fmt.Errorf("chart %s: %w", version, err)
	}
	if module.Sum != sums[version] {
		return "", fmt.Errorf("chart %s has the checksum %s, want %s", version, module.Sum, sums[version])
	}
	return filepath.Join(module.Dir, "install", "kubernetes", "cilium"), nil
}

// Files are those of a chart, by path below it.
type Files map[string]string

// Small is a chart with one template.
func Small(version, template string) Files {
	return Files{
		"Chart.yaml":       "apiVersion: v2\nname: cilium\nversion: " + version + "\n",
		"templates/a.yaml": template,
	}
}

// Folder writes a chart to a folder of its own.
func (f Files) Folder(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range f {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Pack packs a chart as Helm does, below the folder cilium/.
func (f Files) Pack(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, name := range slices.Sorted(maps.Keys(f)) {
		if err := w.WriteHeader(&tar.Header{Name: "cilium/" + name, Mode: 0o644, Size: int64(len(f[name]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(f[name])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
