// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"path"
	"strconv"

	"cuelang.org/go/cue/ast"
)

// file is a file of rules as guards read it, and its syntax where CUE has to
// evaluate some of it.
type file struct {
	name  string
	lets  []named
	rules []judged
	// whole says that something in the file is evaluated in any case.
	whole bool

	text   []byte
	syntax *syntax // from its first use on
}

// judged is a rule of which nothing but its lists is evaluated.
type judged struct {
	code         string
	found, lacks []entry
}

// syntax is a file of rules of which a part can be had.
type syntax struct {
	file   *ast.File // without what rules say of themselves
	parts  []part
	lets   map[string][]string // the names that each let uses
	always []string            // the names that everything else uses
}

// part is one of the lists of a rule, with all that stood in it.
type part struct {
	code, name string // the rule's, and the list's
	list       *ast.ListLit
	entries    []ast.Expr
	uses       [][]string // names, by entry
}

// split takes a rule's lists apart, and tells whether it could. A rule with
// anything beside them stays whole: what they read through it is not followed.
func (s *syntax) split(code string, body *ast.StructLit) bool {
	lists := fields(body.Elts, "")
	if len(lists) != len(body.Elts) {
		return false
	}
	var parts []part
	for _, field := range lists {
		list, ok := field.Value.(*ast.ListLit)
		if !ok {
			return false
		}
		name, _, _ := ast.LabelName(field.Label)
		p := part{code: code, name: name, list: list, entries: list.Elts}
		for _, entry := range list.Elts {
			p.uses = append(p.uses, uses(entry))
		}
		parts = append(parts, p)
	}
	s.parts = append(s.parts, parts...)
	return true
}

// remember notes which names the file uses where.
func (s *syntax) remember() {
	s.lets = map[string][]string{}
	for _, p := range s.parts {
		p.list.Elts = nil // their entries are known
	}
	for _, decl := range s.file.Decls {
		switch decl := decl.(type) {
		case *ast.LetClause:
			s.lets[decl.Ident.Name] = uses(decl.Expr)
		case *ast.Package, *ast.ImportDecl:
		default:
			s.always = append(s.always, uses(decl)...)
		}
	}
}

// guarded gives the file's rules and lets as guards read them.
func (s *syntax) guarded() (rules []judged, lets []named) {
	for _, p := range s.parts {
		if len(rules) == 0 || rules[len(rules)-1].code != p.code {
			rules = append(rules, judged{code: p.code})
		}
		into := &rules[len(rules)-1].found
		if p.name == "lacks" {
			into = &rules[len(rules)-1].lacks
		}
		for _, one := range p.entries {
			*into = append(*into, entryOf(one))
		}
	}
	for _, decl := range s.file.Decls {
		if let, ok := decl.(*ast.LetClause); ok {
			lets = append(lets, named{let.Ident.Name, exprOf(let.Expr)})
		}
	}
	return rules, lets
}

// aboutFields lists what input.cue defines of the input: a field by its name, and what
// lies in one by both names and by its own, as the fields beside it know it.
func aboutFields(input *ast.File) []named {
	var list []named
	for _, field := range fields(input.Decls, "") {
		name, _, _ := ast.LabelName(field.Label)
		body, ok := field.Value.(*ast.StructLit)
		if !ok {
			list = append(list, named{name, exprOf(field.Value)})
		}
		if name == "rule" || !ok {
			continue
		}
		for _, part := range fields(body.Elts, "") {
			label, _, _ := ast.LabelName(part.Label)
			value := exprOf(part.Value)
			list = append(list, named{name + "." + label, value}, named{label, value})
		}
	}
	return list
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

// rest is what guards leave to CUE: entries of rules, by their place. A nil one is
// everything.
type rest map[string]remaining

type remaining struct{ found, lacks []int }

// of gives those entries of a part that are left.
func (r rest) of(p part) []int {
	switch {
	case r == nil:
		all := make([]int, len(p.entries))
		for i := range all {
			all[i] = i
		}
		return all
	case p.name == "lacks":
		return r[p.code].lacks
	}
	return r[p.code].found
}

// reduced gives the file with what is left of its rules, and with the lets and
// imports that these use: CUE refuses others.
func (s *syntax) reduced(left rest) *ast.File {
	used := map[string]bool{}
	s.use(used, s.always)
	for _, p := range s.parts {
		p.list.Elts = nil
		for _, i := range left.of(p) {
			p.list.Elts = append(p.list.Elts, p.entries[i])
			s.use(used, p.uses[i])
		}
	}
	out := &ast.File{Filename: s.file.Filename}
	for _, decl := range s.file.Decls {
		switch decl := decl.(type) {
		case *ast.LetClause:
			if left == nil || used[decl.Ident.Name] {
				out.Decls = append(out.Decls, decl)
			}
		case *ast.ImportDecl:
			if specs := imports(decl.Specs, used); left == nil || len(specs) == len(decl.Specs) {
				out.Decls = append(out.Decls, decl)
			} else if len(specs) > 0 {
				out.Decls = append(out.Decls, &ast.ImportDecl{Specs: specs})
			}
		case *ast.Field:
			if left == nil || !idle(decl) {
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
func (s *syntax) use(used map[string]bool, names []string) {
	for _, name := range names {
		if !used[name] {
			used[name] = true
			s.use(used, s.lets[name])
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
