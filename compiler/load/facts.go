// SPDX-License-Identifier: Apache-2.0

package load

import (
	"strconv"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/token"
	"cuelang.org/go/encoding/yaml"

	"plumbline.dev/plumbline/compiler/diag"
)

// factsField is the name that an environment has its facts under, in front of
// every path.
const factsField = "cluster"

// Facts are the facts of a cluster that stand in a file of their own, where
// there is no environment.
type Facts struct {
	// Data is as Environment.Cluster has it.
	Data map[string]any

	value  cue.Value
	places *places
}

// ReadFacts reads an object of YAML or JSON, typed by schema.#Cluster as an
// environment's cluster is. The file name is for the places alone. A fact of
// another type is a warning, for who has plain values has his facts from notes
// and not from a schema: rules read what can be read of it. The Facts are nil
// exactly where a finding is an Error.
func ReadFacts(file string, data []byte) (*Facts, diag.List) {
	r := &reader{context: newContext(), places: &places{folder: "."}}
	f := r.facts(file, data)
	return f, r.findings.Sort()
}

func (r *reader) facts(file string, data []byte) *Facts {
	parsed, err := yaml.Extract(file, data)
	if err != nil {
		r.reportAll(codeSyntax, err)
		return nil
	}
	whole := r.context.BuildFile(&ast.File{Filename: file, Decls: []ast.Decl{
		&ast.Field{Label: ast.NewIdent(factsField), Value: factsObject(parsed)},
	}})
	written := whole.LookupPath(cue.ParsePath(factsField))
	if written.IncompleteKind() != cue.StructKind {
		r.add(diag.Diagnostic{Code: codeWrongType, Path: factsField, Message: "want facts by name, have " + have(written), Positions: []diag.Position{{File: file, Line: 1}}})
		return nil
	}
	typed := r.schema("Cluster")
	value := written.Unify(typed)
	walker{r, typed}.value(value, typed, trail{root: factsField})
	r.safetyNet(whole, value)
	r.findings = append(r.findings, r.consequences...)
	f := &Facts{value: value, places: r.places}
	if r.loosen() {
		f.value = written
	}
	if r.findings.Count(diag.Error) == 0 {
		r.reportAll(codeBadValue, f.value.Decode(&f.Data))
	}
	if r.findings.Count(diag.Error) > 0 {
		return nil
	}
	return f
}

// loosen makes warnings of facts that are of another type, and tells whether there
// are any.
func (r *reader) loosen() bool {
	loosened := false
	for i := range r.findings {
		d := &r.findings[i]
		switch d.Code {
		case codeWrongType, codeNotOneOf, codeBadValue:
			d.Severity, d.Hint, loosened = diag.Warning, "what can't be read of it counts as not stated", true
		}
	}
	return loosened
}

// factsObject is what a file holds as one expression; one without anything in
// it is an empty object.
func factsObject(f *ast.File) ast.Expr {
	for _, decl := range f.Decls {
		embedded, ok := decl.(*ast.EmbedDecl)
		if !ok {
			continue
		}
		switch x := embedded.Expr.(type) {
		case *ast.BinaryExpr: // *null | _, an empty document
			return &ast.StructLit{}
		case *ast.BasicLit:
			if x.Kind == token.NULL {
				return &ast.StructLit{}
			}
		}
		return embedded.Expr
	}
	return &ast.StructLit{Elts: f.Decls}
}

// Positions are the places of a fact, or of the nearest one around it.
func (f *Facts) Positions(path ...string) []diag.Position {
	for n := len(path); n >= 0; n-- {
		if at := f.places.of(f.value.LookupPath(selectors(path[:n]))); len(at) > 0 {
			return at
		}
	}
	return nil
}

// Platforms are the names that #Environment has for what a cluster runs on.
func Platforms() []string {
	typed := (&reader{context: newContext()}).schema("Environment").LookupPath(cue.ParsePath("platform"))
	names := choices(typed)
	for i, quoted := range names {
		names[i], _ = strconv.Unquote(quoted) // choices quotes with %q
	}
	return names
}
