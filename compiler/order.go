// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/emit"
)

// order judges what Flux's Kustomizations wait for.
func (c *compilation) order() {
	for _, name := range emit.Reserved() {
		if _, taken := c.env.Flux.Kustomizations[name]; taken {
			c.add(codeTaken, fmt.Sprintf("environment.flux.kustomizations.%q", name), fmt.Sprintf("%s is a Kustomization that plumb writes itself", name),
				"give it another name", c.env.Positions("flux", "kustomizations", name))
		}
	}
	order := emit.Order(c.env)
	for _, name := range slices.Sorted(maps.Keys(order)) {
		for _, other := range order[name] {
			if _, known := order[other]; !known {
				c.unknownDependency(name, other, slices.Sorted(maps.Keys(order)))
			}
		}
	}
	cycle := emit.Cycle(order)
	if cycle == nil {
		return
	}
	var at []diag.Position
	for _, name := range cycle {
		at = append(at, c.env.Written(dependsOn(name)...)...)
	}
	c.add(codeCycle, "environment.flux", fmt.Sprintf("%s → %s: each waits for the next, so Flux applies none of them, and no new revision of anything of that source",
		strings.Join(cycle, " → "), cycle[0]), "take one of them out of a dependsOn", at)
}

// unknownDependency warns: whoever else makes it, Flux waits until it is there.
func (c *compilation) unknownDependency(name, other string, known []string) {
	d := diag.Diagnostic{Code: codeUnknownDependency, Severity: diag.Warning, Path: "environment." + strings.Join(dependsOn(name), "."),
		Message:   fmt.Sprintf("%s waits for %q, which is no Kustomization of this environment's: until somebody else makes it, nothing of %s is applied", name, other, name),
		Positions: c.env.Positions(dependsOn(name)...)}
	if near, ok := diag.Nearest(other, known); ok {
		d.Hint = fmt.Sprintf("did you mean %q?", near)
	}
	c.list = append(c.list, d)
}

// dependsOn is the path of what a Kustomization waits for.
func dependsOn(name string) []string {
	if slices.Contains(emit.Reserved(), name) {
		return []string{"flux", "dependsOn"}
	}
	return []string{"flux", "kustomizations", name, "dependsOn"}
}
