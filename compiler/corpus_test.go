// SPDX-License-Identifier: Apache-2.0

package compiler_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"plumbline.dev/plumbline/compiler"
	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/emit"
	"plumbline.dev/plumbline/compiler/load"
	"plumbline.dev/plumbline/compiler/rules"
)

// outPrefix marks the sections of an archive that the test writes.
const outPrefix = "out/"

// The corpus is one environment an archive. What it compiles to stands in
// sections of their own: out/diag is what is found, and is not there if nothing
// is; out/values, out/settings and out/manifests are there if it compiles. An
// archive names those it is about in its comment: "want: diag values".
// PLUMB_UPDATE=1 rewrites them.
func TestCorpus(t *testing.T) {
	archives, err := filepath.Glob(filepath.Join("..", "fixtures", "corpus", "*.txtar"))
	if err != nil || len(archives) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	for _, path := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			inputs, want := split(archive)
			got := sections(t, archive, inputs)
			if os.Getenv("PLUMB_UPDATE") != "" {
				archive.Files = append(inputs, got...)
				if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(text(want), text(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func split(a *txtar.Archive) (inputs, outputs []txtar.File) {
	for _, f := range a.Files {
		if strings.HasPrefix(f.Name, outPrefix) {
			outputs = append(outputs, f)
		} else {
			inputs = append(inputs, f)
		}
	}
	return inputs, outputs
}

func text(files []txtar.File) string { return string(txtar.Format(&txtar.Archive{Files: files})) }

// wanted reads which sections an archive is about.
func wanted(t *testing.T, a *txtar.Archive) []string {
	t.Helper()
	for line := range strings.Lines(string(a.Comment)) {
		if words, ok := strings.CutPrefix(line, "want:"); ok {
			return strings.Fields(words)
		}
	}
	t.Fatal(`the comment has no line "want: ..."`)
	return nil
}

// sections compiles the archive's environment, "env", or its only one.
func sections(t *testing.T, a *txtar.Archive, inputs []txtar.File) []txtar.File {
	t.Helper()
	dir := t.TempDir()
	unpack(t, dir, inputs)
	environment, list := load.Load(only(t, dir))
	artifact, more := compiler.Compile(environment)
	list = append(list, more...).Sort()
	if !slices.Contains(wanted(t, a), "rules") {
		list = slices.DeleteFunc(list, ofRule)
	}
	if (artifact == nil) != (list.Count(diag.Error) > 0) {
		t.Errorf("artifact %v beside %d errors", artifact != nil, list.Count(diag.Error))
	}
	all := map[string]func(*bytes.Buffer) error{
		"values":    func(b *bytes.Buffer) error { return writeYAML(b, artifact.Values) },
		"settings":  func(b *bytes.Buffer) error { return writeJSON(b, artifact.Settings) },
		"manifests": func(b *bytes.Buffer) error { _, err := b.Write(emit.Documents(artifact.Files)); return err },
	}
	var out []txtar.File
	for _, name := range wanted(t, a) {
		var b bytes.Buffer
		switch write := all[name]; {
		case name == "rules":
		case name == "diag":
			if err := list.WriteText(&b, false); err != nil {
				t.Fatal(err)
			}
		case write == nil:
			t.Fatalf("no section %q", name)
		case artifact == nil:
			t.Fatalf("it does not compile, so there are no %s:\n%v", name, list)
		default:
			if err := write(&b); err != nil {
				t.Fatal(err)
			}
		}
		if b.Len() > 0 {
			out = append(out, txtar.File{Name: outPrefix + name, Data: b.Bytes()})
		}
	}
	return out
}

// ofRule tells whether a finding is one that relates values to one another. Few
// archives are about those.
func ofRule(d diag.Diagnostic) bool {
	return d.Code == rules.CodeUnknownFact || slices.ContainsFunc(compiler.Rules(), func(r rules.Rule) bool { return r.Code == d.Code })
}

func unpack(t *testing.T, dir string, files []txtar.File) {
	t.Helper()
	for _, f := range files {
		path := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func only(t *testing.T, dir string) load.Source {
	t.Helper()
	folder := load.Folder{Dir: filepath.Join(dir, "environments"), WorkDir: dir}
	names, err := folder.Names()
	if err != nil || len(names) != 1 {
		t.Fatalf("want one environment, have %v, %v", names, err)
	}
	source, err := folder.Find(names[0])
	if err != nil {
		t.Fatal(err)
	}
	return source
}

func writeYAML(b *bytes.Buffer, v any) error {
	data, err := emit.YAML(v)
	b.Write(data)
	return err
}

func writeJSON(b *bytes.Buffer, v any) error {
	enc := json.NewEncoder(b)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
