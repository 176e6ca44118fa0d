// SPDX-License-Identifier: Apache-2.0

package release

import (
	"strings"
	"testing"

	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/values"
)

// Whatever a file of variables holds: every variable has a name that Flux takes
// or a finding, and a place in the file.
func FuzzVariables(f *testing.F) {
	for _, seed := range []string{"A=1\n", "export A=1", "\ufeff# x\nA", "A=1\nA=2", "=x", "\r\n A =\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		vars, list := ReadVariables([]File{{"x.env", []byte(text)}})
		lines := strings.Count(text, "\n") + 1
		for _, v := range vars {
			if !variableName.MatchString(v.Name) && list.Count(diag.Error) == 0 {
				t.Errorf("the name %q has no finding", v.Name)
			}
			if at := v.Positions[0]; at.Line < 1 || at.Line > lines || at.Column < 1 {
				t.Errorf("%s stands at %v of %d lines", v.Name, at, lines)
			}
		}
		for _, d := range list {
			if d.Message == "" || len(d.Positions) == 0 {
				t.Errorf("%+v", d)
			}
		}
	})
}

// Whatever is written and put in: a Release or an Error, never a panic, and
// every value and finding has a place in one of the two files.
func FuzzRead(f *testing.F) {
	f.Add("a: ${V}", "V=1")
	f.Add("a: \"${V:=${W}}\"\nb: &x [$$, ${V^^}]\nc: *x", "V={a: 1}\nW='x'")
	f.Add("${V}: {<<: {a: 1}}\nb: |\n  x ${V}", "V=é")
	f.Add("a: ${V:1:9223372036854775807}", "V=abc")
	f.Add("a: [1, {b: ~}]\n---\nkind: ConfigMap", "")
	f.Fuzz(func(t *testing.T, text, vars string) {
		file := releaseOf(strings.Split(text, "\n")...)
		r, list := Read(file, env(strings.Split(vars, "\n")...))
		if r == nil && list.Count(diag.Error) == 0 {
			t.Errorf("neither a release nor an error: %v", list)
		}
		for _, d := range list {
			placed(t, d.Positions, string(file.Data), vars)
		}
		if r != nil {
			placedTree(t, r.Values, string(file.Data), vars)
			r.Facts()
			r.ChartVersion("")
		}
	})
}

func placedTree(t *testing.T, n values.Node, file, vars string) {
	placed(t, n.Positions, file, vars)
	for _, item := range n.Items {
		placedTree(t, item, file, vars)
	}
	for _, f := range n.Fields {
		placed(t, f.Positions, file, vars)
		placedTree(t, f.Value, file, vars)
	}
}

func placed(t *testing.T, at []diag.Position, file, vars string) {
	t.Helper()
	if len(at) == 0 {
		t.Error("something has no place")
	}
	for _, p := range at {
		text := file
		if p.File == "x.env" {
			text = vars
		}
		if p.Line > strings.Count(text, "\n")+2 {
			t.Errorf("%v is behind the end of the file", p)
		}
	}
}
