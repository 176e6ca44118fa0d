// SPDX-License-Identifier: Apache-2.0

package render

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"sort"
	"strings"

	helm "helm.sh/helm/v4/pkg/chart/v2"
	helmrelease "helm.sh/helm/v4/pkg/release/v1"
	release "helm.sh/helm/v4/pkg/release/v1/util"
	"sigs.k8s.io/yaml"

	"plumbline.dev/plumbline/compiler/chart"
)

// head is what is read of an object.
type head struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name        string            `json:"name"`
		Namespace   string            `json:"namespace"`
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
}

// ranked is an object with its place in the order of an install.
type ranked struct {
	chart.Object
	rank int
}

const (
	rankCRD    = -1            // the folder crds/ comes first
	rankHook   = 1 << 20       // hooks come last, as `helm template` has them
	rankNoKind = rankHook >> 1 // kinds that Helm does not know come behind those it does
)

// objects parts what the templates gave into objects, sorted.
func objects(rendered map[string]string, loaded *helm.Chart) ([]chart.Object, []chart.Problem, error) {
	var list []ranked
	var problems []chart.Problem
	add := func(template, text string, rank int) {
		o, err := object(template, text)
		switch {
		case err != nil:
			problems = append(problems, *err)
		case o != nil && rank == rankCRD:
			list = append(list, ranked{o.Object, rank})
		case o != nil:
			list = append(list, *o)
		}
	}
	for _, crd := range loaded.CRDObjects() {
		for _, text := range split(string(crd.File.Data)) {
			add(crd.Filename, text, rankCRD)
		}
	}
	for _, template := range slices.Sorted(maps.Keys(rendered)) {
		if base := path.Base(template); strings.HasPrefix(base, "_") || base == "NOTES.txt" {
			continue
		}
		for _, text := range split(rendered[template]) {
			add(template, text, 0)
		}
	}
	if len(problems) > 0 {
		return nil, problems, nil
	}
	slices.SortStableFunc(list, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.unknown(), b.unknown()))
	})
	out := make([]chart.Object, len(list))
	for i := range list {
		out[i] = list[i].Object
	}
	return out, nil, nil
}

// unknown is the kind of an object where its rank does not say it already.
func (r ranked) unknown() string {
	if r.rank == rankNoKind {
		return r.Kind
	}
	return ""
}

// split parts a YAML stream as Helm does.
func split(text string) []string {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	parts := release.SplitManifests(text)
	names := slices.Collect(maps.Keys(parts))
	sort.Sort(release.BySplitManifestsOrder(names))
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = parts[name]
	}
	return out
}

// object reads one; it is nil where there are only comments.
func object(template, text string) (*ranked, *chart.Problem) {
	var h head
	if err := yaml.Unmarshal([]byte(text), &h); err != nil {
		return nil, malformed(template, fmt.Sprintf("gives no YAML: %v", err))
	}
	if h.Kind == "" && h.APIVersion == "" && h.Metadata.Name == "" && blank(text) {
		return nil, nil
	}
	if h.Kind == "" || h.APIVersion == "" || h.Metadata.Name == "" {
		return nil, malformed(template, "gives something that is no object of Kubernetes: it lacks apiVersion, kind or metadata.name")
	}
	o := chart.Object{
		APIVersion: h.APIVersion, Kind: h.Kind, Namespace: h.Metadata.Namespace, Name: h.Metadata.Name,
		Template: template, Text: strings.TrimRight(text, "\n") + "\n", StandIn: hasStandIn(text),
	}
	if o.StandIn {
		marked, err := mark(o.Text)
		if err != nil {
			return nil, malformed(template, fmt.Sprintf("gives an object that can't be marked: %v", err))
		}
		o.Text = marked
	}
	return &ranked{o, rankOf(h)}, nil
}

func malformed(template, words string) *chart.Problem {
	return &chart.Problem{Code: chart.CodeTemplate, About: chart.AboutValues, Template: template, Message: template + " " + words}
}

// blank tells whether a text holds nothing but comments.
func blank(text string) bool {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			return false
		}
	}
	return true
}

func rankOf(h head) int {
	if _, hook := h.Metadata.Annotations[helmrelease.HookAnnotation]; hook {
		return rankHook
	}
	if i := slices.Index(release.InstallOrder, h.Kind); i >= 0 {
		return i
	}
	return rankNoKind
}

// mark labels an object that holds a stand-in. Its keys come out sorted.
func mark(text string) (string, error) {
	var o map[string]any
	if err := yaml.Unmarshal([]byte(text), &o); err != nil {
		return "", err
	}
	metadata, ok := o["metadata"].(map[string]any)
	if !ok {
		return "", fmt.Errorf("metadata is no object")
	}
	labels, ok := metadata["labels"].(map[string]any)
	if !ok {
		labels = map[string]any{}
		metadata["labels"] = labels
	}
	labels[standInLabel] = "true"
	data, err := yaml.Marshal(o)
	const warning = "# Not to be applied: it holds stand-ins for data that Helm makes up at each install.\n"
	return warning + string(data), err
}
