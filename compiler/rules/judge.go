// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"cuelang.org/go/cue"

	"plumbline.dev/plumbline/compiler/diag"
)

// Input is what rules judge. Trees are as values.Node.Data gives them.
type Input struct {
	Values   map[string]any // as the chart's templates see them
	Author   map[string]any // the author's alone
	Chart    string         // version in full
	Platform string
	Cluster  map[string]any // facts, as the author states them
	Release  map[string]any // nil without a HelmRelease
	Load     map[string]any // nil without a snapshot

	// Place gives the places of a path of the input, such as values.cgroup.hostRoot;
	// none for what the author does not state.
	Place func(path string) []diag.Position
	// Whole is the place of the whole, for findings of which nothing is stated.
	Whole []diag.Position
	// Show gives the form in which findings show a path; nil leaves it alone.
	Show func(path string) string
	// Typed says that values are of the types that the chart takes. Where they are
	// not, a rule that ends in an error is no news.
	Typed bool
}

// Judge gives what rules find, sorted.
func (s *Set) Judge(in Input) diag.List {
	facts := Facts(in.Cluster)
	if in.Release == nil {
		in.Release = releaseOf(facts)
	}
	return s.judge(in, facts, true)
}

// judge judges by the rules. With guards CUE evaluates only what they leave.
func (s *Set) judge(in Input, facts map[string]any, guarded bool) diag.List {
	input := s.input(in, facts)
	j := judgement{in: in, lacks: map[string]*lack{}}
	var left rest
	if guarded {
		seen, err := plain(input)
		if err != nil {
			return broken("", err)
		}
		left = j.guarded(s, seen.(map[string]any))
	}
	if err := j.evaluated(s, input, left); err != nil {
		return broken("", err)
	}
	j.unknown()
	return j.list.Sort()
}

// guarded takes what guards are sure of, and gives the rest.
func (j *judgement) guarded(s *Set, input map[string]any) rest {
	left := rest{}
	fields := &guard{input: input, lets: s.about, known: map[string]any{}}
	for _, f := range s.files {
		g := &guard{input: input, lets: f.lets, known: map[string]any{}, about: fields}
		for _, r := range f.rules {
			found, more := g.findings(r.found)
			lacks, evenMore := g.findings(r.lacks)
			if len(more)+len(evenMore) > 0 { // a rule is evaluated as one, or not at all
				left[r.code] = remaining{inOrder(more, found.places), inOrder(evenMore, lacks.places)}
				continue
			}
			rule, _ := s.Find(r.code)
			j.take(rule, found.list, lacks.list)
		}
	}
	return left
}

func inOrder(a, b []int) []int { return slices.Sorted(slices.Values(slices.Concat(a, b))) }

// sure are the findings of a rule's list that a guard is sure of, and their places
// in it.
type sure struct {
	list   []finding
	places []int
}

// findings goes through a rule's list, and gives the places of what it is not sure
// of.
func (g *guard) findings(entries []entry) (found sure, more []int) {
	for i, e := range entries {
		var list []finding
		understood := true
		certain := g.each(e.clauses, func() {
			f, ok := findingOf(g.value(e.value))
			list, understood = append(list, f), understood && ok
		})
		switch {
		case !certain || !understood:
			more = append(more, i)
		case len(list) > 0:
			found.list, found.places = append(found.list, list...), append(found.places, i)
		}
	}
	return found, more
}

// findingOf reads a finding, if it is one and nothing in it is in doubt.
func findingOf(v any) (f finding, ok bool) {
	fields, ok := v.(map[string]any)
	if !ok {
		return f, false
	}
	for name, v := range fields {
		word, isText := v.(string)
		list, isList := v.([]any)
		switch {
		case name == "at" && isList:
			for _, path := range list {
				p, isPath := path.(string)
				if !isPath {
					return f, false
				}
				f.At = append(f.At, p)
			}
		case name == "message" && isText:
			f.Message = word
		case name == "hint" && isText:
			f.Hint = word
		case name == "severity" && isText:
			f.Severity = word
		case name == "fact" && isText:
			f.Fact = word
		default:
			return f, false
		}
	}
	return f, true
}

