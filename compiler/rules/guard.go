// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"encoding/json"
	"regexp"
	"strconv"
	"sync"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/literal"
	"cuelang.org/go/cue/token"
)

// Most conditions are plainly false: a feature is off, a fact is not stated. A
// guard reads those without CUE's evaluator, so that this has to judge only what
// may find something. A guard knows a part of CUE's expressions and is sure of
// nothing else; what it is not sure of is evaluated.
type guard struct {
	input map[string]any      // what rules read, as JSON has it
	named map[string]ast.Expr // the lets of the file, the fields of input.cue
}

// unsure is what a guard has of an expression that it can't read.
type unsure struct{}

func isUnsure(v any) bool { _, is := v.(unsure); return is }

// fails tells whether an entry of a rule's list is plainly not there.
func (g guard) fails(entry ast.Expr) bool {
	c, ok := entry.(*ast.Comprehension)
	return ok && g.clauses(c) == false
}

// clauses goes through the conditions of a comprehension: true, false or unsure.
func (g guard) clauses(c *ast.Comprehension) any {
	var all any = true
	for _, clause := range c.Clauses {
		switch clause := clause.(type) {
		case *ast.IfClause:
			switch g.value(clause.Condition) {
			case true:
			case false:
				return false
			default:
				all = unsure{}
			}
		case *ast.ForClause:
			if list, ok := g.value(clause.Source).([]any); ok && len(list) == 0 {
				return false
			}
			return unsure{} // what follows has variables
		default:
			return unsure{}
		}
	}
	return all
}

// value gives what an expression comes to: nil, bool, string, json.Number, a list
// or an object as JSON has them, or unsure.
func (g guard) value(v ast.Expr) any {
	switch v := v.(type) {
	case *ast.BasicLit:
		return constant(v)
	case *ast.ParenExpr:
		return g.value(v.X)
	case *ast.Ident, *ast.SelectorExpr:
		path, ok := chain(v)
		if !ok {
			return unsure{}
		}
		return g.path(path)
	case *ast.UnaryExpr:
		if b, ok := g.value(v.X).(bool); ok && v.Op == token.NOT {
			return !b
		}
	case *ast.BinaryExpr:
		return g.binary(v)
	case *ast.Interpolation:
		return g.text(v)
	case *ast.IndexExpr:
		return g.first(v)
	case *ast.ListLit:
		return g.list(v)
	case *ast.CallExpr:
		return g.length(v)
	}
	return unsure{}
}

// list reads a list of which no entry is in doubt.
func (g guard) list(v *ast.ListLit) any {
	out := []any{}
	for _, entry := range v.Elts {
		c, ok := entry.(*ast.Comprehension)
		if !ok {
			out = append(out, g.value(entry))
			continue
		}
		switch g.clauses(c) {
		case true:
			out = append(out, g.embedded(c.Value))
		case false:
		default:
			return unsure{}
		}
	}
	return out
}

// length reads len(list).
func (g guard) length(call *ast.CallExpr) any {
	name, ok := call.Fun.(*ast.Ident)
	if !ok || name.Name != "len" || len(call.Args) != 1 {
		return unsure{}
	}
	if list, ok := g.value(call.Args[0]).([]any); ok {
		return json.Number(strconv.Itoa(len(list)))
	}
	return unsure{}
}

func constant(v *ast.BasicLit) any {
	switch v.Kind {
	case token.TRUE, token.FALSE:
		return v.Kind == token.TRUE
	case token.NULL:
		return nil
	case token.STRING:
		if s, err := literal.Unquote(v.Value); err == nil {
			return s
		}
	case token.INT, token.FLOAT:
		return json.Number(v.Value)
	}
	return unsure{}
}

// path looks a path up: in the input, among the lets of the file, or among the
// fields of input.cue.
func (g guard) path(path []string) any {
	if _, ok := g.input[path[0]]; ok {
		return g.below(any(g.input), path)
	}
	if len(path) > 1 {
		if field, ok := g.named[path[0]+"."+path[1]]; ok {
			return g.below(g.value(field), path[2:])
		}
	}
	if named, ok := g.named[path[0]]; ok {
		return g.below(g.value(named), path[1:])
	}
	return unsure{}
}

// below follows names. What is not there was made null where rules name it, so
// anything else is not for a guard to judge.
func (g guard) below(v any, names []string) any {
	for _, name := range names {
		object, ok := v.(map[string]any)
		if !ok {
			return unsure{}
		}
		if v, ok = object[name]; !ok {
			return unsure{}
		}
	}
	return v
}

func (g guard) binary(e *ast.BinaryExpr) any {
	if e.Op == token.LAND || e.Op == token.LOR {
		return g.logic(e)
	}
	if _, ok := e.Y.(*ast.BottomLit); ok {
		return g.typed(e)
	}
	x, y := g.value(e.X), g.value(e.Y)
	switch {
	case isUnsure(x) || isUnsure(y):
		return unsure{}
	case e.Op == token.EQL || e.Op == token.NEQ:
		equal := same(x, y)
		if b, ok := equal.(bool); ok {
			return b == (e.Op == token.EQL)
		}
		return equal
	case e.Op == token.MAT || e.Op == token.NMAT:
		return matches(x, y, e.Op == token.MAT)
	}
	return ordered(x, y, e.Op)
}

