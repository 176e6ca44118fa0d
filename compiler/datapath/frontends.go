// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"fmt"
	"net/netip"
	"slices"

	"plumbline.dev/plumbline/schema/state"
)

var unspecified = map[bool]netip.Addr{false: netip.IPv4Unspecified(), true: netip.IPv6Unspecified()}

// address judges one of a service's addresses and says where it can't be used.
func (c *compiler) address(a netip.Addr, o *owner, field string, i int) bool {
	if !usable(a) {
		c.notice(state.Error, "snapshot/bad-address", o, fmt.Sprintf("%s[%d]", field, i), "", "%s is no address that a service can have; it is left out", a)
		return false
	}
	if !c.enabled(a.Is6()) {
		c.notice(state.Warning, "snapshot/family-off", o, fmt.Sprintf("%s[%d]", field, i), "set "+pickText(a.Is6(), "ipv6.enabled", "ipv4.enabled"),
			"%s is off in Cilium; the address is left out", family(a.Is6()))
		return false
	}
	return true
}

func (c *compiler) clusterIPs(svc *state.Service, s *service, ports []int) {
	if !exposes(svc, "ClusterIP") {
		return
	}
	for i, ip := range svc.ClusterIPs {
		if !c.address(ip, &c.owners[s.owner], "spec.clusterIPs", i) {
			continue
		}
		for _, p := range ports {
			if c.taken[state.Endpoint{Address: ip, Port: svc.Ports[p].Port, Protocol: svc.Ports[p].Protocol}] {
				continue
			}
			c.emit(s, state.ClusterIP, ip, &svc.Ports[p], svc.Ports[p].Port, state.External, false)
		}
	}
}

// scopes tells whether the service's node ports and load-balancer IPs have an
// internal entry beside the external one.
func (s *service) scopes() []state.Scope {
	if s.external != s.internal {
		return []state.Scope{state.External, state.Internal}
	}
	return []state.Scope{state.External}
}

// nodePorts writes, for each family of the service, the surrogate entry at the
// unspecified address and one per address of the node.
func (c *compiler) nodePorts(svc *state.Service, s *service, ports []int) {
	for _, v6 := range []bool{false, true} {
		if !c.enabled(v6) || !c.hasFamily(svc, v6) {
			continue
		}
		for _, i := range ports {
			p := &svc.Ports[i]
			if p.NodePort == 0 {
				continue
			}
			c.judgeNodePort(p.NodePort, &c.owners[s.owner], i)
			for _, scope := range s.scopes() {
				c.emit(s, state.NodePort, unspecified[v6], p, p.NodePort, scope, false)
				c.expand(s, state.NodePort, v6, p, p.NodePort, scope)
			}
		}
	}
}

// hasFamily tells whether a service has node ports of the family: where it names it
// and, in 1.17, has an address for it (GetClusterIPByFamily, pkg/k8s/utils/utils.go).
// An API server names the families always. Where a file does not, the addresses
// tell: in 1.17 the first one alone, and until they were mended 1.18 and 1.19 take
// IPv6 for a sign of IPv4 (getIPFamilies, pkg/loadbalancer/reflectors/conversions.go).
func (c *compiler) hasFamily(svc *state.Service, v6 bool) bool {
	if n := slices.Index(svc.IPFamilies, family(v6)); len(svc.IPFamilies) > 0 {
		return n >= 0 && (!c.rules.firstFamily || n < len(svc.ClusterIPs))
	}
	if c.rules.firstFamily {
		return len(svc.ClusterIPs) > 0 && usable(svc.ClusterIPs[0]) && svc.ClusterIPs[0].Is6() == v6
	}
	if c.rules.mistakesFamily {
		return !v6 && slices.ContainsFunc(svc.ClusterIPs, usable)
	}
	return slices.ContainsFunc(svc.ClusterIPs, func(a netip.Addr) bool { return usable(a) && a.Is6() == v6 })
}

// expand writes an entry for each of the node's addresses.
func (c *compiler) expand(s *service, t state.FrontendType, v6 bool, p *state.ServicePort, number uint16, scope state.Scope) {
	addresses := c.node4
	if v6 {
		addresses = c.node6
	}
	for _, a := range addresses {
		c.emit(s, t, a, p, number, scope, true)
	}
}

func (c *compiler) judgeNodePort(port uint16, o *owner, i int) {
	if s := c.settings; s.NodePortMax != 0 && (port < s.NodePortMin || port > s.NodePortMax) {
		c.notice(state.Warning, "snapshot/node-port-range", o, fmt.Sprintf("spec.ports[%d].nodePort", i), "set nodePort.range",
			"node port %d is outside of %d-%d, where Cilium looks for node ports", port, s.NodePortMin, s.NodePortMax)
	}
}

