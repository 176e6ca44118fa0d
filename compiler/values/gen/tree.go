// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"plumbline.dev/plumbline/compiler/values"
)

// key is a row of the table to be, with those below it.
type key struct {
	path     string
	typ      values.Type
	declared values.Type // what the chart's own schema states; zero if nothing
	def      string
	hasDef   bool
	nullOnly bool
	unread   bool
	needed   bool
	fold     bool
	later    string // the later release of the minor that the key is from
	note     string
	children map[string]*key
}

func (k *key) sorted() []*key {
	var out []*key
	for _, name := range slices.Sorted(maps.Keys(k.children)) {
		out = append(out, k.children[name])
	}
	return out
}

func (k *key) isObject() bool { return k.typ.Kinds.Has(values.Object) }

// open tells whether the key takes names that it does not list.
func (k *key) open() bool { return k.isObject() && !k.typ.Closed }

// walk visits every key below, parents first.
func (k *key) walk(visit func(*key)) {
	for _, c := range k.sorted() {
		visit(c)
		c.walk(visit)
	}
}

// find gives the key at names, and the deepest one there is on the way.
func (k *key) find(names []string) (found, deepest *key) {
	deepest = k
	for _, name := range names {
		next := deepest.children[name]
		if next == nil {
			return nil, deepest
		}
		deepest = next
	}
	return deepest, deepest
}

// fromSchema makes the tree that the chart's own schema declares. An object is
// open if it declares no names, or if templates render it whole; below an open
// object all is open.
func fromSchema(s *schema, u *Usage, path, plain string, open bool) (*key, error) {
	typ, err := s.valueType()
	if err != nil {
		return nil, fmt.Errorf("schema of %s: %w", path, err)
	}
	k := &key{path: path, typ: typ, declared: typ, children: map[string]*key{}}
	k.nullOnly = typ.Kinds == values.Of(values.Null)
	switch {
	case !k.isObject():
	case open || u.Whole[plain] || u.Walked[plain]:
		open = true
	case len(s.Properties) == 0 && !u.below(plain):
		open = true
	default:
		k.typ.Closed = true
	}
	k.needed = k.typ.Closed && u.Needed[plain]
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		child, err := fromSchema(s.Properties[name], u, values.Join(path, name), join(plain, name), open)
		if err != nil {
			return nil, err
		}
		k.children[name] = child
	}
	return k, nil
}

var jsonKinds = map[string]values.Kind{
	"null": values.Null, "boolean": values.Bool, "integer": values.Int, "number": values.Number,
	"string": values.String, "array": values.List, "object": values.Object,
}

func (s *schema) valueType() (values.Type, error) {
	var t values.Type
	if len(s.AnyOf) > 0 {
		return t, fmt.Errorf("anyOf stands outside of items")
	}
	for _, name := range s.Type {
		kind, ok := jsonKinds[name]
		if !ok {
			return t, fmt.Errorf("unknown type %q", name)
		}
		t.Kinds |= values.Of(kind)
	}
	for _, one := range s.OneOf {
		inner, err := one.valueType()
		if err != nil {
			return t, err
		}
		t.Kinds |= inner.Kinds
		t.Words = append(t.Words, inner.Words...)
	}
	if s.Enum != nil {
		t.Kinds |= values.Of(values.String)
		t.Words = s.Enum
	}
	if s.Minimum != nil && s.Maximum != nil {
		t.Bounded, t.Min, t.Max = true, *s.Minimum, *s.Maximum
	} else if s.Minimum != nil || s.Maximum != nil {
		return t, fmt.Errorf("only one of minimum and maximum")
	}
	if s.Items != nil {
		t.Items = s.Items.itemKinds()
	}
	if t.IsZero() {
		return t, fmt.Errorf("no type")
	}
	return t, nil
}

// itemKinds are the kinds of a list's elements. Objects among them were guessed
// from the default, so then every element goes.
func (s *schema) itemKinds() values.Kinds {
	var kinds values.Kinds
	for _, one := range s.AnyOf {
		t, err := one.valueType()
		if err != nil || t.Kinds.Has(values.Object) || t.Words != nil {
			return 0
		}
		kinds |= t.Kinds
	}
	return kinds
}

// setDefaults puts the values of values.yaml into the tree.
func (k *key) setDefaults(v any) error {
	object, ok := v.(map[string]any)
	if !ok || len(k.children) == 0 {
		text, err := compact(v)
		k.def, k.hasDef = text, err == nil
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		child := k.children[name]
		if child == nil {
			return fmt.Errorf("values.yaml has %s, the schema does not", values.Join(k.path, name))
		}
		if err := child.setDefaults(object[name]); err != nil {
			return err
		}
	}
	return nil
}

func compact(v any) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return strings.TrimSuffix(b.String(), "\n"), err
}

// scalarGuess is the type of a key that templates read and nothing describes.
var scalarGuess = values.Type{Kinds: values.Of(values.Bool, values.Int, values.Number, values.String)}

// addRead adds the keys that templates read and the schema lacks.
func (k *key) addRead(u *Usage, skip func(path string) bool) error {
	for _, path := range slices.Sorted(maps.Keys(u.Read)) {
		names := strings.Split(path, ".")
		if slices.Contains(names, "*") || skip(path) {
			continue
		}
		found, deepest := k.find(names)
		if found != nil || deepest.open() {
			continue
		}
		if !deepest.isObject() {
			return fmt.Errorf("templates read %s, but %s is %s", path, deepest.path, deepest.typ)
		}
		deepest.add(names, u)
	}
	return nil
}

func (k *key) add(names []string, u *Usage) {
	depth := len(names) - 1
	for depth > 0 {
		if strings.Join(names[:depth], ".") == k.path {
			break
		}
		depth--
	}
	for i := depth; i < len(names); i++ {
		plain := strings.Join(names[:i+1], ".")
		child := &key{path: plain, children: map[string]*key{}}
		switch {
		case u.Whole[plain] || u.Walked[plain]:
			child.typ = values.Type{Kinds: values.Of(values.List, values.Object) | scalarGuess.Kinds}
		case u.below(plain):
			child.typ = values.Type{Kinds: values.Of(values.Object), Closed: true}
		default:
			child.typ = scalarGuess
		}
		child.needed = child.typ.Closed && u.Needed[plain]
		k.children[names[i]] = child
		k = child
	}
}

// graft adds the keys that a later release of the minor has and this one lacks.
func (k *key) graft(from *key, release string) int {
	grafted := 0
	for _, name := range slices.Sorted(maps.Keys(from.children)) {
		theirs, ours := from.children[name], k.children[name]
		switch {
		case ours != nil:
			grafted += ours.graft(theirs, release)
		case k.typ.Closed:
			k.children[name] = theirs
			mark := func(c *key) { c.later, c.hasDef, c.def = release, false, "" }
			mark(theirs)
			theirs.walk(mark)
			grafted++
			theirs.walk(func(*key) { grafted++ })
		}
	}
	return grafted
}
