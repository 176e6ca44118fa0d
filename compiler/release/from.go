// SPDX-License-Identifier: Apache-2.0

package release

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/values"
)

// world is what a HelmRelease can refer to.
type world struct {
	vars *variables
	// own objects stand in the HelmRelease's file, and have variables put in too.
	own, other []*object
}

// find finds an object by kind and name.
func (w *world) find(kind, name string) (o *object, own, ok bool) {
	for i, each := range append(w.own[:len(w.own):len(w.own)], w.other...) {
		if each.kind() == kind && each.name() == name {
			return each, i < len(w.own), true
		}
	}
	return nil, false, false
}

// merge makes the values: those that valuesFrom names in its order, one over
// the other, and spec.values over all.
func (r *Release) merge(w *world) diag.List {
	r.Values = values.Node{Kind: values.Object}
	var list diag.List
	if from, ok := r.spec.Lookup("valuesFrom"); ok {
		for i := range from.Items {
			n, found := w.reference(&from.Items[i], fmt.Sprintf("spec.valuesFrom[%d]", i))
			list = append(list, found...)
			r.Values = values.Overlay(r.Values, n)
		}
	}
	inline, ok := r.spec.Lookup("values")
	switch {
	case !ok || inline.Kind == values.Null:
	case inline.Kind != values.Object:
		list = append(list, finding(CodeSyntax, Root, "spec.values is no object", "", inline.Positions...))
	default:
		r.Values = values.Overlay(r.Values, *inline)
	}
	if len(r.Values.Positions) == 0 {
		r.Values.Positions = r.spec.Positions
	}
	return list
}

// tree is an object as it arrives. Of one that stands in another file than the
// HelmRelease nothing is known but what is written: no variables are put in.
func (w *world) tree(o *object, own bool) (values.Node, diag.List) {
	if own {
		return substitute(o, w.vars)
	}
	tree, _ := substitute(o, &variables{used: map[string]bool{}})
	return tree, nil
}

// reference reads one entry of valuesFrom.
func (w *world) reference(ref *values.Node, path string) (values.Node, diag.List) {
	kind, name, key := text(ref, "kind"), text(ref, "name"), cmp.Or(text(ref, "valuesKey"), "values.yaml")
	none := values.Node{Kind: values.Object}
	o, own, ok := w.find(kind, name)
	if !ok {
		return none, missing(ref, path, fmt.Sprintf("the %s %s", kind, name))
	}
	tree, list := w.tree(o, own)
	n, at, err := keyOf(&tree, o, key)
	switch {
	case err != nil:
		return none, append(list, finding(CodeSyntax, path, fmt.Sprintf("%s of the Secret %s is not base64: %v", key, name, err), "", n.Positions...))
	case n == nil:
		return none, append(list, missing(ref, path, fmt.Sprintf("%s of the %s %s", key, kind, name))...)
	}
	if target := text(ref, "targetPath"); target != "" {
		out, bad := single(target, text(n), n.Positions, text(ref, "literal") == "true")
		if bad != "" {
			return none, append(list, finding(CodeValuesFrom, path, bad, "", ref.Positions...))
		}
		return out, list
	}
	out, found := block(o, at, n)
	return out, append(list, found...)
}

func missing(ref *values.Node, path, what string) diag.List {
	return diag.List{finding(CodeValuesFrom, path, what+" is not among the files: its values are not vetted", "give the file with it: --env-file", ref.Positions...)}
}

// keyOf finds a key of a ConfigMap or Secret, and where its text was written; of
// a Secret's data the text is what base64 encodes.
func keyOf(tree *values.Node, o *object, key string) (*values.Node, *yaml.Node, error) {
	if n, ok := tree.Lookup("stringData", key); ok && o.kind() == "Secret" {
		return n, o.find("stringData", key), nil
	}
	n, ok := tree.Lookup("data", key)
	if !ok {
		return nil, nil, nil
	}
	if o.kind() != "Secret" {
		return n, o.find("data", key), nil
	}
	decoded, err := fromBase64(text(n))
	return &values.Node{Kind: values.String, Scalar: decoded, Positions: n.Positions}, &yaml.Node{}, err
}

