// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"cmp"
	"strings"

	"plumbline.dev/plumbline/compiler/chart"
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
	// ChartSource is where the chart is, as environment.chart.source has it; "" is
	// Cilium's own repository.
	ChartSource string
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
	_, list := PreparePlain(p, options...)
	return list
}

// PreparePlain finds what VetPlain finds. The Rendering is nil where there is
// nothing to render: a version that no table has, or a value that is not known.
func PreparePlain(p Plain, options ...Option) (*Rendering, diag.List) {
	table, err := values.For(p.Version)
	if err != nil {
		return nil, diag.List{{Code: codeChartVersion, Path: "chart.version", Message: err.Error(), Positions: p.VersionAt}}
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
	author, ok := p.Values.Data().(map[string]any)
	if !ok {
		return nil, c.list.Sort()
	}
	in := p.input(table, author)
	in.Typed = c.list.Count(diag.Error) == 0
	for _, set := range c.rules {
		c.list = append(c.list, c.unlessTold(set.Judge(in))...)
	}
	if !settled(&p.Values) {
		return nil, c.list.Sort()
	}
	return p.rendering(author, c.list), c.list.Sort()
}

// settled tells whether every value is known, as far as Helm would read it.
func settled(n *values.Node) bool {
	for i := range n.Items {
		if !settled(&n.Items[i]) {
			return false
		}
	}
	for i := range n.Fields {
		if !settled(&n.Fields[i].Value) {
			return false
		}
	}
	return n.Kind != values.Unknown
}

// ownChartSource is where Cilium's own chart is, for values that name no source.
const ownChartSource = "https://helm.cilium.io"

// rendering is that of plain values. A release without a name is called as
// Cilium's documentation calls it.
func (p *Plain) rendering(author map[string]any, told diag.List) *Rendering {
	kubernetes, _ := p.Facts["kubernetes"].(string)
	named, _ := p.Release["release"].(map[string]any)
	name, _ := named["name"].(string)
	namespace, _ := named["namespace"].(string)
	return &Rendering{
		request: chart.Request{
			Reference:  chart.Reference{Name: chartName, Version: p.Version, Source: cmp.Or(p.ChartSource, ownChartSource)},
			Release:    chart.Release{Name: cmp.Or(name, chartName), Namespace: cmp.Or(namespace, "kube-system")},
			Kubernetes: kubernetes, APIVersions: apiVersions(p.Facts), SkipSchema: p.skipsSchema(),
		},
		values: author, node: p.Values, root: p.Root, told: told,
		weigh: func(list diag.List) diag.List { return list },
		about: p.about,
		field: func([]string) (string, []diag.Position) { return "", nil },
	}
}

// skipsSchema tells whether the HelmRelease leaves the chart's schema aside, at
// its install and its upgrade.
func (p *Plain) skipsSchema() bool {
	for _, action := range []string{"install", "upgrade"} {
		settings, _ := p.Release[action].(map[string]any)
		if skips, _ := settings["disableSchemaValidation"].(bool); !skips {
			return false
		}
	}
	return true
}

// about says where the author states the chart and the facts.
func (p *Plain) about(part chart.About) (string, []diag.Position) {
	switch part {
	case chart.AboutValues:
		return p.Root, p.Values.Positions
	case chart.AboutKubernetes:
		return string(part), p.place(string(part))
	}
	return string(part), p.VersionAt
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