// typed reads (x & int) != _|_, which asks for a type.
func (g guard) typed(e *ast.BinaryExpr) any {
	x := e.X
	for {
		paren, ok := x.(*ast.ParenExpr)
		if !ok {
			break
		}
		x = paren.X
	}
	both, ok := x.(*ast.BinaryExpr)
	if !ok || both.Op != token.AND || e.Op != token.NEQ {
		return unsure{}
	}
	v := g.value(both.X)
	if isUnsure(v) {
		return unsure{}
	}
	switch wanted := both.Y.(type) {
	case *ast.Ident:
		return isOf(v, wanted.Name)
	case *ast.ListLit:
		if _, isList := v.([]any); !isList {
			return false
		}
	}
	return unsure{}
}

// isOf tells whether a value is of a type of CUE's.
func isOf(v any, name string) any {
	n, isNumber := v.(json.Number)
	_, isText := v.(string)
	switch name {
	case "number":
		return isNumber
	case "string":
		return isText
	case "int":
		return isNumber && isWhole(n)
	}
	return unsure{}
}

// isWhole tells whether a number is an int as CUE reads it: 1.0 and 1e3 are none.
func isWhole(n json.Number) bool {
	_, err := strconv.ParseInt(n.String(), 10, 64)
	return err == nil
}

// logic is sure of a conjunction where one side is false, of a disjunction where
// one is true, whatever the other is.
func (g guard) logic(e *ast.BinaryExpr) any {
	decides := e.Op == token.LOR
	x := g.value(e.X)
	if x == decides {
		return decides
	}
	y := g.value(e.Y)
	if y == decides {
		return decides
	}
	if x == !decides && y == !decides {
		return !decides
	}
	return unsure{}
}

// same compares scalars of one type; null is like nothing but null.
func same(x, y any) any {
	if x == nil || y == nil {
		return x == nil && y == nil
	}
	switch x := x.(type) {
	case bool:
		if y, ok := y.(bool); ok {
			return x == y
		}
	case string:
		if y, ok := y.(string); ok {
			return x == y
		}
	case json.Number:
		if y, ok := y.(json.Number); ok {
			return ordered(x, y, token.EQL)
		}
	}
	return unsure{}
}

// patterns are those of the rules, compiled once.
var patterns sync.Map

func matches(x, y any, positive bool) any {
	text, isText := x.(string)
	pattern, isPattern := y.(string)
	if !isText || !isPattern {
		return unsure{}
	}
	compiled, ok := patterns.Load(pattern)
	if !ok {
		p, err := regexp.Compile(pattern)
		if err != nil {
			return unsure{}
		}
		compiled, _ = patterns.LoadOrStore(pattern, p)
	}
	return compiled.(*regexp.Regexp).MatchString(text) == positive
}

func ordered(x, y any, op token.Token) any {
	m, isM := x.(json.Number)
	n, isN := y.(json.Number)
	if !isM || !isN {
		return unsure{}
	}
	a, err := m.Float64()
	b, more := n.Float64()
	if err != nil || more != nil {
		return unsure{}
	}
	switch op {
	case token.EQL:
		return a == b
	case token.LSS:
		return a < b
	case token.LEQ:
		return a <= b
	case token.GTR:
		return a > b
	case token.GEQ:
		return a >= b
	}
	return unsure{}
}

// text reads "\(x)" and nothing around it.
func (g guard) text(v *ast.Interpolation) any {
	if len(v.Elts) != 3 || !isText(v.Elts[0], `"\(`) || !isText(v.Elts[2], `)"`) {
		return unsure{}
	}
	switch x := g.value(v.Elts[1]).(type) {
	case string:
		return x
	case bool:
		return strconv.FormatBool(x)
	case json.Number:
		if isWhole(x) {
			return x.String()
		}
	}
	return unsure{} // a number with a fraction has more than one form
}

func isText(v ast.Expr, want string) bool {
	text, ok := v.(*ast.BasicLit)
	return ok && text.Value == want
}

// first reads [if a {x}, y][0], which is how rules choose.
func (g guard) first(v *ast.IndexExpr) any {
	list, isList := v.X.(*ast.ListLit)
	index, isIndex := v.Index.(*ast.BasicLit)
	if !isIndex {
		return unsure{}
	}
	if !isList || index.Value != "0" {
		return at(g.value(v.X), index.Value)
	}
	for _, entry := range list.Elts {
		c, ok := entry.(*ast.Comprehension)
		if !ok {
			return g.value(entry)
		}
		switch g.clauses(c) {
		case true:
			return g.embedded(c.Value)
		case false:
		default:
			return unsure{}
		}
	}
	return unsure{}
}

// at gives an element of a list.
func at(v any, index string) any {
	list, ok := v.([]any)
	i, err := strconv.Atoi(index)
	if !ok || err != nil || i < 0 || i >= len(list) {
		return unsure{}
	}
	return list[i]
}

// embedded reads {x}.
func (g guard) embedded(v ast.Expr) any {
	body, ok := v.(*ast.StructLit)
	if !ok || len(body.Elts) != 1 {
		return unsure{}
	}
	one, ok := body.Elts[0].(*ast.EmbedDecl)
	if !ok {
		return unsure{}
	}
	return g.value(one.Expr)
}
