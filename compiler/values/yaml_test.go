// SPDX-License-Identifier: Apache-2.0

package values

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"plumbline.dev/plumbline/compiler/diag"
)

func TestFromYAML(t *testing.T) {
	for text, want := range map[string]any{
		"":                       map[string]any{},
		"# nothing\n":            map[string]any{},
		"a: 1\nb: [x, 2.5, ~]\n": map[string]any{"a": json.Number("1"), "b": []any{"x", json.Number("2.5"), nil}},
		"a: 0x1F\nb: 0644\nc: 1_000\nd: 1e3\n": map[string]any{
			"a": json.Number("31"), "b": json.Number("420"), "c": json.Number("1000"), "d": json.Number("1000"),
		},
		"a: off\nb: 'off'\nc: |\n  off\nd: !!str off\n": map[string]any{"a": false, "b": "off", "c": "off\n", "d": "off"},
		"y: 1\n2: x\n":    map[string]any{"true": json.Number("1"), "2": "x"},
		"a: 2024-01-02\n": map[string]any{"a": "2024-01-02"},
		"a: &x {b: 1, c: 2}\nd: *x\ne: {<<: *x, c: 3}\n": map[string]any{
			"a": map[string]any{"b": json.Number("1"), "c": json.Number("2")},
			"d": map[string]any{"b": json.Number("1"), "c": json.Number("2")},
			"e": map[string]any{"b": json.Number("1"), "c": json.Number("3")},
		},
		"a: 18446744073709551615\n":   map[string]any{"a": json.Number("18446744073709551615")},
		"a: true\nb: TRUE\nc: null\n": map[string]any{"a": true, "b": true, "c": nil},
	} {
		node, found := FromYAML("v.yaml", []byte(text))
		if diff := cmp.Diff(want, node.Data()); diff != "" || len(found) > 0 {
			t.Errorf("%q: %v (-want +got)\n%s", text, found, diff)
		}
	}
}

func TestFromYAMLFinds(t *testing.T) {
	for text, want := range map[string]string{
		"a: [":              CodeSyntax,
		"a: 1\na: 2\n":      CodeDuplicate,
		"a: 1\n---\nb: 2\n": CodeSyntax,
		"a: .inf\n":         CodeSyntax,
		"? [a]\n: 1\n":      CodeSyntax,
		"a: {<<: 3}\n":      CodeSyntax,
		"a: 1\n---\nb: [\n": CodeSyntax,
		"a: *nothing\n":     CodeSyntax,
		"\ta: 1\n":          CodeSyntax,
		"a: &a [*a]\n":      CodeSyntax,
		aliases(30):         CodeSyntax,
		strings.Repeat("[", 200) + strings.Repeat("]", 200): CodeSyntax,
	} {
		_, found := FromYAML("v.yaml", []byte(text))
		if len(found) == 0 || found[0].Code != want || len(found[0].Positions) == 0 {
			t.Errorf("%.60q: want %s, have %v", text, want, found)
		}
	}
}

// aliases is a document that doubles with every line.
func aliases(n int) string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x]\n")
	for i := 1; i < n; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [*a%d, *a%d]\n", i, i, i-1, i-1)
	}
	return b.String()
}

func TestYAMLPositions(t *testing.T) {
	node, _ := FromYAML("v.yaml", []byte("a:\n  - {\"ü\": ß, b: 1}\nc: *x\n"))
	if node.Kind != Object {
		t.Fatal(node.Kind)
	}
	node, _ = FromYAML("v.yaml", []byte("a:\n  - {\"ü\": ß, b: &x 1}\nc: *x\n"))
	b, ok := node.Fields[0].Value.Items[0].Lookup("b")
	if !ok {
		t.Fatal("no b")
	}
	if diff := cmp.Diff([]diag.Position{{File: "v.yaml", Line: 2, Column: 19}}, b.Positions); diff != "" {
		t.Errorf("columns are bytes (-want +got)\n%s", diff)
	}
	c, _ := node.Lookup("c")
	want := []diag.Position{{File: "v.yaml", Line: 3, Column: 4}, {File: "v.yaml", Line: 2, Column: 19}}
	if diff := cmp.Diff(want, c.Positions); diff != "" {
		t.Errorf("an alias has both places (-want +got)\n%s", diff)
	}
}

func TestLookupInNode(t *testing.T) {
	node, _ := FromYAML("hr.yaml", []byte("spec:\n  values:\n    a: 1\n"))
	if v, ok := node.Lookup("spec", "values"); !ok || v.Kind != Object {
		t.Errorf("spec.values is %v %v", v, ok)
	}
	if _, ok := node.Lookup("spec", "chart"); ok {
		t.Error("spec.chart is there")
	}
}

func FuzzFromYAML(f *testing.F) {
	f.Add("a: &x {b: off, 2: [1.0, ~]}\nc: {<<: *x}\n")
	f.Add("hubble: {relay: {enabeld: yes}}\ntunnel: vxlan\n")
	table, err := For("1.17.2")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		node, _ := FromYAML("v.yaml", []byte(text))
		for _, d := range table.Check(node, Options{Root: "values"}) {
			if d.Code == "" || d.Message == "" {
				t.Fatalf("an empty diagnostic: %+v", d)
			}
		}
		if data, ok := node.Data().(map[string]any); ok {
			table.Merge(data)
		}
	})
}
