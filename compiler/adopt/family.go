// SPDX-License-Identifier: Apache-2.0

package adopt

import (
	"path"
	"reflect"
	"slices"

	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/load"
	"plumbline.dev/plumbline/compiler/load/cuetext"
	"plumbline.dev/plumbline/compiler/values"
)

// BaseFile is the file that holds what the environments of a Family have in common:
// CUE unifies the folders below it with it.
const BaseFile = "base.cue"

// familyDir stands for the folder of files that are on no disk yet.
const familyDir = "/environments"

// Family gives the CUE of several environments: what they have in common in BaseFile,
// the rest of each in NAME/NAME.cue. Each is proved as Environment proves one, out of
// both files. The files are nil exactly where a finding of this package is an Error.
func Family(inputs []Input) (map[string][]byte, diag.List) {
	var list diag.List
	adoptions := make([]*adoption, len(inputs))
	for i, in := range inputs {
		adoptions[i] = &adoption{Input: in, left: map[string]bool{}}
		text, _ := adoptions[i].environment()
		if list = append(list, adoptions[i].list...); text == nil {
			adoptions[i] = nil
		}
	}
	if slices.Contains(adoptions, nil) {
		return nil, once(list)
	}
	files, err := split(adoptions)
	if err != nil {
		list = append(list, diag.Diagnostic{Code: CodeNotExpressible, Message: err.Error()})
		return nil, once(list)
	}
	wrong := false
	for _, a := range adoptions {
		a.list = nil
		tree := &load.Tree{Root: familyDir, Name: "import", Files: files}
		env, found := load.Load(load.Source{Dir: path.Join(familyDir, a.Name), Folder: load.Folder{Dir: familyDir, WorkDir: familyDir, Tree: tree}})
		list = append(list, a.prove(env, found)...)
		list = append(list, a.list...)
		wrong = wrong || a.list.Count(diag.Error) > 0
	}
	if wrong {
		return nil, once(list)
	}
	return files, once(list)
}

// split writes what the drafts have in common, and the rest of each.
func split(adoptions []*adoption) (map[string][]byte, error) {
	base := adoptions[0].draft
	for _, a := range adoptions[1:] {
		base = common(base, a.draft)
	}
	base = without(base, []string{"name"})
	text, err := cuetext.Common(base)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{BaseFile: text}
	for _, a := range adoptions {
		rest, _ := minus(a.draft, base)
		if files[path.Join(a.Name, a.Name+".cue")], err = cuetext.Environment(rest); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// common gives what two objects both have: a value that is the same, and of an
// object in both what these have.
func common(a, b values.Node) values.Node {
	out := a
	out.Fields = nil
	for _, f := range a.Fields {
		i := slices.IndexFunc(b.Fields, func(g values.Field) bool { return g.Name == f.Name })
		if i < 0 {
			continue
		}
		g := b.Fields[i]
		switch {
		case f.Value.Kind == values.Object && g.Value.Kind == values.Object:
			f.Value = common(f.Value, g.Value)
			if len(f.Value.Fields) == 0 && len(g.Value.Fields) > 0 {
				continue
			}
		case !reflect.DeepEqual(f.Value.Data(), g.Value.Data()):
			continue
		}
		out.Fields = append(out.Fields, f)
	}
	return out
}

// minus gives what an object has beside a base of common's, and whether that is
// anything.
func minus(n, base values.Node) (values.Node, bool) {
	out := n
	out.Fields = nil
	for _, f := range n.Fields {
		i := slices.IndexFunc(base.Fields, func(g values.Field) bool { return g.Name == f.Name })
		if i >= 0 {
			rest, some := minus(f.Value, base.Fields[i].Value)
			if f.Value.Kind != values.Object || !some {
				continue
			}
			f.Value = rest
		}
		out.Fields = append(out.Fields, f)
	}
	return out, len(out.Fields) > 0
}

// once leaves out what was told of another environment already.
func once(list diag.List) diag.List {
	seen := map[string]bool{}
	list = slices.DeleteFunc(list, func(d diag.Diagnostic) bool {
		key := d.Code + d.Line()
		if len(d.Positions) > 0 {
			key += d.Positions[0].String()
		}
		again := seen[key]
		seen[key] = true
		return again
	})
	return list.Sort()
}
