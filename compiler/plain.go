// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"plumbline.dev/plumbline/compiler/diag"
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
// the values of an environment. Values of a chart that has Cilium as its part
// are judged below the name cilium.
func VetPlain(p Plain) diag.List {
	table, err := values.For(p.Version)
	if err != nil {
		return diag.List{{Code: codeChartVersion, Path: "chart.version", Message: err.Error(), Positions: p.VersionAt}}
	}
	if inner, ok := table.Umbrella(p.Values); ok {
		p.Values, p.Root = inner, p.Root+".cilium"
	}
	options := values.Options{Root: p.Root}
	for _, pattern := range p.AllowUnknown {
		options.Allow = append(options.Allow, values.Allow{Pattern: pattern})
	}
	return table.Check(p.Values, options).Sort()
}
