// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"embed"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"sync"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/build"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/errors"
	"cuelang.org/go/cue/parser"

	"plumbline.dev/plumbline/compiler/diag"
)

// The codes of what is wrong with rules themselves, and of what they can't judge.
const (
	CodeBroken      = "rules/broken"  // a rule is no rule, or ends in an error
	CodeUnknownFact = "facts/unknown" // a rule lacks a fact of the cluster
)

// inputFile declares what rules read. It is part of every Set.
const inputFile = "input.cue"

//go:embed *.cue
var embedded embed.FS

// Source is a file of rules.
type Source struct {
	Name string // as findings show it
	Text []byte
}

// Rule is what a rule says of itself.
type Rule struct {
	Code     string
	Title    string
	Severity diag.Severity
	Why      string // what happens in the cluster
	Mend     string // what to do
	URLs     []string
	// Positions is where a team's rule is written; none for Plumbline's own.
	Positions []diag.Position
}

// Set is a parsed collection of rules.
type Set struct {
	Rules []Rule // by code

	mutex   sync.Mutex // CUE evaluates in one goroutine at a time
	context *cue.Context
	value   cue.Value
	refs    [][]string
	places  map[string]diag.Position // of rules, by code
}

// Own gives Plumbline's own rules.
func Own() (*Set, diag.List) {
	files, err := fs.Glob(embedded, "*.cue")
	var sources []Source
	for _, name := range files {
		var text []byte
		if text, err = embedded.ReadFile(name); name != inputFile {
			sources = append(sources, Source{name, text})
		}
	}
	if err != nil {
		panic(err) // embedded files can be read
	}
	set, list := Parse(sources)
	if set != nil {
		for i := range set.Rules {
			set.Rules[i].Positions = nil
		}
	}
	return set, list
}

// Parse reads rules. The Set holds those that are right, and is nil where a file
// can't be read as CUE at all; the findings tell of the others.
func Parse(sources []Source) (*Set, diag.List) {
	s := &Set{places: map[string]diag.Position{}, context: cuecontext.New(cuecontext.EvaluatorVersion(cuecontext.EvalV3), cuecontext.CUE_DEBUG(""))}
	input, err := embedded.ReadFile(inputFile)
	if err != nil {
		panic(err) // embedded files can be read
	}
	instance := build.NewContext().NewInstance("", nil)
	var list diag.List
	for _, source := range append([]Source{{inputFile, input}}, sources...) {
		file, err := parser.ParseFile(source.Name, source.Text)
		if err == nil {
			err = s.add(instance, file)
		}
		list = append(list, broken("", err)...)
	}
	if len(list) > 0 {
		return nil, list.Sort()
	}
	if err := instance.Complete(); err != nil {
		return nil, broken("", err).Sort()
	}
	s.value = s.context.BuildInstance(instance)
	if err := s.value.Err(); err != nil {
		return nil, broken("", err).Sort()
	}
	return s, s.describe().Sort()
}

func (s *Set) add(instance *build.Instance, file *ast.File) error {
	if name := file.PackageName(); name != "rules" {
		return errors.Newf(file.Pos(), "a file of rules belongs to the package rules, not to %q", name)
	}
	s.refs = append(s.refs, references(file)...)
	for _, rule := range fields(file.Decls, "rule") {
		if body, ok := rule.Value.(*ast.StructLit); ok {
			for _, one := range fields(body.Elts, "") {
				code, _, _ := ast.LabelName(one.Label)
				p := one.Label.Pos()
				s.places[code] = diag.Position{File: p.Filename(), Line: p.Line(), Column: p.Column()}
			}
		}
	}
	return instance.AddSyntax(file)
}

// fields are the fields of a name, of any name where it is "".
func fields(list []ast.Decl, name string) []*ast.Field {
	var out []*ast.Field
	for _, decl := range list {
		field, ok := decl.(*ast.Field)
		if !ok {
			continue
		}
		if label, _, err := ast.LabelName(field.Label); err == nil && (name == "" || label == name) {
			out = append(out, field)
		}
	}
	return out
}

