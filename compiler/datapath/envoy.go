// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"

	"plumbline.dev/plumbline/schema/state"
)

// envoyRule is how a release goes through Envoy configurations: 1.17
// pkg/ciliumenvoyconfig/cec_manager.go and pkg/service/service.go, from 1.18 on
// pkg/ciliumenvoyconfig/controller.go and pkg/loadbalancer/service.go.
type envoyRule uint8

const (
	// firstEnvoy: the first configuration of a service has it, in the namespace of
	// the configuration whatever it says. TCP alone is redirected, and the ports
	// are those of frontends, among them the node ports of the ports that are
	// named. Session affinity yields, frontend by frontend (1.17).
	firstEnvoy envoyRule = iota
	// lastEnvoy: the last entry has a service. Ports are the service's, of any
	// protocol; with session affinity the service is not written (1.18, 1.19).
	lastEnvoy
	// allEnvoy: as lastEnvoy, but all entries of the last configuration that name
	// the service count (from 1.19.6 on).
	allEnvoy
)

func envoyRuleOf(minor, patch int) envoyRule {
	switch {
	case minor == minor17:
		return firstEnvoy
	case minor == minor18 || minor == minor19 && patch < 6:
		return lastEnvoy
	}
	return allEnvoy
}

// envoy is what Envoy configurations say of one service.
type envoy struct {
	owner owner
	// ports are sets of ports; an empty set is all ports. No set at all: nothing
	// is redirected.
	ports [][]uint16
}

func compareEnvoy(a, b *state.EnvoyConfig) int {
	if c := cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), comparePositions(a.Pos, b.Pos)); c != 0 {
		return c
	}
	return compareContent(a, b)
}

// envoyConfigs finds the services that are led to the L7 proxy; the list is
// sorted. Cilium goes through the configurations as they come, which after a
// restart is the order of their names.
func (c *compiler) envoyConfigs(list []*state.EnvoyConfig) {
	c.proxied = nil
	for i, e := range list {
		o := owner{object: e.Object(), key: e.Namespace + "/" + e.Name, pos: e.Pos}
		switch {
		case i > 0 && list[i-1].Object() == e.Object():
			c.repeated(o.object, e.Pos, list[i-1].Pos)
		case len(e.Services) == 0:
		case !c.settings.LoadBalancer.EnvoyConfig:
			c.notice(state.Warning, "snapshot/envoy-off", &o, "", "set envoyConfig.enabled", "Envoy configurations are off; this one has no effect")
		case c.selectsNode(e, &o):
			c.enrolEnvoy(e, o)
		}
	}
}

func (c *compiler) selectsNode(e *state.EnvoyConfig, o *owner) bool {
	if e.NodeSelector == nil {
		return true
	}
	selector, err := labels.Parse(*e.NodeSelector)
	if err != nil {
		c.notice(state.Error, "snapshot/envoy-config", o, "spec.nodeSelector", "want a label selector", "%q is not understood: %v; the configuration has no effect", *e.NodeSelector, err)
		return false
	}
	c.needsLabels(o, "spec.nodeSelector")
	return selector.Matches(labels.Set(c.node.Labels))
}

// enrolEnvoy takes one configuration's services in.
func (c *compiler) enrolEnvoy(e *state.EnvoyConfig, o owner) {
	rule := c.rules.envoy
	fresh := map[string]*envoy{}
	for i, s := range e.Services {
		field := fmt.Sprintf("spec.services[%d]", i)
		key := c.envoyService(e, &s, &o, field)
		has := e.Listens(s.Listener)
		if !has {
			severity := state.Warning
			c.notice(severity, "snapshot/envoy-listener", &o, field+".listener", "", "the resources have no listener %s that gets a port; the service is not redirected", pickText(s.Listener == "", "at all", s.Listener))
			if rule == firstEnvoy && s.Listener != "" {
				break // the agent takes it for an error, and no further entry
			}
		}
		switch old := fresh[key]; {
		case has && rule == allEnvoy && old != nil:
			old.ports = append(old.ports, s.Ports)
		case has:
			fresh[key] = &envoy{o, [][]uint16{s.Ports}}
		case rule == lastEnvoy:
			fresh[key] = &envoy{owner: o}
		}
	}
	for key, found := range fresh {
		old := c.proxied[key]
		if old != nil {
			c.notice(state.Warning, "snapshot/envoy-overlap", &o, "spec.services", "redirect each service in one configuration",
				"service %s is redirected by %s%s too; %s", key, old.owner.object, in(old.owner.pos), pickText(rule == firstEnvoy, "this one gives way", "this one, the later by name, rules"))
		}
		if old != nil && rule == firstEnvoy {
			continue
		}
		if c.proxied == nil {
			c.proxied = map[string]*envoy{}
		}
		c.proxied[key] = found
	}
}

// envoyService gives the key of the service that an entry means.
func (c *compiler) envoyService(e *state.EnvoyConfig, s *state.EnvoyService, o *owner, field string) string {
	namespace := s.Namespace
	switch {
	case c.rules.envoy != firstEnvoy:
		if namespace == "" {
			c.notice(state.Warning, "snapshot/envoy-namespace", o, field+".namespace", "write the service's namespace", "without a namespace Cilium %s finds no service; nothing is redirected", c.settings.ChartVersion)
		}
	case e.Namespace != "":
		namespace = e.Namespace
	default:
		namespace = cmp.Or(namespace, "default")
	}
	return namespace + "/" + s.Name
}

// proxiedPorts finds the sets of ports of a service that are led to the proxy, and
// tells whether the service is written at all.
func (c *compiler) proxiedPorts(svc *state.Service, s *service, o *owner) bool {
	found := c.proxied[svc.Key()]
	if found == nil || len(found.ports) == 0 {
		return true
	}
	s.proxied = found.ports
	if s.affinity != 0 && c.rules.envoy != firstEnvoy {
		c.notice(state.Warning, "snapshot/envoy-affinity", o, "spec.sessionAffinity", "take session affinity away: the proxy chooses the endpoint",
			"%s redirects the service to the L7 proxy, which Cilium refuses together with session affinity; the service is not written", found.owner.object)
		return false
	}
	if c.rules.envoy != firstEnvoy {
		return true
	}
	s.proxied = nil
	for _, ports := range found.ports {
		set := slices.Clone(ports)
		for _, p := range svc.Ports {
			if slices.Contains(ports, p.Port) && p.NodePort != 0 {
				set = append(set, p.NodePort)
			}
		}
		s.proxied = append(s.proxied, set)
	}
	return true
}

// toProxy tells whether a frontend of the service is led to the L7 proxy. number
// is its own port, p that of the service.
func (c *compiler) toProxy(s *service, p *state.ServicePort, number uint16) bool {
	port := p.Port
	if c.rules.envoy == firstEnvoy {
		if p.Protocol != state.TCP || s.redirect != nil {
			return false
		}
		port = number
	}
	return slices.ContainsFunc(s.proxied, func(set []uint16) bool { return len(set) == 0 || slices.Contains(set, port) })
}

// envoyName cuts a service's key into the name that units go by.
func envoyName(key string) state.Name {
	namespace, name, _ := strings.Cut(key, "/")
	return state.Name{Namespace: namespace, Name: name}
}
