// SPDX-License-Identifier: Apache-2.0

package emit

import (
	"path"
	"strings"

	"plumbline.dev/plumbline/compiler/load"
)

// The API versions of what is written.
const (
	apiHelm      = "helm.toolkit.fluxcd.io/v2"
	apiSource    = "source.toolkit.fluxcd.io/v1"
	apiKustomize = "kustomize.toolkit.fluxcd.io/v1"
)

// object is a Kubernetes object, or a part of one.
type object = map[string]any

// chartLayer is the layer of an OCI artifact that holds a Helm chart.
const chartLayer = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"

// helmRelease is Cilium's. Helm waits for nothing: what a CNI brings up waits
// for the CNI itself, and a wait that runs out would count as a failed release.
// The Kustomization's health checks look at the rollout instead. A failed action
// is tried again; it is never followed by an uninstall or a rollback, both of
// which take a cluster's network away.
func helmRelease(env *load.Environment, values map[string]any, o Options) object {
	action := object{
		"disableWait": true,
		"strategy":    object{"name": "RetryOnFailure", "retryInterval": env.Flux.RetryInterval},
	}
	if o.SkipChartSchema {
		action["disableSchemaValidation"] = true
	}
	spec := object{
		"releaseName":    env.Flux.Release.Name,
		"interval":       env.Flux.Interval,
		"timeout":        env.Flux.Timeout,
		"install":        action,
		"upgrade":        action,
		"driftDetection": object{"mode": env.Flux.DriftDetection},
		"values":         values,
	}
	switch source := sourceOf(env); {
	case source == nil:
		spec["chart"] = object{"spec": object{
			"chart": env.Chart.Source, "reconcileStrategy": "Revision",
			"sourceRef": object{"kind": env.Flux.Source.Kind, "name": env.Flux.Source.Name, "namespace": env.Flux.Namespace},
		}}
	case source["kind"] == "OCIRepository":
		spec["chartRef"] = object{"kind": "OCIRepository", "name": env.Flux.Release.Name}
	default:
		spec["chart"] = object{"spec": object{
			"chart": "cilium", "version": env.Chart.Version, "interval": env.Flux.Interval,
			"sourceRef": object{"kind": "HelmRepository", "name": env.Flux.Release.Name},
		}}
	}
	return object{"apiVersion": apiHelm, "kind": "HelmRelease", "metadata": inRelease(env), "spec": spec}
}

// Release gives what Cilium's HelmRelease states beside its values, and its name
// and namespace.
func Release(env *load.Environment) map[string]any {
	out := helmRelease(env, nil, Options{})["spec"].(object)
	delete(out, "values")
	for name, v := range inRelease(env) {
		out[name] = v
	}
	return out
}

// sourceOf is where the chart comes from; nil for a folder of the source that
// holds the manifests too.
func sourceOf(env *load.Environment) object {
	kind, spec := "HelmRepository", object{"interval": env.Flux.Interval, "url": env.Chart.Source}
	switch {
	case strings.HasPrefix(env.Chart.Source, "./"):
		return nil
	case strings.HasPrefix(env.Chart.Source, "oci://"):
		kind = "OCIRepository"
		spec["ref"] = object{"tag": env.Chart.Version}
		spec["layerSelector"] = object{"mediaType": chartLayer, "operation": "copy"}
	}
	return object{"apiVersion": apiSource, "kind": kind, "metadata": inRelease(env), "spec": spec}
}

func inRelease(env *load.Environment) object {
	return object{"name": env.Flux.Release.Name, "namespace": env.Flux.Release.Namespace}
}

// stage is a folder of manifests and the Flux Kustomization that applies it.
type stage struct {
	name    string
	objects []object // by file name, without .yaml, in files
	files   []string
	health  []object // what has to be healthy for the stage to be
}

// stages are what is applied, in order.
func stages(env *load.Environment, values map[string]any, o Options) []stage {
	cilium := stage{
		name:    "cilium",
		files:   []string{"helmrelease"},
		objects: []object{helmRelease(env, values, o)},
		health:  ciliumHealth(env, values),
	}
	if source := sourceOf(env); source != nil {
		cilium.files, cilium.objects = append(cilium.files, "source"), append(cilium.objects, source)
	}
	return []stage{cilium}
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

// kustomization is the Flux Kustomization of a stage. It prunes nothing: without
// Cilium the cluster has no network, and a file lost from Git must not end it.
func (s stage) kustomization(env *load.Environment) object {
	return object{
		"apiVersion": apiKustomize, "kind": "Kustomization",
		"metadata": object{"name": s.name, "namespace": env.Flux.Namespace},
		"spec": object{
			"interval":      env.Flux.Interval,
			"retryInterval": env.Flux.RetryInterval,
			"timeout":       env.Flux.Timeout,
			"path":          "./" + path.Join(env.Flux.Path, s.name),
			"prune":         false,
			"sourceRef":     object{"kind": env.Flux.Source.Kind, "name": env.Flux.Source.Name},
			"healthChecks":  s.health,
		},
	}
}
