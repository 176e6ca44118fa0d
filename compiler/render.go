// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"plumbline.dev/plumbline/compiler/chart"
	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/load"
	"plumbline.dev/plumbline/compiler/lower"
	"plumbline.dev/plumbline/compiler/values"
)

// chartName is the name of Cilium's chart.
const chartName = "cilium"

// Rendering is an environment, or plain values, that is ready for its chart.
type Rendering struct {
	// request lacks what a machine adds: the roots and the path.
	request chart.Request
	values  map[string]any
	node    values.Node // the author's values, with their places
	// root stands in front of the path of a finding about values.
	root string
	// told is what was found without the chart.
	told diag.List
	// weigh gives findings as the author's rules weigh them.
	weigh func(diag.List) diag.List
	// about says where the author speaks of a part that is no value.
	about func(part chart.About) (path string, at []diag.Position)
	// field gives the field that a Helm value follows from; there is none where at
	// is empty.
	field func(key []string) (path string, at []diag.Position)
}

// Prepare finds what Vet finds. The Rendering is nil where there is nothing to
// render: the environment is not complete, or its values are none. It is there
// beside other Errors, so that one run tells of all.
func Prepare(env *load.Environment, options ...Option) (*Rendering, diag.List) {
	c := newCompilation(env, options)
	c.lower()
	if c.values == nil {
		return nil, c.findings()
	}
	return c.rendering(), c.findings()
}

// rendering is the environment's.
func (c *compilation) rendering() *Rendering {
	env := c.env
	kubernetes, _ := env.Cluster["kubernetes"].(string)
	return &Rendering{
		request: chart.Request{
			Reference:  chart.Reference{Name: chartName, Version: env.Chart.Version, Source: env.Chart.Source, Digest: env.Chart.Digest},
			Release:    chart.Release{Name: env.Flux.Release.Name, Namespace: env.Flux.Release.Namespace},
			Kubernetes: kubernetes, APIVersions: apiVersions(env.Cluster), SkipSchema: c.skipSchema,
		},
		values: c.values, node: c.node, root: "environment.values", told: c.findings(),
		weigh: func(list diag.List) diag.List { return ruled(list, env.Rules) },
		about: func(part chart.About) (string, []diag.Position) {
			return "environment." + string(part), env.Positions(strings.Split(string(part), ".")...)
		},
		field: func(key []string) (string, []diag.Position) {
			field := lower.Field(strings.Join(key, "."))
			if field == nil {
				return "", nil
			}
			return "environment." + strings.Join(field, "."), env.Positions(field...)
		},
	}
}

// Request is what to ask for. The roots are the absolute folders that a chart's
// folder counts from; path is a chart to take instead of the environment's, or "".
func (r *Rendering) Request(roots []string, path string) (chart.Request, error) {
	data, err := json.Marshal(r.values)
	if err != nil {
		return chart.Request{}, fmt.Errorf("values for %s %s: %w", r.request.Name, r.request.Version, err)
	}
	request := r.request
	request.Roots, request.Path, request.Values = roots, path, data
	return request, nil
}

// apiVersions are the facts of the cluster's APIs.
func apiVersions(cluster map[string]any) []string {
	facts, _ := cluster["apiVersions"].([]any)
	var list []string
	for _, fact := range facts {
		if text, ok := fact.(string); ok {
			list = append(list, text)
		}
	}
	return list
}

// Findings are what the chart has against the environment, at the author's
// lines, weighed by the environment's rules and without what the check of the
// values has told already.
func (r *Rendering) Findings(result chart.Result) diag.List {
	var list diag.List
	for _, p := range result.Problems {
		d := r.finding(p)
		if !r.toldAlready(d, p) {
			list = append(list, d)
		}
	}
	return r.weigh(list).Sort()
}

// toldAlready says whether an Error says as much already: of a type that the schema
// refuses, of a key that is gone, or a rule's of what the chart refuses.
func (r *Rendering) toldAlready(d diag.Diagnostic, p chart.Problem) bool {
	about := []string{d.Path}
	if p.Code == chart.CodeRefused && len(p.Keys) > 0 {
		about = append(about, r.path(p.Keys[0]))
	}
	return slices.ContainsFunc(r.told, func(other diag.Diagnostic) bool {
		gone := other.Code == values.CodeRemoved || other.Code == values.CodeRenamed
		rule := !strings.HasPrefix(other.Code, "values/")
		return other.Severity == diag.Error && slices.Contains(about, other.Path) &&
			(p.Code == chart.CodeSchema || p.Code == chart.CodeRefused && (gone || rule))
	})
}

func (r *Rendering) finding(p chart.Problem) diag.Diagnostic {
	d := diag.Diagnostic{Code: string(p.Code), Message: p.Message, Hint: p.Hint}
	if p.Template != "" && !strings.Contains(p.Message, p.Template) {
		d.Message += " (" + p.Template + ")"
	}
	if p.About != chart.AboutValues {
		d.Path, d.Positions = r.about(p.About)
		return d
	}
	r.places(&d, p.Keys)
	return d
}

// mostPlaces bounds the places of one finding: a condition may read many values.
const mostPlaces = 4

// places finds where the author wrote the values that a chart speaks of. Of one
// that is not written, the object counts in which it belongs, if nothing else is.
func (r *Rendering) places(d *diag.Diagnostic, keys [][]string) {
	for depth := 0; depth < deepest(keys) && len(d.Positions) == 0; depth++ {
		for _, key := range keys {
			if len(key) <= depth {
				continue
			}
			at, path := r.written(key[:len(key)-depth])
			if len(at) > 0 && len(d.Positions) == 0 {
				d.Path = path
			}
			for _, p := range at {
				if !slices.Contains(d.Positions, p) && len(d.Positions) < mostPlaces {
					d.Positions = append(d.Positions, p)
				}
			}
		}
	}
	if len(d.Positions) > 0 {
		return
	}
	d.Path, d.Positions = r.about(chart.AboutValues)
	if len(keys) > 0 {
		d.Path = r.path(keys[0])
	}
}

func deepest(keys [][]string) int {
	most := 0
	for _, key := range keys {
		most = max(most, len(key))
	}
	return most
}

// written gives the places of a Helm value: its own, or those of the field that
// it follows from.
func (r *Rendering) written(key []string) (at []diag.Position, path string) {
	if n, ok := r.node.Lookup(key...); ok {
		return n.Positions, r.path(key)
	}
	path, at = r.field(key)
	return at, path
}

// path names a Helm value as the author does.
func (r *Rendering) path(key []string) string {
	path := r.root
	for _, name := range key {
		path = values.Join(path, name)
	}
	return path
}
