// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"plumbline.dev/plumbline/compiler/values"
)

// text writes the draft as package values reads it.
func (d *draft) text() (string, error) {
	var b strings.Builder
	row := func(columns ...string) {
		for i, c := range columns {
			if c == "" {
				columns[i] = "-"
			}
		}
		b.WriteString(strings.Join(columns, "\t") + "\n")
	}
	b.WriteString("cilium values 1\n")
	row("chart", d.chart.Version, d.chart.Sum)
	b.WriteString("[keys]\n")
	d.root.walk(func(k *key) { row(k.columns()...) })
	b.WriteString("[moved]\n")
	for _, path := range slices.Sorted(maps.Keys(d.moved)) {
		m := d.moved[path]
		row(path, m.effect.String(), m.since, strings.Join(m.to, ","), m.note)
	}
	b.WriteString("[words]\n")
	for _, path := range slices.Sorted(maps.Keys(d.words)) {
		for _, w := range d.words[path] {
			row(path, strconv.Quote(w.word), w.to, w.note)
		}
	}
	b.WriteString("[notes]\n")
	d.root.walk(func(k *key) {
		if k.note != "" {
			row(k.path, k.note)
		}
	})
	b.WriteString("[options]\n")
	for _, name := range slices.Sorted(maps.Keys(d.usage.Options)) {
		if paths := d.known(d.usage.Options[name]); len(paths) > 0 {
			row(name, strings.Join(paths, ","))
		}
	}
	table, err := values.Parse(b.String())
	if err != nil {
		return "", fmt.Errorf("table of %s: %w", d.chart.Minor, err)
	}
	return table.String(), nil
}

// known drops the paths that are gone.
func (d *draft) known(paths []string) []string {
	var out []string
	for _, p := range paths {
		if found, _ := d.root.find(strings.Split(p, ".")); found != nil {
			out = append(out, p)
		}
	}
	return out
}

func (k *key) columns() []string {
	columns := []string{k.path, k.typ.String()}
	if k.hasDef {
		columns = append(columns, "="+k.def)
	}
	for _, flag := range []struct {
		set  bool
		name string
	}{
		{k.unchecked(), "!unchecked"}, {!k.unchecked() && k.typ.String() != k.closedDeclared(), "!loose"},
		{k.nullOnly, "!null-only"}, {k.unread, "!unread"}, {k.needed, "!needed"}, {k.fold, "!fold"},
	} {
		if flag.set {
			columns = append(columns, flag.name)
		}
	}
	if k.later != "" {
		columns = append(columns, "!later="+k.later)
	}
	return columns
}

// unchecked tells whether the chart's own schema lets other kinds through.
func (k *key) unchecked() bool { return k.declared.Kinds != k.typ.Kinds }

// closedDeclared is what the chart's own schema checks, but for names: no key
// counts as loose only because the schema takes names that it does not know.
func (k *key) closedDeclared() string {
	t := k.declared
	t.Closed = k.typ.Closed
	return t.String()
}
