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
		if pod.NodeName != c.node.Name || pod.HostNetwork || !pod.Running {
			continue
		}
		o := owner{object: "Pod " + pod.Namespace + "/" + pod.Name, pos: pod.Pos}
		for i := range pod.HostPorts {
			if c.hostPortUsable(&pod.HostPorts[i], &o, i) {
				c.hostPort(pod, &pod.HostPorts[i], o)
			}
		}
	}
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
	case p.HostIP.IsValid() && !p.HostIP.IsUnspecified() && !usable(p.HostIP):
		c.notice(state.Error, "snapshot/bad-address", o, field+".hostIP", "", "%s is no address that a host port can have; it is left out", p.HostIP)
	default:
		return true
	}
	return false
}

// hostPort writes one host port: at its hostIP, or at the unspecified address
// and at each address of the node.
func (c *compiler) hostPort(pod *state.Pod, p *state.HostPortSpec, o owner) {
	o.key = fmt.Sprintf("%s/%s:host-port:%d", pod.Namespace, pod.Name, p.HostPort)
	s := service{owner: c.owner(o.object, o.key, o.pos), key: o.key, host: true}
	if !c.rules.ownAlgorithm {
		s.dsr = c.settings.LoadBalancer.Mode
	}
	c.candidates, c.picks = c.candidates[:0], c.picks[:0]
	for _, ip := range pod.IPs {
		if usable(ip) && c.enabled(ip.Is6()) {
			at := state.Endpoint{Address: ip, Port: p.ContainerPort, Protocol: p.Protocol}
			c.candidates = append(c.candidates, candidate{Endpoint: at, local: true, spec: &state.EndpointSpec{}})
		}
	}
	slices.SortFunc(c.candidates, compareCandidates)
	port := state.ServicePort{Protocol: p.Protocol, Port: p.HostPort}
	if p.HostIP.IsValid() && !p.HostIP.IsUnspecified() {
		c.boundHostPort(&s, p.HostIP, &port)
		return
	}
	for _, v6 := range []bool{false, true} {
		if slices.ContainsFunc(c.candidates, func(b candidate) bool { return b.Address.Is6() == v6 }) {
			c.emit(&s, state.HostPort, unspecified[v6], &port, port.Port, state.External, false)
			c.expand(&s, state.HostPort, v6, &port, port.Port, state.External)
		}
	}
}

// boundHostPort writes a host port with a hostIP. A loopback address becomes
// the unspecified one with the loopback flag; from 1.18 on Cilium then writes
// it, routable, for the node's addresses too.
func (c *compiler) boundHostPort(s *service, ip netip.Addr, port *state.ServicePort) {
	if !c.enabled(ip.Is6()) {
		return
	}
	if s.loopback = ip.IsLoopback(); !s.loopback {
		c.emit(s, state.HostPort, ip, port, port.Port, state.External, false)
		return
	}
	c.emit(s, state.HostPort, unspecified[ip.Is6()], port, port.Port, state.External, false)
	if c.rules.loopbackExpands {
		c.expand(s, state.HostPort, ip.Is6(), port, port.Port, state.External)
	}
}
