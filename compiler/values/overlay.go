// SPDX-License-Identifier: Apache-2.0

package values

import (
	"slices"

	"plumbline.dev/plumbline/compiler/diag"
)

// Overlay lays a values file over those before it, as Helm does with several
// --values: objects merge by name, anything else replaces. A null replaces too
// and stays, so that it takes away the chart's default. Every value keeps the
// places of the file that it is from; those of an object are the upper file's
// first.
func Overlay(under, over Node) Node {
	if under.Kind != Object || over.Kind != Object {
		return over
	}
	out := Node{Kind: Object, Positions: slices.Concat(over.Positions, under.Positions)}
	at := map[string]int{}
	put := func(f Field) {
		i, there := at[f.Name]
		if !there {
			at[f.Name] = len(out.Fields)
			out.Fields = append(out.Fields, f)
			return
		}
		if f.Value.Kind == Object && out.Fields[i].Value.Kind == Object {
			f.Positions = slices.Concat(f.Positions, out.Fields[i].Positions)
			f.Value = Overlay(out.Fields[i].Value, f.Value)
		}
		out.Fields[i] = f
	}
	for _, f := range single(under.Fields) {
		put(f)
	}
	for _, f := range single(over.Fields) {
		put(f)
	}
	return out
}

// single are the fields with a name each; of two the last counts.
func single(fields []Field) []Field {
	last := make(map[string]int, len(fields))
	for i := range fields {
		last[fields[i].Name] = i
	}
	var out []Field
	for i := range fields {
		if last[fields[i].Name] == i {
			out = append(out, fields[i])
		}
	}
	return out
}

// Umbrella finds the values of Cilium in those of a chart that has Cilium as its
// part: below the name cilium, with the global values that Helm hands down. It
// is false where the names beside are Cilium's own, and so the wrapper a slip.
func (t *Table) Umbrella(n Node) (inner Node, ok bool) {
	wrapped, ok := n.field("cilium")
	if !ok || wrapped.Value.Kind != Object || !t.holdsKnown(&wrapped.Value) {
		return n, false
	}
	inner = wrapped.Value
	for i := range n.Fields {
		f := &n.Fields[i]
		switch k := t.root.child(f.Name); {
		case f.Name == "global":
			inner = Overlay(Node{Kind: Object, Fields: []Field{*f}}, inner)
		case k != nil && k.known:
			return n, false
		}
	}
	return inner, true
}

// At gives the places of what lies under the names, or of the nearest object
// around it that is there.
func (n *Node) At(names ...string) []diag.Position {
	at := n.Positions
	for _, name := range names {
		f, ok := n.field(name)
		if !ok {
			return at
		}
		n, at = &f.Value, f.Value.Positions
	}
	return at
}

// Stated gives the places that write what lies under the names, its name in
// front; none where nothing does.
func (n *Node) Stated(names ...string) []diag.Position {
	at := n.Positions
	for _, name := range names {
		f, ok := n.field(name)
		if !ok {
			return nil
		}
		n, at = &f.Value, f.places()
	}
	return at
}
