// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"plumbline.dev/plumbline/schema/state"
)

// The labels and classes that decide whether a service is Cilium's affair.
const (
	labelProxyName = "service.kubernetes.io/service-proxy-name"
	labelHeadless  = "service.kubernetes.io/headless"

	classBGP = "io.cilium/bgp-control-plane"
	classL2  = "io.cilium/l2-announcer"
)

// defaultAffinitySeconds is the API's default for session affinity.
const defaultAffinitySeconds = 10800

// maxAffinitySeconds is what the 24 bits of a master entry can hold.
const maxAffinitySeconds = 1<<24 - 1

// service is a service as its frontends need it: judged once, then read.
type service struct {
	owner     int
	key       string
	external  bool // externalTrafficPolicy: Local
	internal  bool // internalTrafficPolicy: Local
	affinity  uint32
	ranges    []netip.Prefix
	deny      bool
	dsr       string // forwarding mode: "", dsr, snat, hybrid
	algorithm state.Algorithm
	topology  topologyMode
	wildcard  bool       // of a class that gets wildcard entries
	delegate  bool       // proxy delegation, or the health check's own loopback
	proxied   [][]uint16 // sets of ports that the L7 proxy has; an empty set is all
	loopback  bool       // a HostPort on a loopback address
	host      bool       // a HostPort
	redirect  *redirect  // a policy's own frontends lead to its pods
	addressed bool       // and stand at the address that it names
}

func local(policy string) bool { return policy == "Local" }

// services walks services and slices side by side, both sorted by service.
func (c *compiler) services(snapshot *state.Snapshot) {
	list := c.dropRepeatedSlices(pointers(snapshot.Slices, compareSlices))
	c.walk(pointers(snapshot.Services, compareServices), list)
}

func (c *compiler) walk(services []*state.Service, list []*state.EndpointSlice) {
	next := 0
	for i, svc := range services {
		for next < len(list) && sliceBefore(list[next], svc) {
			c.orphan(list[next])
			next++
		}
		if i > 0 && services[i-1].Name == svc.Name && services[i-1].Namespace == svc.Namespace {
			c.repeated("Service "+svc.Key(), svc.Pos, services[i-1].Pos)
			continue
		}
		first := next
		for next < len(list) && list[next].Service == svc.Name && list[next].Namespace == svc.Namespace {
			next++
		}
		c.service(svc, list[first:next])
	}
	for ; next < len(list); next++ {
		c.orphan(list[next])
	}
}

func pointers[T any](list []T, compare func(a, b *T) int) []*T {
	out := make([]*T, len(list))
	for i := range list {
		out[i] = &list[i]
	}
	slices.SortFunc(out, compare)
	return out
}

func compareServices(a, b *state.Service) int {
	if c := cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), comparePositions(a.Pos, b.Pos)); c != 0 {
		return c
	}
	return compareContent(a, b)
}

func compareSlices(a, b *state.EndpointSlice) int {
	c := cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Service, b.Service),
		cmp.Compare(a.Name, b.Name), comparePositions(a.Pos, b.Pos))
	if c != 0 {
		return c
	}
	return compareContent(a, b)
}

func comparePositions(a, b state.Position) int {
	return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
}

// compareContent orders two objects of one name and place: an API server has no
// such pair, but the result must not depend on which came first (I9).
func compareContent(a, b any) int {
	textA, errA := json.Marshal(a)
	textB, errB := json.Marshal(b)
	if errA != nil || errB != nil {
		return 0
	}
	return bytes.Compare(textA, textB)
}

func sliceBefore(slice *state.EndpointSlice, svc *state.Service) bool {
	return cmp.Or(cmp.Compare(slice.Namespace, svc.Namespace), cmp.Compare(slice.Service, svc.Name)) < 0
}

func sliceOwner(slice *state.EndpointSlice) owner {
	return owner{object: "EndpointSlice " + slice.Key(), pos: slice.Pos}
}

// dropRepeatedSlices keeps the first of several slices of one name.
func (c *compiler) dropRepeatedSlices(list []*state.EndpointSlice) []*state.EndpointSlice {
	byName := slices.Clone(list)
	slices.SortStableFunc(byName, func(a, b *state.EndpointSlice) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), comparePositions(a.Pos, b.Pos))
	})
	var drop []*state.EndpointSlice
	for i := 1; i < len(byName); i++ {
		if a, b := byName[i-1], byName[i]; a.Name == b.Name && a.Namespace == b.Namespace {
			c.repeated("EndpointSlice "+b.Key(), b.Pos, a.Pos)
			drop = append(drop, b)
		}
	}
	if len(drop) == 0 {
		return list
	}
	return slices.DeleteFunc(list, func(s *state.EndpointSlice) bool { return slices.Contains(drop, s) })
}

func (c *compiler) repeated(object string, pos, first state.Position) {
	o := owner{object: object, pos: pos}
	c.notice(state.Error, "snapshot/duplicate-object", &o, "", "remove one of them", "the object stands in the snapshot twice%s; the first is taken", at(first))
}

// at says where, or nothing.
func at(pos state.Position) string {
	if pos.File == "" {
		return ""
	}
	return " (first at " + pos.String() + ")"
}

