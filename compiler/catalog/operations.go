// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"path"
	"strings"
)

// operations tells what to run, and when.
func (w *writer) operations(p *Page) {
	w.section("Operations", func() {
		w.section("To change it", func() {
			w.block("sh", lines("plumb vet "+p.argument(), "plumb build "+p.argument()+" -o "+p.target(), "plumb explain CODE  # what a finding means"))
		})
		w.section("To look at it", func() {
			w.line("The wanted state needs no kernel; the other two run on a node, as root. cluster/ holds the cluster's\nServices and EndpointSlices as YAML.")
			w.block("sh", lines(
				"plumb state "+p.argument()+" -f cluster/ --node NODE",
				"plumb dump --bpffs "+p.bpffs(),
				"plumb diff "+p.argument()+" --live -f cluster/ --node NODE --bpffs "+p.bpffs()))
		})
		w.section("When it has drifted", func() { w.line("%s", p.drifted()) })
		w.section("Where things are", func() {
			w.line("The load-balancer maps are pinned in %s on every node, laid out as %s. The socket load balancer is\nattached to the cgroup %s. Helm's values reach the agents through the ConfigMap `cilium-config` in the\nnamespace of the release, %s.",
				code(p.Datapath.Maps), code(p.Datapath.Layout), code(p.Datapath.CgroupRoot), code(p.Flux.Release))
		})
		w.section("Alerts", func() { w.line("%s", p.alerts()) })
	})
}

// bpffs is the mount point above the pins.
func (p *Page) bpffs() string {
	if below, ok := strings.CutSuffix(p.Datapath.Maps, "/tc/globals"); ok {
		return below
	}
	return path.Dir(p.Datapath.Maps)
}

func (p *Page) drifted() string {
	text := `1. Run the last command above again after ` + p.Datapath.Grace + `: what is gone by then was a change under way.
2. Look the kind that it prints up in Plumbline's docs/DRIFT.md: what it means, what traffic sees, how to mend it.
3. Follow one connection that is affected: the arrow is where the kernel parts from what it should hold.

   ` + "```sh\n   plumb diff " + p.argument() + " --live -f cluster/ --node NODE --explain ADDRESS:PORT/PROTOCOL\n   ```\n\n"
	switch p.Datapath.Mode {
	case "repair":
		text += "4. Mode `repair` writes confirmed drift back by itself, a bounded number of entries in each round. Where\n   that does not end it, restart the agent of that node."
	case "own":
		text += "4. Mode `own` mends it in the round that confirms it. Where it does not, read the log of plumb-agent."
	default:
		text += "4. Mode `observe` writes nothing. Change an annotation of the Service, which makes its agent write the entries\n   anew; where that does not help, restart the agent of that node."
	}
	return text + "\n5. `plumb diff` ends with 0 once nothing differs."
}

func (p *Page) alerts() string {
	text := "`plumb diff --live` ends with 1 where something differs and with 2 where it could not tell: alert on both, and\non neither alone."
	if p.has("Datapath") {
		text += "\n\nThe condition `Drifted` of the Datapath makes the Kustomization that applies it unready; Flux tells of that as\nof any other failure."
	}
	if p.has("Alert") {
		for _, part := range p.Parts {
			if part.Kind == "Alert" {
				text += "\n\nFlux sends events by the Alert " + code(part.Name) + "."
			}
		}
	}
	return text
}

func lines(list ...string) string { return strings.Join(list, "\n") }
