// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"plumbline.dev/plumbline/compiler/load"
	"plumbline.dev/plumbline/schema/state"
)

// Part is something that an environment consists of, or leans on.
type Part struct {
	ID    string `json:"id"` // "daemonset/cilium"
	Name  string `json:"name"`
	Kind  string `json:"kind"`
	Group string `json:"group"` // "cluster", "flux", "cilium", "node"
}

// Link says that one part depends on another.
type Link struct {
	From string `json:"from"`
	To   string `json:"to"`
	Why  string `json:"why"`
}

// pins is the folder of the load-balancer maps' pins.
func pins(s *state.Settings) string {
	if s.Mode == state.Own {
		return path.Join(s.BPFRoot, "plumbline")
	}
	return path.Join(s.BPFRoot, "tc/globals")
}

// graph collects parts and links.
type graph struct {
	parts []Part
	links []Link
}

func (g *graph) part(group, kind, name string) string {
	id := strings.ToLower(kind) + "/" + name
	if !slices.ContainsFunc(g.parts, func(p Part) bool { return p.ID == id }) {
		g.parts = append(g.parts, Part{id, name, kind, group})
	}
	return id
}

func (g *graph) link(from, to, why string) {
	if l := (Link{from, to, why}); from != to && !slices.Contains(g.links, l) {
		g.links = append(g.links, l)
	}
}

// parts finds what depends on what: in the manifests as they are built, and in
// what the values let the chart install.
func parts(c Compiled, t tree, p *Page) ([]Part, []Link, error) {
	g := &graph{}
	release, err := g.flux(c)
	if err != nil {
		return nil, nil, err
	}
	g.cilium(c.Environment, t, p, release)
	return g.parts, g.links, nil
}

// manifest is what a graph needs of an object.
type manifest struct {
	Kind     string `json:"kind"`
	Metadata struct {
		Name, Namespace string
	} `json:"metadata"`
	Spec struct {
		Path      string    `json:"path"`
		SourceRef reference `json:"sourceRef"`
		ChartRef  reference `json:"chartRef"`
		Chart     struct {
			Spec struct {
				SourceRef reference `json:"sourceRef"`
			} `json:"spec"`
		} `json:"chart"`
		DependsOn []reference `json:"dependsOn"`
	} `json:"spec"`
	file string
}

type reference struct{ Kind, Name string }

// bystanders are kinds that depend on nothing and do nothing: who may do what, and
// what there may be.
var bystanders = []string{"Namespace", "ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding",
	"CustomResourceDefinition", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}

// flux adds the objects that plumb builds, and gives the HelmRelease's part.
func (g *graph) flux(c Compiled) (release string, err error) {
	var list []manifest
	for _, f := range c.Artifact.Files {
		if path.Base(f.Path) == "kustomization.yaml" {
			continue // for kustomize alone
		}
		m := manifest{file: f.Path}
		if err := yaml.Unmarshal(f.Data, &m); err != nil {
			return "", fmt.Errorf("read %s, which plumb built: %w", f.Path, err)
		}
		if !slices.Contains(bystanders, m.Kind) {
			list = append(list, m)
		}
	}
	for _, m := range list {
		id := g.part("flux", m.Kind, m.Metadata.Name)
		switch m.Kind {
		case "Kustomization":
			g.kustomization(c.Environment, id, m, list)
		case "HelmRelease":
			release = id
			for _, ref := range []reference{m.Spec.ChartRef, m.Spec.Chart.Spec.SourceRef} {
				if ref.Name != "" {
					g.link(id, g.part("flux", ref.Kind, ref.Name), "takes the chart from")
				}
			}
		}
	}
	return release, nil
}

// kustomization links a Flux Kustomization with its source, with what goes before
// it, and with the objects in its folder.
func (g *graph) kustomization(env *load.Environment, id string, m manifest, list []manifest) {
	if ref := m.Spec.SourceRef; ref.Name != "" {
		g.link(id, g.part("flux", ref.Kind, ref.Name), "takes manifests from")
	}
	for _, ref := range m.Spec.DependsOn {
		g.link(id, g.part("flux", "Kustomization", ref.Name), "waits for")
	}
	for _, other := range list {
		if dir := path.Dir(other.file); dir != "." && path.Join(env.Flux.Path, dir) == path.Clean(m.Spec.Path) {
			g.link(g.part("flux", other.Kind, other.Metadata.Name), id, "is applied by")
		}
	}
}

// cilium adds what the chart installs.
func (g *graph) cilium(env *load.Environment, t tree, p *Page, release string) {
	api := g.part("cluster", "API server", p.apiName())
	maps := g.part("node", "Maps", p.Datapath.Maps)
	workload := func(kind, name string) string {
		id := g.part("cilium", kind, name)
		if release != "" {
			g.link(id, release, "is installed by")
		}
		return id
	}
	if agent(t) {
		g.agent(t, workload, api, maps)
	}
	if t.at("operator.enabled") != false {
		g.link(workload("Deployment", "cilium-operator"), api, "watches")
	}
	if t.is("clustermesh.useAPIServer") {
		mesh := workload("Deployment", "clustermesh-apiserver")
		g.link(mesh, api, "reads from")
	}
	plumb := g.part("node", "plumb", p.Datapath.Mode)
	g.link(plumb, maps, "holds against the environment")
	if env.Agent.Enabled {
		agent := g.part("flux", "DaemonSet", "plumb-agent")
		g.link(plumb, agent, "is run by")
		g.link(agent, api, "reads Services from, and reports to")
		g.link(g.part("flux", "Datapath", env.Name), g.part("flux", "Deployment", "plumb-controller"), "is summed up by")
	}
	if len(env.Services) > 0 {
		g.link(maps, g.part("cluster", "Services", "declared here"), "also holds")
	}
}

// agent adds Cilium's agent, and what only works together with it.
func (g *graph) agent(t tree, workload func(kind, name string) string, api, maps string) {
	agent := workload("DaemonSet", "cilium")
	g.link(agent, api, "reads Services and policies from")
	g.link(agent, maps, "writes")
	if envoy(t) {
		g.link(agent, workload("DaemonSet", "cilium-envoy"), "sends L7 traffic through")
	}
	g.hubble(t, agent, workload)
	if t.is("authentication.mutual.spire.enabled") {
		g.link(agent, workload("StatefulSet", "spire-server"), "has identities from")
	}
}

// hubble adds Hubble's parts.
func (g *graph) hubble(t tree, agent string, workload func(kind, name string) string) {
	if !hubble(t) {
		return
	}
	if t.is("hubble.relay.enabled") {
		relay := workload("Deployment", "hubble-relay")
		g.link(relay, agent, "collects flows from")
		if t.is("hubble.ui.enabled") {
			g.link(workload("Deployment", "hubble-ui"), relay, "asks")
		}
	}
	if t.at("hubble.tls.enabled") != false && t.text("hubble.tls.auto.method") == "cronJob" && t.at("hubble.tls.auto.enabled") != false {
		g.link(agent, workload("CronJob", "hubble-generate-certs"), "has certificates from")
	}
}

// apiName names the API server as nodes reach it.
func (p *Page) apiName() string {
	if p.APIServer == "" {
		return "by its ClusterIP"
	}
	return p.APIServer
}
