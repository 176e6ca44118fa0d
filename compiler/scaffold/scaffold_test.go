// SPDX-License-Identifier: Apache-2.0

package scaffold_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cuelang.org/go/cue/format"
	"github.com/google/go-cmp/cmp"

	"plumbline.dev/plumbline/compiler"
	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/load"
	"plumbline.dev/plumbline/compiler/scaffold"
	"plumbline.dev/plumbline/compiler/values"
)

// Whatever is asked for, what is written has no error and no warning, compiles,
// and is formatted as CUE formats it: every platform in every minor, with an
// address of the API server and without.
func TestScaffoldsPass(t *testing.T) {
	for _, minor := range values.Minors() {
		table, err := values.For(minor)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(minor, func(t *testing.T) {
			options := scaffold.Options{Folder: "environments", ChartVersion: table.Chart}
			for _, platform := range scaffold.Platforms() {
				options.Environments = append(options.Environments,
					scaffold.Environment{Name: platform, Platform: platform},
					scaffold.Environment{Name: platform + "-api", Platform: platform, APIHost: "api.example.internal"})
			}
			folder := written(t, options)
			for _, env := range options.Environments {
				passes(t, folder, env.Name)
			}
		})
	}
}

func passes(t *testing.T, folder load.Folder, name string) {
	t.Helper()
	source, err := folder.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	environment, list := load.Load(source)
	artifact, more := compiler.Compile(environment)
	for _, d := range append(list, more...) {
		if d.Severity != diag.Info {
			t.Errorf("%s: %s: %s %s", name, d.Positions[0], d.Code, d.Line())
		}
	}
	if artifact == nil || len(artifact.Files) == 0 {
		t.Errorf("%s does not compile", name)
	}
}

func written(t *testing.T, options scaffold.Options) load.Folder {
	t.Helper()
	files, err := scaffold.Files(options)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, f := range files {
		formatted, err := format.Source(f.Data)
		if err != nil {
			t.Fatalf("%s: %v\n%s", f.Path, err, f.Data)
		}
		if !bytes.Equal(formatted, f.Data) {
			t.Errorf("%s is not formatted (-want +got)\n%s", f.Path, cmp.Diff(string(formatted), string(f.Data)))
		}
		file := filepath.Join(dir, f.Path)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return load.Folder{Dir: filepath.Join(dir, "environments"), WorkDir: dir}
}

// The platforms are the schema's.
func TestPlatformsAreTheSchemas(t *testing.T) {
	text, err := os.ReadFile("../../schema/environment.cue")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		words, found := strings.CutPrefix(strings.TrimSpace(line), "platform: *")
		if !found {
			continue
		}
		for _, p := range scaffold.Platforms() {
			if !strings.Contains(words, `"`+p+`"`) {
				t.Errorf("the schema has no platform %s", p)
			}
		}
		if want := strings.Count(words, "|") + 1; want != len(scaffold.Platforms()) {
			t.Errorf("the schema has %d platforms, a scaffold %d", want, len(scaffold.Platforms()))
		}
		return
	}
	t.Fatal("the schema's platforms were not found")
}

// The API server's port is the author's, or else the platform's.
func TestPorts(t *testing.T) {
	for _, c := range []struct {
		environment scaffold.Environment
		want        string
	}{
		{scaffold.Environment{Platform: "kubeadm", APIHost: "api"}, "port: 6443"},
		{scaffold.Environment{Platform: "eks", APIHost: "api"}, "port: 443"},
		{scaffold.Environment{Platform: "eks", APIHost: "api", APIPort: 6443}, "port: 6443"},
		{scaffold.Environment{Platform: "talos"}, "port: 7445"},
		{scaffold.Environment{Platform: "talos", APIPort: 17445}, "port: 17445"},
	} {
		c.environment.Name = "x"
		files, err := scaffold.Files(scaffold.Options{Folder: "environments", ChartVersion: "1.18.6", Environments: []scaffold.Environment{c.environment}})
		if err != nil {
			t.Errorf("%+v: %v", c.environment, err)
			continue
		}
		if text := string(files[len(files)-1].Data); !strings.Contains(text, c.want) {
			t.Errorf("%+v: want %s in\n%s", c.environment, c.want, text)
		}
	}
	_, err := scaffold.Files(scaffold.Options{ChartVersion: "1.18.6", Environments: []scaffold.Environment{{Name: "x", Platform: "kubeadm", APIPort: 443}}})
	if err == nil || !strings.Contains(err.Error(), "API port 443 of x") {
		t.Errorf("a port without a host: %v", err)
	}
}

// All that is wrong is told at once.
func TestBadOptions(t *testing.T) {
	_, err := scaffold.Files(scaffold.Options{ChartVersion: "1.9.0", Environments: []scaffold.Environment{
		{Name: "Dev", Platform: "kind"}, {Name: "x", Platform: "minikube"}, {Name: "x", Platform: "kind", APIHost: "https://a"},
		{Name: "y", Platform: "kind", APIHost: "a:6443"},
	}})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"1.9", `name "Dev"`, `platform "minikube"`, `two environments`, `"https://a" of x`, `"a:6443" of y`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nsays nothing of %s", err, want)
		}
	}
	if _, err := scaffold.Files(scaffold.Options{ChartVersion: "1.18"}); err == nil || !strings.Contains(err.Error(), "in full") || !strings.Contains(err.Error(), "no environment") {
		t.Errorf("a minor, and no environments: %v", err)
	}
	if _, err := scaffold.Files(scaffold.Options{ChartVersion: "1.18.6", Environments: []scaffold.Environment{{Name: "x", Platform: "kind", APIHost: "fd00::1"}}}); err != nil {
		t.Errorf("an IPv6 address: %v", err)
	}
}
