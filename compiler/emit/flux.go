// SPDX-License-Identifier: Apache-2.0

package emit

import (
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