func (c *compiler) orphan(slice *state.EndpointSlice) {
	o := sliceOwner(slice)
	if slice.Service == "" {
		c.notice(state.Warning, "snapshot/slice-without-service", &o, "metadata.labels", "label it kubernetes.io/service-name",
			"the slice names no service; its endpoints are left out")
		return
	}
	c.notice(state.Error, "snapshot/orphan-slice", &o, "metadata.labels[kubernetes.io/service-name]", "add the service or remove the slice",
		"service %s/%s does not exist; its endpoints are left out", slice.Namespace, slice.Service)
}

// service writes one Service's entries.
func (c *compiler) service(svc *state.Service, list []*state.EndpointSlice) {
	key := svc.Key()
	id := c.owner("Service "+key, key, svc.Pos)
	o := &c.owners[id]
	if !c.served(svc, o, len(list) > 0) {
		return
	}
	c.gather(list)
	s := c.view(svc, o)
	s.owner, s.key = id, key
	if !c.proxiedPorts(svc, &s, o) {
		return
	}
	ports := c.usablePorts(svc, o)
	c.takeOver(svc, &s, ports)
	c.clusterIPs(svc, &s, ports)
	if c.writes(state.NodePort) && exposes(svc, "NodePort") && (svc.Type == "NodePort" || svc.Type == "LoadBalancer") {
		c.nodePorts(svc, &s, ports)
	}
	if c.writes(state.LoadBalancer) && exposes(svc, "LoadBalancer") && svc.Type == "LoadBalancer" {
		c.loadBalancerIPs(svc, &s, ports)
	}
	if c.writes(state.ExternalIPs) {
		c.externalIPs(svc, &s, ports)
	}
	c.healthCheck(svc, &s)
}

// writes tells whether frontends of the type are written at all.
func (c *compiler) writes(t state.FrontendType) bool {
	return c.settings.KubeProxyReplacement || c.rules.withoutKPR[t]
}

// served tells whether the service has entries on this node, and says why not
// where its author may wonder.
func (c *compiler) served(svc *state.Service, o *owner, sliced bool) bool {
	switch svc.Type {
	case "", "ClusterIP", "NodePort", "LoadBalancer":
	case "ExternalName":
		if !c.externalName(svc, o) {
			return false
		}
	default:
		c.notice(state.Error, "snapshot/unknown-type", o, "spec.type", "want ClusterIP, NodePort, LoadBalancer or ExternalName", "unknown type %q; the service is left out", svc.Type)
		return false
	}
	if name, labelled := svc.Labels[labelProxyName]; name != c.settings.LoadBalancer.ServiceProxyName || labelled && name == "" {
		if labelled {
			c.notice(state.Info, "snapshot/other-proxy", o, "metadata.labels["+labelProxyName+"]", "", "the service is left to the proxy %q", name)
		}
		return false
	}
	if !c.exposedHere(svc, o) {
		return false
	}
	if _, headless := svc.Labels[labelHeadless]; headless || svc.Headless {
		c.judgeHeadless(svc, o)
		return false
	}
	if len(svc.ClusterIPs) == 0 && svc.Type != "ExternalName" && !c.judgeUnassigned(svc, o) {
		return false
	}
	if !sliced {
		c.notice(state.Warning, "snapshot/no-slice", o, "", "add its EndpointSlice", "the service has no EndpointSlice; %s", pickText(c.rules.needsSlice, "it is not written at all", "it is written without backends"))
	}
	return sliced || !c.rules.needsSlice
}

// externalName tells whether a service that is but a name has entries.
func (c *compiler) externalName(svc *state.Service, o *owner) bool {
	if c.rules.externalNames && len(svc.ExternalIPs) > 0 {
		c.notice(state.Warning, "snapshot/external-name", o, "spec.externalIPs", "remove the external IPs",
			"Cilium %s writes the external IPs of an ExternalName service, which has no endpoints: connections to them fail", c.settings.ChartVersion)
		return true
	}
	if len(svc.Ports) > 0 {
		c.notice(state.Info, "snapshot/external-name", o, "spec.type", "", "an ExternalName service has no entries; its ports have no effect")
	}
	return false
}

func pickText(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}

func (c *compiler) judgeHeadless(svc *state.Service, o *owner) {
	nodePort := slices.ContainsFunc(svc.Ports, func(p state.ServicePort) bool { return p.NodePort != 0 })
	if nodePort || len(svc.ExternalIPs) > 0 || len(svc.LoadBalancerIPs) > 0 || svc.SessionAffinity {
		c.notice(state.Info, "snapshot/headless", o, "", "", "a headless service has no entries; its node ports, external addresses and session affinity have no effect")
	}
}

// judgeUnassigned tells whether a service without a ClusterIP is written.
func (c *compiler) judgeUnassigned(svc *state.Service, o *owner) bool {
	c.notice(state.Warning, "snapshot/no-cluster-ip", o, "spec.clusterIPs", "take the object from the API server, which assigns one", "the service has no ClusterIP")
	return !c.rules.needsSlice || c.settings.KubeProxyReplacement && len(svc.ExternalIPs) > 0
}

