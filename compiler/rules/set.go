// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"cmp"
	"embed"
	"encoding/json"
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
	"cuelang.org/go/cue/literal"
	"cuelang.org/go/cue/parser"
	"cuelang.org/go/cue/token"

	"plumbline.dev/plumbline/compiler/diag"
)

// The codes of what is wrong with rules themselves, and of what they can't judge.
const (
	CodeBroken      = "rules/broken"  // a rule is no rule, or ends in an error
	CodeUnknownFact = "facts/unknown" // a rule lacks a fact of the cluster
)

// inputFile declares what rules read. It is part of every Set.
const inputFile = "input.cue"

//go:generate env PLUMB_UPDATE=1 go test -run ^TestOwnIsAsWritten$ .

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

// Set is a collection of rules.
type Set struct {
	Rules []Rule // by code

	files []*file
	about []named    // the fields of input.cue
	refs  [][]string // what rules name of the input, the shorter ones first
	mutex sync.Mutex // what syntax the files have is evaluated by one at a time
}

// Own gives Plumbline's own rules. They are read when Plumbline is built; their
// files are opened for those alone that CUE has to evaluate.
func Own() *Set {
	s := &Set{Rules: ownRules, about: ownAbout, refs: ownRefs}
	for _, f := range ownFiles {
		f.text = embeddedText(f.name)
		s.files = append(s.files, &f)
	}
	return s
}

// parseOwn reads Plumbline's own rules from their files.
func parseOwn() (*Set, diag.List) {
	names, err := fs.Glob(embedded, "*.cue")
	if err != nil {
		panic(err) // the pattern is right
	}
	var sources []Source
	for _, name := range names {
		sources = append(sources, Source{name, embeddedText(name)})
	}
	s := &Set{}
	list := s.parse(sources)
	for i := range s.Rules {
		s.Rules[i].Positions = nil
	}
	return s, list
}

func embeddedText(name string) []byte {
	text, err := embedded.ReadFile(name)
	if err != nil {
		panic(err) // embedded files can be read
	}
	return text
}

// Parse reads a team's rules. The Set holds those that are right, and is nil
// where a file can't be read as CUE at all; the findings tell of the others.
func Parse(sources []Source) (*Set, diag.List) {
	s := &Set{}
	list := s.parse(append([]Source{{inputFile, embeddedText(inputFile)}}, sources...))
	if len(list) == 0 {
		// What CUE finds only when it builds is told now, not at the first use.
		_, err := s.build(nil, nil)
		list = broken("", err)
		if err != nil {
			return nil, list.Sort()
		}
	}
	if s.files == nil {
		return nil, list.Sort()
	}
	return s, list.Sort()
}

// parse parses files, side by side, and takes their rules.
func (s *Set) parse(sources []Source) diag.List {
	files, errs := make([]*ast.File, len(sources)), make([]error, len(sources))
	var wait sync.WaitGroup
	for i, source := range sources {
		wait.Go(func() { files[i], errs[i] = parser.ParseFile(source.Name, source.Text) })
	}
	wait.Wait()
	var list diag.List
	for i, file := range files {
		if errs[i] == nil && file.PackageName() != "rules" {
			errs[i] = errors.Newf(file.Pos(), "a file of rules belongs to the package rules, not to %q", file.PackageName())
		}
		list = append(list, broken("", errs[i])...)
	}
	if len(list) > 0 {
		return list
	}
	for _, syntax := range files {
		s.refs = append(s.refs, references(syntax)...)
		f := &file{name: syntax.Filename}
		var found []Rule
		found, f.syntax, f.whole, list = take(syntax, list)
		for _, rule := range found {
			list = append(list, s.add(rule)...)
		}
		f.rules, f.lets = f.syntax.guarded()
		if f.name == inputFile {
			f.whole, s.about = true, aboutFields(syntax)
		}
		s.files = append(s.files, f)
	}
	slices.SortFunc(s.refs, func(a, b []string) int { return cmp.Or(len(a)-len(b), slices.Compare(a, b)) })
	s.refs = slices.CompactFunc(s.refs, slices.Equal)
	slices.SortFunc(s.Rules, func(a, b Rule) int { return strings.Compare(a.Code, b.Code) })
	return list
}

func (s *Set) add(rule Rule) diag.List {
	if slices.ContainsFunc(s.Rules, func(r Rule) bool { return r.Code == rule.Code }) {
		return rule.broken(errors.Newf(token.NoPos, "the rule is stated twice"))
	}
	s.Rules = append(s.Rules, rule)
	return nil
}

// open parses the file if nobody has.
func (f *file) open() *syntax {
	if f.syntax == nil {
		parsed, err := parser.ParseFile(f.name, f.text)
		if err != nil {
			panic(err) // Plumbline's own file: its tests parse it
		}
		_, f.syntax, _, _ = take(parsed, nil)
	}
	return f.syntax
}

