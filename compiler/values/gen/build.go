// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"plumbline.dev/plumbline/compiler/values"
)

// draft is a minor's table before it is written.
type draft struct {
	chart   *Chart
	usage   *Usage
	root    *key
	moved   map[string]movedRow
	words   map[string][]wordRule
	curated *curated
	counts  Counts
}

// movedRow is a row of the section [moved].
type movedRow struct {
	effect values.Effect
	since  string
	to     []string
	note   string
}

// Counts is what a table is made of; the goldens hold them.
type Counts struct {
	Keys, Closed, Open, PassThrough, Lists, AnyItems, Added, NullOnly, Unread, Needed, Words, Options int
	Deprecated, Gone, Later                                                                           int
}

// build makes the draft of one chart.
func build(c *Chart, cur *curated) (*draft, error) {
	usage, err := mine(c.Templates, c.Files)
	if err != nil {
		return nil, err
	}
	root, err := fromSchema(c.Schema, usage, "", "", false)
	if err != nil {
		return nil, err
	}
	d := &draft{chart: c, usage: usage, root: root, curated: cur, moved: map[string]movedRow{}, words: map[string][]wordRule{}}
	d.countDeclared()
	if err := root.setDefaults(c.Values); err != nil {
		return nil, err
	}
	err = errors.Join(d.move(), root.addRead(usage, d.isGone))
	return d, errors.Join(err, d.applyTypes(), d.applyWords(), d.finish(), d.checkRefused())
}

func (d *draft) countDeclared() {
	d.root.walk(func(k *key) {
		if k.open() && len(k.children) > 0 && !d.underOpen(k) {
			d.counts.PassThrough++
		}
	})
}

// underOpen tells whether something above the key is open too.
func (d *draft) underOpen(k *key) bool {
	names, err := values.Split(k.path)
	if err != nil {
		return false
	}
	for i := 1; i < len(names); i++ {
		if above, _ := d.root.find(names[:i]); above != nil && above.open() {
			return true
		}
	}
	return false
}

// move takes the curated effects over that hold in this minor. A key without
// effect stays in the tree only if the chart's schema declares it.
func (d *draft) move() error {
	var errs []error
	for _, r := range d.curated.moved {
		e, ok := r.effect(d.chart.Minor)
		if !ok {
			continue
		}
		d.moved[r.path] = movedRow{effect: e.effect, since: e.minor, to: r.to, note: cmp.Or(e.note, r.note)}
		names := strings.Split(r.path, ".")
		found, _ := d.root.find(names)
		if e.effect != values.Deprecated && found != nil && found.declared.IsZero() {
			above, _ := d.root.find(names[:len(names)-1])
			delete(above.children, names[len(names)-1])
		}
		if e.effect == values.Fails || e.effect == values.FailsIfSet {
			if !d.refuses(r.path) {
				errs = append(errs, fmt.Errorf("moved.txt:%d: %s: the %s chart refuses no such key", r.line, r.path, d.chart.Minor))
			}
		}
	}
	return errors.Join(errs...)
}

func (d *draft) refuses(path string) bool { return d.usage.Refused[path] }

// isGone tells whether the key, or one that holds it, is gone.
func (d *draft) isGone(path string) bool {
	for p := path; p != ""; p = parent(p) {
		m, ok := d.moved[p]
		found, _ := d.root.find(strings.Split(p, "."))
		if ok && m.effect != values.Deprecated && found == nil {
			return true
		}
	}
	return false
}

func (d *draft) applyTypes() error {
	var errs []error
	for i := range d.curated.types {
		r := &d.curated.types[i]
		if !r.holds(d.chart.Minor) {
			continue
		}
		hits := 0
		d.root.walk(func(k *key) {
			if !r.covers(k.path) {
				return
			}
			hits++
			if err := k.retype(r); err != nil {
				errs = append(errs, fmt.Errorf("types.txt:%d: %w", r.line, err))
			}
		})
		if hits == 0 {
			errs = append(errs, fmt.Errorf("types.txt:%d: the %s chart has no %s", r.line, d.chart.Minor, r.path))
		}
	}
	return errors.Join(errs...)
}

// retype gives the key the curated type. A rule for many keys leaves those
// alone that are no maps, and keys that it does not suit.
func (k *key) retype(r *typeRule) error {
	many := strings.HasPrefix(r.path, "**.")
	switch {
	case many && r.typ.Kinds.Has(values.Object):
		if !k.open() {
			return nil
		}
		k.typ.Each, k.note = r.typ.Each, r.note
		return nil
	case !k.declared.IsZero() && !k.nullOnly && k.declared.Kinds&r.typ.Kinds != r.typ.Kinds&^values.Of(values.Bool):
		if k.declared.Kinds&r.typ.Kinds != r.typ.Kinds {
			return fmt.Errorf("%s: %s is wider than the chart's %s", k.path, r.typ, k.declared)
		}
	}
	k.typ, k.fold, k.note = r.typ, r.fold, r.note
	return nil
}

