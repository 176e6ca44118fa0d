// SPDX-License-Identifier: Apache-2.0

package emit

import (
	"maps"
	"slices"

	"plumbline.dev/plumbline/compiler/load"
)

// Reserved are the names of the Kustomizations that Plumbline writes itself; an
// environment's own have others, whether there is an agent or not.
func Reserved() []string { return []string{stageCilium, stageGate, stageMonitoring} }

// Order is what each Kustomization of an environment waits for, by name.
func Order(env *load.Environment) map[string][]string {
	order := map[string][]string{stageCilium: slices.Clone(env.Flux.DependsOn)}
	if env.Agent.Enabled {
		order[stageGate] = nil
		if env.Agent.Gate {
			order[stageCilium] = append([]string{stageGate}, order[stageCilium]...)
		}
		if env.Agent.Monitoring.Enabled {
			order[stageMonitoring] = []string{stageCilium}
		}
	}
	for name, k := range env.Flux.Kustomizations {
		if !slices.Contains(Reserved(), name) {
			order[name] = k.DependsOn
		}
	}
	return order
}

// Cycle gives Kustomizations that wait for each other, from the least name on, each
// for the next and the last for the first; nil where there are none. Flux would
// take no new revision of any of them: it gives up on sorting them all.
func Cycle(order map[string][]string) []string {
	done := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(order)) {
		if cycle := cycleFrom(order, name, nil, done); cycle != nil {
			first := slices.Index(cycle, slices.Min(cycle))
			return append(slices.Clone(cycle[first:]), cycle[:first]...)
		}
	}
	return nil
}

// cycleFrom looks below the last of a path; done are those that lead into none.
func cycleFrom(order map[string][]string, name string, path []string, done map[string]bool) []string {
	if done[name] {
		return nil
	}
	if i := slices.Index(path, name); i >= 0 {
		return path[i:]
	}
	for _, next := range order[name] {
		if cycle := cycleFrom(order, next, append(slices.Clone(path), name), done); cycle != nil {
			return cycle
		}
	}
	done[name] = true
	return nil
}
