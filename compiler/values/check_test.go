// SPDX-License-Identifier: Apache-2.0

package values

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/load"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"plumbline.dev/plumbline/compiler/diag"
)

// TestCheck runs the archives in testdata/check. The comment's first line names
// the chart version; values.yaml, or the .cue files of one package with a field
// values, are what is checked; allow lists patterns of allowUnknown, one a
// line; out/diag is what Check says. PLUMB_UPDATE=1 rewrites it.
func TestCheck(t *testing.T) {
	archives, err := filepath.Glob("testdata/check/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	seen := map[string]bool{}
	for _, name := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			found := checkArchive(t, archive)
			for _, d := range found {
				seen[d.Code] = true
			}
			compareSection(t, name, archive, "out/diag", render(found))
		})
	}
	for _, c := range Codes() {
		if !seen[c.ID] {
			t.Errorf("no archive shows %s", c.ID)
		}
	}
}

func checkArchive(t *testing.T, archive *txtar.Archive) diag.List {
	t.Helper()
	version, _, _ := strings.Cut(string(archive.Comment), "\n")
	table, err := For(version)
	if err != nil {
		t.Fatal(err)
	}
	var node Node
	var found diag.List
	options := Options{Root: "environment.values"}
	overlay := map[string]load.Source{}
	for _, f := range archive.Files {
		switch {
		case f.Name == "allow":
			for i, line := range strings.Split(strings.TrimSuffix(string(f.Data), "\n"), "\n") {
				path, reason, given := strings.Cut(line, " # ")
				if !given {
					reason = "a reason"
				}
				options.Allow = append(options.Allow, Allow{path, reason, []diag.Position{{File: "allow", Line: i + 1, Column: 1}}})
			}
		case f.Name == "values.yaml":
			node, found = FromYAML(f.Name, f.Data)
		case strings.HasSuffix(f.Name, ".cue"):
			overlay["/overlay/"+f.Name] = load.FromBytes(f.Data)
		}
	}
	if len(overlay) > 0 {
		node = FromCUE(loadCUE(t, overlay), place)
	}
	return append(found, table.Check(node, options)...).Sort()
}

// loadCUE gives the field values of the package in the overlay, which the disk
// does not have.
func loadCUE(t *testing.T, overlay map[string]load.Source) cue.Value {
	t.Helper()
	overlay["/overlay/cue.mod/module.cue"] = load.FromString("module: \"test.example/values@v0\"\nlanguage: version: \"v0.15.0\"\n")
	instances := load.Instances([]string{"."}, &load.Config{Dir: "/overlay", Overlay: overlay, Env: []string{}})
	if err := instances[0].Err; err != nil {
		t.Fatal(err)
	}
	return cuecontext.New().BuildInstance(instances[0]).LookupPath(cue.ParsePath("values"))
}

// place calls what stands in schema.cue the schema's.
func place(file string) (string, bool) {
	name := strings.TrimPrefix(file, "/overlay/")
	return name, name != "schema.cue"
}

func render(found diag.List) string {
	var b strings.Builder
	for _, d := range found {
		var at []string
		for _, p := range d.Positions {
			at = append(at, p.String())
		}
		fmt.Fprintf(&b, "%s: %s %s %s\n  %s\n", strings.Join(at, ", "), d.Severity, d.Code, d.Path, d.Message)
		if d.Hint != "" {
			fmt.Fprintf(&b, "  hint: %s\n", d.Hint)
		}
	}
	return b.String()
}

// compareSection compares a section of the archive, or rewrites it.
func compareSection(t *testing.T, name string, archive *txtar.Archive, section, got string) {
	t.Helper()
	for i := range archive.Files {
		f := &archive.Files[i]
		if f.Name != section {
			continue
		}
		if os.Getenv("PLUMB_UPDATE") == "1" {
			f.Data = []byte(got)
			if err := os.WriteFile(name, txtar.Format(archive), 0o644); err != nil {
				t.Fatal(err)
			}
			return
		}
		if diff := cmp.Diff(string(f.Data), got); diff != "" {
			t.Errorf("%s: %s (-want +got)\n%s", name, section, diff)
		}
		return
	}
	t.Fatalf("%s has no section %s", name, section)
}

func TestDefaultsPass(t *testing.T) {
	for _, minor := range Minors() {
		table, err := For(minor)
		if err != nil {
			t.Fatal(err)
		}
		if found := table.Check(FromData(table.Defaults()), Options{}); len(found) > 0 {
			t.Errorf("%s refuses its own defaults:\n%s", minor, render(found))
		}
	}
}

// TestEveryKeyTakesItsType gives each key a value of each kind it takes.
func TestEveryKeyTakesItsType(t *testing.T) {
	for _, minor := range Minors() {
		table, err := For(minor)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range table.Keys() {
			if !k.Known() {
				continue
			}
			for kind := Bool; kind <= Object; kind++ {
				if k.Type.Kinds&Of(kind) == 0 {
					continue
				}
				for _, d := range table.Check(at(t, k.Path, sample(k, kind)), Options{}) {
					if d.Severity == diag.Error && (k.Moved == nil || k.Moved.Effect == Deprecated) {
						t.Errorf("%s: %s: %s", minor, k.Path, d.Message)
					}
				}
			}
		}
	}
}

func sample(k *Key, kind Kind) Node {
	switch kind {
	case Bool:
		return Node{Kind: Bool, Scalar: true}
	case Int:
		return FromData(int(k.Type.Max))
	case Number:
		return FromData(1.5)
	case String:
		if k.Type.Words != nil {
			return Node{Kind: String, Scalar: k.Type.Words[len(k.Type.Words)-1]}
		}
		return Node{Kind: String, Scalar: "x"}
	case List:
		return Node{Kind: List}
	}
	return Node{Kind: Object}
}

// at wraps a value into the objects that hold it.
func at(t *testing.T, path string, n Node) Node {
	t.Helper()
	names, err := Split(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := len(names) - 1; i >= 0; i-- {
		n = Node{Kind: Object, Fields: []Field{{Name: names[i], Value: n}}}
	}
	return n
}

// TestCheckIsStable checks that the order of fields is no matter.
func TestCheckIsStable(t *testing.T) {
	table, err := For("1.17.2")
	if err != nil {
		t.Fatal(err)
	}
	a, _ := FromYAML("v", []byte("tunnel: vxlan\nkubeProxyReplacment: true\nhubble: {relay: {replicas: two}, enabeld: true}\n"))
	b := a
	b.Fields = []Field{a.Fields[2], a.Fields[0], a.Fields[1]}
	want, got := table.Check(a, Options{}), table.Check(b, Options{})
	if diff := cmp.Diff(want, got); diff != "" || len(got) != 4 {
		t.Errorf("%d findings (-want +got)\n%s", len(got), diff)
	}
}
