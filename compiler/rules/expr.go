// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"encoding/json"
	"slices"
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/literal"
	"cuelang.org/go/cue/token"
)

// expr is that part of a CUE expression which a guard can read. It is plain data,
// so that Plumbline's own rules can be part of the program as such.
type expr struct {
	op      op
	value   any      // of a constant: nil, bool, string or json.Number; of isA: a type's name
	names   []string // of a path; of an object, its fields'; of a loop or let, those that it binds
	args    []expr
	entries []entry // of a list
}

// entry is what may be an element of a list, or several: a value behind clauses.
// Those are conditions, loops and lets.
type entry struct {
	clauses []expr
	value   expr
}

// op is what an expr does with its args.
type op uint8

const (
	opUnknown op = iota // nothing that a guard reads
	opConstant
	opPath
	opObject
	opList
	opFirst // the first entry of a list that is there
	opLength
	opMember   // what lies in the first arg under the second
	opEach     // a clause: for each element of the arg
	opLet      // a clause: with the arg as a name
	opExists   // whether the arg is there
	opText     // the args as one text
	opIsA      // whether the arg is of a type
	opInCIDR   // whether an address lies in a CIDR
	opOverlaps // whether two CIDRs share an address
	opNot
	opAnd
	opOr
	opEqual
	opUnequal
	opMatches
	opDiffers
	opLess
	opAtMost
	opMore
	opAtLeast
)

var binaries = map[token.Token]op{
	token.LAND: opAnd, token.LOR: opOr, token.EQL: opEqual, token.NEQ: opUnequal, token.MAT: opMatches, token.NMAT: opDiffers,
	token.LSS: opLess, token.LEQ: opAtMost, token.GTR: opMore, token.GEQ: opAtLeast,
}

// entryOf reads an entry of a list.
func entryOf(v ast.Expr) entry {
	c, ok := v.(*ast.Comprehension)
	if !ok {
		return entry{value: exprOf(v)}
	}
	e := entry{value: exprOf(within(c.Value))}
	for _, clause := range c.Clauses {
		e.clauses = append(e.clauses, clauseOf(clause))
	}
	return e
}

func clauseOf(clause ast.Clause) expr {
	switch clause := clause.(type) {
	case *ast.IfClause:
		return exprOf(clause.Condition)
	case *ast.LetClause:
		return expr{op: opLet, names: []string{clause.Ident.Name}, args: []expr{exprOf(clause.Expr)}}
	case *ast.ForClause:
		each := expr{op: opEach, names: []string{"", clause.Value.Name}, args: []expr{exprOf(clause.Source)}}
		if clause.Key != nil {
			each.names[0] = clause.Key.Name
		}
		return each
	}
	return expr{}
}

// within gives x of {x}.
func within(v ast.Expr) ast.Expr {
	if body, ok := v.(*ast.StructLit); ok && len(body.Elts) == 1 {
		if one, ok := body.Elts[0].(*ast.EmbedDecl); ok {
			return one.Expr
		}
	}
	return v
}

// exprOf reads an expression; what is unknown in it is so by itself.
func exprOf(v ast.Expr) expr {
	switch v := v.(type) {
	case *ast.BasicLit:
		return constantOf(v)
	case *ast.ParenExpr:
		return exprOf(v.X)
	case *ast.Ident:
		return pathOf(v)
	case *ast.SelectorExpr:
		return selectorOf(v)
	case *ast.UnaryExpr:
		if v.Op == token.NOT {
			return expr{op: opNot, args: []expr{exprOf(v.X)}}
		}
	case *ast.BinaryExpr:
		return binaryOf(v)
	case *ast.Interpolation:
		return textOf(v)
	case *ast.IndexExpr:
		return indexOf(v)
	case *ast.ListLit:
		return listOf(v)
	case *ast.StructLit:
		return objectOf(v)
	case *ast.CallExpr:
		return callOf(v)
	}
	return expr{}
}

// selectorOf reads a.b.c, and (#Overlap & {a: x, b: y}).out.
func selectorOf(v *ast.SelectorExpr) expr {
	paren, ok := v.X.(*ast.ParenExpr)
	if !ok {
		return pathOf(v)
	}
	both, ok := paren.X.(*ast.BinaryExpr)
	if !ok || both.Op != token.AND {
		return expr{}
	}
	of, given := exprOf(both.X), exprOf(both.Y)
	if of.op != opPath || !slices.Equal(of.names, []string{"#Overlap"}) || !slices.Equal(given.names, []string{"a", "b"}) {
		return expr{}
	}
	return expr{op: opOverlaps, args: given.args}
}

