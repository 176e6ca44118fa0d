// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"path"
	"slices"
	"strconv"

	"cuelang.org/go/cue/ast"
)

// file is a file of rules, of which the part can be had that is relevant for an
// input.
type file struct {
	syntax *ast.File // without what rules say of themselves
	parts  []part
	lets   map[string][]string // the names that each let uses
	always []string            // the names that everything else uses
}

// part is a list of a rule, found or lacks, with all that stood in it.
type part struct {
	code     string
	list     *ast.ListLit
	elements []element
}

// split notes what each entry of a rule's lists reads. A rule with anything
// beside the two lists stays whole: what they read through it is not followed.
func (f *file) split(code string, body *ast.StructLit, r *reader) {
	lists := fields(body.Elts, "")
	if len(lists) != len(body.Elts) {
		return
	}
	for _, field := range lists {
		list, ok := field.Value.(*ast.ListLit)
		if !ok {
			return
		}
		p := part{code: code, list: list}
		for _, expr := range list.Elts {
			p.elements = append(p.elements, element{expr: expr, reads: r.reads(expr), uses: uses(expr)})
		}
		f.parts = append(f.parts, p)
	}
}

// remember notes which names the file uses where.
func (f *file) remember() {
	f.lets = map[string][]string{}
	for _, p := range f.parts {
		p.list.Elts = nil // their elements are known
	}
	for _, decl := range f.syntax.Decls {
		switch decl := decl.(type) {
		case *ast.LetClause:
			f.lets[decl.Ident.Name] = uses(decl.Expr)
		case *ast.Package, *ast.ImportDecl:
		default:
			f.always = append(f.always, uses(decl)...)
		}
	}
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

// reduced gives the file with what is relevant of its rules, and with the lets
// and imports that this uses: CUE refuses others. A nil stated gives all of it.
func (f *file) reduced(stated func(path string) bool) *ast.File {
	used := map[string]bool{}
	f.use(used, f.always)
	for _, p := range f.parts {
		p.list.Elts = nil
		whole := stated == nil || slices.Contains(standing, p.code)
		for _, e := range p.elements {
			if whole || e.relevant(stated) {
				p.list.Elts = append(p.list.Elts, e.expr)
				f.use(used, e.uses)
			}
		}
	}
	out := &ast.File{Filename: f.syntax.Filename}
	for _, decl := range f.syntax.Decls {
		switch decl := decl.(type) {
		case *ast.LetClause:
			if stated == nil || used[decl.Ident.Name] {
				out.Decls = append(out.Decls, decl)
			}
		case *ast.ImportDecl:
			if specs := imports(decl.Specs, used); stated == nil || len(specs) == len(decl.Specs) {
				out.Decls = append(out.Decls, decl)
			} else if len(specs) > 0 {
				out.Decls = append(out.Decls, &ast.ImportDecl{Specs: specs})
			}
		default:
			out.Decls = append(out.Decls, decl)
		}
	}
	return out
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