var codeForm = regexp.MustCompile(`^[a-z0-9-]+/[a-z0-9-]+$`)

// describe reads what each rule says of itself.
func (s *Set) describe() diag.List {
	var list diag.List
	fields, err := s.value.LookupPath(cue.ParsePath("rule")).Fields()
	if err != nil {
		return broken("", err)
	}
	for fields.Next() {
		rule, err := describe(fields.Selector().Unquoted(), fields.Value())
		if at, ok := s.places[rule.Code]; ok {
			rule.Positions = []diag.Position{at}
		}
		if err != nil {
			list = append(list, s.broken(rule, err)...)
			continue
		}
		s.Rules = append(s.Rules, rule)
	}
	slices.SortFunc(s.Rules, func(a, b Rule) int { return strings.Compare(a.Code, b.Code) })
	return list
}

// known are the fields that a rule may have.
var known = []string{"title", "severity", "why", "mend", "urls", "found", "lacks"}

func describe(code string, v cue.Value) (Rule, error) {
	rule := Rule{Code: code}
	if !codeForm.MatchString(code) {
		return rule, errors.Newf(v.Pos(), "the code of a rule is AREA/NAME in lower case, such as team/owner-label")
	}
	texts := []struct {
		name string
		to   *string
	}{{"title", &rule.Title}, {"why", &rule.Why}, {"mend", &rule.Mend}}
	for _, text := range texts {
		field := v.LookupPath(cue.ParsePath(text.name))
		s, err := field.String()
		if err != nil || s == "" {
			return rule, errors.Newf(v.Pos(), "a rule states its %s, in words", text.name)
		}
		*text.to = strings.TrimSpace(s)
	}
	severity, err := v.LookupPath(cue.ParsePath("severity")).String()
	if err != nil {
		return rule, err
	}
	if urls := v.LookupPath(cue.ParsePath("urls")); urls.Exists() {
		if err := urls.Decode(&rule.URLs); err != nil {
			return rule, err
		}
	}
	if err := onlyKnown(v); err != nil {
		return rule, err
	}
	return rule, rule.Severity.UnmarshalText([]byte(severity))
}

func onlyKnown(v cue.Value) error {
	fields, err := v.Fields()
	if err != nil {
		return nil // the rule has no input yet
	}
	for fields.Next() {
		name := fields.Selector().Unquoted()
		if !slices.Contains(known, name) {
			return errors.Newf(fields.Value().Pos(), "a rule has no field %q: it has %s; what it needs beside them is a let or a hidden field", name, strings.Join(known, ", "))
		}
	}
	return nil
}

// Find gives a rule by its code.
func (s *Set) Find(code string) (Rule, bool) {
	i, ok := slices.BinarySearchFunc(s.Rules, code, func(r Rule, code string) int { return strings.Compare(r.Code, code) })
	if !ok {
		return Rule{}, false
	}
	return s.Rules[i], true
}

// broken tells what is wrong with a rule, at its own place where CUE knows none.
func (s *Set) broken(rule Rule, err error) diag.List {
	list := broken(rule.Code, err)
	for i := range list {
		if len(list[i].Positions) == 0 {
			list[i].Positions = rule.Positions
		}
	}
	return list
}

// broken turns an error of CUE into findings.
func broken(code string, err error) diag.List {
	var list diag.List
	for _, e := range errors.Errors(err) {
		d := diag.Diagnostic{Code: CodeBroken, Message: sentence(e), Hint: "docs/RULES.md shows the form of a rule"}
		if code != "" {
			d.Path = fmt.Sprintf("rule.%q", code)
		}
		for _, p := range errors.Positions(e) {
			if p.Filename() != inputFile {
				d.Positions = append(d.Positions, diag.Position{File: p.Filename(), Line: p.Line(), Column: p.Column()})
			}
		}
		list = append(list, d)
	}
	return list
}

func sentence(e errors.Error) string {
	format, args := e.Msg()
	if text := fmt.Sprintf(format, args...); text != "" {
		return text
	}
	return e.Error()
}
