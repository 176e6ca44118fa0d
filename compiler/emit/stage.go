// SPDX-License-Identifier: Apache-2.0

package emit

import (
	"errors"
	"maps"
	"path"
	"slices"

	"plumbline.dev/plumbline/compiler/load"
)

// The stages that Plumbline writes. What comes first is told by dependsOn alone,
// and all of them are of one source: so Flux takes a new revision of one only
// after the one before it was healthy at that very revision. A readyExpr would
// take that check's place.
const (
	stageGate       = "gate"       // CRDs, agent, Datapath
	stageCilium     = "cilium"     // the HelmRelease
	stageMonitoring = "monitoring" // alerts and the dashboard
)

// stage is a folder of manifests and the Flux Kustomization that applies it. The
// folder of an environment's own stage holds nothing.
type stage struct {
	folder
	spec object // of the Kustomization, what it has beside what all have
}

// stages are what is applied, in order.
func stages(env *load.Environment, values map[string]any, o Options) ([]stage, error) {
	cilium := ciliumStage(env, values, o)
	list := []stage{cilium}
	if env.Agent.Enabled {
		gate, err := gateStage(env, o)
		if err != nil {
			return nil, err
		}
		list = []stage{gate, cilium}
		if env.Agent.Monitoring.Enabled {
			monitoring, err := monitoringStage(env, o.Settings)
			if err != nil {
				return nil, err
			}
			list = append(list, monitoring)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(env.Flux.Kustomizations)) {
		list = append(list, ownStage(name, env.Flux.Kustomizations[name]))
	}
	return list, nil
}

// ciliumStage holds the release. It prunes nothing: without Cilium the cluster has
// no network, and a file lost from Git must not end it. It looks at the rollout
// instead of waiting within Helm.
func ciliumStage(env *load.Environment, values map[string]any, o Options) stage {
	s := stage{folder: folder{name: stageCilium}, spec: object{"prune": false, "healthChecks": ciliumHealth(env, values)}}
	s.add("helmrelease", helmRelease(env, values, o))
	if source := sourceOf(env); source != nil {
		s.add("source", source)
	}
	return s
}

// ciliumHealth is the release and what it rolls out on every node.
func ciliumHealth(env *load.Environment, values map[string]any) []object {
	namespace := env.Flux.Release.Namespace
	list := []object{{"apiVersion": apiHelm, "kind": "HelmRelease", "name": env.Flux.Release.Name, "namespace": namespace}}
	if values["agent"] != false {
		list = append(list, object{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "cilium", "namespace": namespace})
	}
	if operator, ok := values["operator"].(object); !ok || operator["enabled"] != false {
		list = append(list, object{"apiVersion": "apps/v1", "kind": "Deployment", "name": "cilium-operator", "namespace": namespace})
	}
	return list
}

// ownStage is one of the environment's own.
func ownStage(name string, k load.Kustomization) stage {
	s := stage{folder: folder{name: name}, spec: object{"path": k.Path, "prune": k.Prune, "wait": k.Wait}}
	if k.Timeout != "" {
		s.spec["timeout"] = k.Timeout
	}
	if k.Substitute {
		s.spec["postBuild"] = object{"substituteFrom": []object{{"kind": "ConfigMap", "name": "environment"}}}
	}
	return s
}

// kustomization is the Flux Kustomization of a stage.
func (s stage) kustomization(env *load.Environment) object {
	spec := object{
		"interval":      env.Flux.Interval,
		"retryInterval": env.Flux.RetryInterval,
		"timeout":       env.Flux.Timeout,
		"path":          "./" + path.Join(env.Flux.Path, s.name),
		"sourceRef":     object{"kind": env.Flux.Source.Kind, "name": env.Flux.Source.Name},
	}
	maps.Copy(spec, s.spec)
	var before []object
	for _, name := range Order(env)[s.name] {
		before = append(before, object{"name": name})
	}
	if len(before) > 0 {
		spec["dependsOn"] = before
	}
	return object{"apiVersion": apiKustomize, "kind": "Kustomization", "metadata": object{"name": s.name, "namespace": env.Flux.Namespace}, "spec": spec}
}

// errNoSettings is that a Datapath has no spec.
var errNoSettings = errors.New("the environment has an agent, and no Settings for it are given")
