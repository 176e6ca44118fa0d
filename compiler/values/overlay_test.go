// SPDX-License-Identifier: Apache-2.0

package values

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"plumbline.dev/plumbline/compiler/diag"
)

func readYAML(t *testing.T, file, text string) Node {
	t.Helper()
	n, list := FromYAML(file, []byte(text))
	if len(list) > 0 {
		t.Fatal(list)
	}
	return n
}

func TestOverlayIsHelmsMerge(t *testing.T) {
	for name, c := range map[string]struct{ under, over, want string }{
		"by name":              {"a: {b: 1, c: 2}", "a: {c: 3, d: 4}", "a: {b: 1, c: 3, d: 4}"},
		"lists are replaced":   {"a: [1, 2]", "a: [3]", "a: [3]"},
		"null stays":           {"a: {b: 1}", "a: null", "a: null"},
		"null, then an object": {"a: null", "a: {b: 1}", "a: {b: 1}"},
		"a null below":         {"a: {b: 1, c: 2}", "a: {b: null}", "a: {b: null, c: 2}"},
		"other kinds":          {"a: {b: 1}", "a: 5", "a: 5"},
		"nothing over":         {"a: 1", "{}", "a: 1"},
		"nothing under":        {"{}", "a: 1", "a: 1"},
	} {
		t.Run(name, func(t *testing.T) {
			got, want := Overlay(readYAML(t, "u", c.under), readYAML(t, "o", c.over)), readYAML(t, "w", c.want)
			if diff := cmp.Diff(want.Data(), got.Data()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestOverlayKeepsPlaces(t *testing.T) {
	n := Overlay(readYAML(t, "base", "a:\n  b: 1\n  c: 2\n"), readYAML(t, "over", "\na:\n  c: 3\n"))
	place := func(file string, line, column int) diag.Position {
		return diag.Position{File: file, Line: line, Column: column}
	}
	for _, c := range []struct {
		path []string
		want []diag.Position
	}{
		{[]string{"a", "b"}, []diag.Position{place("base", 2, 6)}},
		{[]string{"a", "c"}, []diag.Position{place("over", 3, 6)}},
		{[]string{"a"}, []diag.Position{place("over", 3, 3), place("base", 2, 3)}},
		{[]string{"a", "none"}, []diag.Position{place("over", 3, 3), place("base", 2, 3)}},
	} {
		if diff := cmp.Diff(c.want, n.At(c.path...)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", c.path, diff)
		}
	}
	if a, _ := n.field("a"); len(a.Positions) != 2 || a.Positions[0].File != "over" {
		t.Errorf("the name a stands at %v", a.Positions)
	}
}

func TestUmbrella(t *testing.T) {
	table, err := For("1.17.2")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"cilium: {debug: {enabled: true}}":                       "debug: {enabled: true}",
		"cilium: {MTU: 1}\nnginx: {replicas: 2}":                 "MTU: 1",
		"cilium: {MTU: 1, global: {b: 2}}\nglobal: {a: 1, b: 1}": "{global: {a: 1, b: 2}, MTU: 1}",
		"cilium: {nothing: 1}":                                   "",
		"cilium: {MTU: 1}\nkubeProxyReplacement: true":           "",
		"cilium: on":                 "",
		"kubeProxyReplacement: true": "",
		"cilium: {MTU: 1}\ncilium-addons: {enabled: true}\nglobal: null": "MTU: 1\nglobal: null",
	} {
		inner, ok := table.Umbrella(readYAML(t, "f", text))
		if ok != (want != "") {
			t.Errorf("%s: is an umbrella: %v", text, ok)
			continue
		}
		if !ok {
			want = text
		}
		wanted := readYAML(t, "w", want)
		if diff := cmp.Diff(wanted.Data(), inner.Data()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}
