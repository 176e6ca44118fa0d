// SPDX-License-Identifier: Apache-2.0

package load

import (
	"encoding/json"
	"net/netip"
	"strings"

	"cuelang.org/go/cue"

	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/schema/state"
)

// Environment is what an author wrote, checked against the schema and complete:
// its defaults are filled in. schema/environment.cue says what each field means.
type Environment struct {
	Name     string `json:"name"`
	Platform string `json:"platform"`
	Chart    Chart  `json:"chart"`
	API      API    `json:"api"`
	Cgroup   Cgroup `json:"cgroup"`
	// Cluster holds the facts, with those of the author's own.
	Cluster map[string]any `json:"cluster"`
	// Services have NAMESPACE/NAME for a key.
	Services     map[string]Service `json:"services"`
	Datapath     Datapath           `json:"datapath"`
	Agent        Agent              `json:"agent"`
	Flux         Flux               `json:"flux"`
	Rules        map[string]Rule    `json:"rules"`
	AllowUnknown []Allowed          `json:"allowUnknown"`

	// Values are the free Helm values, evaluated. They may hold errors where the
	// environment is not complete.
	Values cue.Value `json:"-"`
	// Complete is whether Load found no Error. What else is left of an environment
	// then is its Values, chart version and allowUnknown, as far as they are right.
	Complete bool `json:"-"`
	// Folder is the environment's folder, told from the working directory.
	Folder string `json:"-"`

	value  cue.Value // the whole environment
	places *places
}

// Chart is a release of Cilium's Helm chart.
type Chart struct {
	Version string `json:"version"` // "1.17.2"
	Source  string `json:"source"`  // oci://, https:// or ./
	Digest  string `json:"digest"`  // "sha256:…" of the archive, or ""
}

// API is the API server as nodes reach it. Host is "" where nothing depends on it.
type API struct {
	Host string `json:"host"`
	Port uint16 `json:"port"`
}

// Cgroup is the cgroup v2 hierarchy that the socket load balancer is attached to.
type Cgroup struct {
	Root      string `json:"root"`
	AutoMount bool   `json:"autoMount"`
}

// Service is a service that the environment declares itself.
type Service struct {
	IPs   []netip.Addr                `json:"ips"`
	Ports []state.DeclaredServicePort `json:"ports"`
}

// Datapath is how the kernel's maps are watched.
type Datapath struct {
	Mode     state.Mode     `json:"mode"`
	Interval state.Duration `json:"interval"`
	Grace    state.Duration `json:"grace"`
	Limits   state.Limits   `json:"limits"`
	Suspend  bool           `json:"suspend"`
	Audits   state.Audits   `json:"audits"`
}

// Flux is how the manifests reach the cluster. Durations stay as the author
// wrote them.
type Flux struct {
	Namespace      string     `json:"namespace"`
	Source         FluxSource `json:"source"`
	Path           string     `json:"path"`
	Interval       string     `json:"interval"`
	RetryInterval  string     `json:"retryInterval"`
	Timeout        string     `json:"timeout"`
	DriftDetection string     `json:"driftDetection"`
	Release        Release    `json:"release"`
	// DependsOn names what Cilium's Kustomization waits for, beside the gate.
	DependsOn []string `json:"dependsOn"`
	// Kustomizations are the environment's own, by name.
	Kustomizations map[string]Kustomization `json:"kustomizations"`
}

// Kustomization is a folder of the source that Flux applies. Timeout is "" where
// it is that of Flux.
type Kustomization struct {
	Path       string   `json:"path"`
	DependsOn  []string `json:"dependsOn"`
	Prune      bool     `json:"prune"`
	Wait       bool     `json:"wait"`
	Substitute bool     `json:"substitute"`
	Timeout    string   `json:"timeout"`
}

// FluxSource names the source that holds what `plumb build` wrote.
type FluxSource struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
}

// Release is Cilium's Helm release.
type Release struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
}

// Allowed is a Helm value that is right although the chart does not know it.
type Allowed struct {
	Path   string `json:"path"`
	Reason string `json:"reason"` // "" for a bare path
}

// UnmarshalJSON takes a bare path too.
func (a *Allowed) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		return json.Unmarshal(data, &a.Path)
	}
	type plain Allowed
	return json.Unmarshal(data, (*plain)(a))
}

// Rule changes how a finding is treated.
type Rule struct {
	Severity string `json:"severity"` // a severity's name, or "off"
	Reason   string `json:"reason"`
}

// Positions are the author's places of a field of the environment, the most
// specific file's first; none where nothing but the schema states it. For what
// is not written at all they are those of the nearest field around it.
func (e *Environment) Positions(path ...string) []diag.Position {
	if e.places == nil {
		return nil // not loaded
	}
	for n := len(path); n >= 0; n-- {
		if at := e.places.of(e.value.LookupPath(selectors(path[:n]))); len(at) > 0 || n == len(path) && e.states(path) {
			return at
		}
	}
	return nil
}

// Written are the author's places of a field, as Positions has them; none for
// what is not written.
func (e *Environment) Written(path ...string) []diag.Position {
	if e.places == nil {
		return nil // not loaded
	}
	return e.places.of(e.value.LookupPath(selectors(path)))
}

// At gives the environment with another chart version. What CUE worked out from
// the version stays as it was.
func (e *Environment) At(version string) *Environment {
	other := *e
	other.Chart.Version = version
	return &other
}

// states tells whether a field is there, by the schema's default at least.
func (e *Environment) states(path []string) bool {
	return e.value.LookupPath(selectors(path)).Exists()
}

// Author tells whether a file of CUE's positions is the author's; the embedded
// schema's are not.
func Author(file string) (name string, author bool) {
	return file, !strings.HasPrefix(file, schemaPrefix)
}

func selectors(path []string) cue.Path {
	list := make([]cue.Selector, len(path))
	for i, name := range path {
		list[i] = cue.Str(name)
	}
	return cue.MakePath(list...)
}
