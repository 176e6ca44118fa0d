// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"encoding/json"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Most conditions are plainly false: a feature is off, a fact is not stated. A
// guard reads those without CUE's evaluator, so that this has to judge only what
// may find something. A guard knows a part of CUE's expressions and is sure of
// nothing else; what it is not sure of is evaluated.
type guard struct {
	input map[string]any // what rules read, as JSON has it
	lets  []named        // of the file
	known map[string]any // what lets came to
	about *guard         // the fields of input.cue; nil in there
	bound []binding      // by the clauses around, the innermost last
}

// binding is what a name stands for.
type binding struct {
	name  string
	value any
}

// named is an expression by its name: a let, or a field of input.cue.
type named struct {
	name  string
	value expr
}

// unsure is what a guard has of an expression that it can't read.
type unsure struct{}

// absent is what lies where nothing does.
type absent struct{}

func isUnsure(v any) bool {
	switch v.(type) {
	case unsure, absent:
		return true
	}
	return false
}

// each goes through clauses, and calls yield where they hold. It tells whether
// that is certain.
func (g *guard) each(clauses []expr, yield func()) (certain bool) {
	defer func(bound int) { g.bound = g.bound[:bound] }(len(g.bound))
	certain = true
	for i, c := range clauses {
		switch c.op {
		case opLet:
			g.bind(c.names[0], g.value(c.args[0]))
			continue
		case opEach:
			if list, ok := g.value(c.args[0]).([]any); ok {
				return g.loop(c, list, clauses[i+1:], yield, certain)
			}
			g.bind(c.names[0], unsure{})
			g.bind(c.names[1], unsure{})
			certain = false
			continue
		}
		switch g.value(c) {
		case true:
		case false:
			return true
		default:
			certain = false // a later one may be plainly false
		}
	}
	if certain {
		yield()
	}
	return certain
}

// loop goes through the clauses behind a for, once an element of its list.
func (g *guard) loop(c expr, list []any, behind []expr, yield func(), sofar bool) (certain bool) {
	if !sofar {
		yield = func() {} // whether it is reached at all is not known
	}
	certain = true
	reached := false
	for i, v := range list {
		g.bind(c.names[0], json.Number(strconv.Itoa(i)))
		g.bind(c.names[1], v)
		certain = g.each(behind, func() { reached = true; yield() }) && certain
		g.bound = g.bound[:len(g.bound)-2]
	}
	return certain && (sofar || !reached)
}

func (g *guard) bind(name string, v any) { g.bound = append(g.bound, binding{name, v}) }

// value gives what an expression comes to: nil, bool, string, json.Number, a list
// or an object as JSON has them, or unsure.
func (g *guard) value(e expr) any {
	switch e.op {
	case opConstant:
		return e.value
	case opPath:
		return g.path(e.names)
	case opObject:
		return g.object(e)
	case opList:
		return g.list(e.entries)
	case opFirst:
		return g.first(e.entries)
	case opMember:
		return member(g.value(e.args[0]), g.value(e.args[1]))
	case opExists:
		return exists(g.value(e.args[0]))
	case opLength:
		if list, ok := g.value(e.args[0]).([]any); ok {
			return json.Number(strconv.Itoa(len(list)))
		}
	case opText:
		return g.text(e.args)
	case opIsA:
		return isOf(g.value(e.args[0]), e.value)
	case opInCIDR:
		return inCIDR(g.value(e.args[0]), g.value(e.args[1]))
	case opOverlaps:
		a, isA := prefix(g.value(e.args[0]))
		if b, isB := prefix(g.value(e.args[1])); isA && isB {
			return a.Overlaps(b)
		}
	case opNot:
		if b, ok := g.value(e.args[0]).(bool); ok {
			return !b
		}
	case opAnd, opOr:
		return g.logic(e)
	case opEqual, opUnequal, opMatches, opDiffers, opLess, opAtMost, opMore, opAtLeast:
		return compare(g.value(e.args[0]), g.value(e.args[1]), e.op)
	}
	return unsure{}
}

// path looks a path up: among what is bound, in the input, among the lets of the file, or among the
// fields of input.cue.
func (g *guard) path(names []string) any {
	for _, b := range slices.Backward(g.bound) {
		if b.name == names[0] {
			return below(b.value, names[1:])
		}
	}
	if _, ok := g.input[names[0]]; ok {
		return below(any(g.input), names)
	}
	if v, ok := g.named(names[0]); ok {
		return below(v, names[1:])
	}
	fields := g.about
	if fields == nil {
		fields = g
	}
	if len(names) > 1 {
		if v, ok := fields.named(names[0] + "." + names[1]); ok {
			return below(v, names[2:])
		}
	}
	if v, ok := fields.named(names[0]); ok {
		return below(v, names[1:])
	}
	return unsure{}
}

// named gives what a let comes to, and whether there is one of the name.
func (g *guard) named(name string) (any, bool) {
	if v, ok := g.known[name]; ok {
		return v, true
	}
	for _, let := range g.lets {
		if let.name == name {
			g.known[name] = unsure{} // where it should mean itself
			bound := g.bound
			g.bound = nil // it stands elsewhere
			v := g.value(let.value)
			g.known[name], g.bound = v, bound
			return v, true
		}
	}
	return nil, false
}

