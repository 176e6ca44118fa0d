// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	"plumbline.dev/plumbline/compiler/datapath"
	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/emit"
	"plumbline.dev/plumbline/compiler/lower"
	"plumbline.dev/plumbline/compiler/rules"
	"plumbline.dev/plumbline/compiler/values"
	"plumbline.dev/plumbline/schema/state"
)

// Option is something that a compilation is given beside its input.
type Option func(*compilation)

// WithRules adds a team's own rules to Plumbline's.
func WithRules(team *rules.Set) Option {
	return func(c *compilation) {
		if team != nil {
			c.rules = append(c.rules, team)
		}
	}
}

// WithSnapshot lets rules count what a snapshot's Services take of the maps.
func WithSnapshot(snapshot *state.Snapshot) Option {
	return func(c *compilation) { c.snapshot = snapshot }
}

// load is what the snapshot comes to on its node; nil without one. What is wrong
// with its objects is for `plumb state` to tell.
func (c *compilation) load() map[string]any {
	if c.snapshot == nil || c.settings == nil {
		return nil
	}
	st, _ := datapath.Compile(c.settings, c.snapshot)
	largest := 0
	for i := range st.Frontends {
		largest = max(largest, len(st.Frontends[i].Backends))
	}
	maps := []any{}
	for _, f := range datapath.Fills(c.settings, st) {
		if f.MaxEntries > 0 {
			maps = append(maps, map[string]any{"name": f.Map.String(), "entries": f.Entries, "max": f.MaxEntries})
		}
	}
	return map[string]any{"services": len(c.snapshot.Services), "largest": largest, "maps": maps}
}

// ownRules are Plumbline's, one Set a process.
var ownRules = sync.OnceValue(rules.Own)

// Rules gives Plumbline's own rules.
func Rules() []rules.Rule { return ownRules().Rules }

// Clashes finds rules of a team that have the code of one of Plumbline's.
func Clashes(team *rules.Set) diag.List {
	if team == nil {
		return nil
	}
	var list diag.List
	for _, rule := range team.Rules {
		if slices.Contains(Codes(), rule.Code) {
			list = append(list, diag.Diagnostic{Code: rules.CodeBroken, Path: fmt.Sprintf("rule.%q", rule.Code), Positions: rule.Positions,
				Message: "this code is one of Plumbline's own", Hint: "choose an area of your own: team/" + path.Base(rule.Code)})
		}
	}
	return list
}

// judge relates the values to one another and to the facts of the cluster.
func (c *compilation) judge(table *values.Table) {
	in := rules.Input{
		Values: table.Effective(c.values), Author: c.values,
		Chart: c.env.Chart.Version, Platform: c.env.Platform, Cluster: c.env.Cluster,
		Release: emit.Release(c.env), Load: c.load(), Typed: c.list.Count(diag.Error) == 0,
		Place: c.place, Whole: c.env.Positions("name"), Show: func(path string) string { return "environment." + path },
	}
	for _, set := range c.rules {
		c.list = append(c.list, c.unlessTold(set.Judge(in))...)
	}
}

// unlessTold leaves out what a rule finds where a former pass has an error: a
// value that is wrong by itself needs no word on what it is beside others.
func (c *compilation) unlessTold(list diag.List) diag.List {
	told := map[string]bool{}
	for _, d := range c.list {
		told[d.Path] = told[d.Path] || d.Severity == diag.Error
	}
	return slices.DeleteFunc(list, func(d diag.Diagnostic) bool { return told[d.Path] })
}

// place finds where the author states what rules call path; for what he does not
// state, nothing.
func (c *compilation) place(path string) []diag.Position {
	names, err := values.Split(path)
	if err != nil {
		return nil // a rule's mistake: its finding stands without a place
	}
	if names[0] == "release" {
		names = append([]string{"flux"}, names[1:]...)
	}
	for _, candidate := range append([][]string{names}, otherwise(names)...) {
		if at := c.env.Written(candidate...); len(at) > 0 {
			return at
		}
	}
	return nil
}

// otherwise gives the other fields of an environment that state a path: a typed
// field that a value follows from, a fact by another name.
func otherwise(names []string) [][]string {
	switch {
	case names[0] == "values":
		if field := lower.Field(strings.Join(names[1:], ".")); field != nil {
			return [][]string{field}
		}
	case names[0] == "cluster" && len(names) > 1:
		var list [][]string
		for _, name := range rules.StatedAs(names[1]) {
			list = append(list, append([]string{"cluster", name}, names[2:]...), []string{"cluster", name})
		}
		return list
	}
	return nil
}
