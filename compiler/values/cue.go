// SPDX-License-Identifier: Apache-2.0

package values

import (
	"encoding/json"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/token"

	"plumbline.dev/plumbline/compiler/diag"
)

// Place turns a file of a CUE position into the name to show, and tells whether
// the author wrote it: places in a schema stand behind the author's own.
type Place func(file string) (name string, author bool)

// FromCUE reads an evaluated CUE value. It goes on where a field is in error or
// has no concrete value: such a field is Unknown, so that one mistake hides no
// other; Check leaves a field in conflict to CUE's own error. Each field has the places of all its conjuncts. A nil place takes
// file names as they are.
func FromCUE(v cue.Value, place Place) Node {
	if place == nil {
		place = func(file string) (string, bool) { return file, true }
	}
	r := cueReader{place: place}
	return r.node(v)
}

type cueReader struct {
	place Place
}

func (r cueReader) node(v cue.Value) Node {
	out := Node{Positions: r.positions(v)}
	if d, ok := v.Default(); ok {
		v = d
	}
	switch v.Kind() {
	case cue.NullKind:
		out.Kind = Null
	case cue.BoolKind:
		b, err := v.Bool()
		out.set(Bool, b, err)
	case cue.StringKind:
		s, err := v.String()
		out.set(String, s, err)
	case cue.BytesKind:
		b, err := v.Bytes()
		out.set(String, string(b), err)
	case cue.IntKind, cue.FloatKind, cue.NumberKind:
		text, err := v.MarshalJSON()
		num := numberNode(json.Number(text))
		out.set(num.Kind, num.Scalar, err)
	case cue.ListKind:
		r.list(v, &out)
	default:
		// A struct with a mistake somewhere below is bottom, and still has fields.
		r.fields(v, &out)
	}
	return out
}

// set takes a scalar over if it could be read.
func (n *Node) set(k Kind, scalar any, err error) {
	if err == nil {
		n.Kind, n.Scalar = k, scalar
	}
}

func (r cueReader) list(v cue.Value, out *Node) {
	items, err := v.List()
	if err != nil {
		return
	}
	out.Kind = List
	for items.Next() {
		out.Items = append(out.Items, r.node(items.Value()))
	}
}

func (r cueReader) fields(v cue.Value, out *Node) {
	fields, err := v.Fields()
	if err != nil {
		out.Conflict = v.Validate() != nil
		return
	}
	out.Kind = Object
	for fields.Next() {
		value := r.node(fields.Value())
		out.Fields = append(out.Fields, Field{
			Name: fields.Selector().Unquoted(), Positions: value.Positions, Value: value,
		})
	}
}

// positions gives the places of every conjunct, the author's in front, and of
// those the one that CUE took the value from first.
func (r cueReader) positions(v cue.Value) []diag.Position {
	var own, other []diag.Position
	add := func(p token.Pos) {
		if !p.IsValid() {
			return
		}
		name, author := r.place(p.Filename())
		at := diag.Position{File: name, Line: p.Line(), Column: p.Column()}
		if author {
			own = append(own, at)
		} else {
			other = append(other, at)
		}
	}
	op, conjuncts := v.Expr()
	if op != cue.AndOp {
		add(v.Pos())
		return append(own, other...)
	}
	taken := v.Pos()
	for _, c := range conjuncts {
		if c.Pos().Filename() == taken.Filename() && c.Pos().Line() == taken.Line() {
			add(c.Pos())
		}
	}
	for _, c := range conjuncts {
		if c.Pos().Filename() != taken.Filename() || c.Pos().Line() != taken.Line() {
			add(c.Pos())
		}
	}
	return append(own, other...)
}
