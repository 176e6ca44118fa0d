// SPDX-License-Identifier: Apache-2.0

package load

import (
	"slices"
	"strconv"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/errors"
	cueload "cuelang.org/go/cue/load"

	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/schema"
)

// The codes of what Load finds.
const (
	codeUnreadable    = "env/unreadable"     // the folder, or its module file, can't be read
	codeSyntax        = "env/syntax"         // no CUE, or nothing that CUE can load
	codeNoEnvironment = "env/no-environment" // the package states none
	codeUnknownField  = "env/unknown-field"  // the schema has no such field
	codeMissingField  = "env/missing-field"  // the schema requires a field
	codeWrongType     = "env/wrong-type"     // a string where a number belongs
	codeNotOneOf      = "env/not-one-of"     // a word that is none of a few
	codeBadValue      = "env/bad-value"      // the right type, and out of bounds
	codeConflict      = "env/conflict"       // two places want two things
	codeIncomplete    = "env/incomplete"     // a type or bound where a value belongs
	codeEvaluation    = "env/evaluation"     // anything else that CUE objects to
)

func (r *reader) add(d diag.Diagnostic) { r.findings = append(r.findings, d) }

// reportAll turns errors of CUE's own into findings.
func (r *reader) reportAll(code string, err error) {
	for _, e := range errors.Errors(err) {
		r.report(code, e)
	}
}

// reportModuleFile reports what is wrong with the author's module file.
func (r *reader) reportModuleFile(name string, err error) {
	for _, e := range errors.Errors(err) {
		r.report(codeSyntax, e)
		if d := &r.findings[len(r.findings)-1]; len(d.Positions) == 0 {
			d.Positions = []diag.Position{{File: name}}
		}
	}
}

func (r *reader) report(code string, e errors.Error) {
	d := diag.Diagnostic{Code: code, Path: pathOf(e), Message: e.Error()}
	d.Message = strings.TrimPrefix(d.Message, strings.Join(e.Path(), ".")+": ")
	if code == codeSyntax {
		d.Path = "" // of a package, not of a field
	}
	if inner, ok := strings.CutPrefix(d.Message, "import failed: "); ok {
		d.Message = strings.TrimPrefix(inner, e.Position().String()+": ")
		d.Hint = "an environment imports only CUE's own packages, " + schema.Package + " and packages of its own module: it is read without network"
	}
	if noFiles := new(cueload.NoFilesError); errors.As(e, &noFiles) {
		d.Message, d.Hint = "no file here names its package", "start each file with: package environments"
		d.Positions = []diag.Position{{File: r.source.display(r.source.Dir)}}
	}
	d.Message = strings.Join(strings.Fields(strings.ReplaceAll(d.Message, schemaPrefix, "")), " ")
	d.Positions = append(d.Positions, r.places.positions(append(e.InputPositions(), e.Position()))...)
	r.add(d)
}

// pathOf gives the path of an error of CUE's, elements of lists as [0].
func pathOf(e errors.Error) string {
	var b strings.Builder
	for i, name := range e.Path() {
		switch _, err := strconv.ParseUint(name, 10, 32); {
		case err == nil:
			b.WriteString("[" + name + "]")
		case i > 0:
			b.WriteString("." + name)
		default:
			b.WriteString(name)
		}
	}
	return b.String()
}

// safetyNet reports what CUE objects to and no finding has told yet: nothing is
// dropped silently (I10).
func (r *reader) safetyNet(whole, value cue.Value) {
	told := append(slices.Clip(r.findings), r.consequences...)
	objections := append(errors.Errors(whole.Validate()), errors.Errors(value.Validate(cue.Concrete(true), cue.Final()))...)
	for _, e := range objections {
		if !covered(pathOf(e), told) && !r.consequent(e, told) {
			r.report(codeEvaluation, e)
		}
	}
}

// consequent tells whether an error that CUE gives no path stems from a place
// that a finding speaks of: an expression of the schema that used its value.
func (r *reader) consequent(e errors.Error, list diag.List) bool {
	if len(e.Path()) > 0 {
		return false
	}
	at := r.places.positions(append(e.InputPositions(), e.Position()))
	return slices.ContainsFunc(list, func(d diag.Diagnostic) bool {
		return slices.ContainsFunc(d.Positions, func(p diag.Position) bool { return slices.Contains(at, p) })
	})
}

// covered tells whether a finding speaks of a path, or of one around or below it.
func covered(path string, list diag.List) bool {
	return slices.ContainsFunc(list, func(d diag.Diagnostic) bool { return around(d.Path, path) || around(path, d.Path) })
}

// around tells whether a path is another one's beginning, or the same.
func around(path, other string) bool {
	rest, ok := strings.CutPrefix(other, path)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// Codes gives every code that this package uses.
func Codes() []string {
	return []string{codeUnreadable, codeSyntax, codeNoEnvironment, codeUnknownField, codeMissingField, codeWrongType, codeNotOneOf, codeBadValue, codeConflict, codeIncomplete, codeEvaluation}
}