// block reads the values in a string of an object. In a literal block every
// line has its own place.
func block(o *object, at *yaml.Node, n *values.Node) (values.Node, diag.List) {
	inner, list := values.FromYAML(o.file, []byte(text(n)))
	move := func([]diag.Position) []diag.Position { return n.Positions }
	if at.Style&yaml.LiteralStyle != 0 && at.Line < len(o.lines) {
		indent := 0
		for _, line := range o.lines[at.Line:] {
			if trimmed := strings.TrimLeft(line, " "); trimmed != "" {
				indent = len(line) - len(trimmed)
				break
			}
		}
		move = func(from []diag.Position) []diag.Position {
			out := make([]diag.Position, len(from))
			for i, p := range from {
				out[i] = diag.Position{File: p.File, Line: p.Line + at.Line, Column: p.Column + indent}
			}
			return out
		}
	}
	for i := range list {
		list[i].Positions = move(list[i].Positions)
	}
	return moved(inner, move), list
}

// single is a value that targetPath puts under a path, typed as `helm --set`
// types it. bad says what is not read.
func single(target, value string, at []diag.Position, literal bool) (n values.Node, bad string) {
	if strings.ContainsAny(target, "[]{},") || !literal && strings.ContainsAny(value, "{},[]") && !isWrapped(value) {
		return n, fmt.Sprintf("targetPath %q with lists is not read: its value is not vetted", target)
	}
	n = values.FromData(typed(value, literal))
	n.Positions = at
	names := strings.Split(strings.ReplaceAll(target, `\.`, "\x00"), ".")
	for i := len(names) - 1; i >= 0; i-- {
		name := strings.ReplaceAll(names[i], "\x00", ".")
		n = values.Node{Kind: values.Object, Positions: at, Fields: []values.Field{{Name: name, Positions: at, Value: n}}}
	}
	return n, ""
}

func isWrapped(value string) bool {
	return len(value) > 1 && (value[0] == '"' || value[0] == '\'') && value[len(value)-1] == value[0]
}

// typed reads a value as helm-controller does: in quotes it is a string.
func typed(value string, literal bool) any {
	switch {
	case literal:
		return value
	case isWrapped(value):
		return value[1 : len(value)-1]
	case value == "true", value == "false":
		return value == "true"
	case value == "null":
		return nil
	case value == "0":
		return json.Number("0")
	}
	if _, err := strconv.ParseInt(value, 10, 64); err == nil && !strings.HasPrefix(value, "0") {
		return json.Number(strings.TrimPrefix(value, "+"))
	}
	return value
}

// source finds where the chart comes from among the objects, and the version
// that an OCIRepository or a HelmChart states.
func (r *Release) source(w *world) diag.List {
	names := []string{"chart", "spec", "sourceRef"}
	if r.chartRef {
		names = []string{"chartRef"}
	}
	ref, ok := r.spec.Lookup(names...)
	if !ok {
		return nil
	}
	r.SourceKind, r.SourceName, r.SourceNamespace = text(ref, "kind"), text(ref, "name"), text(ref, "namespace")
	chart := strings.TrimPrefix(text(&r.spec, "chart", "spec", "chart"), "./")
	if r.SourceKind == "GitRepository" || r.SourceKind == "Bucket" {
		r.ChartSource = "./" + chart
		return nil
	}
	o, own, ok := w.find(r.SourceKind, r.SourceName)
	if !ok {
		return nil
	}
	tree, list := w.tree(o, own)
	state := func(names ...string) {
		if n, ok := tree.Lookup(append([]string{"spec"}, names...)...); ok && r.chartRef && r.Version == "" {
			r.Version, r.VersionAt = text(n), n.Positions
		}
	}
	state("ref", "semver")
	state("ref", "tag")
	state("version")
	r.ChartSource = text(&tree, "spec", "url")
	if strings.HasPrefix(r.ChartSource, "oci://") && !r.chartRef {
		r.ChartSource = strings.TrimSuffix(r.ChartSource, "/") + "/" + chart
	}
	return list
}