// take takes the rules of a file. What a rule says of itself is read here and
// taken out of the file, so that no evaluation carries it along. What is wrong is
// added to a list; whole tells that some rule is more than its lists.
func take(parsed *ast.File, list diag.List) (found []Rule, s *syntax, whole bool, _ diag.List) {
	s = &syntax{file: parsed}
	for _, field := range fields(parsed.Decls, "rule") {
		body, ok := field.Value.(*ast.StructLit)
		if !ok {
			continue
		}
		for _, one := range fields(body.Elts, "") {
			rule, err := describe(one)
			if err != nil {
				list = append(list, broken(rule.Code, err)...)
				continue
			}
			found = append(found, rule)
			whole = !s.split(rule.Code, one.Value.(*ast.StructLit)) || whole
		}
	}
	s.remember()
	return found, s, whole, list
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

// describe reads what a rule says of itself, which is written out in words, and
// takes it away.
func describe(field *ast.Field) (Rule, error) {
	code, _, _ := ast.LabelName(field.Label)
	p := field.Label.Pos()
	rule := Rule{Code: code, Positions: []diag.Position{{File: p.Filename(), Line: p.Line(), Column: p.Column()}}}
	if !codeForm.MatchString(code) {
		return rule, errors.Newf(p, "the code of a rule is AREA/NAME in lower case, such as team/owner-label")
	}
	body, ok := field.Value.(*ast.StructLit)
	if !ok {
		return rule, errors.Newf(p, "a rule is an object with title, why and mend")
	}
	said := map[string][]string{"severity": {"error"}}
	kept := body.Elts[:0]
	for _, decl := range body.Elts {
		part, ok := decl.(*ast.Field)
		if !ok {
			kept = append(kept, decl)
			continue
		}
		name, _, err := ast.LabelName(part.Label)
		switch {
		case err != nil || strings.HasPrefix(name, "_") || name == "found" || name == "lacks":
			kept = append(kept, decl)
		case !slices.Contains(described, name):
			return rule, errors.Newf(part.Pos(), "a rule has no field %q: it has %s, found and lacks; what it needs beside them is a let or a hidden field", name, strings.Join(described, ", "))
		default:
			if said[name], ok = words(part.Value); !ok {
				return rule, errors.Newf(part.Pos(), "a rule states its %s in words", name)
			}
		}
	}
	body.Elts = kept
	return rule, rule.say(said, p)
}

// described are the fields in which a rule speaks of itself.
var described = []string{"title", "severity", "why", "mend", "urls"}

// say fills the rule in.
func (r *Rule) say(said map[string][]string, at token.Pos) error {
	for _, name := range []string{"title", "why", "mend"} {
		if strings.TrimSpace(strings.Join(said[name], "")) == "" {
			return errors.Newf(at, "a rule states its %s, in words", name)
		}
	}
	text := func(name string) string { return strings.TrimSpace(said[name][0]) }
	r.Title, r.Why, r.Mend, r.URLs = text("title"), text("why"), text("mend"), said["urls"]
	if err := r.Severity.UnmarshalText([]byte(text("severity"))); err != nil {
		return errors.Newf(at, "%v", err)
	}
	return nil
}

// words reads a string, or a list of strings, that is written out.
func words(v ast.Expr) ([]string, bool) {
	switch v := v.(type) {
	case *ast.BasicLit:
		text, err := literal.Unquote(v.Value)
		return []string{text}, err == nil
	case *ast.ListLit:
		list := []string{}
		for _, item := range v.Elts {
			one, ok := words(item)
			if !ok || len(one) != 1 {
				return nil, false
			}
			list = append(list, one[0])
		}
		return list, true
	}
	return nil, false
}

// build evaluates what is left of the rules with an input. Of a nil one nothing is
// known.
func (s *Set) build(input map[string]any, left rest) (cue.Value, error) {
	context := cuecontext.New(cuecontext.EvaluatorVersion(cuecontext.EvalV3), cuecontext.CUE_DEBUG(""))
	instance := build.NewContext().NewInstance("", nil)
	var files []*ast.File
	for _, f := range s.files {
		if left == nil || f.whole || f.has(left) {
			files = append(files, f.open().reduced(left))
		}
	}
	if input != nil {
		text, err := json.Marshal(input)
		if err != nil {
			return cue.Value{}, err
		}
		given, err := parser.ParseFile("input.json", append([]byte("package rules\n"), text[1:len(text)-1]...))
		if err != nil {
			return cue.Value{}, err
		}
		files = append(files, given)
	}
	for _, file := range files {
		if err := instance.AddSyntax(file); err != nil {
			return cue.Value{}, err
		}
	}
	if err := instance.Complete(); err != nil {
		return cue.Value{}, err
	}
	value := context.BuildInstance(instance)
	if input == nil {
		return value, value.Err()
	}
	return value, instance.Err
}

// has tells whether anything is left of the file's rules.
func (f *file) has(left rest) bool {
	return slices.ContainsFunc(f.rules, func(r judged) bool {
		_, some := left[r.code]
		return some
	})
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
func (r Rule) broken(err error) diag.List {
	list := broken(r.Code, err)
	for i := range list {
		if len(list[i].Positions) == 0 {
			list[i].Positions = r.Positions
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
