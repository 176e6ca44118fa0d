// SPDX-License-Identifier: Apache-2.0

package adopt

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/values"
)

// variables says the variables that `plumb build` writes, in the other
// direction. Another variable has no field to go to.
func (a *adoption) variables() {
	for _, v := range a.Variables {
		field, ok := fieldOf[v.Name]
		if !ok {
			a.refuse(v.Name, fmt.Sprintf("no field of an environment is known for the variable %s: give the HelmRelease that uses it", v.Name), v.Positions)
			continue
		}
		n, found := values.FromYAML("", []byte(v.Value))
		if len(found) > 0 || field.text {
			n = values.FromData(strings.Trim(v.Value, `"'`))
		}
		if field.path != nil {
			a.set(values.Node{Kind: n.Kind, Scalar: n.Scalar}, field.path...)
		}
		if field.value != nil {
			a.want = with(a.want, n.Scalar, field.value...)
		}
	}
}

// field is where a variable goes: a field of the environment, the Helm value
// that follows from it, and whether it is a text whatever it looks like.
type field struct {
	path, value []string
	text        bool
}

// fieldOf are the variables of an environment, as package emit writes them. The
// name and the version have been given to Input.
var fieldOf = map[string]field{
	"API_HOST":                 {path: []string{"api", "host"}, value: []string{"k8sServiceHost"}, text: true},
	"API_PORT":                 {path: []string{"api", "port"}, value: []string{"k8sServicePort"}},
	"CILIUM_CGROUP_ROOT":       {path: []string{"cgroup", "root"}, value: []string{"cgroup", "hostRoot"}, text: true},
	"CILIUM_CGROUP_AUTO_MOUNT": {path: []string{"cgroup", "autoMount"}, value: []string{"cgroup", "autoMount", "enabled"}},
	"CILIUM_CHART_VERSION":     {},
	"ENVIRONMENT":              {},
}

// releaseChart says where the chart comes from.
func (a *adoption) releaseChart() {
	r := a.Release
	if r == nil {
		return
	}
	if r.ChartSource != "" {
		a.setText(r.ChartSource, "chart", "source")
		return
	}
	a.add(CodeAssumed, diag.Warning, "environment.chart.source",
		fmt.Sprintf("the %s %s is not among the files: the environment takes the chart from https://helm.cilium.io", cmp.Or(r.SourceKind, "source"), r.SourceName),
		"give the file with it", r.FactsAt("chart"))
}

// flux says how Flux handles the release.
func (a *adoption) flux() {
	r := a.Release
	if r == nil {
		return
	}
	facts := r.Facts()
	a.setText(text(facts, "interval"), "flux", "interval")
	a.setText(text(facts, "timeout"), "flux", "timeout")
	a.setText(cmp.Or(text(facts, "driftDetection", "mode"), "disabled"), "flux", "driftDetection") // helm-controller's own default
	a.setText(r.Name, "flux", "release", "name")
	a.setText(r.Namespace, "flux", "release", "namespace")
	if strings.HasPrefix(r.ChartSource, "./") {
		a.setText(r.SourceKind, "flux", "source", "kind")
		a.setText(r.SourceName, "flux", "source", "name")
		a.setText(r.SourceNamespace, "flux", "namespace")
	}
	a.unsaid(facts)
}

// said are the fields of a HelmRelease that an environment says; those of an
// object with some names say no more than these.
var said = map[string][]string{
	"name": nil, "namespace": nil, "release": nil, "interval": nil, "timeout": nil, "releaseName": nil, "valuesFrom": nil, "targetNamespace": nil,
	"chartRef":       nil,
	"chart":          {"spec"},
	"driftDetection": {"mode"},
}

// unsaid refuses what an environment does not say of a HelmRelease.
func (a *adoption) unsaid(facts map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(facts)) {
		inner, known := said[name]
		switch {
		case !known && !empty(facts[name]):
			a.refuse("spec."+name, "plumb build decides it: an environment has no field for it", a.Release.FactsAt(name))
		case inner != nil:
			a.unsaidBelow(facts, inner, name)
		}
	}
	a.unsaidBelow(facts, []string{"chart", "version", "sourceRef"}, "chart", "spec")
	if interval := text(facts, "chart", "spec", "interval"); interval != "" && interval != text(facts, "interval") {
		a.refuse("spec.chart.spec.interval", "an environment has one interval", a.Release.FactsAt("chart", "spec", "interval"))
	}
	if target := text(facts, "targetNamespace"); target != "" && target != text(facts, "namespace") {
		a.refuse("spec.targetNamespace", fmt.Sprintf("plumb build puts the HelmRelease into the namespace %s of the release: there Helm does not find what it stored in %s, and installs anew", target, text(facts, "namespace")),
			a.Release.FactsAt("targetNamespace"))
	}
}

func (a *adoption) unsaidBelow(facts map[string]any, known []string, names ...string) {
	object, _ := lookup(facts, names...).(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if slices.Contains(known, name) || names[len(names)-1] == "spec" && name == "interval" || empty(object[name]) {
			continue
		}
		path := append(slices.Clip(names), name)
		a.refuse("spec."+strings.Join(path, "."), "plumb build decides it: an environment has no field for it", a.Release.FactsAt(path...))
	}
}

// empty holds for what says nothing: false, "", {} and [].
func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case bool:
		return !v
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}

func lookup(v any, names ...string) any {
	for _, name := range names {
		object, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = object[name]
	}
	return v
}

// text is the string under some names, or "".
func text(facts map[string]any, names ...string) string {
	s, _ := lookup(facts, names...).(string)
	return s
}