func (d *draft) applyWords() error {
	var errs []error
	for _, r := range d.curated.words {
		found, _ := d.root.find(strings.Split(r.path, "."))
		switch {
		case found == nil || found.typ.Words == nil:
			errs = append(errs, fmt.Errorf("types.txt:%d: %s takes no words", r.line, r.path))
		case slices.Contains(found.typ.Words, r.word):
			errs = append(errs, fmt.Errorf("types.txt:%d: %s still takes %q", r.line, r.path, r.word))
		}
		d.words[r.path] = append(d.words[r.path], r)
	}
	return errors.Join(errs...)
}

// finish marks what is unread, counts, and makes sure that every default is
// of the type.
func (d *draft) finish() error {
	var errs []error
	d.root.walk(func(k *key) {
		plain := plainPath(k.path)
		used := d.usage.reads(plain) || d.usage.below(plain) || d.usage.Refused[plain] || plain == "global"
		k.unread = !used && len(k.children) == 0 && !k.declared.IsZero()
		if k.nullOnly && k.typ.Kinds == values.Of(values.Null) {
			errs = append(errs, fmt.Errorf("%s takes null alone in the %s chart: types.txt has to say what it is meant to take", k.path, d.chart.Minor))
		}
		d.count(k)
	})
	for path, m := range d.moved {
		found, _ := d.root.find(strings.Split(path, "."))
		if m.effect == values.Deprecated && found == nil {
			errs = append(errs, fmt.Errorf("moved.txt: %s cannot be %s in the %s chart", path, m.effect, d.chart.Minor))
		}
		for _, to := range m.to {
			if target, _ := d.root.find(strings.Split(to, ".")); target == nil {
				errs = append(errs, fmt.Errorf("moved.txt: %s: the %s chart has no %s", path, d.chart.Minor, to))
			}
		}
	}
	d.counts.Options = len(d.usage.Options)
	return errors.Join(errs...)
}

func plainPath(path string) string {
	names, err := values.Split(path)
	if err != nil {
		return path
	}
	return strings.Join(names, ".")
}

func (d *draft) count(k *key) {
	add := func(n *int, is bool) {
		if is {
			*n++
		}
	}
	c := &d.counts
	c.Keys++
	add(&c.Closed, k.typ.Closed)
	add(&c.Open, k.open() && len(k.children) == 0)
	add(&c.Lists, k.typ.Kinds.Has(values.List))
	add(&c.AnyItems, k.typ.Kinds.Has(values.List) && k.typ.Items == 0)
	add(&c.Added, k.declared.IsZero())
	add(&c.NullOnly, k.nullOnly)
	add(&c.Unread, k.unread)
	add(&c.Needed, k.needed)
	add(&c.Words, k.typ.Words != nil)
}

// checkRefused makes sure that every key the chart refuses is known or curated.
func (d *draft) checkRefused() error {
	var errs []error
	for _, path := range slices.Sorted(maps.Keys(d.usage.Refused)) {
		names := strings.Split(path, ".")
		found, deepest := d.root.find(names)
		if found != nil || deepest.open() || slices.Contains(names, "*") || d.isGone(path) || d.leadsToGone(path) {
			continue
		}
		errs = append(errs, fmt.Errorf("the %s chart refuses %s: moved.txt has to say what to do", d.chart.Minor, path))
	}
	return errors.Join(errs...)
}

// leadsToGone tells whether a curated key lies below.
func (d *draft) leadsToGone(path string) bool {
	for p := range d.moved {
		if strings.HasPrefix(p, path+".") {
			return true
		}
	}
	return false
}

// inherit takes over what stood in the table of the minor before and is not in
// this one: such keys are gone, and so are those that were gone already.
func (d *draft) inherit(before *draft) {
	before.root.walk(func(k *key) {
		names, err := values.Split(k.path)
		if err != nil {
			return
		}
		found, deepest := d.root.find(names)
		plain := strings.Join(names, ".")
		if found != nil || deepest.open() || deepest.path != parent(plain) || d.isGone(plain) || d.leadsToGone(plain) {
			return
		}
		d.moved[k.path] = movedRow{effect: values.Ignored, since: d.chart.Minor}
	})
	for path, m := range before.moved {
		found, deepest := d.root.find(strings.Split(path, "."))
		if m.effect != values.Deprecated && found == nil && !deepest.open() && !d.isGone(path) {
			d.moved[path] = m
		}
	}
}

// countMoved counts the keys that are gone and those that are about to go.
func (d *draft) countMoved() {
	for path := range d.moved {
		if found, _ := d.root.find(strings.Split(path, ".")); found == nil {
			d.counts.Gone++
		} else {
			d.counts.Deprecated++
		}
	}
}
