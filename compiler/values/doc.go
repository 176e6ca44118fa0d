// SPDX-License-Identifier: Apache-2.0

// Package values checks Helm values of the Cilium chart against a table of what
// the chart takes: one table for each chart minor, generated from the chart
// itself. It finds keys that the chart does not have, types and words that it
// does not take, and keys that are gone, renamed, deprecated or without effect,
// all in one run and at the author's own line and column. It neither renders
// the chart nor relates one value to another: that is for package chart and for
// package rules.
//
// The caller hands over the values of an environment as they were evaluated,
// with the field left open in CUE:
//
//	table, err := values.For(version) // the environment's chart.version
//	if err != nil {
//		return err // names the minors there are
//	}
//	node := values.FromCUE(env.LookupPath(cue.ParsePath("values")), place)
//	found := table.Check(node, values.Options{
//		Root:  "environment.values",
//		Allow: allow, // the environment's allowUnknown
//	})
//	diagnostics = append(diagnostics, found...)
//
// A team without CUE starts from FromYAML instead. FromCUE reads on where CUE
// found a conflict, so errors of CUE and findings of Check can be shown together.
//
// A table is text under tables/, embedded as it stands and parsed on first use.
// What it holds comes from three places: the chart's values.schema.json and
// values.yaml; its templates, which read keys that the schema lacks, render
// objects whole and refuse keys of former minors; and gen/types.txt and
// gen/moved.txt, where people wrote down what neither says. hints.txt names the
// keys that people mean when they write others, behaviour.txt what Cilium does
// otherwise from a minor on although no key shows it.
package values
