// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"plumbline.dev/plumbline/schema/state"
)

// pods writes the host ports of this node's pods, which are sorted.
func (c *compiler) pods(list []*state.Pod) {
	if !c.settings.KubeProxyReplacement {
		return
	}
	for _, pod := range list {
		if pod.NodeName != c.node.Name || pod.HostNetwork || !pod.Running && (pod.Ended || !c.rules.pendingPods) {
			continue
		}
		o := owner{object: "Pod " + pod.Namespace + "/" + pod.Name, pos: pod.Pos}
		for _, group := range c.hostPortGroups(pod, &o) {
			c.hostPort(pod, group, o)
		}
	}
}

// hostPortGroups are a pod's host ports that share their backends: from 1.18 on
// those of one number, whatever their protocol and hostIP (upsertHostPort,
// pkg/loadbalancer/reflectors/k8s.go).
func (c *compiler) hostPortGroups(pod *state.Pod, o *owner) [][]*state.HostPortSpec {
	var groups [][]*state.HostPortSpec
	for i := range pod.HostPorts {
		p := &pod.HostPorts[i]
		if !c.hostPortUsable(p, o, i) {
			continue
		}
		same := func(g []*state.HostPortSpec) bool { return c.rules.groupsHostPorts && g[0].HostPort == p.HostPort }
		if n := slices.IndexFunc(groups, same); n >= 0 {
			groups[n] = append(groups[n], p)
		} else {
			groups = append(groups, []*state.HostPortSpec{p})
		}
	}
	return groups
}

func comparePods(a, b *state.Pod) int {
	if c := cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), comparePositions(a.Pos, b.Pos)); c != 0 {
		return c
	}
	return compareContent(a, b)
}

func (c *compiler) hostPortUsable(p *state.HostPortSpec, o *owner, i int) bool {
	field := fmt.Sprintf("hostPorts[%d]", i)
	switch s := c.settings; {
	case p.HostPort == 0 || p.ContainerPort == 0:
		c.notice(state.Error, "snapshot/bad-port", o, field, "want 1 to 65535", "port 0 can't be reached; the host port is left out")
	case !transport(p.Protocol):
		c.notice(state.Error, "snapshot/unknown-protocol", o, field+".protocol", "want TCP, UDP or SCTP", "protocol %s is not load-balanced; the host port is left out", p.Protocol)
	case p.HostPort >= s.NodePortMin && p.HostPort <= s.NodePortMax:
		c.notice(state.Warning, "snapshot/host-port-range", o, field+".hostPort", "choose a port outside of it",
			"host port %d is inside of the node-port range %d-%d; Cilium ignores it", p.HostPort, s.NodePortMin, s.NodePortMax)
	case p.HostIP.IsValid() && p.HostIP.IsUnspecified() && !c.rules.unspecifiedHostIP:
		c.notice(state.Warning, "snapshot/host-ip", o, field+".hostIP", "leave hostIP out", "Cilium %s ignores a host port whose hostIP is %s", c.settings.ChartVersion, p.HostIP)
		return true // it still lends its backends to others of its number
	case p.HostIP.IsValid() && !p.HostIP.IsUnspecified() && !usable(p.HostIP):
		c.notice(state.Error, "snapshot/bad-address", o, field+".hostIP", "", "%s is no address that a host port can have; it is left out", p.HostIP)
	default:
		return true
	}
	return false
}

// hostPort writes the host ports of one group.
func (c *compiler) hostPort(pod *state.Pod, group []*state.HostPortSpec, o owner) {
	o.key = fmt.Sprintf("%s/%s:host-port:%d", pod.Namespace, pod.Name, group[0].HostPort)
	s := service{owner: c.owner(o.object, o.key, o.pos), key: o.key, host: true}
	if !c.rules.ownAlgorithm {
		s.dsr = c.settings.LoadBalancer.Mode
	}
	c.candidates, c.picks = c.candidates[:0], c.picks[:0]
	for _, p := range group {
		s.loopback = s.loopback || p.HostIP.IsLoopback()
		for _, ip := range pod.IPs {
			if usable(ip) && c.enabled(ip.Is6()) {
				at := state.Endpoint{Address: ip, Port: p.ContainerPort, Protocol: p.Protocol}
				c.candidates = append(c.candidates, onNode(at))
			}
		}
	}
	slices.SortFunc(c.candidates, compareCandidates)
	for _, at := range c.hostPortPlaces(group, &c.owners[s.owner]) {
		port := state.ServicePort{Protocol: at.Protocol, Port: at.Port}
		c.emit(&s, state.HostPort, at.Address, &port, port.Port, state.External, false)
		if at.Address.IsUnspecified() && (!s.loopback || c.rules.loopbackExpands) {
			c.expand(&s, state.HostPort, at.Address.Is6(), &port, port.Port, state.External)
		}
	}
}

// hostPortPlaces are the frontends of a group, each once: at the hostIP, or at the
// unspecified address of each family that the pod has. A loopback address becomes
// the unspecified one with the loopback flag; from 1.18 on Cilium then writes it,
// routable, for the node's addresses too, and leaves out what comes after it with
// another hostIP.
func (c *compiler) hostPortPlaces(group []*state.HostPortSpec, o *owner) []state.Endpoint {
	var places []state.Endpoint
	has := func(v6 bool) bool {
		return slices.ContainsFunc(c.candidates, func(b candidate) bool { return b.Address.Is6() == v6 })
	}
	add := func(p *state.HostPortSpec, ip netip.Addr) {
		at := state.Endpoint{Address: ip, Port: p.HostPort, Protocol: p.Protocol}
		if c.enabled(ip.Is6()) && !slices.Contains(places, at) && (!c.rules.hostPortsNeedPod || has(ip.Is6())) {
			places = append(places, at)
		}
	}
	looped := false
	for _, p := range group {
		switch ip := p.HostIP; {
		case ip.IsValid() && ip.IsUnspecified() && !c.rules.unspecifiedHostIP:
		case ip.IsLoopback():
			looped = true
			add(p, unspecified[ip.Is6()])
		case ip.IsValid() && !ip.IsUnspecified() && looped:
			c.notice(state.Warning, "snapshot/host-ip", o, "", "give it another number", "host port %d at %s is ignored beside one at a loopback address", p.HostPort, ip)
		case ip.IsValid() && !ip.IsUnspecified():
			add(p, ip)
		default:
			for _, v6 := range []bool{false, true} {
				if has(v6) {
					add(p, unspecified[v6])
				}
			}
		}
	}
	return places
}
