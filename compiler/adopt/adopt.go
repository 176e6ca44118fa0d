// SPDX-License-Identifier: Apache-2.0

// Package adopt turns what a team has that writes no CUE, Helm values, a
// HelmRelease or variables, into the CUE of an environment. What it can't say in
// an environment is an error; it drops nothing. It proves each result: the text
// is loaded and lowered again, and has to give the very values it came from. It
// reads and writes no files.
package adopt

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"plumbline.dev/plumbline/compiler"
	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/load"
	"plumbline.dev/plumbline/compiler/load/cuetext"
	"plumbline.dev/plumbline/compiler/lower"
	"plumbline.dev/plumbline/compiler/release"
	"plumbline.dev/plumbline/compiler/values"
)

// The codes of the diagnostics that this package gives. They are stable.
const (
	CodeNotExpressible = "import/not-expressible" // an environment can't say it
	CodeAssumed        = "import/assumed"         // what the input does not say, and the environment has to
	CodeChanged        = "import/changed"         // a value that would not come out as it went in
	CodeNothingThere   = "import/nothing-there"   // left out, and not there
)

// Codes gives every code that this package uses, in the order of its constants.
func Codes() []values.Code {
	return []values.Code{
		{ID: CodeNotExpressible, Severity: diag.Error, Summary: "something that an environment can't say"},
		{ID: CodeAssumed, Severity: diag.Warning, Summary: "something that the input does not say, and the environment has to"},
		{ID: CodeChanged, Severity: diag.Error, Summary: "a value that would not come out as it went in"},
		{ID: CodeNothingThere, Severity: diag.Error, Summary: "something to leave out that is not there"},
	}
}

// Input is what a team has.
type Input struct {
	// Name is the environment's.
	Name string
	// Platform is what the cluster runs on; "" leaves it to the schema.
	Platform string
	// Version is the chart's, in full.
	Version   string
	VersionAt []diag.Position
	// Values are the Helm values, Root the path of them in front of findings.
	Values values.Node
	Root   string
	// Release is the HelmRelease that the values are from, nil without one.
	Release *release.Release
	// Variables are those of an input that has nothing else.
	Variables []release.Variable
	// Missing are the findings of reading about values that are in no file.
	Missing diag.List
	// Without are paths that are left out on purpose: "spec.install".
	Without []string
}

// Environment gives the CUE of an environment, in one file. It is nil exactly
// where a finding of this package is an Error. The others are the Errors of the
// environment itself: it may say exactly what the input says and be wrong
// nevertheless. Anything lighter is for vet to tell.
func Environment(in Input) ([]byte, diag.List) {
	a := &adoption{Input: in, left: map[string]bool{}}
	text, found := a.environment()
	return text, append(a.list, found...).Sort()
}

// environment makes the draft and its text, and proves it. It gives no text where
// there is an Error of this package's.
func (a *adoption) environment() ([]byte, diag.List) {
	table, err := values.For(a.Version)
	if err != nil {
		a.add(CodeNotExpressible, diag.Error, "chart.version", err.Error(), "give --chart-version", a.VersionAt)
		return nil, nil
	}
	a.table = table
	a.umbrella()
	for _, d := range a.Missing {
		a.refuse(d.Path, d.Message, d.Positions)
	}
	a.want, _ = a.Values.Data().(map[string]any)
	a.write()
	if a.list.Count(diag.Error) > 0 {
		return nil, nil
	}
	text, err := cuetext.Environment(a.draft)
	if err != nil {
		a.add(CodeNotExpressible, diag.Error, "", err.Error(), "", a.Values.Positions)
		return nil, nil
	}
	env, list := load.LoadText(path.Join(a.Name, a.Name+".cue"), text)
	found := a.prove(env, list)
	a.nothingThere()
	if a.list.Count(diag.Error) > 0 {
		return nil, nil
	}
	return text, found
}

// adoption is one run of Environment.
type adoption struct {
	Input
	table *values.Table
	draft values.Node    // the environment
	rest  values.Node    // the values that no typed field says
	want  map[string]any // the values that have to come out
	left  map[string]bool
	list  diag.List
}

