// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/labels"

	"plumbline.dev/plumbline/schema/state"
)

// redirection is what a release does of local redirect policies otherwise than
// another: pkg/redirectpolicy/manager.go of 1.17.2, and
// pkg/loadbalancer/redirectpolicy/controller.go of 1.18.0, 1.18.6, 1.19.0, 1.20.0
// and 1.20.2. A patch release in between is taken for the next one that was read.
type redirection struct {
	// replaces: a policy writes frontends of its own, in the place of ClusterIPs,
	// and leads them to its own ports (1.17). Later a frontend stays its
	// service's, and leads to ports that the pods declare.
	replaces bool
	// algorithm: they have the global algorithm (1.17.15).
	algorithm bool
	// ready: only pods that are ready are taken (1.17, and from 1.19 on).
	ready bool
	// anyPort: the pods' ports need not be the policy's (1.18.0).
	anyPort bool
	// unnamed: an unnamed port of a pod has a name, the empty one, which no named
	// port of a service equals (1.18.0).
	unnamed bool
	// strict: a name counts only where the policy's ports make it necessary, and a
	// frontend is redirected only where a pod declares its port (from 1.20.1 on).
	strict bool
}

func redirectionOf(minor, patch int) redirection {
	return redirection{
		replaces: minor == minor17, algorithm: minor == minor17 && patch >= settled17,
		ready:   minor != minor18,
		anyPort: minor == minor18 && patch == 0,
		unnamed: minor == minor18 && patch == 0,
		strict:  minor == minor20 && patch != 0,
	}
}

// redirect is a sound policy, and the pods of this node that it selects.
type redirect struct {
	owner
	address netip.Addr // of an address matcher
	service string     // the key of a service matcher's
	matches []redirectPort
	ports   []redirectPort // of the pods
	pods    []*state.Pod
}

type redirectPort struct {
	name     string // in lower case
	port     uint16
	protocol state.Protocol
}

func comparePolicies(a, b *state.RedirectPolicy) int {
	if c := cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), comparePositions(a.Pos, b.Pos)); c != 0 {
		return c
	}
	return compareContent(a, b)
}

// policies judges the redirect policies and finds their pods; both lists are
// sorted. Cilium goes through policies as they come, which after a restart is
// the order of their names.
func (c *compiler) policies(list []*state.RedirectPolicy, pods []*state.Pod) {
	c.redirects, c.addressed = nil, nil
	on := c.settings.LoadBalancer.LocalRedirectPolicy
	if on && len(list) == 0 {
		c.notice(state.Info, "settings/local-redirect", &settingsOwner, "loadBalancer.localRedirectPolicy", "", "local redirect policies are on, and the snapshot has none: frontends are compiled as they are without")
	}
	for i, p := range list {
		o := owner{object: "CiliumLocalRedirectPolicy " + p.Key(), key: p.Key(), pos: p.Pos}
		switch {
		case i > 0 && list[i-1].Key() == p.Key():
			c.repeated(o.object, p.Pos, list[i-1].Pos)
			continue
		case !on:
			c.notice(state.Warning, "snapshot/redirect-off", &o, "", "set localRedirectPolicies.enabled (1.17: localRedirectPolicy)", "local redirect policies are off; the policy has no effect")
			continue
		}
		r := &redirect{owner: o}
		selector, sound := c.soundPolicy(p, r)
		if !sound {
			continue
		}
		r.pods = c.selectPods(p.Namespace, selector, pods)
		c.enrol(p, r)
	}
}

// enrol adds a policy to those that are in force.
func (c *compiler) enrol(p *state.RedirectPolicy, r *redirect) {
	if other := c.rival(r); other != nil {
		c.notice(state.Error, "snapshot/redirect-overlap", &r.owner, "spec.redirectFrontend", "give each policy a frontend of its own",
			"%s%s matches the same frontends; %s", other.object, in(other.pos), pickText(c.rules.redirects.replaces || r.service == "", "this policy gives way", "this policy, the later by name, rules"))
		if c.rules.redirects.replaces {
			return
		}
	}
	if len(r.pods) == 0 {
		c.notice(state.Info, "snapshot/redirect-without-pods", &r.owner, "spec.redirectBackend.localEndpointSelector", "", "no pod of this node is selected: nothing is redirected here")
	}
	if p.SkipFromBackend {
		c.notice(state.Info, "snapshot/redirect-skip", &r.owner, "spec.skipRedirectFromBackend", "", "which sockets are spared follows from the pods' network namespaces, which no object tells: the maps cilium_skip_lb4 and cilium_skip_lb6 are not compared")
	}
	if r.service == "" {
		c.addressed = append(c.addressed, r)
		return
	}
	if c.redirects == nil {
		c.redirects = map[string][]*redirect{}
	}
	c.redirects[r.service] = append(c.redirects[r.service], r)
}

