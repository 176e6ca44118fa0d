// SPDX-License-Identifier: Apache-2.0

package load

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"cuelang.org/go/cue"

	"plumbline.dev/plumbline/compiler/diag"
)

// leaf judges a value that has no fields: it must be one, and the one that is
// asked for.
func (w walker) leaf(v, s cue.Value, t trail) {
	switch {
	case v.Err() != nil:
		w.conflict(v, s, t)
	case !v.IsConcrete():
		w.incomplete(v, s, t)
	default:
		w.parse(v, s, t)
	}
}

// parsers judge texts that a pattern of CUE's can't: by the name that the schema
// gives them in @want.
var parsers = map[string]func(string) error{
	"duration": func(text string) error { _, err := time.ParseDuration(text); return err },
	"backend":  func(text string) error { _, err := netip.ParseAddrPort(text); return err },
}

func (w walker) parse(v, s cue.Value, t trail) {
	name := cmp.Or(attribute(s, "want", "parse"), t.each.parse)
	if parsers[name] == nil {
		return
	}
	text, err := v.String()
	if err != nil || parsers[name](text) == nil {
		return
	}
	w.add(diag.Diagnostic{Code: codeBadValue, Path: t.String(), Positions: w.places.of(v),
		Message: fmt.Sprintf("want %s, have %q", w.wanted(s, t), text)})
}

// incomplete reports a type or a bound where a value belongs. Where the author
// wrote none, it hangs on another value, which has its own finding or will.
func (w walker) incomplete(v, s cue.Value, t trail) {
	d := diag.Diagnostic{Code: codeIncomplete, Path: t.String(), Positions: w.places.of(v)}
	d.Message = fmt.Sprintf("want %s, have only the constraint %v", w.wanted(s, t), v)
	if len(d.Positions) > 0 {
		w.add(d)
		return
	}
	d.Positions = w.around(t)
	d.Message = fmt.Sprintf("no value: want %s", w.wanted(s, t))
	w.consequences = append(w.consequences, d)
}

// conflict says what is wrong with a value that can't be: it is not what the
// schema wants, or the author wants two things.
func (w walker) conflict(v, s cue.Value, t trail) {
	parts := w.places.parts(v)
	bad := false
	for _, p := range parts {
		if code, wrong := judge(p.value, s); wrong {
			bad = true
			w.add(diag.Diagnostic{Code: code, Path: t.String(), Positions: []diag.Position{p.at},
				Message: fmt.Sprintf("want %s, have %s", w.wanted(s, t), have(p.value))})
		}
	}
	if bad {
		return
	}
	if a, b, ok := disagreeing(parts); ok {
		w.add(diag.Diagnostic{Code: codeConflict, Path: t.String(), Positions: w.places.of(v),
			Message: fmt.Sprintf("conflicting values: %s and %s", have(a.value), have(b.value)),
			Hint:    "CUE unifies, it does not override: give one place a default, such as *1 | int"})
		return
	}
	w.reportAll(codeEvaluation, v.Err())
}

// judge tells whether one statement contradicts the schema, and how.
func judge(v, s cue.Value) (code string, wrong bool) {
	if !s.Exists() || v.Err() != nil && v.IncompleteKind() == cue.BottomKind {
		return "", false
	}
	if v.IncompleteKind()&s.IncompleteKind() == 0 {
		return codeWrongType, true
	}
	if v.Unify(s).Validate() == nil {
		return "", false
	}
	if len(choices(s)) > 0 {
		return codeNotOneOf, true
	}
	return codeBadValue, true
}

// disagreeing finds two statements that can't both hold.
func disagreeing(parts []part) (a, b part, ok bool) {
	for i, a := range parts {
		for _, b := range parts[i+1:] {
			if a.value.Unify(b.value).Validate() != nil {
				return a, b, true
			}
		}
	}
	return a, b, false
}

// wanted says what the schema wants of a value.
func (w walker) wanted(s cue.Value, t trail) string {
	if text := attribute(s, "want", ""); text != "" {
		return text
	}
	if t.each.want != "" {
		return t.each.want
	}
	if words := choices(s); len(words) > 0 {
		return "one of " + strings.Join(words, ", ")
	}
	if names := namesOf(s); len(names) > 0 {
		return "a struct of " + strings.Join(names, ", ")
	}
	return kindText(s.IncompleteKind())
}

// choices lists the words of a disjunction of words; none for anything else.
func choices(s cue.Value) []string {
	op, parts := s.Expr()
	if op != cue.OrOp {
		return nil
	}
	var words []string
	for _, p := range parts {
		if inner := choices(p); len(inner) > 0 {
			words = append(words, inner...)
			continue
		}
		word, err := p.String()
		if err != nil {
			return nil
		}
		words = append(words, fmt.Sprintf("%q", word))
	}
	return words
}

// have says what the author wrote, in short.
func have(v cue.Value) string {
	v, _ = v.Default()
	switch kind := v.IncompleteKind(); kind {
	case cue.StructKind:
		return "a struct"
	case cue.ListKind:
		return "a list"
	default:
		text := fmt.Sprint(v)
		if r := []rune(text); len(r) > 60 {
			text = string(r[:60]) + "…"
		}
		return text
	}
}

var kindTexts = map[cue.Kind]string{
	cue.StructKind: "a struct", cue.ListKind: "a list", cue.StringKind: "a string", cue.BoolKind: "true or false",
	cue.TopKind: "a value", cue.BottomKind: "a value", cue.IntKind: "a whole number", cue.NumberKind: "a number", cue.FloatKind: "a number", cue.NullKind: "null",
}

func kindText(k cue.Kind) string {
	if text, ok := kindTexts[k]; ok {
		return text
	}
	return k.String()
}
