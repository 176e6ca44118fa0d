// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"maps"
	"path"
	"strconv"

	"cuelang.org/go/cue/ast"
)

// file is a file of rules, of which the part can be had that may find something
// in an input.
type file struct {
	syntax *ast.File // without what rules say of themselves
	parts  []part
	lets   map[string][]string // the names that each let uses
	always []string            // the names that everything else uses
	named  map[string]ast.Expr // for guards
}

// part is a list of a rule, found or lacks, with all that stood in it.
type part struct {
	list    *ast.ListLit
	entries []entry
}

// entry is one of a list.
type entry struct {
	expr ast.Expr
	uses []string // names
}

// split takes a rule's lists apart. A rule with anything beside them stays whole:
// what they read through it is not followed.
func (f *file) split(body *ast.StructLit) {
	lists := fields(body.Elts, "")
	if len(lists) != len(body.Elts) {
		return
	}
	for _, field := range lists {
		list, ok := field.Value.(*ast.ListLit)
		if !ok {
			return
		}
		p := part{list: list}
		for _, expr := range list.Elts {
			p.entries = append(p.entries, entry{expr, uses(expr)})
		}
		f.parts = append(f.parts, p)
	}
}

// remember notes which names the file uses where; shared are those of input.cue.
func (f *file) remember(shared map[string]ast.Expr) {
	f.lets, f.named = map[string][]string{}, maps.Clone(shared)
	for _, p := range f.parts {
		p.list.Elts = nil // their entries are known
	}
	for _, decl := range f.syntax.Decls {
		switch decl := decl.(type) {
		case *ast.LetClause:
			f.lets[decl.Ident.Name] = uses(decl.Expr)
			f.named[decl.Ident.Name] = decl.Expr
		case *ast.Package, *ast.ImportDecl:
		default:
			f.always = append(f.always, uses(decl)...)
		}
	}
}

// shared lists what input.cue defines of the input: a field by its name, and what
// lies in one by both names and by its own, as the fields beside it know it.
func shared(input *ast.File) map[string]ast.Expr {
	named := map[string]ast.Expr{}
	for _, field := range fields(input.Decls, "") {
		name, _, _ := ast.LabelName(field.Label)
		body, ok := field.Value.(*ast.StructLit)
		if !ok {
			named[name] = field.Value
		}
		if name == "rule" || !ok {
			continue
		}
		for _, part := range fields(body.Elts, "") {
			label, _, _ := ast.LabelName(part.Label)
			named[name+"."+label], named[label] = part.Value, part.Value
		}
	}
	return named
}

// uses lists the names in a piece of CUE.
func uses(node ast.Node) []string {
	var list []string
	ast.Walk(node, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Ident:
			list = append(list, n.Name)
		case *ast.SelectorExpr: // what stands behind the dot names nothing here
			list = append(list, uses(n.X)...)
			return false
		case *ast.Field:
			list = append(list, uses(n.Value)...)
			return false
		}
		return true
	}, nil)
	return list
}

// reduced gives the file with those entries of its rules that do not plainly
// fail, and with the lets and imports that these use: CUE refuses others. Without
// an input it is all of the file.
func (f *file) reduced(input map[string]any) *ast.File {
	g := guard{input, f.named}
	used := map[string]bool{}
	f.use(used, f.always)
	for _, p := range f.parts {
		p.list.Elts = nil
		for _, e := range p.entries {
			if input == nil || !g.fails(e.expr) {
				p.list.Elts = append(p.list.Elts, e.expr)
				f.use(used, e.uses)
			}
		}
	}
	out := &ast.File{Filename: f.syntax.Filename}
	for _, decl := range f.syntax.Decls {
		switch decl := decl.(type) {
		case *ast.LetClause:
			if input == nil || used[decl.Ident.Name] {
				out.Decls = append(out.Decls, decl)
			}
		case *ast.ImportDecl:
			if specs := imports(decl.Specs, used); input == nil || len(specs) == len(decl.Specs) {
				out.Decls = append(out.Decls, decl)
			} else if len(specs) > 0 {
				out.Decls = append(out.Decls, &ast.ImportDecl{Specs: specs})
			}
		case *ast.Field:
			if input == nil || !idle(decl) {
				out.Decls = append(out.Decls, decl)
			}
		default:
			out.Decls = append(out.Decls, decl)
		}
	}
	return out
}

// idle tells whether a field states rules of which no entry is left.
func idle(field *ast.Field) bool {
	switch v := field.Value.(type) {
	case *ast.ListLit:
		return len(v.Elts) == 0
	case *ast.StructLit:
		for _, decl := range v.Elts {
			if below, ok := decl.(*ast.Field); !ok || !idle(below) {
				return false
			}
		}
		return len(v.Elts) > 0
	}
	return false
}

// use marks names as used, and what the lets among them use.
func (f *file) use(used map[string]bool, names []string) {
	for _, name := range names {
		if !used[name] {
			used[name] = true
			f.use(used, f.lets[name])
		}
	}
}

// imports are those whose packages are used.
func imports(specs []*ast.ImportSpec, used map[string]bool) []*ast.ImportSpec {
	var list []*ast.ImportSpec
	for _, spec := range specs {
		text, err := strconv.Unquote(spec.Path.Value)
		name := path.Base(text)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		if err != nil || used[name] {
			list = append(list, spec)
		}
	}
	return list
}
