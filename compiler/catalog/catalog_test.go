// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"plumbline.dev/plumbline/compiler"
	"plumbline.dev/plumbline/compiler/compare"
	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/load"
	"plumbline.dev/plumbline/compiler/values"
)

const golden = "testdata/full.txtar"

// compiled compiles the environments of an archive, by name.
func compiled(t *testing.T, archive *txtar.Archive) []Compiled {
	t.Helper()
	dir := t.TempDir()
	for _, f := range archive.Files {
		if !strings.HasSuffix(f.Name, ".cue") {
			continue
		}
		file := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	folder := load.Folder{Dir: filepath.Join(dir, "environments"), WorkDir: dir}
	names, err := folder.Names()
	if err != nil {
		t.Fatal(err)
	}
	var list []Compiled
	for _, name := range names {
		source, err := folder.Find(name)
		if err != nil {
			t.Fatal(err)
		}
		environment, found := load.Load(source)
		artifact, more := compiler.Compile(environment)
		for _, d := range append(found, more...) {
			if d.Severity == diag.Error {
				t.Fatalf("%s: %v %s", name, d.Positions, d.Line())
			}
		}
		list = append(list, Compiled{environment, artifact})
	}
	return list
}

func described(t *testing.T, all []Compiled, which ...int) *Report {
	t.Helper()
	report := &Report{Comparison: Compare(all), Left: []string{}}
	for _, i := range which {
		page, err := Describe(all[i])
		if err != nil {
			t.Fatal(err)
		}
		report.Pages = append(report.Pages, page)
	}
	return report
}

func TestPages(t *testing.T) {
	archive, err := txtar.ParseFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	all := compiled(t, archive)
	pages := map[string]string{"edge.md": described(t, all, 0).Markdown(), "all.md": described(t, all, 0, 1).Markdown()}
	for i := range archive.Files {
		f := &archive.Files[i]
		got, ok := pages[f.Name]
		if !ok {
			continue
		}
		if diff := cmp.Diff(string(f.Data), got); diff != "" && os.Getenv("PLUMB_UPDATE") == "" {
			t.Errorf("%s (-want +got)\n%s", f.Name, diff)
		}
		f.Data = []byte(got)
		wellFormed(t, f.Name, got)
		if again := described(t, compiled(t, archive), map[string][]int{"edge.md": {0}, "all.md": {0, 1}}[f.Name]...).Markdown(); again != got {
			t.Errorf("%s is another one the second time", f.Name)
		}
	}
	if os.Getenv("PLUMB_UPDATE") != "" {
		if err := os.WriteFile(golden, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

var bar = regexp.MustCompile(`(^|[^\\])\|`)

// wellFormed holds a page to what Markdown and Mermaid need: rows as wide as
// their heads, fences in pairs, nodes that are declared.
func wellFormed(t *testing.T, name, page string) {
	t.Helper()
	if n := strings.Count(page, "```"); n%2 != 0 {
		t.Errorf("%s: %d fences", name, n)
	}
	width := 0
	for i, line := range strings.Split(page, "\n") {
		if !strings.HasPrefix(line, "|") {
			width = 0
			continue
		}
		n := len(bar.FindAllString(line, -1))
		if width == 0 {
			width = n
		}
		if n != width {
			t.Errorf("%s:%d: %d bars, the head has %d: %s", name, i+1, n, width, line)
		}
	}
	declared := regexp.MustCompile(`(?m)^    (n\d+)\[`)
	for diagram := range strings.SplitSeq(page, "```mermaid") {
		var ids []string
		for _, m := range declared.FindAllStringSubmatch(diagram, -1) {
			ids = append(ids, m[1])
		}
		for _, m := range regexp.MustCompile(`(?m)^  (n\d+) -->\|"[^"]*"\| (n\d+)$`).FindAllStringSubmatch(diagram, -1) {
			if !slices.Contains(ids, m[1]) || !slices.Contains(ids, m[2]) {
				t.Errorf("%s: %s is between nodes that are not there", name, m[0])
			}
		}
	}
}

// A secret stands nowhere, in Markdown or JSON; that it differs is seen all the
// same.
func TestSecretsAreMasked(t *testing.T) {
	archive, err := txtar.ParseFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	report := described(t, compiled(t, archive), 0, 1)
	text, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{report.Markdown(), string(text)} {
		if strings.Contains(form, "hunter2") || strings.Contains(form, `"other"`) || strings.Contains(form, "`other`") {
			t.Error("a secret is shown")
		}
		if !strings.Contains(form, compare.Masked) {
			t.Error("nothing is hidden")
		}
	}
	if !slices.ContainsFunc(report.Comparison.Differing, func(r Row) bool {
		return strings.Contains(r.Path, "token") && r.Values[0] == Cell{Set: true, Value: compare.Masked} && r.Values[1] == r.Values[0]
	}) {
		t.Error("two secrets that differ are not told apart")
	}
}

// What one environment states and the chart has by default for the other is no
// difference; where it is one, the default is told.
func TestDefaultsCount(t *testing.T) {
	archive := txtar.Parse([]byte(`
-- environments/a/a.cue --
package a

environment: {
	name: "a"
	chart: version: "1.17.2"
	values: {
		ipv4: enabled:   true
		ipv6: enabled:   true
		operator: replicas: 2
		podLabels: team: "net"
	}
}
-- environments/b/b.cue --
package b

environment: {
	name: "b"
	chart: version: "1.17.2"
	values: operator: replicas: 2
}
`))
	c := Compare(compiled(t, archive))
	rows := map[string][]Cell{}
	for _, row := range c.Differing {
		rows[row.Path] = row.Values
	}
	want := map[string][]Cell{
		"values.ipv6.enabled":   {{Set: true, Value: "true"}, {Default: true, Value: "false"}},
		"values.podLabels.team": {{Set: true, Value: "net"}, {}},
	}
	if d := cmp.Diff(want, rows); d != "" {
		t.Errorf("what differs (-want +got):\n%s", d)
	}
	if !slices.ContainsFunc(c.Common, func(r Row) bool { return r.Path == "values.ipv4.enabled" }) {
		t.Error("values.ipv4.enabled is not common, though true is its default")
	}
}

func TestMarkdownIsLiteral(t *testing.T) {
	for in, want := range map[string]string{
		"a|b": "`a\\|b`", "": "(empty)", "`": "`` ` ``", "a`b``c": "```a`b``c```", "a\nb": "`a⏎b`", "a\x00": "`a�`",
	} {
		if got := code(in); got != want {
			t.Errorf("code(%q) is %s, want %s", in, got, want)
		}
	}
	for in, want := range map[string]string{"a_b*[c](d)<e>|\n": `a\_b\*\[c\](d)\<e\>\|⏎`, "plain": "plain"} {
		if got := text(in); got != want {
			t.Errorf("text(%q) is %s, want %s", in, got, want)
		}
	}
	if got := label(`a"b<c>#d` + "\n"); got != "a#quot;b#lt;c#gt;#35;d⏎" {
		t.Errorf("label is %s", got)
	}
}

// A page is told by a value that some minor's chart has.
func TestFeaturesAreOfValuesThatExist(t *testing.T) {
	for _, c := range candidates {
		for _, path := range c.values {
			if _, err := values.Split(path); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			if !slices.ContainsFunc(values.Minors(), func(minor string) bool { return has(t, minor, path) }) {
				t.Errorf("%s: no chart has the value %s", c.name, path)
			}
		}
	}
}

// has tells whether a minor's table lets a value of the path pass.
func has(t *testing.T, minor, path string) bool {
	t.Helper()
	table, err := values.For(minor)
	if err != nil {
		t.Fatal(err)
	}
	names := strings.Split(path, ".")
	yaml := ""
	for i, name := range names {
		yaml += strings.Repeat("  ", i) + name + ":\n"
	}
	node, list := values.FromYAML("x.yaml", []byte(strings.TrimSuffix(yaml, "\n")+" null\n"))
	if len(list) > 0 {
		t.Fatal(list)
	}
	return !slices.ContainsFunc(table.Check(node, values.Options{}), func(d diag.Diagnostic) bool { return d.Code == values.CodeUnknown })
}