// rival finds a policy in force with a frontend in common.
func (c *compiler) rival(r *redirect) *redirect {
	if r.service != "" {
		if list := c.redirects[r.service]; len(list) > 0 {
			return list[len(list)-1]
		}
		return nil
	}
	for _, other := range c.addressed {
		if other.address == r.address && slices.ContainsFunc(r.matches, func(m redirectPort) bool { return other.at(m.port, m.protocol) }) {
			return other
		}
	}
	return nil
}

// at tells whether the matcher names a port.
func (r *redirect) at(port uint16, protocol state.Protocol) bool {
	return slices.ContainsFunc(r.matches, func(m redirectPort) bool { return m.port == port && m.protocol == protocol })
}

// soundPolicy judges one policy as Cilium does, which takes all of it or nothing.
func (c *compiler) soundPolicy(p *state.RedirectPolicy, r *redirect) (labels.Selector, bool) {
	bad := func(field, format string, args ...any) {
		c.notice(state.Error, "snapshot/redirect-policy", &r.owner, field, "", "%s; the policy has no effect", fmt.Sprintf(format, args...))
	}
	before := len(c.notices)
	if p.Namespace == "" {
		bad("metadata.namespace", "the policy has no namespace")
	}
	var frontends []state.RedirectPort
	field := "spec.redirectFrontend.addressMatcher"
	switch {
	case (p.Address == nil) == (p.Service == nil):
		bad("spec.redirectFrontend", "want exactly one of addressMatcher and serviceMatcher")
	case p.Address != nil:
		var err error
		if r.address, err = netip.ParseAddr(p.Address.IP); err != nil || !usable(r.address) {
			bad(field+".ip", "%q is no address that a frontend can have", p.Address.IP)
		}
		if frontends = p.Address.Ports; len(frontends) == 0 {
			bad(field+".toPorts", "an address needs a port")
		}
	default:
		field, frontends = "spec.redirectFrontend.serviceMatcher", p.Service.Ports
		r.service = p.Service.Namespace + "/" + p.Service.Name
		if p.Service.Name == "" {
			bad(field+".serviceName", "the matcher names no service")
		}
		if p.Service.Namespace != p.Namespace {
			bad(field+".namespace", "the service's namespace %q is not the policy's", p.Service.Namespace)
		}
	}
	named := len(frontends) > 1
	r.matches = redirectPorts(frontends, named, field+".toPorts", bad)
	r.ports = redirectPorts(p.ToPorts, named || len(p.ToPorts) > 1, "spec.redirectBackend.toPorts", bad)
	if len(p.ToPorts) == 0 {
		bad("spec.redirectBackend.toPorts", "the pods' ports are missing")
	} else if len(r.matches) == 1 && transport(r.matches[0].protocol) && transport(r.ports[0].protocol) && r.matches[0].protocol != r.ports[0].protocol {
		bad("spec.redirectBackend.toPorts[0].protocol", "%s is not the frontend's protocol, %s", r.ports[0].protocol, r.matches[0].protocol)
	}
	selector, err := labels.Parse(p.Selector)
	if err != nil {
		bad("spec.redirectBackend.localEndpointSelector", "%q is no label selector: %v", p.Selector, err)
	}
	return selector, len(c.notices) == before
}

func redirectPorts(list []state.RedirectPort, named bool, field string, bad func(field, format string, args ...any)) []redirectPort {
	out := make([]redirectPort, 0, len(list))
	for i, p := range list {
		field := fmt.Sprintf("%s[%d]", field, i)
		number, err := strconv.ParseUint(p.Port, 0, 16)
		if err != nil || number == 0 {
			bad(field+".port", "%q is no port from 1 to 65535", p.Port)
		}
		if named && p.Name == "" {
			bad(field+".name", "of several ports each needs a name")
		}
		port := redirectPort{name: strings.ToLower(p.Name), port: uint16(number)}
		if err := port.protocol.UnmarshalText([]byte(strings.ToUpper(p.Protocol))); err != nil || !transport(port.protocol) {
			bad(field+".protocol", "%q is not TCP, UDP or SCTP", p.Protocol)
		}
		out = append(out, port)
	}
	return out
}