func (c *compiler) loadBalancerIPs(svc *state.Service, s *service, ports []int) {
	for i, ingress := range svc.LoadBalancerIPs {
		if ingress.IPMode != "" && ingress.IPMode != "VIP" && !c.rules.proxyVIPs {
			continue
		}
		if !c.address(ingress.IP, &c.owners[s.owner], "status.loadBalancer.ingress", i) {
			continue
		}
		for _, scope := range s.scopes() {
			for _, p := range ports {
				if c.reserved(ingress.IP, svc.Ports[p].Port, s, p) {
					continue
				}
				c.emit(s, state.LoadBalancer, ingress.IP, &svc.Ports[p], svc.Ports[p].Port, scope, false)
			}
		}
	}
}

func (c *compiler) externalIPs(svc *state.Service, s *service, ports []int) {
	for i, ip := range svc.ExternalIPs {
		if !c.address(ip, &c.owners[s.owner], "spec.externalIPs", i) {
			continue
		}
		for _, p := range ports {
			if c.reserved(ip, svc.Ports[p].Port, s, p) {
				continue
			}
			c.emit(s, state.ExternalIPs, ip, &svc.Ports[p], svc.Ports[p].Port, state.External, false)
		}
	}
}

// reserved tells whether a port of an address may be a node port's alone
// (isNodePortConflict, pkg/loadbalancer/writer/writer.go of 1.19.7).
func (c *compiler) reserved(ip netip.Addr, port uint16, s *service, i int) bool {
	nodes := c.node4
	if ip.Is6() {
		nodes = c.node6
	}
	if !c.rules.nodePortsYield || port < c.settings.NodePortMin || port > c.settings.NodePortMax || !slices.Contains(nodes, ip) {
		return false
	}
	c.notice(state.Warning, "snapshot/reserved-port", &c.owners[s.owner], fmt.Sprintf("spec.ports[%d].port", i), "choose a port outside of it",
		"%s is the node's own, and port %d inside of the node-port range %d-%d: Cilium %s writes no entry for it", ip, port, c.settings.NodePortMin, c.settings.NodePortMax, c.settings.ChartVersion)
	return true
}

// nodeHas tells whether an address is the node's, at whatever device.
func (c *compiler) nodeHas(a netip.Addr) bool {
	return slices.Contains(c.node.Addresses, a) ||
		slices.ContainsFunc(c.node.Devices, func(d state.Device) bool { return slices.Contains(d.Addresses, a) })
}

// healthCheck writes the entry by which a load balancer can ask the VIP itself
// for the health of this node (enable-health-check-loadbalancer-ip).
func (c *compiler) healthCheck(svc *state.Service, s *service) {
	if !c.settings.LoadBalancer.HealthCheckVIP || svc.HealthCheckNodePort == 0 || !s.external ||
		svc.Type != "LoadBalancer" || !c.writes(state.LoadBalancer) || !exposes(svc, "LoadBalancer") {
		return
	}
	health := service{owner: s.owner, key: s.key + "-healthCheck", external: true, internal: true, delegate: true}
	if !c.rules.ownAlgorithm {
		health.dsr = c.settings.LoadBalancer.Mode
	}
	port := state.ServicePort{Protocol: state.TCP, Port: svc.HealthCheckNodePort}
	c.candidates, c.picks = c.candidates[:0], c.picks[:0]
	for _, v6 := range []bool{false, true} {
		for _, a := range c.node.Addresses {
			if usable(a) && a.Is6() == v6 && c.enabled(v6) {
				at := state.Endpoint{Address: a, Port: port.Port, Protocol: state.TCP}
				c.candidates = append(c.candidates, onNode(at))
				break
			}
		}
	}
	for _, ingress := range svc.LoadBalancerIPs {
		if usable(ingress.IP) && c.enabled(ingress.IP.Is6()) && (ingress.IPMode == "" || ingress.IPMode == "VIP" || c.rules.proxyVIPs) {
			c.emit(&health, state.LoadBalancer, ingress.IP, &port, port.Port, state.External, false)
		}
	}
}

