// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"maps"
	"slices"
	"strings"

	"plumbline.dev/plumbline/compiler/compare"
	"plumbline.dev/plumbline/compiler/emit"
	"plumbline.dev/plumbline/compiler/load"
	"plumbline.dev/plumbline/compiler/values"
)

// Comparison holds the configuration of several environments side by side.
type Comparison struct {
	Environments []string `json:"environments"`
	Differing    []Row    `json:"differing"`
	Common       []Row    `json:"common"`
}

// Row is a setting in each environment, in the order of Environments.
type Row struct {
	Path   string `json:"path"`
	Values []Cell `json:"values"`
}

// Cell is a setting in one environment. Set is false where the environment does
// not state it.
type Cell struct {
	Set bool `json:"set"`
	// Default says that Value is the chart's default, as the setting is not stated.
	// Without either there is none.
	Default bool   `json:"default"`
	Value   string `json:"value"`
}

// Compare lays environments side by side, in the order of their names. Settings
// are told apart by what counts, the chart's defaults included, and shown without
// secrets.
func Compare(list []Compiled) Comparison {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b Compiled) int { return compareNames(a.Environment, b.Environment) })
	out := Comparison{Environments: []string{}, Differing: []Row{}, Common: []Row{}}
	rows, raw := map[string]*Row{}, map[string][]Cell{}
	for i, c := range list {
		out.Environments = append(out.Environments, c.Environment.Name)
		bare := configuration(c)
		for _, s := range flatten(compare.Mask(bare)) {
			row := rows[s.Path]
			if row == nil {
				row = &Row{s.Path, make([]Cell, len(list))}
				rows[s.Path], raw[s.Path] = row, make([]Cell, len(list))
			}
			row.Values[i] = Cell{Set: true, Value: s.Value}
		}
		for _, s := range flatten(bare) {
			raw[s.Path][i] = Cell{Set: true, Value: s.Value}
		}
	}
	for i, c := range list {
		defaults(c, i, rows, raw)
	}
	for _, path := range slices.Sorted(maps.Keys(rows)) {
		if cells := raw[path]; slices.ContainsFunc(cells, func(c Cell) bool { return c != cells[0] }) {
			out.Differing = append(out.Differing, *rows[path])
		} else {
			out.Common = append(out.Common, *rows[path])
		}
	}
	return out
}

// defaults fills in what counts of Helm values that an environment does not state
// and another one does.
func defaults(c Compiled, i int, rows map[string]*Row, raw map[string][]Cell) {
	table, err := values.For(c.Environment.Chart.Version)
	if err != nil {
		return // what compiled has a table
	}
	counts := map[string]any{"values": table.Effective(c.Artifact.Values)}
	for path, row := range rows {
		names, err := values.Split(path)
		if err != nil || row.Values[i].Set {
			continue
		}
		v, ok := under(counts, names)
		if !ok {
			continue
		}
		row.Values[i] = Cell{Default: true, Value: leaf(compare.Mask(v, names...))}
		raw[path][i] = Cell{Set: true, Value: leaf(v)}
	}
}

// under gives what lies under names.
func under(v any, names []string) (any, bool) {
	for _, name := range names {
		object, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		if v, ok = object[name]; !ok {
			return nil, false
		}
	}
	return v, true
}

func compareNames(a, b *load.Environment) int {
	return slices.Compare([]string{a.Name, a.Folder}, []string{b.Name, b.Folder})
}

// configuration is what an environment states, as one tree: its typed fields and
// the Helm values that it comes to.
func configuration(c Compiled) map[string]any {
	env := c.Environment
	out := map[string]any{
		"platform": env.Platform,
		"chart":    map[string]any{"version": env.Chart.Version, "source": env.Chart.Source},
		"datapath": map[string]any{
			"mode": env.Datapath.Mode.String(), "interval": env.Datapath.Interval.String(), "grace": env.Datapath.Grace.String(),
			"limits": map[string]any{
				"repairEntries": env.Datapath.Limits.RepairEntries, "reportDrifts": env.Datapath.Limits.ReportDrifts,
				"driftedNodes": env.Datapath.Limits.DriftedNodes.String(), "unknownNodes": env.Datapath.Limits.UnknownNodes.String(),
			},
		},
		"flux":    emit.Release(env),
		"cluster": env.Cluster,
		"values":  c.Artifact.Values,
	}
	declared := map[string]any{}
	for _, s := range services(env) {
		declared[s.Name] = map[string]any{"addresses": strings.Join(s.Addresses, ", "), "ports": strings.Join(s.Ports, ", ")}
	}
	if len(declared) > 0 {
		out["services"] = declared
	}
	return out
}
