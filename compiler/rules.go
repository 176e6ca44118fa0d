// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"plumbline.dev/plumbline/compiler/chart"
	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/load"
	"plumbline.dev/plumbline/compiler/lower"
	"plumbline.dev/plumbline/compiler/rules"
	"plumbline.dev/plumbline/compiler/values"
)

// The codes of this package's own findings. Those of the passes are theirs.
const (
	codeChartVersion  = "chart/unknown-minor" // no table of values, no map layout
	codeChartSource   = string(chart.CodeSource)
	codeEmit          = "emit/failed"        // the manifests can't be written
	codeUnknownRule   = "rules/unknown-code" // a rule for a code that no finding has
	codeDuplicateName = "env/duplicate-name" // two folders state one environment
	codeSharedCluster = "env/shared-cluster" // two environments would write the same objects of one cluster

	codeTaken             = "flux/name-taken"         // a Kustomization by the name of one of Plumbline's
	codeUnknownDependency = "flux/unknown-dependency" // one that nobody is known to make
	codeCycle             = "flux/cycle"              // Kustomizations that wait for each other
)

// Codes gives the codes that an environment's rules may weigh otherwise, sorted.
func Codes() []string {
	list := []string{codeChartVersion, codeUnknownRule, codeTaken, codeUnknownDependency, codeCycle,
		lower.CodeContradiction, lower.CodeBadOption, lower.CodeOptionTwice, lower.CodeNotCompiled}
	for _, c := range values.Codes() {
		list = append(list, c.ID)
	}
	list = append(list, rules.CodeBroken, rules.CodeUnknownFact)
	for _, rule := range Rules() {
		list = append(list, rule.Code)
	}
	for _, c := range chart.Codes() {
		list = append(list, string(c))
	}
	slices.Sort(list)
	return list
}

// Weights gives every code that a pass of the compiler can find, with how much it
// weighs by itself; rules tell theirs.
func Weights() []values.Code {
	list := values.Codes()
	for _, c := range chart.Codes() {
		list = append(list, values.Code{ID: string(c)})
	}
	for _, id := range append(load.Codes(), codeChartVersion, codeEmit, codeDuplicateName, codeTaken, codeCycle,
		lower.CodeContradiction, lower.CodeBadOption, rules.CodeBroken) {
		list = append(list, values.Code{ID: id})
	}
	for _, id := range []string{codeUnknownRule, codeUnknownDependency, codeSharedCluster, lower.CodeOptionTwice, lower.CodeNotCompiled} {
		list = append(list, values.Code{ID: id, Severity: diag.Warning})
	}
	return append(list, values.Code{ID: rules.CodeUnknownFact, Severity: diag.Info})
}

// codes are Codes and those of a team's own rules.
func (c *compilation) codes() []string {
	list := Codes()
	for _, set := range c.rules {
		for _, rule := range set.Rules {
			list = append(list, rule.Code)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// unknownRules warns of rules that can't have an effect. An area that has no
// code here may be a team's own.
func (c *compilation) unknownRules() {
	codes := c.codes()
	for _, code := range slices.Sorted(maps.Keys(c.env.Rules)) {
		area, _, _ := strings.Cut(code, "/")
		ours := slices.ContainsFunc(codes, func(known string) bool { return strings.HasPrefix(known, area+"/") })
		if !ours || slices.Contains(codes, code) {
			continue
		}
		d := diag.Diagnostic{Code: codeUnknownRule, Severity: diag.Warning, Path: fmt.Sprintf("environment.rules.%q", code),
			Message: fmt.Sprintf("no finding has the code %q: the rule does nothing", code), Positions: c.env.Positions("rules", code)}
		if near, ok := diag.Nearest(code, codes); ok {
			d.Hint = fmt.Sprintf("did you mean %q?", near)
		}
		c.list = append(c.list, d)
	}
}

// ruled gives findings the severity that the environment's rules give their
// codes. What Load finds has no such choice: there is nothing to compile then.
func ruled(list diag.List, rules map[string]load.Rule) diag.List {
	var out diag.List
	for _, d := range list {
		rule, ok := rules[d.Code]
		if ok && rule.Severity == "off" {
			continue
		}
		if ok {
			if err := d.Severity.UnmarshalText([]byte(rule.Severity)); err != nil {
				d.Severity = diag.Error // the schema lets nothing else through
			}
		}
		out = append(out, d)
	}
	return out
}