// evaluated takes what CUE finds by what is left of the rules.
func (j *judgement) evaluated(s *Set, input map[string]any, left rest) error {
	if left != nil && len(left) == 0 && !slices.ContainsFunc(s.files, func(f *file) bool { return f.whole && f.name != inputFile }) {
		return nil
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	value, err := s.build(input, left)
	if err != nil {
		return err
	}
	return j.rules(s, value.LookupPath(cue.ParsePath("rule")))
}

// plain gives a tree as JSON has it: with one kind of number.
func plain(v any) (any, error) {
	switch v := v.(type) {
	case nil, bool, string, json.Number:
		return v, nil
	case int:
		return json.Number(strconv.Itoa(v)), nil
	case int64:
		return json.Number(strconv.FormatInt(v, 10)), nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, below := range v {
			p, err := plain(below)
			if err != nil {
				return nil, err
			}
			out[name] = p
		}
		return out, nil
	}
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var out any
	err = decoder.Decode(&out)
	return out, err
}

// input is what input.cue declares.
func (s *Set) input(in Input, facts map[string]any) map[string]any {
	trees := map[string]any{
		"values": orEmpty(in.Values), "author": orEmpty(in.Author),
		"cluster": facts, "release": stated(in.Release), "load": stated(in.Load),
	}
	out := pick(trees, s.refs)
	out["chart"] = version(in.Chart)
	out["platform"] = in.Platform
	out["about"] = about(in)
	return out
}

func orEmpty(tree map[string]any) map[string]any {
	if tree == nil {
		return map[string]any{}
	}
	return tree
}

// releaseOf gives what the facts say of a HelmRelease; its fields may stand under
// dotted names, with or without spec in front.
func releaseOf(facts map[string]any) map[string]any {
	stated, ok := facts["helmRelease"].(map[string]any)
	if !ok {
		return nil
	}
	out := map[string]any{}
	for _, name := range sorted(stated) {
		path := strings.Split(strings.TrimPrefix(name, "spec."), ".")
		put(out, path, stated[name])
	}
	if spec, ok := out["spec"].(map[string]any); ok {
		return spec
	}
	return out
}

// stated says beside what a tree holds whether there is one.
func stated(tree map[string]any) map[string]any {
	out := maps.Clone(orEmpty(tree))
	out["stated"] = tree != nil
	return out
}

var versionForm = regexp.MustCompile(`^v?([0-9]+)\.([0-9]+)\.([0-9]+)(?:-(.+))?$`)

func version(text string) map[string]any {
	out := map[string]any{"version": text, "minor": 0, "patch": 0, "prerelease": ""}
	if m := versionForm.FindStringSubmatch(text); m != nil {
		out["minor"], out["patch"], out["prerelease"] = number(m[2]), number(m[3]), m[4]
	}
	return out
}

// number reads digits; more of them than an int holds are 0.
func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return n
}

// finding is one element of a rule's found or lacks.
type finding struct {
	At       []string `json:"at"`
	Message  string   `json:"message"`
	Hint     string   `json:"hint"`
	Severity string   `json:"severity"`
	Fact     string   `json:"fact"`
}

// lack is a fact that is not stated, and what it would decide.
type lack struct {
	decides   []string
	positions []diag.Position
}

type judgement struct {
	in    Input
	list  diag.List
	lacks map[string]*lack
}

// rules takes what each rule that was evaluated has found.
func (j *judgement) rules(s *Set, all cue.Value) error {
	fields, err := all.Fields()
	if err != nil {
		return err
	}
	for fields.Next() {
		if rule, ok := s.Find(fields.Selector().Unquoted()); ok {
			j.rule(rule, fields.Value())
		}
	}
	return nil
}