// callOf reads the functions that conditions mostly call.
func callOf(v *ast.CallExpr) expr {
	names, _ := chain(v.Fun)
	op, ok := functions[strings.Join(names, ".")]
	if !ok || len(v.Args) != op.args {
		return expr{}
	}
	out := expr{op: op.op}
	for _, arg := range v.Args {
		out.args = append(out.args, exprOf(arg))
	}
	return out
}

var functions = map[string]struct {
	op   op
	args int
}{"len": {opLength, 1}, "net.InCIDR": {opInCIDR, 2}}

// pathOf reads a.b."c"["d"].
func pathOf(v ast.Expr) expr {
	if names, ok := chain(v); ok {
		return expr{op: opPath, names: names}
	}
	return expr{}
}

func constantOf(v *ast.BasicLit) expr {
	switch v.Kind {
	case token.TRUE, token.FALSE:
		return expr{op: opConstant, value: v.Kind == token.TRUE}
	case token.NULL:
		return expr{op: opConstant}
	case token.STRING:
		if s, err := literal.Unquote(v.Value); err == nil {
			return expr{op: opConstant, value: s}
		}
	case token.INT, token.FLOAT:
		return expr{op: opConstant, value: json.Number(v.Value)}
	}
	return expr{}
}

func binaryOf(v *ast.BinaryExpr) expr {
	if _, ok := v.Y.(*ast.BottomLit); ok && v.Op == token.NEQ {
		return typedOf(v)
	}
	if op, ok := binaries[v.Op]; ok {
		return expr{op: op, args: []expr{exprOf(v.X), exprOf(v.Y)}}
	}
	return expr{}
}

// typedOf reads (x & int) != _|_, which asks for a type, and x != _|_.
func typedOf(v *ast.BinaryExpr) expr {
	x := v.X
	for {
		paren, ok := x.(*ast.ParenExpr)
		if !ok {
			break
		}
		x = paren.X
	}
	both, ok := x.(*ast.BinaryExpr)
	if !ok || both.Op != token.AND {
		return expr{op: opExists, args: []expr{exprOf(x)}}
	}
	if names, _ := chain(both.X); names != nil && names[0] == "net" {
		return expr{op: opIsA, value: strings.Join(names, "."), args: []expr{exprOf(both.Y)}}
	}
	switch wanted := both.Y.(type) {
	case *ast.Ident:
		return expr{op: opIsA, value: wanted.Name, args: []expr{exprOf(both.X)}}
	case *ast.ListLit:
		return expr{op: opIsA, value: "list", args: []expr{exprOf(both.X)}}
	}
	return expr{}
}

// textOf reads "a \(x) b".
func textOf(v *ast.Interpolation) expr {
	begin, isBegin := v.Elts[0].(*ast.BasicLit)
	end, isEnd := v.Elts[len(v.Elts)-1].(*ast.BasicLit)
	if !isBegin || !isEnd {
		return expr{}
	}
	quotes, opened, _, err := literal.ParseQuotes(begin.Value, end.Value)
	if err != nil || !quotes.IsDouble() {
		return expr{}
	}
	out := expr{op: opText}
	for i, part := range v.Elts {
		if i%2 == 1 {
			out.args = append(out.args, exprOf(part))
			continue
		}
		word, ok := part.(*ast.BasicLit)
		if !ok {
			return expr{}
		}
		cut := 1 // the parenthesis that closes what stood before
		if i == 0 {
			cut = opened
		}
		said, err := quotes.Unquote(word.Value[cut:])
		if err != nil {
			return expr{}
		}
		out.args = append(out.args, expr{op: opConstant, value: said})
	}
	return out
}

// indexOf reads [if a {x}, y][0], which is how rules choose, and a["b"], a[i].
func indexOf(v *ast.IndexExpr) expr {
	of, at := exprOf(v.X), exprOf(v.Index)
	switch {
	case at.op == opConstant && isText(at.value):
		return pathOf(v)
	case of.op == opList && at.value == json.Number("0"):
		return expr{op: opFirst, entries: of.entries}
	}
	return expr{op: opMember, args: []expr{of, at}}
}

func isText(v any) bool { _, is := v.(string); return is }

func listOf(v *ast.ListLit) expr {
	out := expr{op: opList}
	for _, one := range v.Elts {
		if _, open := one.(*ast.Ellipsis); open {
			return expr{}
		}
		out.entries = append(out.entries, entryOf(one))
	}
	return out
}

// objectOf reads {a: x, b: y}.
func objectOf(v *ast.StructLit) expr {
	out := expr{op: opObject}
	for _, decl := range v.Elts {
		field, ok := decl.(*ast.Field)
		if !ok || field.Constraint != token.ILLEGAL || field.Alias != nil {
			return expr{}
		}
		name, _, err := ast.LabelName(field.Label)
		if err != nil || slices.Contains(out.names, name) {
			return expr{}
		}
		out.names, out.args = append(out.names, name), append(out.args, exprOf(field.Value))
	}
	return out
}
