// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

// charts unpacks the charts of an archive: files under RELEASE/.
func charts(t *testing.T, archive *txtar.Archive) []*Chart {
	t.Helper()
	dir := t.TempDir()
	releases := map[string]bool{}
	for _, f := range archive.Files {
		release, _, _ := strings.Cut(f.Name, "/")
		if !strings.HasPrefix(release, "1.") {
			continue
		}
		releases[release] = true
		name := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var out []*Chart
	for _, release := range slices.Sorted(maps.Keys(releases)) {
		for _, folder := range []string{"templates", "files"} {
			if err := os.MkdirAll(filepath.Join(dir, release, folder), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		c, err := readChart(filepath.Join(dir, release), pin{version: release, sum: "h1:test"})
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
	return out
}

func section(archive *txtar.Archive, name string) string {
	for _, f := range archive.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}

// TestTables makes the tables of the charts in testdata/small.txtar, which have
// one of each case, and compares them with its out/ sections. PLUMB_UPDATE=1
// rewrites those.
func TestTables(t *testing.T) {
	const name = "testdata/small.txtar"
	archive, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	cur, err := parseCurated(section(archive, "types.txt"), section(archive, "moved.txt"))
	if err != nil {
		t.Fatal(err)
	}
	files, report, err := tables(charts(t, archive), cur)
	if err != nil {
		t.Fatal(err)
	}
	files["report"] = report
	if os.Getenv("PLUMB_UPDATE") == "1" {
		archive.Files = slices.DeleteFunc(archive.Files, func(f txtar.File) bool { return strings.HasPrefix(f.Name, "out/") })
		for _, file := range slices.Sorted(maps.Keys(files)) {
			archive.Files = append(archive.Files, txtar.File{Name: "out/" + file, Data: []byte(files[file])})
		}
		if err := os.WriteFile(name, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for file, got := range files {
		if diff := cmp.Diff(section(archive, "out/"+file), got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", file, diff)
		}
	}
}

// TestBuildRefuses checks what makes generation fail rather than guess.
func TestBuildRefuses(t *testing.T) {
	for name, c := range map[string]struct{ schema, values, template, types, moved, want string }{
		"a value the schema lacks":   {schema: `"a":{"type":"integer"}`, values: "a: 1\nb: 2", want: "values.yaml has b"},
		"a refusal nobody explained": {schema: `"a":{"type":"integer"}`, values: "a: 1", template: `{{ if .Values.old }}{{ fail "x" }}{{ end }}`, want: "refuses old"},
		"null alone":                 {schema: `"a":{"type":"null"}`, values: "a: ~", want: "takes null alone"},
		"a type for no key":          {schema: `"a":{"type":"integer"}`, values: "a: 1", types: "b all int", want: "has no b"},
		"a wider type":               {schema: `"a":{"type":"integer"}`, values: "a: 1", types: "a all bool|int|str", want: "wider than"},
		"words that the default is not": {schema: `"a":{"type":"string"}`, values: "a: z", types: `a all str("x")`,
			want: "values/not-in-enum"},
		"a word still taken":    {schema: `"a":{"enum":["x"]}`, values: "a: x", types: `was a x "y"`, want: `still takes "x"`},
		"a word for no words":   {schema: `"a":{"type":"string"}`, values: "a: x", types: `was a x "y"`, want: "takes no words"},
		"an invented refusal":   {schema: `"a":{"type":"integer"}`, values: "a: 1", moved: "b\n  1.17 fails", want: "refuses no such key"},
		"deprecated, not there": {schema: `"a":{"type":"integer"}`, values: "a: 1", moved: "b\n  1.17 deprecated", want: "cannot be deprecated"},
		"a successor not there": {schema: `"a":{"type":"integer"}`, values: "a: 1", moved: "b\n  to c\n  1.17 ignored", want: "has no c"},
		"a name below a scalar": {schema: `"a":{"type":"integer"}`, values: "a: 1", template: "{{ .Values.a.b }}", want: "templates read a.b, but a is int"},
	} {
		var s schema
		if err := json.Unmarshal([]byte(`{"type":"object","properties":{`+c.schema+`}}`), &s); err != nil {
			t.Fatal(err)
		}
		archive := txtar.Parse([]byte("-- 1.17.0/values.yaml --\n" + c.values + "\n-- 1.17.0/values.schema.json --\n{\"type\":\"object\",\"properties\":{" +
			c.schema + "}}\n-- 1.17.0/templates/a.yaml --\n{{ .Values.a }}" + c.template + "\n"))
		cur, err := parseCurated(c.types, c.moved)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err = tables(charts(t, archive), cur); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: want an error with %q, have %v", name, c.want, err)
		}
	}
}

// TestRegenerate makes the committed files anew, byte for byte, from the Go
// module cache alone; without the charts in there it is skipped.
func TestRegenerate(t *testing.T) {
	if testing.Short() {
		t.Skip("reads the charts")
	}
	cur, err := parseCurated(typesText, movedText)
	if err != nil {
		t.Fatal(err)
	}
	all, err := open("", "off")
	if err != nil {
		t.Skipf("the charts are not in the module cache; go generate ./compiler/values fetches them: %.200v", err)
	}
	files, _, err := tables(all, cur)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		path := filepath.Join("..", filepath.FromSlash(name))
		if strings.HasSuffix(name, ".cue") {
			path = filepath.Join("..", "..", "..", "schema", "cilium", filepath.FromSlash(name))
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			continue
		}
		if string(got) != want {
			t.Errorf("%s is not what the generator writes: run go generate ./compiler/values", path)
		}
	}
}
