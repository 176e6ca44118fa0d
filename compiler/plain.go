// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"strings"

	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/rules"
	"plumbline.dev/plumbline/compiler/values"
)

// Plain is what a team has that writes no CUE: Helm values from files, or from
// a HelmRelease of Flux's.
type Plain struct {
	// Values are the Helm values, with their places.
	Values values.Node
	// Version is the chart's version, in full.
	Version   string
	VersionAt []diag.Position
	// Platform is what the cluster runs on, by the names that #Environment has; ""
	// is unknown.
	Platform string
	// Facts are the cluster's, as environment.cluster has them.
	Facts map[string]any
	// FactsAt gives the places of a fact; it may be nil.
	FactsAt func(path ...string) []diag.Position
	// Release is the HelmRelease's spec without its values, and with "name" and
	// "namespace" of its metadata; nil without one. Under "release" stand "name" and
	// "namespace" of the release that Helm makes. Numbers are json.Number.
	Release map[string]any
	// ReleaseAt gives the places of a field of Release; it may be nil.
	ReleaseAt func(path ...string) []diag.Position
	// AllowUnknown are patterns of keys that the chart need not know.
	AllowUnknown []string
	// Root stands in front of the path of a finding about values: "values" or
	// "spec.values".
	Root string
}

// VetPlain finds what is wrong with plain values: everything that Vet finds in
// the values of an environment, by Plumbline's rules and those of the options.
// Values of a chart that has Cilium as its part are judged below the name
// cilium.
func VetPlain(p Plain, options ...Option) diag.List {
	table, err := values.For(p.Version)
	if err != nil {
		return diag.List{{Code: codeChartVersion, Path: "chart.version", Message: err.Error(), Positions: p.VersionAt}}
	}
	if inner, ok := table.Umbrella(p.Values); ok {
		p.Values, p.Root = inner, p.Root+".cilium"
	}
	check := values.Options{Root: p.Root}
	for _, pattern := range p.AllowUnknown {
		check.Allow = append(check.Allow, values.Allow{Pattern: pattern, Reason: "--allow-unknown"})
	}
	c := newCompilation(nil, options)
	c.list = table.Check(p.Values, check)
	if author, ok := p.Values.Data().(map[string]any); ok {
		in := p.input(table, author)
		in.Typed = c.list.Count(diag.Error) == 0
		for _, set := range c.rules {
			c.list = append(c.list, c.unlessTold(set.Judge(in))...)
		}
	}
	return c.list.Sort()
}

// input is what rules read.
func (p *Plain) input(table *values.Table, author map[string]any) rules.Input {
	return rules.Input{
		Values: table.Effective(author), Author: author,
		Chart: p.Version, Platform: p.Platform, Cluster: p.Facts, Release: p.Release,
		Place: p.place, Whole: p.Values.Positions, Show: p.show,
	}
}

// place finds where the author states what rules call path; for what he does not
// state, nothing.
func (p *Plain) place(path string) []diag.Position {
	names, err := values.Split(path)
	if err != nil {
		return nil // a rule's mistake: its finding stands without a place
	}
	tree, at := p.Facts, p.FactsAt
	switch names[0] {
	case "values":
		return p.Values.Stated(names[1:]...)
	case "release":
		tree, at = p.Release, p.ReleaseAt
	}
	for _, candidate := range append([][]string{names}, otherwise(names)...) {
		if at != nil && states(tree, candidate[1:]) {
			return at(candidate[1:]...)
		}
	}
	return nil
}

// states tells whether something lies under the names.
func states(tree map[string]any, names []string) bool {
	for i, name := range names {
		v, ok := tree[name]
		if i == len(names)-1 || !ok {
			return ok
		}
		if tree, ok = v.(map[string]any); !ok {
			return false
		}
	}
	return false
}

// show gives a path of rules as it stands in the author's own file.
func (p *Plain) show(path string) string {
	switch area, below, _ := strings.Cut(path, "."); area {
	case "values":
		return strings.TrimSuffix(p.Root+"."+below, ".")
	case "release":
		return strings.TrimSuffix("spec."+below, ".")
	}
	return path
}
