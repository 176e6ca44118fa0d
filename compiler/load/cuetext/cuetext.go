// SPDX-License-Identifier: Apache-2.0

// Package cuetext writes an environment as the CUE that an author would write:
// a package, the import of the schema, and the fields. It takes every value that
// values.Node has and loses none of them; it judges none.
package cuetext

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/format"
	"cuelang.org/go/cue/literal"
	"cuelang.org/go/cue/token"

	"plumbline.dev/plumbline/compiler/values"
	"plumbline.dev/plumbline/schema"
)

// Package is the name of the CUE package that environments are written in.
const Package = "environments"

// Environment gives the file that states an environment. The node is the
// environment itself: an object of its fields. Comments of fields are kept.
// A value that CUE has no form for is an error; all of them are told.
func Environment(env values.Node) ([]byte, error) {
	w := &writer{}
	body := w.expression(&env, "", 0)
	if err := errors.Join(w.errs...); err != nil {
		return nil, err
	}
	typed := ast.NewBinExpr(token.AND, ast.NewSel(ast.NewIdent("schema"), "#Environment"), body)
	file := &ast.File{Decls: []ast.Decl{
		&ast.Package{Name: ast.NewIdent(Package)},
		&ast.ImportDecl{Specs: []*ast.ImportSpec{ast.NewImport(nil, schema.Package)}},
		&ast.Field{Label: ast.NewIdent("environment"), Value: typed},
	}}
	return format.Node(file, format.Simplify())
}

// Common gives the file that states what environments in folders below have in
// common. It is of no type: those are.
func Common(part values.Node) ([]byte, error) {
	w := &writer{}
	body := w.expression(&part, "", 0)
	if err := errors.Join(w.errs...); err != nil {
		return nil, err
	}
	file := &ast.File{Decls: []ast.Decl{
		&ast.Package{Name: ast.NewIdent(Package)},
		&ast.Field{Label: ast.NewIdent("environment"), Value: body},
	}}
	return format.Node(file, format.Simplify())
}

// writer turns nodes into CUE's syntax, and gathers what has no form there.
type writer struct {
	errs []error
}

// expression writes a value that stands that many braces deep.
func (w *writer) expression(n *values.Node, path string, depth int) ast.Expr {
	switch n.Kind {
	case values.Null:
		return ast.NewNull()
	case values.Bool:
		return ast.NewBool(n.Scalar == true)
	case values.String:
		return w.text(n, path, depth)
	case values.Int, values.Number:
		return w.number(n, path)
	case values.List:
		return w.list(n, path, depth)
	case values.Object:
		return w.object(n, path, depth)
	}
	return w.refuse(path, "it has no value")
}

func (w *writer) refuse(path, why string) ast.Expr {
	w.errs = append(w.errs, fmt.Errorf("%s can't be written in CUE: %s", path, why))
	return ast.NewNull()
}

func (w *writer) text(n *values.Node, path string, depth int) ast.Expr {
	s, ok := n.Scalar.(string)
	if !ok || !utf8.ValidString(s) {
		return w.refuse(path, "the string is not UTF-8")
	}
	form := literal.String
	if strings.Contains(strings.TrimSuffix(s, "\n"), "\n") && !strings.Contains(s, "\r") {
		form = form.WithTabIndent(depth + 1)
	}
	return &ast.BasicLit{Kind: token.STRING, Value: form.Quote(s)}
}

func (w *writer) number(n *values.Node, path string) ast.Expr {
	num, ok := n.Scalar.(json.Number)
	text, negative := strings.CutPrefix(num.String(), "-")
	kind := token.INT
	if strings.ContainsAny(text, ".eE") {
		kind = token.FLOAT
	}
	var info literal.NumInfo
	if err := literal.ParseNum(text, &info); !ok || err != nil {
		return w.refuse(path, fmt.Sprintf("%q is no number", num))
	}
	literal := &ast.BasicLit{Kind: kind, Value: text}
	if negative {
		return &ast.UnaryExpr{Op: token.SUB, X: literal}
	}
	return literal
}

// list writes elements one a line where one of them has lines itself.
func (w *writer) list(n *values.Node, path string, depth int) ast.Expr {
	out := &ast.ListLit{Lbrack: token.NoSpace.Pos(), Rbrack: token.NoSpace.Pos()}
	long := isLong(n)
	inner := depth
	if long {
		inner++
	}
	for i := range n.Items {
		each := w.expression(&n.Items[i], fmt.Sprintf("%s[%d]", path, i), inner)
		if long {
			ast.SetRelPos(each, token.Newline)
		}
		out.Elts = append(out.Elts, each)
	}
	if long {
		out.Rbrack = token.Newline.Pos()
	}
	return out
}

// isLong tells whether a list wants a line for each element.
func isLong(n *values.Node) bool {
	width := 0
	for i := range n.Items {
		item := &n.Items[i]
		if len(item.Fields) > 0 || len(item.Items) > 0 {
			return true
		}
		if s, ok := item.Scalar.(string); ok {
			if strings.Contains(s, "\n") {
				return true
			}
			width += len(s)
		}
		width += 4
	}
	return width > 90
}

// object writes its fields in braces; the format takes those of a lone field
// away.
func (w *writer) object(n *values.Node, path string, depth int) ast.Expr {
	out := &ast.StructLit{Lbrace: token.Blank.Pos(), Rbrace: token.Newline.Pos()}
	if len(n.Fields) == 0 {
		out.Rbrace = token.NoSpace.Pos()
	}
	inner := depth
	if len(n.Fields) != 1 || n.Fields[0].Comment != "" {
		inner++
	}
	for i := range n.Fields {
		f := &n.Fields[i]
		if !utf8.ValidString(f.Name) {
			w.refuse(path, fmt.Sprintf("the name %q is not UTF-8", f.Name))
		}
		label := ast.NewStringLabel(f.Name)
		ast.SetRelPos(label, token.Newline)
		field := &ast.Field{Label: label, Value: w.expression(&f.Value, values.Join(path, f.Name), inner)}
		comment(field, f.Comment)
		out.Elts = append(out.Elts, field)
	}
	return out
}

// comment puts lines of YAML's comments in front of a field.
func comment(field *ast.Field, text string) {
	if text == "" {
		return
	}
	group := &ast.CommentGroup{Doc: true}
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "#"))
		group.List = append(group.List, &ast.Comment{Text: strings.TrimRight("// "+line, " ")})
	}
	ast.AddComment(field, group)
}
