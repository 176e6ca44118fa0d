// SPDX-License-Identifier: Apache-2.0

package load

import (
	"cmp"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/token"

	"plumbline.dev/plumbline/compiler/diag"
)

// schemaPrefix marks the files of the embedded schema. No author's file has a
// name like it.
const schemaPrefix = "\x00schema:"

// places turns CUE's positions into an author's.
type places struct {
	folder string // the environment's, as positions show it
}

func newPlaces(src Source) *places { return &places{src.display(src.Dir)} }

// part is one of the author's statements that a value is made of.
type part struct {
	value cue.Value
	at    diag.Position // of the value
	label diag.Position // of the field's name, where it is known
}

// parts splits a value into what the author wrote of it, the most specific file
// first. The schema's own parts are left out.
func (p *places) parts(v cue.Value) []part {
	var list []part
	p.split(v, &list)
	slices.SortStableFunc(list, func(a, b part) int { return p.compare(a.at, b.at) })
	return slices.CompactFunc(list, func(a, b part) bool { return a.at == b.at })
}

func (p *places) split(v cue.Value, list *[]part) {
	if op, parts := v.Expr(); op == cue.AndOp && len(parts) > 1 {
		for _, each := range parts {
			p.split(each, list)
		}
		return
	}
	one := part{value: v}
	pos := v.Pos()
	if f, ok := v.Source().(*ast.Field); ok {
		one.label, _ = p.position(f.Label.Pos())
		if pos = f.Value.Pos(); !pos.IsValid() { // a struct without braces: a: b: 1
			pos = f.Label.Pos()
		}
	}
	var authored bool
	if one.at, authored = p.position(pos); authored {
		*list = append(*list, one)
	}
}

// of are the places of a value's parts.
func (p *places) of(v cue.Value) []diag.Position {
	var list []diag.Position
	for _, each := range p.parts(v) {
		list = append(list, each.at)
	}
	return list
}

// labels are the places of the names under which a value stands.
func (p *places) labels(v cue.Value) []diag.Position {
	var list []diag.Position
	for _, each := range p.parts(v) {
		if each.label.Line == 0 {
			each.label = each.at
		}
		list = append(list, each.label)
	}
	return list
}

// position gives an author's place; the schema's are none of his.
func (p *places) position(pos token.Pos) (diag.Position, bool) {
	if !pos.IsValid() || pos.Filename() == "" || strings.HasPrefix(pos.Filename(), schemaPrefix) {
		return diag.Position{}, false
	}
	at := pos.Position()
	return diag.Position{File: filepath.ToSlash(at.Filename), Line: at.Line, Column: at.Column}, true
}

// positions gives the author's places among some.
func (p *places) positions(list []token.Pos) []diag.Position {
	var out []diag.Position
	for _, pos := range list {
		if at, ok := p.position(pos); ok {
			out = append(out, at)
		}
	}
	return p.sort(out)
}

// sort puts the most specific file first, and drops repetitions.
func (p *places) sort(list []diag.Position) []diag.Position {
	slices.SortFunc(list, p.compare)
	return slices.Compact(list)
}

// compare orders the files of the environment's own folder before those of the
// folders above it, and those before all others.
func (p *places) compare(a, b diag.Position) int {
	return cmp.Or(
		cmp.Compare(p.distance(a.File), p.distance(b.File)),
		cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
}

// distance counts the folders between the environment's and a file's.
func (p *places) distance(file string) int {
	rel, err := filepath.Rel(p.folder, path.Dir(file))
	if err != nil {
		return len(file)
	}
	if rel == "." {
		return 0
	}
	return strings.Count(filepath.ToSlash(rel), "/") + 1
}
