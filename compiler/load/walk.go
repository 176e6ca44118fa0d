// SPDX-License-Identifier: Apache-2.0

package load

import (
	"fmt"
	"slices"
	"strings"

	"cuelang.org/go/cue"

	"plumbline.dev/plumbline/compiler/diag"
)

// The walk goes through the evaluated environment beside the schema, so that
// one mistake hides no other: CUE itself tells of no unknown or missing field as
// long as two values conflict anywhere.

// walker walks one environment.
type walker struct {
	*reader
	root cue.Value
}

// trail is the way from the environment to a value of it.
type trail struct {
	root   string // the name of the whole, "environment"
	path   []cue.Selector
	values []cue.Value // around the value, outermost first
	each   element     // what an element of the list or map around it has to be
}

// element is what the schema says of the elements of a list or map.
type element struct{ want, parse string }

func (t trail) below(around cue.Value, sel cue.Selector, each element) trail {
	return trail{t.root, append(slices.Clip(t.path), sel), append(slices.Clip(t.values), around), each}
}

// String gives the path as CUE writes it.
func (t trail) String() string { return pathText(t.root, t.path) }

func pathText(root string, path []cue.Selector) string {
	names := make([]cue.Selector, 0, len(path)+1)
	names = append(names, cue.Str(root))
	for _, sel := range path {
		if sel.Type().ConstraintType() != 0 {
			sel = cue.Str(sel.Unquoted())
		}
		names = append(names, sel)
	}
	return cue.MakePath(names...).String()
}

// value judges a value and all below it.
func (w walker) value(v, s cue.Value, t trail) {
	v, _ = v.Default()
	if fields, ok := fieldsOf(v); ok {
		w.fields(v, s, fields, t)
		return
	}
	w.leaf(v, s, t)
}

// child is a field of a struct, or an element of a list.
type child struct {
	selector cue.Selector
	value    cue.Value
}

// fieldsOf lists the fields of a struct, those with errors and those that are
// required but missing included, or the elements of a list.
func fieldsOf(v cue.Value) ([]child, bool) {
	var list []child
	if elements, err := v.List(); err == nil {
		for i := 0; elements.Next(); i++ {
			list = append(list, child{cue.Index(i), elements.Value()})
		}
		return list, true
	}
	fields, err := v.Fields(cue.Optional(true))
	if err != nil {
		return nil, false
	}
	for fields.Next() {
		if fields.FieldType()&cue.OptionalConstraint == 0 {
			list = append(list, child{fields.Selector(), fields.Value()})
		}
	}
	return list, true
}

func (w walker) fields(v, s cue.Value, fields []child, t trail) {
	each := element{attribute(s, "want", "each"), attribute(s, "want", "eachParse")}
	for _, f := range fields {
		below := t.below(v, f.selector, each)
		switch {
		case s.Exists() && f.selector.Type() != cue.IndexLabel && !s.Allows(f.selector):
			w.unknown(f, s, below)
		case f.selector.ConstraintType() == cue.RequiredConstraint:
			w.missing(f, below)
		default:
			w.value(f.value, memberOf(s, f.selector), below)
		}
	}
}

// memberOf is what the schema says of a field or an element.
func memberOf(s cue.Value, sel cue.Selector) cue.Value {
	if !s.Exists() {
		return s
	}
	if sel.Type() == cue.IndexLabel {
		if fixed := s.LookupPath(cue.MakePath(sel)); fixed.Exists() {
			return fixed
		}
		return s.LookupPath(cue.MakePath(cue.AnyIndex))
	}
	if plain := s.LookupPath(cue.MakePath(sel)); plain.Exists() {
		return plain
	}
	return s.LookupPath(cue.MakePath(sel.Optional()))
}

func (w walker) unknown(f child, s cue.Value, t trail) {
	name := f.selector.Unquoted()
	d := diag.Diagnostic{Code: codeUnknownField, Path: t.String(), Positions: w.places.labels(f.value)}
	known := namesOf(s)
	if len(known) == 0 && t.each.want != "" {
		d.Message = fmt.Sprintf("unknown field %q: want %s", name, t.each.want)
		w.add(d)
		return
	}
	d.Message = fmt.Sprintf("unknown field %q", name)
	near, ok := diag.Nearest(name, known)
	switch {
	case ok:
		d.Hint = fmt.Sprintf("did you mean %q?", near)
	case len(t.path) == 1:
		d.Hint = "a Helm value stands below values; here stand " + strings.Join(known, ", ")
	default:
		d.Hint = "here stand " + strings.Join(known, ", ")
	}
	w.add(d)
}

// namesOf lists the fields that the schema names, in its order.
func namesOf(s cue.Value) []string {
	var names []string
	if fields, err := s.Fields(cue.Optional(true)); err == nil {
		for fields.Next() {
			names = append(names, fields.Selector().Unquoted())
		}
	}
	return names
}

func (w walker) missing(f child, t trail) {
	d := diag.Diagnostic{Code: codeMissingField, Path: t.String(), Message: f.selector.Unquoted() + " is missing", Hint: attribute(f.value, "missing", "hint")}
	if why := attribute(f.value, "missing", ""); why != "" {
		d.Message += ": " + why
	}
	d.Positions = w.around(t)
	if because := attribute(f.value, "missing", "because"); because != "" {
		cause := t.values[0].LookupPath(cue.ParsePath(because))
		d.Positions = append(d.Positions, w.places.of(cause)...)
	}
	w.add(d)
}

// around are the author's places of the nearest value around one that he wrote
// nothing of.
func (w walker) around(t trail) []diag.Position {
	for _, v := range slices.Backward(t.values) {
		if list := w.places.labels(v); len(list) > 0 {
			return list[:1]
		}
	}
	return nil
}

// attribute gives an attribute's argument: the first without a key, or a named one.
func attribute(v cue.Value, name, key string) string {
	a := v.Attribute(name)
	if a.Err() != nil {
		return ""
	}
	if key == "" {
		text, _ := a.String(0)
		return text
	}
	text, _, _ := a.Lookup(1, key)
	return text
}