// emit writes one frontend and all that hangs on it.
func (c *compiler) emit(s *service, t state.FrontendType, a netip.Addr, p *state.ServicePort, number uint16, scope state.Scope, expanded bool) {
	name := state.FrontendName{Endpoint: state.Endpoint{Address: a, Port: number, Protocol: p.Protocol}, Scope: scope}
	if c.made++; c.lost != nil && c.lost[c.made-1] {
		return
	}
	to := c.redirectOf(s, t, name, p.Name)
	chosen := c.pick(want{port: p.Name, protocol: p.Protocol, v6: a.Is6(), local: to == nil && c.onlyLocal(s, t, scope), redirect: to}, s.topology)
	f := state.Frontend{
		FrontendName: name, Type: t, Flags: c.flags(s, t, name, to != nil), Algorithm: s.algorithm,
		AffinityTimeoutSeconds: s.affinity, Service: s.key, PortName: p.Name,
		Backends: chosen.active, Inactive: chosen.inactive,
	}
	if c.toProxy(s, p, number) { // the port stands where algorithm and timeout would
		f.Flags, f.Algorithm, f.AffinityTimeoutSeconds = f.Flags&^state.Affinity|state.L7, state.Undef, 0
	} else {
		c.match(s, name, chosen)
	}
	c.frontends = append(c.frontends, frontend{Frontend: f, owner: s.owner, expanded: expanded, redirect: s.addressed})
	c.restrict(s, t, name)
	if c.maglev(s, t, a) {
		c.table(name, chosen)
	}
	if s.wildcard && scope == state.External && (t == state.ClusterIP || t == state.LoadBalancer) && !(c.rules.sparesNode && c.nodeHas(a)) {
		c.wildcards = append(c.wildcards, wildcard{a, t, s.key})
	}
}

// onlyLocal tells whether a frontend takes this node's endpoints alone.
func (c *compiler) onlyLocal(s *service, t state.FrontendType, scope state.Scope) bool {
	internal := s.internal && !(c.rules.internalFilter && !c.settings.LoadBalancer.InternalTrafficPolicy)
	switch {
	case s.host:
		return false
	case scope == state.Internal || t == state.ClusterIP:
		return internal
	}
	return s.external
}

// flags are what the master's two flag bytes say beside the type.
func (c *compiler) flags(s *service, t state.FrontendType, n state.FrontendName, redirected bool) state.Flags {
	var f state.Flags
	set := func(flag state.Flags, on bool) {
		if on {
			f |= flag
		}
	}
	external := s.external && (t != state.ClusterIP || !c.rules.policyFlagsByType)
	set(state.NonRoutable, n.Address.IsUnspecified() || t == state.ClusterIP && !redirected && !c.settings.LoadBalancer.ExternalClusterIP)
	set(state.Local, external)
	set(state.InternalLocal, s.internal)
	set(state.TwoScopes, external != s.internal && (t != state.ClusterIP || redirected))
	set(state.LocalRedirect, redirected)
	set(state.Affinity, s.affinity != 0)
	checked := len(s.ranges) > 0 && c.rules.rangeFlag[t]
	set(state.SourceRangeFlag, checked)
	set(state.SourceRangeDeny, s.deny && (checked || !c.rules.denyNeedsRange))
	set(state.L7Delegate, s.delegate && !s.host)
	set(state.Loopback, s.loopback)
	set(state.DSR, s.dsr == "dsr" || s.dsr == "hybrid" && c.rules.hybridDSR && n.Protocol == state.TCP)
	return f
}

// match writes the affinity matches: a client may stick only to a backend that
// has one.
func (c *compiler) match(s *service, name state.FrontendName, p *pick) {
	if s.affinity == 0 || c.rules.settingsDecide && !c.settings.LoadBalancer.SessionAffinity {
		return
	}
	sticky := p.active[:p.ready]
	if c.rules.matchAll {
		sticky = p.active
		for _, b := range p.inactive {
			c.matches = append(c.matches, state.AffinityMatch{Frontend: name, Backend: b})
		}
	}
	for _, b := range sticky {
		c.matches = append(c.matches, state.AffinityMatch{Frontend: name, Backend: b})
	}
}

// restrict writes the source ranges of the frontend's family.
func (c *compiler) restrict(s *service, t state.FrontendType, name state.FrontendName) {
	if len(s.ranges) == 0 || !c.rules.rangesEverywhere && !c.rules.rangeFlag[t] {
		return
	}
	found := false
	for _, r := range s.ranges {
		if r.Addr().Is6() == name.Address.Is6() {
			c.ranges = append(c.ranges, state.SourceRange{Frontend: name, CIDR: r})
			found = true
		}
	}
	if !found && c.rules.rangeFlag[t] && !s.deny {
		c.notice(state.Warning, "snapshot/source-range-family", &c.owners[s.owner], "spec.loadBalancerSourceRanges", "add a CIDR of that family",
			"no range is an %s one: nobody can reach the service's %s addresses", family(name.Address.Is6()), family(name.Address.Is6()))
	}
}