// below follows names. What is not there was made null where rules name it, so
// anything else is not for a guard to judge.
func below(v any, names []string) any {
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

// object reads an object of which nothing is in doubt.
func (g *guard) object(e expr) any {
	defer func(bound int) { g.bound = g.bound[:bound] }(len(g.bound))
	for _, name := range e.names {
		g.bind(name, unsure{}) // in there a field's name means the field
	}
	out := make(map[string]any, len(e.names))
	for i, name := range e.names {
		v := g.value(e.args[i])
		if isUnsure(v) {
			return unsure{}
		}
		out[name] = v
	}
	return out
}

// list reads a list of which it is not in doubt what is there.
func (g *guard) list(entries []entry) any {
	out := []any{}
	for _, e := range entries {
		if !g.each(e.clauses, func() { out = append(out, g.value(e.value)) }) {
			return unsure{}
		}
	}
	return out
}

// first reads [if a {x}, y][0], which is how rules choose.
func (g *guard) first(entries []entry) any {
	for _, e := range entries {
		var found []any
		if !g.each(e.clauses, func() { found = append(found, g.value(e.value)) }) {
			return unsure{}
		}
		if len(found) > 0 {
			return found[0]
		}
	}
	return unsure{}
}

// member gives what lies in an object under a name, in a list at a place.
func member(v, key any) any {
	switch v := v.(type) {
	case map[string]any:
		name, ok := key.(string)
		if !ok {
			break
		}
		if below, there := v[name]; there {
			return below
		}
		return absent{}
	case []any:
		n, ok := key.(json.Number)
		if i, err := strconv.Atoi(n.String()); ok && err == nil && i >= 0 && i < len(v) {
			return v[i]
		}
	}
	return unsure{}
}

func exists(v any) any {
	switch v.(type) {
	case absent:
		return false
	case unsure:
		return v
	}
	return true
}

// text reads "a \(x) b".
func (g *guard) text(parts []expr) any {
	var b strings.Builder
	for _, part := range parts {
		switch x := g.value(part).(type) {
		case string:
			b.WriteString(x)
		case bool:
			b.WriteString(strconv.FormatBool(x))
		case json.Number:
			if !isWhole(x) {
				return unsure{} // a number with a fraction has more than one form
			}
			b.WriteString(x.String())
		default:
			return unsure{}
		}
	}
	return b.String()
}

// prefix reads a CIDR as CUE does too; of other texts a guard is not sure.
func prefix(v any) (netip.Prefix, bool) {
	text, _ := v.(string)
	p, err := netip.ParsePrefix(text)
	return p, err == nil && !p.Addr().Is4In6()
}

// isAddress is sure of addresses, and of names.
func isAddress(v any) any {
	text, isText := v.(string)
	if _, err := netip.ParseAddr(text); err == nil {
		return true
	}
	if isText && strings.Trim(text, "0123456789abcdefABCDEF.:%") != "" {
		return false
	}
	return unsure{}
}

func inCIDR(ip, cidr any) any {
	text, _ := ip.(string)
	a, err := netip.ParseAddr(text)
	p, ok := prefix(cidr)
	if err != nil || !ok || a.Is4In6() || a.Zone() != "" {
		return unsure{}
	}
	return p.Contains(a)
}

// isOf tells whether a value is of a type of CUE's.
func isOf(v, name any) any {
	if isUnsure(v) {
		return unsure{}
	}
	n, isNumber := v.(json.Number)
	_, isText := v.(string)
	switch name {
	case "number":
		return isNumber
	case "string":
		return isText
	case "int":
		return isNumber && isWhole(n)
	case "list": // what is in one may be of the wrong type
		if _, isList := v.([]any); !isList {
			return false
		}
	case "net.IPCIDR":
		if _, ok := prefix(v); ok {
			return true
		}
	case "net.IP":
		return isAddress(v)
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
func (g *guard) logic(e expr) any {
	decides := e.op == opOr
	x := g.value(e.args[0])
	if x == decides {
		return decides
	}
	if _, ok := x.(bool); !ok && !isUnsure(x) {
		return unsure{} // no condition: CUE says so
	}
	y := g.value(e.args[1])
	if y == decides {
		return decides
	}
	if x == !decides && y == !decides {
		return !decides
	}
	return unsure{}
}

func compare(x, y any, op op) any {
	switch {
	case isUnsure(x) || isUnsure(y):
		return unsure{}
	case op == opEqual || op == opUnequal:
		same := same(x, y)
		if b, ok := same.(bool); ok {
			return b == (op == opEqual)
		}
		return same
	case op == opMatches || op == opDiffers:
		return match(x, y, op == opMatches)
	}
	return ordered(x, y, op)
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
			return ordered(x, y, opEqual)
		}
	}
	return unsure{}
}

// patterns are those of the rules, compiled once.
var patterns sync.Map

func match(x, y any, positive bool) any {
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

func ordered(x, y any, op op) any {
	m, isM := x.(json.Number)
	n, isN := y.(json.Number)
	if !isM || !isN {
		return unsure{}
	}
	a, err := m.Float64()
	b, moreErr := n.Float64()
	if err != nil || moreErr != nil {
		return unsure{}
	}
	switch op {
	case opEqual:
		return a == b
	case opLess:
		return a < b
	case opAtMost:
		return a <= b
	case opMore:
		return a > b
	case opAtLeast:
		return a >= b
	}
	return unsure{}
}