// view judges what all frontends of a service have in common.
func (c *compiler) view(svc *state.Service, o *owner) service {
	s := service{
		key:       svc.Key(),
		external:  local(svc.ExternalTrafficPolicy),
		internal:  local(svc.InternalTrafficPolicy) && !(c.rules.settingsDecide && !c.settings.LoadBalancer.InternalTrafficPolicy),
		affinity:  c.affinity(svc, o),
		ranges:    c.sourceRanges(svc, o),
		topology:  c.topologyOf(svc, o),
		wildcard:  c.wildcardClass(svc),
		dsr:       c.settings.LoadBalancer.Mode,
		algorithm: state.Undef,
	}
	if c.rules.ownAlgorithm && !(c.rules.undefUnlessAnnotated && c.settings.LoadBalancer.AlgorithmAnnotation) {
		s.algorithm = c.settings.LoadBalancer.Algorithm
	}
	c.annotate(svc, &s, o)
	c.policy(svc.ExternalTrafficPolicy, "spec.externalTrafficPolicy", o)
	c.policy(svc.InternalTrafficPolicy, "spec.internalTrafficPolicy", o)
	return s
}

func (c *compiler) policy(value, field string, o *owner) {
	if value != "" && value != "Cluster" && value != "Local" {
		c.notice(state.Error, "snapshot/traffic-policy", o, field, "want Cluster or Local", "unknown policy %q; it is taken for Cluster", value)
	}
}

func (c *compiler) affinity(svc *state.Service, o *owner) uint32 {
	if !svc.SessionAffinity {
		return 0
	}
	seconds := cmp.Or(svc.AffinityTimeoutSeconds, defaultAffinitySeconds)
	if seconds > maxAffinitySeconds {
		c.notice(state.Error, "snapshot/affinity-timeout", o, "spec.sessionAffinityConfig.clientIP.timeoutSeconds", "",
			"%d seconds exceed the %d that an entry can hold, which are taken", seconds, maxAffinitySeconds)
		return maxAffinitySeconds
	}
	return seconds
}

// sourceRanges parses the CIDRs. Cilium ignores what it can't parse, which
// leaves the service more open than its author thinks.
func (c *compiler) sourceRanges(svc *state.Service, o *owner) []netip.Prefix {
	if len(svc.SourceRanges) == 0 {
		return nil
	}
	list := make([]netip.Prefix, 0, len(svc.SourceRanges))
	for i, text := range svc.SourceRanges {
		field := fmt.Sprintf("spec.loadBalancerSourceRanges[%d]", i)
		if c.rules.trimsRanges {
			text = strings.TrimSpace(text)
		}
		p, err := netip.ParsePrefix(text)
		if err != nil || p.Addr().Is4In6() {
			c.notice(state.Warning, "snapshot/bad-cidr", o, field, "write it as ADDRESS/LENGTH, without spaces", "%q is no CIDR; Cilium ignores it", text)
			continue
		}
		if p != p.Masked() {
			c.notice(state.Warning, "snapshot/cidr-host-bits", o, field, "", "%s has host bits set; %s is meant", p, p.Masked())
			p = p.Masked()
		}
		list = append(list, p)
	}
	if c.rules.settingsDecide && !c.settings.LoadBalancer.SourceRangeCheck {
		c.notice(state.Warning, "snapshot/source-ranges-off", o, "spec.loadBalancerSourceRanges", "set svcSourceRangeCheck",
			"source ranges are not checked: the service is open to everyone")
		return nil
	}
	return list
}

// wildcardClass tells whether the service's addresses are ones that Cilium
// itself assigns or announces.
func (c *compiler) wildcardClass(svc *state.Service) bool {
	if !c.rules.wildcards || c.rules.sparesNode && !c.settings.LoadBalancer.WildcardEntries {
		return false
	}
	if class := svc.LoadBalancerClass; class != nil {
		return *class == classBGP || *class == classL2
	}
	return c.settings.LoadBalancer.DefaultIPAM == "lbipam"
}

// usablePorts gives the indices of the ports that can be written.
func (c *compiler) usablePorts(svc *state.Service, o *owner) []int {
	ports := make([]int, 0, 8)
	for i, p := range svc.Ports {
		if p.Port == 0 {
			c.notice(state.Error, "snapshot/bad-port", o, portField(i, "port"), "want 1 to 65535", "port 0 can't be reached; the port is left out")
			continue
		}
		if !transport(p.Protocol) {
			c.notice(state.Error, "snapshot/unknown-protocol", o, portField(i, "protocol"), "want TCP, UDP or SCTP", "protocol %s is not load-balanced; the port is left out", p.Protocol)
			continue
		}
		if p.Protocol == state.SCTP && !c.settings.LoadBalancer.SCTP {
			c.notice(state.Warning, "snapshot/sctp-off", o, portField(i, "protocol"), "set sctp.enabled", "SCTP is off: the entries are written, but the datapath does not handle them")
		}
		ports = append(ports, i)
	}
	return ports
}

func portField(i int, field string) string { return fmt.Sprintf("spec.ports[%d].%s", i, field) }