func (a *adoption) add(code string, severity diag.Severity, path, message, hint string, at []diag.Position) {
	a.list = append(a.list, diag.Diagnostic{Code: code, Severity: severity, Path: path, Message: message, Hint: hint, Positions: at})
}

// refuse reports what an environment can't say, unless it is left out on purpose.
func (a *adoption) refuse(path, message string, at []diag.Position) {
	if slices.Contains(a.Without, path) {
		a.left[path] = true
		return
	}
	a.add(CodeNotExpressible, diag.Error, path, message, "say --without "+path+" to leave it out", at)
}

// nothingThere reports what was to be left out and is not there.
func (a *adoption) nothingThere() {
	for _, path := range a.Without {
		if !a.left[path] {
			a.add(CodeNothingThere, diag.Error, path, "there is nothing to leave out here", "take --without "+path+" away", nil)
		}
	}
}

// umbrella takes Cilium's values out of those of a chart around it.
func (a *adoption) umbrella() {
	inner, ok := a.table.Umbrella(a.Values)
	if !ok {
		return
	}
	for i := range a.Values.Fields {
		if f := &a.Values.Fields[i]; f.Name != "cilium" && f.Name != "global" {
			a.refuse(values.Join(a.Root, f.Name), "it is a value of another chart than Cilium's", f.Positions)
		}
	}
	a.Values, a.Root = inner, a.Root+".cilium"
}

// set puts a field into the draft.
func (a *adoption) set(n values.Node, names ...string) {
	for i := len(names) - 1; i >= 0; i-- {
		n = values.Node{Kind: values.Object, Fields: []values.Field{{Name: names[i], Value: n}}}
	}
	if a.draft.Kind != values.Object {
		a.draft = values.Node{Kind: values.Object}
	}
	a.draft = values.Overlay(a.draft, n)
}

func (a *adoption) setText(text string, names ...string) {
	if text != "" {
		a.set(values.FromData(text), names...)
	}
}

// write makes the draft.
func (a *adoption) write() {
	a.rest = a.Values
	a.setText(a.Name, "name")
	a.setText(a.Platform, "platform")
	a.setText(strings.TrimPrefix(a.Version, "v"), "chart", "version")
	a.releaseChart()
	a.variables()
	a.lift()
	a.flux()
	if len(a.rest.Fields) > 0 {
		a.set(a.rest, "values")
	}
}

// prove compares what comes out of what was written with what went in. It gives
// what there is to say of the environment.
func (a *adoption) prove(env *load.Environment, found diag.List) diag.List {
	if env == nil {
		a.add(CodeChanged, diag.Error, "", fmt.Sprintf("the CUE that was written can't be read: %v", found), "", nil)
		return nil
	}
	node := values.FromCUE(env.Values, load.Author)
	free, _ := node.Data().(map[string]any)
	kept, _ := a.rest.Data().(map[string]any)
	a.same("", kept, free)
	if env.Complete {
		out, _ := lower.Values(env, free)
		a.same("", a.want, out)
	}
	_, more := compiler.Compile(env)
	var wrong diag.List
	for _, d := range append(found, more...) {
		if d.Severity == diag.Error {
			a.translate(&d)
			wrong = append(wrong, d)
		}
	}
	return wrong
}

// translate turns the places of a finding into those of the input.
func (a *adoption) translate(d *diag.Diagnostic) {
	below, ok := strings.CutPrefix(d.Path, "environment.values.")
	switch {
	case ok:
		below, _, _ = strings.Cut(below, "[")
		if names, err := values.Split(below); err == nil {
			if d.Positions = a.Values.Stated(names...); d.Positions == nil {
				d.Positions = a.Values.At(names...)
			}
		}
	case strings.HasPrefix(d.Path, "environment.api"):
		d.Positions = a.Values.At("k8sServiceHost")
	case strings.HasPrefix(d.Path, "environment.cgroup"):
		d.Positions = a.Values.At("cgroup")
	case strings.HasPrefix(d.Path, "environment.chart"):
		d.Positions = a.VersionAt
	}
}
