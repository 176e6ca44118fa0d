// SPDX-License-Identifier: Apache-2.0

// Package rollout compares what an environment has Flux apply with what its cluster
// has, and with what its nodes run: a release that Flux has not got to, a setting that
// somebody edited, a node whose agent read its configuration before it was changed. It
// asks no cluster.
package rollout

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"plumbline.dev/plumbline/compiler/compare"
)

// Names that Cilium's chart gives to what its agents run by, in every minor.
const (
	ConfigName    = "cilium-config"
	DaemonSetName = "cilium"
)

// Wanted is what an environment comes to.
type Wanted struct {
	// Release is the HelmRelease, and ChartVersion the version that it asks for.
	Release      map[string]any
	ChartVersion string
	// Config and DaemonSet are what the chart renders them to; nil where it was not
	// rendered, and NotRendered says why.
	Config, DaemonSet map[string]any
	NotRendered       string
}

// Held is what a cluster has. What is nil is not there; what could not be read has no
// Held at all.
type Held struct {
	Release   map[string]any
	Config    map[string]any
	DaemonSet map[string]any
	// Revisions are the ControllerRevisions of the DaemonSet's namespace, Pods those of
	// its agents.
	Revisions []map[string]any
	Pods      []map[string]any
	// Nodes are those that run Linux.
	Nodes []string
}

// Kind is what a Finding is about. It is a closed set.
type Kind string

// The kinds. docs/CLUSTER.md says of each what to do.
const (
	ReleaseMissing    Kind = "release-missing"
	ReleaseDiffers    Kind = "release-differs"
	ReleaseSuspended  Kind = "release-suspended"
	ReleaseUnobserved Kind = "release-unobserved" // Flux has not got to its newest generation
	ReleaseNotReady   Kind = "release-not-ready"
	ReleaseVersion    Kind = "release-version" // another chart version is installed
	ConfigMissing     Kind = "config-missing"
	ConfigDiffers     Kind = "config-differs"
	WorkloadMissing   Kind = "workload-missing"
	WorkloadDiffers   Kind = "workload-differs"
	// WorkloadUnobserved is a change of the DaemonSet that has no pods yet.
	WorkloadUnobserved Kind = "workload-unobserved"
	NodeWithoutPod     Kind = "node-without-pod"
	PodNotReady        Kind = "pod-not-ready"
	PodOutdated        Kind = "pod-outdated"      // of another revision than the DaemonSet's
	PodBeforeConfig    Kind = "pod-before-config" // began before the configuration was changed
)

// Kinds lists them.
func Kinds() []Kind {
	return []Kind{ReleaseMissing, ReleaseDiffers, ReleaseSuspended, ReleaseUnobserved, ReleaseNotReady, ReleaseVersion, ConfigMissing,
		ConfigDiffers, WorkloadMissing, WorkloadDiffers, WorkloadUnobserved, NodeWithoutPod, PodNotReady, PodOutdated, PodBeforeConfig}
}

// Finding is one thing that is not as the environment has it.
type Finding struct {
	Kind   Kind   `json:"kind"`
	Object string `json:"object"` // "HelmRelease flux-system/cilium"
	Node   string `json:"node,omitempty"`
	// Path is the leaf's that differs. Want and Have are left out where there is none on
	// that side; secrets are masked in both.
	Path    string          `json:"path,omitempty"`
	Want    json.RawMessage `json:"want,omitempty"`
	Have    json.RawMessage `json:"have,omitempty"`
	Message string          `json:"message"`
}

// String is a line of text.
func (f Finding) String() string {
	where := f.Object
	if f.Node != "" {
		where = "node " + f.Node + ": " + where
	}
	if f.Path != "" {
		where += ": " + f.Path
	}
	return fmt.Sprintf("%s %s: %s", f.Kind, where, f.Message)
}

// Report is what a comparison comes to.
type Report struct {
	// InSync tells that there are no findings. What was not judged does not count
	// against it.
	InSync   bool      `json:"inSync"`
	Findings []Finding `json:"findings"` // never null, in the order of Kinds, then by object, node and path
	// NotJudged says what nothing is said about, and why.
	NotJudged []string `json:"notJudged"`
}

// Compare compares. It fails on an object that is no object of Kubernetes.
func Compare(want *Wanted, held *Held) (*Report, error) {
	c := &comparison{want: want, held: held, report: &Report{Findings: []Finding{}, NotJudged: []string{}}}
	for _, step := range []func() error{c.release, c.config, c.daemonSet, c.pods} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	r := c.report
	order := Kinds()
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Kind), slices.Index(order, b.Kind)), cmp.Compare(a.Object, b.Object),
			cmp.Compare(a.Node, b.Node), cmp.Compare(a.Path, b.Path))
	})
	r.InSync = len(r.Findings) == 0
	return r, nil
}

type comparison struct {
	want   *Wanted
	held   *Held
	report *Report
}

