// SPDX-License-Identifier: Apache-2.0

// Package catalog describes environments to people: what one is for, what
// depends on what in it, which features are on and who turned them on, where it
// differs from the others, and what to do when something is wrong. It is made of
// what the compiler knows; it compiles nothing and looks at no cluster.
package catalog

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"plumbline.dev/plumbline/compiler"
	"plumbline.dev/plumbline/compiler/compare"
	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/load"
	"plumbline.dev/plumbline/compiler/values"
	"plumbline.dev/plumbline/schema/state"
)

// Compiled is an environment and what it compiles to.
type Compiled struct {
	Environment *load.Environment
	Artifact    *compiler.Artifact
}

// Page describes one environment. Its JSON form is stable: fields may be added,
// none renamed or removed. What looks like a secret is masked in it.
type Page struct {
	Name     string `json:"name"`
	Folder   string `json:"folder"`
	Platform string `json:"platform"`
	Purpose  string `json:"purpose"` // in a sentence
	Chart    Chart  `json:"chart"`
	// APIServer is HOST:PORT as nodes dial it; "" is by the ClusterIP.
	APIServer string         `json:"apiServer"`
	Datapath  Datapath       `json:"datapath"`
	Facts     []Setting      `json:"facts"` // of the cluster
	Parts     []Part         `json:"parts"`
	Links     []Link         `json:"links"`
	Features  []Feature      `json:"features"` // that are on
	Services  []Service      `json:"services"` // that the environment declares
	Weights   []Weight       `json:"weights"`  // findings that weigh otherwise here
	Allowed   []load.Allowed `json:"allowed"`  // unknown values that are let pass
	Flux      Flux           `json:"flux"`
}

// Chart is Cilium's Helm chart.
type Chart struct {
	Version string `json:"version"`
	Source  string `json:"source"`
}

// Datapath is where the kernel's maps lie and how they are watched.
type Datapath struct {
	Mode       string `json:"mode"`
	Layout     string `json:"layout"`
	Maps       string `json:"maps"` // folder of the pins
	CgroupRoot string `json:"cgroupRoot"`
	Interval   string `json:"interval"`
	Grace      string `json:"grace"`
}

// Flux is how the manifests reach the cluster.
type Flux struct {
	Namespace      string `json:"namespace"`
	Source         string `json:"source"` // "GitRepository/flux-system"
	Path           string `json:"path"`
	Release        string `json:"release"` // "kube-system/cilium"
	DriftDetection string `json:"driftDetection"`
}

// Setting is a value by its path.
type Setting struct {
	Path  string `json:"path"`
	Value string `json:"value"`
}

// Service is a service that the environment declares itself.
type Service struct {
	Name      string   `json:"name"` // "namespace/name"
	Addresses []string `json:"addresses"`
	Ports     []string `json:"ports"` // "http 80/TCP → 10.0.0.1:8080"
}

// Weight is how heavily the findings of a code weigh in the environment.
type Weight struct {
	Code     string          `json:"code"`
	Severity string          `json:"severity"`
	Reason   string          `json:"reason,omitempty"`
	Places   []diag.Position `json:"places"`
}

// Describe describes an environment.
func Describe(c Compiled) (*Page, error) {
	table, err := values.For(c.Environment.Chart.Version)
	if err != nil {
		return nil, err
	}
	env, settings := c.Environment, c.Artifact.Settings
	effective := tree(table.Effective(c.Artifact.Values))
	options := overlay(effective, table)
	if effective.text("routingMode") == "" && effective.is("eni.enabled") && settings.Layout >= state.Cilium119 {
		effective.put("routingMode", "native") // as the chart's cilium-configmap.yaml has it since 1.19
	}
	p := &Page{
		Name: env.Name, Folder: env.Folder, Platform: env.Platform,
		Chart:     Chart{env.Chart.Version, leaf(compare.Mask(env.Chart.Source))},
		APIServer: apiServer(env),
		Datapath: Datapath{
			Mode: settings.Mode.String(), Layout: settings.Layout.String(), Maps: pins(settings),
			CgroupRoot: settings.CgroupRoot, Interval: settings.Interval.String(), Grace: settings.Grace.String(),
		},
		Facts:    flatten(compare.Mask(env.Cluster)),
		Features: features(env, effective, options),
		Services: services(env),
		Weights:  weights(env),
		Allowed:  append([]load.Allowed{}, env.AllowUnknown...),
		Flux: Flux{env.Flux.Namespace, env.Flux.Source.Kind + "/" + env.Flux.Source.Name, env.Flux.Path,
			env.Flux.Release.Namespace + "/" + env.Flux.Release.Name, env.Flux.DriftDetection},
	}
	p.Purpose = purpose(p, settings.KubeProxyReplacement, env.Cluster)
	if p.Parts, p.Links, err = parts(c, effective, p); err != nil {
		return nil, err
	}
	return p, nil
}

func apiServer(env *load.Environment) string {
	if env.API.Host == "" {
		return ""
	}
	host := env.API.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return fmt.Sprintf("%s:%d", host, env.API.Port)
}

// purpose says in a sentence what the environment is.
func purpose(p *Page, replaced bool, facts map[string]any) string {
	cluster := p.Name
	if name, ok := facts["name"].(string); ok && name != "" {
		cluster = name
	}
	does := "gives the pods of"
	if replaced {
		does = "replaces kube-proxy and gives the pods of"
	}
	text := fmt.Sprintf("Cilium %s %s the cluster %s (%s) their network", p.Chart.Version, does, cluster, p.Platform)
	switch p.Datapath.Mode {
	case "repair":
		return text + "; Plumbline holds its load-balancer maps against what they should be, and writes confirmed drift back."
	case "own":
		return text + "; Plumbline keeps load-balancer maps of its own."
	}
	return text + "; Plumbline holds its load-balancer maps against what they should be, and writes nothing."
}

func services(env *load.Environment) []Service {
	list := []Service{}
	for _, name := range slices.Sorted(maps.Keys(env.Services)) {
		s := Service{Name: name, Addresses: texts(env.Services[name].IPs), Ports: []string{}}
		for _, port := range env.Services[name].Ports {
			text := fmt.Sprintf("%d/%s → %s", port.Port, port.Protocol, strings.Join(backends(port.Backends), ", "))
			s.Ports = append(s.Ports, strings.TrimSpace(port.Name+" "+text))
		}
		list = append(list, s)
	}
	return list
}

func texts(addresses []netip.Addr) []string {
	list := []string{}
	for _, a := range addresses {
		list = append(list, a.String())
	}
	return list
}

func backends(addresses []netip.AddrPort) []string {
	if len(addresses) == 0 {
		return []string{"nothing"}
	}
	var list []string
	for _, a := range addresses {
		list = append(list, a.String())
	}
	return list
}

func weights(env *load.Environment) []Weight {
	list := []Weight{}
	for _, code := range slices.Sorted(maps.Keys(env.Rules)) {
		list = append(list, Weight{code, env.Rules[code].Severity, env.Rules[code].Reason, places(env.Written("rules", code))})
	}
	return list
}

// places are positions that JSON has as a list.
func places(list []diag.Position) []diag.Position { return append([]diag.Position{}, list...) }