// selectPods lists the pods of this node that a policy takes.
func (c *compiler) selectPods(namespace string, selector labels.Selector, pods []*state.Pod) []*state.Pod {
	var out []*state.Pod
	for _, p := range pods {
		if p.Namespace == namespace && p.NodeName == c.node.Name && c.node.Name != "" &&
			(p.Ready || !c.rules.redirects.ready) && selector.Matches(labels.Set(p.Labels)) {
			out = append(out, p)
		}
	}
	return out
}

// single tells whether the matcher has one port; all, whether it has none and so
// means every port of the service.
func (r *redirect) single() bool { return len(r.matches) == 1 }
func (r *redirect) all() bool    { return len(r.matches) == 0 }

// byName tells whether names decide which of the pods' ports are taken.
func (r *redirect) byName(strict bool) bool {
	if r.all() {
		return strict && len(r.ports) > 1
	}
	return !r.single()
}

func (r *redirect) portNamed(name string) *redirectPort {
	if i := slices.IndexFunc(r.ports, func(p redirectPort) bool { return p.name == name }); i >= 0 && name != "" {
		return &r.ports[i]
	}
	return nil
}

// redirectOf finds the policy whose pods a frontend leads to, or nil. Of several
// that name its service the last by name decides, also where it decides against.
func (c *compiler) redirectOf(s *service, t state.FrontendType, n state.FrontendName, portName string) *redirect {
	if s.redirect != nil || t != state.ClusterIP || c.rules.redirects.replaces {
		return s.redirect
	}
	list := c.redirects[s.key]
	if len(list) == 0 || s.owner >= len(c.owners) || !strings.HasPrefix(c.owners[s.owner].object, "Service ") {
		return nil
	}
	if r := list[len(list)-1]; r.takes(n, portName, c.rules.redirects.strict) {
		return r
	}
	return nil
}

// takes tells whether a policy redirects a frontend of its service.
func (r *redirect) takes(n state.FrontendName, portName string, strict bool) bool {
	if len(r.pods) == 0 || !r.all() && !r.at(n.Port, n.Protocol) {
		return false
	}
	if len(r.ports) <= 1 || strict && r.single() && r.matches[0].protocol == r.ports[0].protocol {
		return true
	}
	if strict && !r.byName(strict) || r.portNamed(portName) == nil {
		return false
	}
	declares := func(p *state.Pod) bool {
		return slices.ContainsFunc(p.Ports, func(e state.EndpointPort) bool { return e.Name == portName && e.Protocol == n.Protocol }) &&
			slices.ContainsFunc(p.IPs, func(a netip.Addr) bool { return a.Is6() == n.Address.Is6() })
	}
	return !strict || slices.ContainsFunc(r.pods, declares)
}

// choosePods lists the pods' addresses that a want takes, each once, ordered by
// address and port.
func (c *compiler) choosePods(w want) []candidate {
	list := c.chosen[:0]
	for _, pod := range w.redirect.pods {
		for _, ip := range pod.IPs {
			if !usable(ip) || ip.Is6() != w.v6 {
				continue
			}
			for _, port := range c.podPorts(w, pod) {
				at := state.Endpoint{Address: ip, Port: port, Protocol: w.protocol}
				list = append(list, onNode(at))
			}
		}
	}
	slices.SortFunc(list, compareCandidates)
	c.chosen = slices.CompactFunc(list, func(a, b candidate) bool { return a.Endpoint == b.Endpoint })
	return c.chosen
}

// podPorts gives the ports of a pod that a frontend leads to.
func (c *compiler) podPorts(w want, pod *state.Pod) []uint16 {
	r, rule := w.redirect, c.rules.redirects
	if rule.replaces {
		return r.ownPorts(w, pod)
	}
	named := r.byName(rule.strict)
	if rule.strict && len(pod.Ports) == 0 && !named && r.ports[0].protocol == w.protocol {
		return []uint16{r.ports[0].port}
	}
	var out []uint16
	for _, p := range pod.Ports {
		if p.Protocol != w.protocol || named && r.portNamed(strings.ToLower(p.Name)) == nil || !rule.anyPort && !r.leadsTo(p, rule.strict) {
			continue
		}
		known := p.Name != "" || rule.unnamed
		if rule.strict {
			known = named && p.Name != ""
		}
		if w.port == "" || !known || p.Name == w.port {
			out = append(out, p.Port)
		}
	}
	return out
}

func (r *redirect) leadsTo(p state.EndpointPort, strict bool) bool {
	ports := r.ports
	if strict && r.single() {
		ports = ports[:1]
	}
	return slices.ContainsFunc(ports, func(b redirectPort) bool { return b.port == p.Port && b.protocol == p.Protocol })
}