func (c *comparison) find(kind Kind, object, format string, args ...any) {
	c.report.Findings = append(c.report.Findings, Finding{Kind: kind, Object: object, Message: fmt.Sprintf(format, args...)})
}

func (c *comparison) notJudged(format string, args ...any) {
	c.report.NotJudged = append(c.report.NotJudged, fmt.Sprintf(format, args...))
}

// config compares what agents are configured by, each of its keys.
func (c *comparison) config() error {
	object := "ConfigMap " + ConfigName
	switch {
	case c.held.Config == nil && c.held.Release == nil:
		return nil // there is no Cilium, which has been said
	case c.held.Config == nil:
		c.find(ConfigMissing, object, "it is not there: no agent can start; have Flux apply the release again: flux reconcile helmrelease %s --force", text(c.held.Release, "metadata", "name"))
		return nil
	case c.want.Config == nil:
		c.notJudged("the content of ConfigMap %s and of DaemonSet %s: %s", ConfigName, DaemonSetName, c.want.NotRendered)
		return nil
	}
	return c.differences(ConfigDiffers, c.held.Config, c.want.Config, func(path string) bool { return below(path, "data") || below(path, "binaryData") })
}

// daemonSet compares the agents' own pods, as far as the chart says how they are to be.
func (c *comparison) daemonSet() error {
	object := "DaemonSet " + DaemonSetName
	switch {
	case c.held.DaemonSet == nil && c.held.Release == nil:
		return nil
	case c.held.DaemonSet == nil:
		c.find(WorkloadMissing, object, "it is not there: no node has an agent; have Flux apply the release again: flux reconcile helmrelease %s --force", text(c.held.Release, "metadata", "name"))
		return nil
	}
	if generation, observed := number(c.held.DaemonSet, "metadata", "generation"), number(c.held.DaemonSet, "status", "observedGeneration"); observed < generation {
		c.find(WorkloadUnobserved, title(c.held.DaemonSet), "generation %d of %d has been seen: pods are not rolled by the newest one; kube-controller-manager is not running, or is behind", max(observed, 0), generation)
	}
	if c.want.DaemonSet == nil {
		return nil // which has been said with the configuration
	}
	return c.differences(WorkloadDiffers, c.held.DaemonSet, c.want.DaemonSet, addedByHand)
}

// addedByHand tells which leaves of a DaemonSet the API server does not add by itself.
func addedByHand(path string) bool {
	return strings.Contains(path, ".env[") && strings.HasSuffix(path, ".value") || strings.HasSuffix(path, ".args") || strings.HasSuffix(path, ".command")
}

// differences finds the leaves that an object has otherwise than it should. What it has
// more is the API server's, or Flux's own mark, but where exact says that it counts.
func (c *comparison) differences(kind Kind, have, want map[string]any, exact func(path string) bool) error {
	list, err := compare.Sides(compare.Side{Objects: []map[string]any{named(have, want)}}, compare.Side{Objects: []map[string]any{want}}, compare.Manifests)
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(d compare.Difference) bool {
		switch {
		case strings.HasSuffix(d.Path, " (order)") || strings.HasSuffix(d.Path, "].name") || below(d.Path, "status") || same(d):
			return true
		case d.Op == compare.Removed:
			return !exact(d.Path)
		}
		return d.Op == compare.Added && empty(d.To) && !exact(d.Path)
	})
	report, err := compare.NewReport(compare.Origin{}, compare.Origin{}, list)
	if err != nil {
		return err
	}
	for _, l := range report.Differences {
		c.report.Findings = append(c.report.Findings, Finding{
			Kind: kind, Object: title(have), Path: l.Path, Want: l.To, Have: l.From, Message: sides(l),
		})
	}
	return nil
}

func sides(l compare.Line) string {
	switch {
	case l.Masked:
		return "another secret than wanted"
	case l.Op == compare.Added:
		return fmt.Sprintf("it is not there, want %s", l.To)
	case l.Op == compare.Removed:
		return fmt.Sprintf("it is %s, and not wanted", l.From)
	}
	return fmt.Sprintf("it is %s, want %s", l.From, l.To)
}

// named gives an object under the name that another has: a chart leaves the namespace
// to the release.
func named(o, as map[string]any) map[string]any {
	out := map[string]any{}
	for key, v := range o {
		out[key] = v
	}
	metadata := map[string]any{}
	for key, v := range mapOf(o, "metadata") {
		metadata[key] = v
	}
	delete(metadata, "namespace")
	if namespace := text(as, "metadata", "namespace"); namespace != "" {
		metadata["namespace"] = namespace
	}
	out["metadata"] = metadata
	return out
}

// title names an object as a person does.
func title(o map[string]any) string {
	name := text(o, "metadata", "name")
	if namespace := text(o, "metadata", "namespace"); namespace != "" {
		name = namespace + "/" + name
	}
	return text(o, "kind") + " " + name
}

func below(path, root string) bool {
	return path == root || strings.HasPrefix(path, root+".") || strings.HasPrefix(path, root+"[")
}
