// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// laidOut runs the command on two binaries, and gives the layout's folder.
func laidOut(t *testing.T, binaries map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	args := []string{"-o", filepath.Join(dir, "image"), "-version", "v1.2.3"}
	for _, architecture := range []string{"amd64", "arm64"} {
		if binary, ok := binaries[architecture]; ok {
			args = append(args, architecture+"="+binary)
		}
	}
	var stdout, stderr bytes.Buffer
	if code := run(&stdout, &stderr, args); code != 0 || !strings.Contains(stdout.String(), "sha256:") {
		t.Fatalf("exit code %d: %s%s", code, stdout.String(), stderr.String())
	}
	return filepath.Join(dir, "image")
}

func fakes(t *testing.T) map[string]string {
	t.Helper()
	dir := t.TempDir()
	binaries := map[string]string{}
	for _, architecture := range []string{"amd64", "arm64"} {
		binaries[architecture] = filepath.Join(dir, architecture)
		if err := os.WriteFile(binaries[architecture], []byte("binary of "+architecture), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return binaries
}

// images reads the layout back, by architecture.
func images(t *testing.T, dir string) map[string]v1.Image {
	t.Helper()
	outer, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := outer.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != 1 || manifest.Manifests[0].Annotations[annotationTag] != "v1.2.3" {
		t.Fatalf("the layout holds %+v", manifest.Manifests)
	}
	index, err := outer.ImageIndex(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Fatal(err)
	}
	inner, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	list := map[string]v1.Image{}
	for _, d := range inner.Manifests {
		if list[d.Platform.Architecture], err = index.Image(d.Digest); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

func TestLayoutIsWhole(t *testing.T) {
	list := images(t, laidOut(t, fakes(t)))
	if len(list) != 2 {
		t.Errorf("%d images, want 2", len(list))
	}
	for architecture, image := range list {
		config, err := image.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if config.OS != "linux" || config.Architecture != architecture || !config.Created.IsZero() {
			t.Errorf("%s: is of %s/%s, %s", architecture, config.OS, config.Architecture, config.Created)
		}
		if diff := cmp.Diff([]string{"/plumb-agent"}, config.Config.Entrypoint); diff != "" || config.Config.User != "65532:65532" {
			t.Errorf("%s: user %s, entrypoint (-want +got):\n%s", architecture, config.Config.User, diff)
		}
		root := unpack(t, image)
		data, err := os.ReadFile(filepath.Join(root, "plumb-agent"))
		if err != nil || string(data) != "binary of "+architecture {
			t.Errorf("%s: %q %v", architecture, data, err)
		}
	}
}

// Equal input gives equal bytes: every file of the layout.
func TestLayoutIsReproducible(t *testing.T) {
	binaries := fakes(t)
	if diff := cmp.Diff(contents(t, laidOut(t, binaries)), contents(t, laidOut(t, binaries))); diff != "" {
		t.Errorf("two layouts of the same binaries differ:\n%s", diff)
	}
}

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(dir, name))
		files[name] = string(data)
		return err
	})
	if err != nil || len(files) < 8 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	return files
}

func TestRefuses(t *testing.T) {
	binaries := fakes(t)
	full := laidOut(t, binaries)
	for name, test := range map[string]struct {
		args  []string
		fault string
	}{
		"nothing to lay out":   {[]string{"-o", "x"}, "at least one"},
		"no folder":            {[]string{"amd64=" + binaries["amd64"]}, "-o FOLDER"},
		"no binary":            {[]string{"-o", filepath.Join(t.TempDir(), "x"), "amd64=/nowhere"}, "/nowhere"},
		"one twice":            {[]string{"-o", filepath.Join(t.TempDir(), "x"), "amd64=" + binaries["amd64"], "amd64=" + binaries["amd64"]}, "once"},
		"a folder of an image": {[]string{"-o", full, "amd64=" + binaries["amd64"]}, "not empty"},
	} {
		var stderr bytes.Buffer
		if code := run(io.Discard, &stderr, test.args); code != 2 || !strings.Contains(stderr.String(), test.fault) {
			t.Errorf("%s: exit code %d, %q; want 2 and %q", name, code, stderr.String(), test.fault)
		}
	}
}

// The Dockerfile beside the agent makes the same image, where somebody has an
// engine.
func TestDockerfileIsTheSame(t *testing.T) {
	data, err := os.ReadFile("../plumb-agent/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	stages := strings.Split(string(data), "\nFROM ")
	last := stages[len(stages)-1]
	for _, want := range []string{"scratch\n", "USER " + user + "\n", `ENTRYPOINT ["` + entrypoint + `"]` + "\n", " " + entrypoint + "\n"} {
		if !strings.Contains(last, want) {
			t.Errorf("its last stage lacks %q:\n%s", want, last)
		}
	}
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"CGO_ENABLED=0", "-trimpath", "-s -w -X main.version="} {
		if !bytes.Contains(makefile, []byte(want)) || !bytes.Contains(data, []byte(want)) {
			t.Errorf("Makefile and Dockerfile do not both build with %s", want)
		}
	}
}

// The agent's own binary runs where there is nothing but the image, and says its
// version. Chroot is root's alone.
func TestPrivilegedImageRuns(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("PLUMB_REQUIRE_KERNEL") == "1" {
			t.Fatal("PLUMB_REQUIRE_KERNEL=1, and this is not root")
		}
		t.Skip("not root: chroot is refused")
	}
	binary := filepath.Join(t.TempDir(), "plumb-agent")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -X main.version=v1.2.3", "-o", binary, "plumbline.dev/plumbline/cmd/plumb-agent")
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	image := images(t, laidOut(t, map[string]string{runtime.GOARCH: binary}))[runtime.GOARCH]
	if image == nil {
		t.Skipf("no image is made for %s", runtime.GOARCH)
	}
	command := exec.Command(entrypoint, "--version")
	command.SysProcAttr = &syscall.SysProcAttr{Chroot: unpack(t, image), Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
	command.Dir, command.Env = "/", []string{}
	out, err := command.CombinedOutput()
	if err != nil || !regexp.MustCompile(`\bv1\.2\.3\n$`).Match(out) {
		t.Errorf("%v: %s", err, out)
	}
}

// unpack unpacks an image of one layer, and holds its entries to be root's.
func unpack(t *testing.T, image v1.Image) string {
	t.Helper()
	root := t.TempDir()
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	layers, err := image.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers: %v", len(layers), err)
	}
	content, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	for archive := tar.NewReader(content); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return root
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Uid != 0 || header.Gid != 0 || header.ModTime.Unix() != 0 || header.Mode != 0o755 {
			t.Errorf("%s: %+v", header.Name, header)
		}
		data, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, header.Name), data, fs.FileMode(header.Mode)); err != nil {
			t.Fatal(err)
		}
	}
}