// ownPorts gives the policy's own ports (1.17): its first where the frontend is
// the only one, which a want has no port name for; else the one of the name, if
// the pod declares it.
func (r *redirect) ownPorts(w want, pod *state.Pod) []uint16 {
	to := &r.ports[0]
	if w.port != "" {
		if to = r.portNamed(w.port); to == nil || !slices.ContainsFunc(pod.Ports, func(p state.EndpointPort) bool { return p.Name == w.port }) {
			return nil
		}
	}
	if to.protocol != w.protocol {
		return nil
	}
	return []uint16{to.port}
}

// takeOver writes the frontends that a policy has in the place of a service's
// (1.17): those of a service of type ClusterIP, at its primary address where the
// matcher names ports.
func (c *compiler) takeOver(svc *state.Service, s *service, ports []int) {
	c.taken = nil
	list := c.redirects[s.key]
	if !c.rules.redirects.replaces || len(list) == 0 || svc.Type != "" && svc.Type != "ClusterIP" {
		return
	}
	r := list[0]
	at := c.takenOver(svc, r, ports)
	single := r.single() || r.all() && len(at) == 1
	own := c.pseudo(r, s.owner)
	for _, n := range at {
		c.ownFrontend(&own, n, single)
	}
}

// named is a frontend with the name of its port.
type named struct {
	state.Endpoint
	port string
}

func (c *compiler) takenOver(svc *state.Service, r *redirect, ports []int) []named {
	ips := slices.DeleteFunc(slices.Clone(svc.ClusterIPs), func(a netip.Addr) bool { return !usable(a) || !c.enabled(a.Is6()) })
	var list []named
	if !r.all() {
		primary := slices.IndexFunc(ips, func(a netip.Addr) bool { return a.Is4() == c.settings.IPv4 })
		for _, m := range r.matches {
			if primary >= 0 {
				list = append(list, named{state.Endpoint{Address: ips[primary], Port: m.port, Protocol: m.protocol}, m.name})
			}
		}
		return list
	}
	for _, a := range ips {
		for _, i := range ports {
			p := &svc.Ports[i]
			list = append(list, named{state.Endpoint{Address: a, Port: p.Port, Protocol: p.Protocol}, p.Name})
		}
	}
	return list
}

// pseudo is the service that a policy's own frontends are written for.
func (c *compiler) pseudo(r *redirect, id int) service {
	s := service{owner: id, key: r.key + ":local-redirect", redirect: r}
	if c.rules.redirects.replaces {
		s.key = r.key + "-local-redirect"
		if c.rules.redirects.algorithm {
			s.algorithm = c.settings.LoadBalancer.Algorithm
		}
		return s
	}
	s.dsr = c.settings.LoadBalancer.Mode
	return s
}

// ownFrontend writes a frontend of a policy's own; where names decide and no pod
// has the port, none (1.17).
func (c *compiler) ownFrontend(s *service, n named, single bool) {
	p := state.ServicePort{Name: n.port, Protocol: n.Protocol, Port: n.Port}
	if single {
		p.Name = ""
	}
	if c.rules.redirects.replaces {
		if len(s.redirect.pods) == 0 || !single && (n.port == "" || len(c.choosePods(want{port: n.port, protocol: n.Protocol, v6: n.Address.Is6(), redirect: s.redirect})) == 0) {
			return
		}
		if !s.addressed {
			if c.taken == nil {
				c.taken = map[state.Endpoint]bool{}
			}
			c.taken[n.Endpoint] = true
		}
	}
	c.emit(s, state.ClusterIP, n.Address, &p, n.Port, state.External, false)
}

// addresses writes the frontends of the policies that name an address.
func (c *compiler) addresses() {
	var had []named
	for _, r := range c.addressed {
		o := r.owner
		s := c.pseudo(r, c.owner(o.object, o.key, o.pos))
		s.addressed = true
		c.candidates, c.picks = c.candidates[:0], c.picks[:0]
		if len(r.pods) == 0 || !c.address(r.address, &o, "spec.redirectFrontend.addressMatcher.ip", 0) {
			continue
		}
		for _, m := range r.matches {
			n := named{state.Endpoint{Address: r.address, Port: m.port, Protocol: m.protocol}, m.name}
			if slices.ContainsFunc(had, func(h named) bool { return h.Endpoint == n.Endpoint }) {
				continue
			}
			had = append(had, n)
			c.ownFrontend(&s, n, r.single())
		}
	}
}
