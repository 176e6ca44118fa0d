// SPDX-License-Identifier: Apache-2.0

// Package chart asks for an environment's Helm chart to be found, verified and
// rendered, and says what came of it. It does none of that itself: package
// archive finds and verifies, package render renders, and both run in the
// process plumb-render, so that plumb links no Helm. docs/CHART.md tells the
// whole way.
package chart

import "encoding/json"

// Request asks for one chart to be rendered.
type Request struct {
	Reference
	// Values are laid over the chart's own, as Helm reads them from JSON: each
	// number is a float64.
	Values  json.RawMessage `json:"values"`
	Release Release         `json:"release"`
	// Kubernetes is the version that the templates see, "1.33"; "" is
	// DefaultKubernetes.
	Kubernetes string `json:"kubernetes,omitempty"`
	// APIVersions are those that the cluster has beside Kubernetes' own:
	// "monitoring.coreos.com/v1", or with a kind behind it.
	APIVersions []string `json:"apiVersions,omitempty"`
	// SkipSchema leaves the chart's own schema aside, as the HelmRelease does.
	SkipSchema bool `json:"skipSchema,omitempty"`
	// JudgeOnly wants the problems alone: objects are rendered and not given.
	JudgeOnly bool `json:"judgeOnly,omitempty"`
}

// DefaultKubernetes is what templates see where an environment does not state
// cluster.kubernetes.
const DefaultKubernetes = "1.35.0"

// Reference says which chart is meant. It is found at Path where there is one,
// and at Source otherwise.
type Reference struct {
	// Name of the chart in a Helm repository, and of its folder or archive in a
	// folder of charts.
	Name string `json:"name"`
	// Version in full, "1.17.2".
	Version string `json:"version"`
	// Source is oci://REPOSITORY/CHART, https://REPOSITORY or ./FOLDER.
	Source string `json:"source"`
	// Roots are the absolute folders that ./FOLDER counts from; the first in which
	// there is one is taken.
	Roots []string `json:"roots,omitempty"`
	// Path is a folder or an archive to take instead of Source; absolute.
	Path string `json:"path,omitempty"`
	// Digest of the archive, "sha256:…"; "" is any.
	Digest string `json:"digest,omitempty"`
}

// Release is the name and namespace of the Helm release.
type Release struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
}

// Result is what came of a Request: Objects where there is neither a Problem nor
// an Error.
type Result struct {
	Chart    Found     `json:"chart"`
	Objects  []Object  `json:"objects,omitempty"` // none where there are problems, nor with Request.JudgeOnly
	Problems []Problem `json:"problems,omitempty"`
	// Error says why the chart could not be looked at: the network, a permission.
	// It says nothing of the environment.
	Error string `json:"error,omitempty"`
}

// Found is the chart that was found.
type Found struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	// From is where it was found: a path or an address.
	From string `json:"from"`
	// Digest of its archive; a folder has none.
	Digest string `json:"digest,omitempty"`
}

// Object is a rendered object. They are in the order in which Helm installs them.
type Object struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace,omitempty"` // "" where the chart leaves it to the release
	Name       string `json:"name"`
	// Template is the file of the chart: "cilium/templates/cilium-configmap.yaml".
	Template string `json:"template"`
	// Text is the object in YAML, without "---", ending in a newline.
	Text string `json:"text"`
	// StandIn says that it holds data that Helm would make up anew at each install,
	// such as a certificate, and that Text has a stand-in for it.
	StandIn bool `json:"standIn,omitempty"`
}

// Problem is what speaks against the environment.
type Problem struct {
	Code  Code  `json:"code"`
	About About `json:"about"`
	// Message says what and why, Hint what to do.
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	// Template is the chart's place that refused: "cilium/templates/validate.yaml:48:7".
	Template string `json:"template,omitempty"`
	// Keys are paths of Helm values that the problem is about: those named first
	// in front.
	Keys [][]string `json:"keys,omitempty"`
}

// Code is a stable name of a kind of Problem; it is the code of the finding.
type Code string

// The codes.
const (
	CodeNotFound   Code = "chart/not-found"  // no such folder, repository or version
	CodeSource     Code = "chart/source"     // a source that no chart is taken from
	CodeDigest     Code = "chart/digest"     // another archive than the digest says
	CodeUnreadable Code = "chart/unreadable" // what was found is no chart
	CodeVersion    Code = "chart/version"    // the chart is of another version
	CodeKubernetes Code = "chart/kubernetes" // the chart does not take the cluster's Kubernetes
	CodeSchema     Code = "chart/schema"     // the chart's schema refuses values
	CodeRefused    Code = "chart/refused"    // a template says fail or required
	CodeTemplate   Code = "chart/template"   // a template breaks, or gives no YAML
)

// Codes lists the codes, sorted.
func Codes() []Code {
	return []Code{CodeDigest, CodeKubernetes, CodeNotFound, CodeRefused, CodeSchema, CodeSource, CodeTemplate, CodeUnreadable, CodeVersion}
}

// About is the part of an environment that a Problem speaks of.
type About string

// The parts.
const (
	AboutValues     About = "values"
	AboutVersion    About = "chart.version"
	AboutSource     About = "chart.source"
	AboutDigest     About = "chart.digest"
	AboutKubernetes About = "cluster.kubernetes"
)

// Error makes a Problem an error, so that what finds a chart can return one.
func (p *Problem) Error() string { return p.Message }
