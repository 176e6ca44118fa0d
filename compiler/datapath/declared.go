// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"cmp"
	"fmt"
	"slices"

	"plumbline.dev/plumbline/schema/state"
)

// declared writes the services that the environment itself declares: as
// ClusterIPs whose endpoints are always ready.
func (c *compiler) declared() {
	for _, d := range pointers(c.settings.Services, compareDeclared) {
		key := d.Namespace + "/" + d.Name
		s := service{owner: c.owner("declared service "+key, key, state.Position{}), key: key, dsr: c.settings.LoadBalancer.Mode}
		s.wildcard = c.wildcardClass(&state.Service{})
		if c.rules.ownAlgorithm {
			s.algorithm = c.settings.LoadBalancer.Algorithm
		}
		for i := range d.Ports {
			c.declaredPort(d, i, &s)
		}
	}
}

func compareDeclared(a, b *state.DeclaredService) int {
	if c := cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name)); c != 0 {
		return c
	}
	return compareContent(a, b)
}

func (c *compiler) declaredPort(d *state.DeclaredService, i int, s *service) {
	p := &d.Ports[i]
	o := c.owners[s.owner]
	if p.Port == 0 || !transport(p.Protocol) {
		c.notice(state.Error, "settings/declared-service", &o, fmt.Sprintf("ports[%d]", i), "", "port %d of protocol %s can't be reached; it is left out", p.Port, p.Protocol)
		return
	}
	c.candidates, c.picks = c.candidates[:0], c.picks[:0]
	for j, b := range p.Backends {
		if !usable(b.Addr()) || b.Port() == 0 || !c.enabled(b.Addr().Is6()) {
			c.notice(state.Error, "settings/declared-service", &o, fmt.Sprintf("ports[%d].backends[%d]", i, j), "", "%s is no address that a backend can have here; it is left out", b)
			continue
		}
		at := state.Endpoint{Address: b.Addr(), Port: b.Port(), Protocol: p.Protocol}
		b := onNode(at)
		b.port = p.Name
		c.candidates = append(c.candidates, b)
	}
	slices.SortFunc(c.candidates, compareCandidates)
	port := state.ServicePort{Name: p.Name, Protocol: p.Protocol, Port: p.Port}
	for j, ip := range d.IPs {
		if c.address(ip, &o, "ips", j) {
			c.emit(s, state.ClusterIP, ip, &port, port.Port, state.External, false)
		}
	}
}
