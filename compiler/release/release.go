// SPDX-License-Identifier: Apache-2.0

package release

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/values"
)

// Release is a HelmRelease of Cilium as it arrives in the cluster.
type Release struct {
	// Name and Namespace are those of the release that Helm makes; the namespace
	// is "" where the file leaves it to others.
	Name, Namespace string
	// Values are spec.valuesFrom and spec.values, merged as helm-controller does.
	Values values.Node
	// Version is the chart's as it is stated: exact, a range, or "".
	Version   string
	VersionAt []diag.Position
	// ChartSource is where the chart comes from, as environment.chart.source has
	// it: "" where the files do not say.
	ChartSource string
	// The source that the HelmRelease names for it.
	SourceKind, SourceName, SourceNamespace string

	spec     values.Node
	metadata values.Node
	chartRef bool
	// versionTold says that a finding tells of the version already.
	versionTold bool
}

// Root is the path of the values in a HelmRelease.
const Root = "spec.values"

// Read reads the HelmRelease of Cilium in a file. The sources are files of
// variables, as ReadVariables takes them, and of the objects that the
// HelmRelease refers to; so is the file itself. The Release is nil exactly where
// there is none, or Flux would refuse it.
func Read(file File, sources []File) (*Release, diag.List) {
	objects, list := readObjects(file)
	o, bad := choose(file.Name, objects)
	if bad != nil {
		if list.Count(diag.Error) == 0 {
			list = append(list, *bad)
		}
		return nil, list.Sort()
	}
	vars, found := readVariables(sources, o.valuesFrom())
	list = append(list, found...)
	tree, found := substitute(o, vars)
	list = append(list, found...)
	if tree.Kind != values.Object {
		return nil, list.Sort()
	}
	r := newRelease(tree)
	world := world{vars: vars, own: objects, other: otherObjects(sources)}
	list = append(list, r.merge(&world)...)
	list = append(list, r.source(&world)...)
	r.versionTold = slices.ContainsFunc(list, func(d diag.Diagnostic) bool {
		return d.Severity == diag.Error && d.Path == r.versionPath()
	})
	return r, append(list, vars.unused()...).Sort()
}

// otherObjects are the objects of the sources; what is wrong with them is told
// where their variables are read.
func otherObjects(files []File) []*object {
	var out []*object
	for _, f := range files {
		if f.isYAML() {
			objects, _ := readObjects(f)
			out = append(out, objects...)
		}
	}
	return out
}

// choose finds the HelmRelease whose chart is cilium, or the only one.
func choose(file string, objects []*object) (*object, *diag.Diagnostic) {
	var all, cilium []*object
	for _, o := range objects {
		if o.kind() != "HelmRelease" || !strings.HasPrefix(o.text("apiVersion"), "helm.toolkit.fluxcd.io/") {
			continue
		}
		all = append(all, o)
		if o.isCilium() {
			cilium = append(cilium, o)
		}
	}
	if len(all) == 1 {
		cilium = all
	}
	if len(cilium) == 1 {
		return cilium[0], nil
	}
	at := []diag.Position{{File: file}}
	message := "no HelmRelease of helm.toolkit.fluxcd.io stands here"
	if len(all) > 0 {
		var names []string
		at = nil
		for _, o := range all {
			names, at = append(names, o.name()), append(at, o.at())
		}
		message = fmt.Sprintf("which HelmRelease is Cilium's? The chart of none is cilium among %s", strings.Join(names, ", "))
		if len(cilium) > 1 {
			message = fmt.Sprintf("several HelmReleases have the chart cilium: %s", strings.Join(names, ", "))
		}
	}
	d := finding(CodeNoRelease, "", message, "give the file of one HelmRelease", at...)
	return nil, &d
}

func (o *object) isCilium() bool {
	return path.Base(o.text("spec", "chart", "spec", "chart")) == "cilium" || o.text("spec", "chartRef", "name") == "cilium"
}

// valuesFrom are the objects that a HelmRelease names there, as they are named.
func (o *object) valuesFrom() []*object {
	var out []*object
	refs, _ := lookup(o.data, "spec", "valuesFrom").([]any)
	for _, ref := range refs {
		out = append(out, &object{data: map[string]any{"kind": lookup(ref, "kind"), "metadata": map[string]any{"name": lookup(ref, "name")}}})
	}
	return out
}

func newRelease(tree values.Node) *Release {
	r := &Release{}
	if n, ok := tree.Lookup("spec"); ok {
		r.spec = *n
	}
	if n, ok := tree.Lookup("metadata"); ok {
		r.metadata = *n
	}
	name, namespace, target := text(&r.metadata, "name"), text(&r.metadata, "namespace"), text(&r.spec, "targetNamespace")
	r.Namespace = cmp.Or(target, namespace)
	r.Name = text(&r.spec, "releaseName")
	if r.Name == "" {
		r.Name = name
		if target != "" {
			r.Name = target + "-" + name
		}
	}
	r.Version = text(&r.spec, "chart", "spec", "version")
	r.VersionAt = r.spec.At("chart", "spec", "version")
	if _, r.chartRef = r.spec.Lookup("chartRef"); r.chartRef {
		r.VersionAt = r.spec.At("chartRef")
	}
	return r
}

// text is the scalar under some names as it is written, or "".
func text(n *values.Node, names ...string) string {
	found, ok := n.Lookup(names...)
	if !ok || found.Scalar == nil {
		return ""
	}
	return fmt.Sprint(found.Scalar)
}

// Facts are the HelmRelease's spec without its values, with name and namespace
// of its metadata, and under "release" those of the release that Helm makes.
// Numbers are json.Number.
func (r *Release) Facts() map[string]any {
	facts, ok := r.spec.Data().(map[string]any)
	if !ok {
		facts = map[string]any{}
	}
	delete(facts, "values")
	facts["name"], facts["namespace"] = text(&r.metadata, "name"), text(&r.metadata, "namespace")
	facts["release"] = map[string]any{"name": r.Name, "namespace": r.Namespace}
	return facts
}

// FactsAt are the places of one of the Facts, or of the nearest around it.
func (r *Release) FactsAt(names ...string) []diag.Position {
	if len(names) == 0 {
		return r.spec.Positions
	}
	switch {
	case names[0] == "name", names[0] == "namespace":
		return r.metadata.At(names...)
	case slices.Equal(names, []string{"release", "name"}) && text(&r.spec, "releaseName") != "":
		return r.spec.At("releaseName")
	case slices.Equal(names, []string{"release", "namespace"}) && text(&r.spec, "targetNamespace") != "":
		return r.spec.At("targetNamespace")
	case names[0] == "release":
		return r.metadata.At(names[1:]...)
	}
	return r.spec.At(names...)
}
