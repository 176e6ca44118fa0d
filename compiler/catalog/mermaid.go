// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"fmt"
	"strings"
)

// groups are the boxes of a diagram, in order.
var groups = []struct{ id, title string }{
	{"cluster", "Cluster"}, {"flux", "Flux"}, {"cilium", "Cilium"}, {"node", "On each node"},
}

// dependencies draws the parts and links of a page.
func dependencies(p *Page) string {
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	ids := map[string]string{}
	for _, group := range groups {
		var lines []string
		for _, part := range p.Parts {
			if part.Group == group.id {
				ids[part.ID] = fmt.Sprintf("n%d", len(ids))
				lines = append(lines, fmt.Sprintf("    %s[\"%s<br/>%s\"]\n", ids[part.ID], label(part.Kind), label(part.Name)))
			}
		}
		if len(lines) > 0 {
			fmt.Fprintf(&b, "  subgraph %s[\"%s\"]\n%s  end\n", group.id, group.title, strings.Join(lines, ""))
		}
	}
	for _, l := range p.Links {
		fmt.Fprintf(&b, "  %s -->|\"%s\"| %s\n", ids[l.From], label(l.Why), ids[l.To])
	}
	return b.String()
}

// arrival draws how a change gets from the author to the maps.
func (p *Page) arrival() string {
	restart := "agents keep their old configuration until they restart"
	for _, f := range p.Features {
		if f.Value == "rollOutCiliumPods" {
			restart = "agents restart with it"
		}
	}
	steps := []struct{ from, to, why string }{
		{"author", "vet", "changes " + p.Folder},
		{"vet", "source", "plumb build " + p.argument() + " -o " + p.target()},
		{"source", "release", "Flux applies " + p.Flux.Path},
		{"release", "config", "Helm renders chart " + p.Chart.Version},
		{"config", "agents", restart},
		{"agents", "maps", "write"},
		{"audit", "maps", "holds against " + p.Folder},
	}
	names := []struct{ id, text string }{
		{"author", "author"}, {"vet", "plumb vet"}, {"source", p.Flux.Source}, {"release", "HelmRelease " + p.Flux.Release},
		{"config", "ConfigMap cilium-config"}, {"agents", "agents of Cilium"}, {"maps", p.Datapath.Maps}, {"audit", "Plumbline, mode " + p.Datapath.Mode},
	}
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	for _, n := range names {
		fmt.Fprintf(&b, "  %s[\"%s\"]\n", n.id, label(n.text))
	}
	for _, s := range steps {
		fmt.Fprintf(&b, "  %s -->|\"%s\"| %s\n", s.from, label(s.why), s.to)
	}
	return b.String()
}

// label writes a text between quotes of Mermaid, which reads #NAME; as a
// character.
func label(text string) string {
	return strings.NewReplacer(`#`, "#35;", `"`, "#quot;", `<`, "#lt;", `>`, "#gt;", "`", "#96;", `\`, "#92;").Replace(oneLine(text))
}
