// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Usage is how a chart's templates use the values. Paths are the names joined
// with dots; "" is .Values itself and "*" an element of a list or map.
type Usage struct {
	// Read are the paths that a template takes a value from in order to render.
	Read map[string]bool
	// Refused are the paths that are read only to decide on a `fail`.
	Refused map[string]bool
	// Whole are the paths that are rendered with everything below them (toYaml).
	Whole map[string]bool
	// Walked are the paths that are ranged over.
	Walked map[string]bool
	// Needed are the objects below which a template reads without having asked
	// whether they are there: rendering fails if they are null.
	Needed map[string]bool
	// Options are the agent's options in the cilium-config ConfigMap with the
	// paths that give them their value.
	Options map[string][]string
}

func newUsage() *Usage {
	return &Usage{
		Read: map[string]bool{}, Refused: map[string]bool{}, Whole: map[string]bool{},
		Walked: map[string]bool{}, Needed: map[string]bool{}, Options: map[string][]string{},
	}
}

// reads tells whether rendering takes the value at path: by name, as a part
// of something rendered whole, or by way of something below it.
func (u *Usage) reads(path string) bool {
	for p := path; p != ""; p = parent(p) {
		if u.Whole[p] || u.Walked[p] {
			return true
		}
	}
	return u.Read[path]
}

// below tells whether some name under path is read by name.
func (u *Usage) below(path string) bool {
	for p := range u.Read {
		if rest, ok := strings.CutPrefix(p, path+"."); ok && !strings.HasPrefix(rest, "*") {
			return true
		}
	}
	return false
}

func parent(path string) string {
	i := strings.LastIndexByte(path, '.')
	if i < 0 {
		return ""
	}
	return path[:i]
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// abstract is what the miner knows of a template value: the places in the
// values that it may come from, or its parts when the template put it together.
type abstract struct {
	root   bool // the dot of a template: has .Values
	paths  []string
	fields map[string]abstract
	items  []abstract
	text   string // a constant string
	isText bool
	file   string // the content of a file of the chart
}

func at(path string) abstract { return abstract{paths: []string{path}} }

// union is a value that is one of several.
func union(values ...abstract) abstract {
	var out abstract
	for _, v := range values {
		out.root = out.root || v.root
		out.paths = append(out.paths, v.paths...)
		if out.fields == nil {
			out.fields = v.fields
		}
		if out.items == nil {
			out.items = v.items
		}
		out.file = cmp.Or(out.file, v.file)
	}
	slices.Sort(out.paths)
	out.paths = slices.Compact(out.paths)
	return out
}

// key identifies an abstract value, so that a template is mined once for each
// kind of dot it is called with.
func (a abstract) key() string {
	var b strings.Builder
	if a.root {
		b.WriteString("root")
	}
	b.WriteString(strings.Join(a.paths, ","))
	for _, name := range slices.Sorted(maps.Keys(a.fields)) {
		b.WriteString("{" + name + ":" + a.fields[name].key() + "}")
	}
	for _, item := range a.items {
		b.WriteString("[" + item.key() + "]")
	}
	return b.String()
}

// optionBefore finds the ConfigMap key that a value is rendered behind.
var optionBefore = regexp.MustCompile(`(?:^|\n)[ ]{2}([a-z0-9][a-z0-9-]*):\s*["']?:?$`)

// optionFixed finds ConfigMap keys with a constant value.
var optionFixed = regexp.MustCompile(`(?m)^[ ]{2}([a-z0-9][a-z0-9-]*): ["']?(?:true|false)["']?\s*$`)