var foundPath, lacksPath = cue.ParsePath("found"), cue.ParsePath("lacks")

func (j *judgement) rule(rule Rule, v cue.Value) {
	found, err := findings(v.LookupPath(foundPath))
	lacks, more := findings(v.LookupPath(lacksPath))
	if err = errors.Join(err, more); err != nil {
		if j.in.Typed {
			j.list = append(j.list, rule.broken(err)...)
		}
		return
	}
	j.take(rule, found, lacks)
}

// take takes what a rule has found, and what it lacks.
func (j *judgement) take(rule Rule, found, lacks []finding) {
	for _, f := range found {
		j.found(rule, f)
	}
	for _, f := range lacks {
		j.lack(f)
	}
}

// findings decodes a list of a rule.
func findings(field cue.Value) ([]finding, error) {
	items, err := field.List()
	if err != nil {
		return nil, err
	}
	var list []finding
	for items.Next() {
		var f finding
		if err := items.Value().Decode(&f); err != nil {
			return nil, err
		}
		list = append(list, f)
	}
	return list, nil
}

func (j *judgement) found(rule Rule, f finding) {
	d := diag.Diagnostic{Code: rule.Code, Severity: rule.Severity, Message: f.Message, Hint: f.Hint}
	if f.Severity != "" {
		if err := d.Severity.UnmarshalText([]byte(f.Severity)); err != nil {
			j.list = append(j.list, rule.broken(err)...)
		}
	}
	if len(f.At) > 0 {
		d.Path = j.show(f.At[0])
	}
	d.Positions = j.places(f.At)
	if len(rule.URLs) > 0 {
		d.URL = rule.URLs[0]
	}
	j.list = append(j.list, d)
}

func (j *judgement) show(path string) string {
	if j.in.Show == nil {
		return path
	}
	return j.in.Show(path)
}

// places are those of all paths, each once; where none of them is stated, that of
// what is around.
func (j *judgement) places(paths []string) []diag.Position {
	if list := j.stated(paths); len(list) > 0 {
		return list
	}
	if list := j.around(paths); len(list) > 0 {
		return list
	}
	return j.in.Whole
}

func (j *judgement) stated(paths []string) []diag.Position {
	var list []diag.Position
	for _, path := range paths {
		if j.in.Place == nil {
			break
		}
		for _, at := range j.in.Place(path) {
			if !slices.Contains(list, at) {
				list = append(list, at)
			}
		}
	}
	return list
}

// around gives the places of the nearest thing around a path that is stated.
func (j *judgement) around(paths []string) []diag.Position {
	for _, path := range paths {
		for i := strings.LastIndexByte(path, '.'); i > 0; i = strings.LastIndexByte(path[:i], '.') {
			if at := j.stated([]string{path[:i]}); len(at) > 0 {
				return at
			}
		}
	}
	return nil
}

func (j *judgement) lack(f finding) {
	l := j.lacks[f.Fact]
	if l == nil {
		l = &lack{}
		j.lacks[f.Fact] = l
	}
	if !slices.Contains(l.decides, f.Message) {
		l.decides = append(l.decides, f.Message)
	}
	for _, at := range j.places(f.At) {
		if !slices.Contains(l.positions, at) {
			l.positions = append(l.positions, at)
		}
	}
}

// unknown tells once of each fact that rules lack.
func (j *judgement) unknown() {
	for _, fact := range slices.Sorted(maps.Keys(j.lacks)) {
		l := j.lacks[fact]
		slices.Sort(l.decides) // whichever rule was judged first
		j.list = append(j.list, diag.Diagnostic{
			Code: CodeUnknownFact, Severity: diag.Info, Path: j.show(fact),
			Message:   fmt.Sprintf("the fact is not stated, and it decides %s", strings.Join(l.decides, "; ")),
			Hint:      "state it, so that it can be judged",
			Positions: l.positions,
		})
	}
}
