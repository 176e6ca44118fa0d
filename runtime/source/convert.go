// SPDX-License-Identifier: Apache-2.0

package source

import (
	"fmt"
	"math"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"plumbline.dev/plumbline/schema/state"
)

// The conversions trim an object to what the datapath depends on. What can't be
// understood is left out and said (I10): the Notices have no position, which
// only a reader of files knows.

// notes collects what there is to say about one object.
type notes struct {
	object string
	list   []state.Notice
}

func (n *notes) add(severity state.Severity, code, field, hint, format string, args ...any) {
	n.list = append(n.list, state.Notice{
		Code: code, Severity: severity, Object: n.object, Field: field, Hint: hint, Message: fmt.Sprintf(format, args...),
	})
}

// Service converts a Service. Labels and annotations are kept only where Cilium
// looks at them.
func Service(in *corev1.Service) (state.Service, []state.Notice) {
	n := &notes{object: "Service " + in.Namespace + "/" + in.Name}
	out := state.Service{
		Namespace: in.Namespace, Name: in.Name,
		Labels:                trim(in.Labels, "service.kubernetes.io/"),
		Annotations:           trim(in.Annotations, "service.cilium.io/", "io.cilium/", "service.kubernetes.io/"),
		Type:                  string(in.Spec.Type),
		ExternalIPs:           n.addresses("spec.externalIPs", in.Spec.ExternalIPs),
		LoadBalancerIPs:       n.ingress(in.Status.LoadBalancer.Ingress),
		LoadBalancerClass:     in.Spec.LoadBalancerClass,
		SourceRanges:          in.Spec.LoadBalancerSourceRanges,
		ExternalTrafficPolicy: string(in.Spec.ExternalTrafficPolicy),
		HealthCheckNodePort:   n.port("spec.healthCheckNodePort", in.Spec.HealthCheckNodePort),
		Ports:                 n.servicePorts(in.Spec.Ports),
	}
	if out.Type == "" {
		out.Type = string(corev1.ServiceTypeClusterIP)
	}
	if p := in.Spec.InternalTrafficPolicy; p != nil {
		out.InternalTrafficPolicy = string(*p)
	}
	if d := in.Spec.TrafficDistribution; d != nil {
		out.TrafficDistribution = *d
	}
	for _, f := range in.Spec.IPFamilies {
		out.IPFamilies = append(out.IPFamilies, string(f))
	}
	n.clusterIPs(&in.Spec, &out)
	n.affinity(&in.Spec, &out)
	return out, n.list
}

func (n *notes) clusterIPs(spec *corev1.ServiceSpec, out *state.Service) {
	texts, field := spec.ClusterIPs, "spec.clusterIPs"
	if len(texts) == 0 && spec.ClusterIP != "" {
		texts, field = []string{spec.ClusterIP}, "spec.clusterIP"
	}
	if len(texts) > 0 && strings.EqualFold(texts[0], corev1.ClusterIPNone) {
		out.Headless = true
		return
	}
	out.ClusterIPs = n.addresses(field, texts)
}

func (n *notes) affinity(spec *corev1.ServiceSpec, out *state.Service) {
	switch spec.SessionAffinity {
	case "", corev1.ServiceAffinityNone:
		return
	case corev1.ServiceAffinityClientIP:
		out.SessionAffinity = true
	default:
		n.add(state.Error, "snapshot/session-affinity", "spec.sessionAffinity", "want None or ClientIP", "unknown session affinity %q; it is taken for None", spec.SessionAffinity)
		return
	}
	config := spec.SessionAffinityConfig
	if config == nil || config.ClientIP == nil || config.ClientIP.TimeoutSeconds == nil {
		return
	}
	seconds := *config.ClientIP.TimeoutSeconds
	if seconds < 0 {
		n.add(state.Error, "snapshot/affinity-timeout", "spec.sessionAffinityConfig.clientIP.timeoutSeconds", "", "%d seconds are less than none; the default is taken", seconds)
		return
	}
	out.AffinityTimeoutSeconds = uint32(seconds)
}

func (n *notes) ingress(list []corev1.LoadBalancerIngress) []state.LoadBalancerIP {
	var out []state.LoadBalancerIP
	for i, in := range list {
		field := fmt.Sprintf("status.loadBalancer.ingress[%d].ip", i)
		if in.IP == "" {
			n.add(state.Info, "snapshot/ingress-hostname", field, "", "the load balancer %q has a name and no address: it has no entry", in.Hostname)
			continue
		}
		ip, ok := n.address(field, in.IP)
		if !ok {
			continue
		}
		mode := ""
		if in.IPMode != nil {
			mode = string(*in.IPMode)
		}
		out = append(out, state.LoadBalancerIP{IP: ip, IPMode: mode})
	}
	return out
}

func (n *notes) servicePorts(list []corev1.ServicePort) []state.ServicePort {
	out := make([]state.ServicePort, 0, len(list))
	for i, in := range list {
		if p, sound := protocolOf(in.Protocol); sound && isPort(in.Port) && (in.NodePort == 0 || isPort(in.NodePort)) {
			out = append(out, state.ServicePort{Name: in.Name, Protocol: p, Port: uint16(in.Port), NodePort: uint16(in.NodePort)})
			continue
		}
		field := fmt.Sprintf("spec.ports[%d]", i)
		proto, known := n.protocol(field+".protocol", in.Protocol)
		port := n.port(field+".port", in.Port)
		if known && port != 0 {
			out = append(out, state.ServicePort{Name: in.Name, Protocol: proto, Port: port, NodePort: n.port(field+".nodePort", in.NodePort)})
		} else if known && in.Port == 0 {
			n.add(state.Error, "snapshot/bad-port", field+".port", "want 1 to 65535", "port 0 can't be reached; the port is left out")
		}
	}
	return out
}

// EndpointSlice converts an EndpointSlice. One whose addresses are names has no
// endpoints here: Cilium takes none from it either.
func EndpointSlice(in *discoveryv1.EndpointSlice) (state.EndpointSlice, []state.Notice) {
	n := &notes{object: "EndpointSlice " + in.Namespace + "/" + in.Name}
	out := state.EndpointSlice{
		Namespace: in.Namespace, Name: in.Name,
		Service: in.Labels[discoveryv1.LabelServiceName],
		IPv6:    in.AddressType == discoveryv1.AddressTypeIPv6,
		Ports:   n.slicePorts(in.Ports),
	}
	if weight, set := in.Annotations["service.cilium.io/weight"]; set {
		out.Weight = &weight
	}
	switch in.AddressType {
	case discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6:
	case discoveryv1.AddressTypeFQDN:
		n.add(state.Warning, "snapshot/slice-of-names", "addressType", "", "names are no addresses; its endpoints are left out")
		return out, n.list
	default:
		n.add(state.Error, "snapshot/address-type", "addressType", "want IPv4 or IPv6", "unknown address type %q; its endpoints are left out", in.AddressType)
		return out, n.list
	}
	out.Endpoints = make([]state.EndpointSpec, 0, len(in.Endpoints))
	addresses := make([]netip.Addr, 0, len(in.Endpoints)) // one each, as a rule
	for i := range in.Endpoints {
		from := len(addresses)
		addresses = n.appendAddresses(addresses, in.Endpoints[i].Addresses, func(j int) string { return fmt.Sprintf("endpoints[%d].addresses[%d]", i, j) })
		e := endpoint(&in.Endpoints[i])
		if len(in.Endpoints[i].Addresses) > 0 {
			e.Addresses = addresses[from:len(addresses):len(addresses)]
		}
		out.Endpoints = append(out.Endpoints, e)
	}
	return out, n.list
}

func (n *notes) slicePorts(list []discoveryv1.EndpointPort) []state.EndpointPort {
	out := make([]state.EndpointPort, 0, len(list))
	for i, in := range list {
		if p, sound := protocolOf(deref(in.Protocol)); sound && in.Port != nil && isPort(*in.Port) {
			out = append(out, state.EndpointPort{Name: deref(in.Name), Protocol: p, Port: uint16(*in.Port)})
			continue
		}
		field := fmt.Sprintf("ports[%d]", i)
		if in.Port == nil {
			n.add(state.Warning, "snapshot/slice-without-port", field+".port", "", "a port without a number has no entry; its endpoints are left out")
			continue
		}
		p := state.EndpointPort{Name: deref(in.Name), Port: n.port(field+".port", *in.Port)}
		known := false
		p.Protocol, known = n.protocol(field+".protocol", deref(in.Protocol))
		if known && p.Port != 0 {
			out = append(out, p)
		} else if known && *in.Port == 0 {
			n.add(state.Error, "snapshot/bad-port", field+".port", "want 1 to 65535", "port 0 can't be reached; its endpoints are left out")
		}
	}
	return out
}

// endpoint converts all of an endpoint but its addresses.
func endpoint(in *discoveryv1.Endpoint) state.EndpointSpec {
	out := state.EndpointSpec{
		Ready: in.Conditions.Ready, Serving: in.Conditions.Serving, Terminating: in.Conditions.Terminating,
		NodeName: deref(in.NodeName), Zone: deref(in.Zone),
	}
	// Slices of discovery.k8s.io/v1beta1 said both by the node's labels, and the API
	// server hands those on.
	if in.NodeName == nil {
		out.NodeName = in.DeprecatedTopology[corev1.LabelHostname]
	}
	if in.Zone == nil {
		out.Zone = in.DeprecatedTopology[corev1.LabelTopologyZone]
	}
	if in.Hints != nil {
		for _, z := range in.Hints.ForZones {
			out.HintZones = append(out.HintZones, z.Name)
		}
	}
	return out
}

// Pod converts a Pod. One without host ports has a bearing on the datapath only
// where a redirect policy selects it.
func Pod(in *corev1.Pod) (state.Pod, []state.Notice) {
	n := &notes{object: "Pod " + in.Namespace + "/" + in.Name}
	out := state.Pod{
		Namespace: in.Namespace, Name: in.Name, UID: string(in.UID),
		NodeName: in.Spec.NodeName, HostNetwork: in.Spec.HostNetwork,
		Running: in.Status.Phase == corev1.PodRunning,
		Ended:   in.Status.Phase == corev1.PodSucceeded || in.Status.Phase == corev1.PodFailed,
		Labels:  in.Labels,
	}
	for _, c := range in.Status.Conditions {
		out.Ready = out.Ready || c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	}
	for i := range in.Spec.InitContainers {
		n.hostPorts(&in.Spec.InitContainers[i], fmt.Sprintf("spec.initContainers[%d]", i), &out)
	}
	for i := range in.Spec.Containers {
		n.hostPorts(&in.Spec.Containers[i], fmt.Sprintf("spec.containers[%d]", i), &out)
		n.containerPorts(&in.Spec.Containers[i], fmt.Sprintf("spec.containers[%d]", i), &out)
	}
	for i, ip := range in.Status.PodIPs {
		if a, ok := n.address(fmt.Sprintf("status.podIPs[%d].ip", i), ip.IP); ok {
			out.IPs = append(out.IPs, a)
		}
	}
	if len(in.Status.PodIPs) == 0 && in.Status.PodIP != "" {
		if a, ok := n.address("status.podIP", in.Status.PodIP); ok {
			out.IPs = append(out.IPs, a)
		}
	}
	return out, n.list
}

// containerPorts takes the declared ports. Those with a host port were said by
// hostPorts where they are wrong.
func (n *notes) containerPorts(c *corev1.Container, field string, out *state.Pod) {
	for i, p := range c.Ports {
		said := len(n.list)
		field := fmt.Sprintf("%s.ports[%d]", field, i)
		proto, known := n.protocol(field+".protocol", p.Protocol)
		port := n.port(field+".containerPort", p.ContainerPort)
		if p.HostPort != 0 {
			n.list = n.list[:said]
		}
		if known && port != 0 {
			out.Ports = append(out.Ports, state.EndpointPort{Name: p.Name, Protocol: proto, Port: port})
		}
	}
}

func (n *notes) hostPorts(c *corev1.Container, field string, out *state.Pod) {
	for i, p := range c.Ports {
		field := fmt.Sprintf("%s.ports[%d]", field, i)
		if p.HostPort == 0 {
			continue
		}
		proto, known := n.protocol(field+".protocol", p.Protocol)
		spec := state.HostPortSpec{
			Protocol: proto, HostPort: n.port(field+".hostPort", p.HostPort),
			ContainerPort: n.port(field+".containerPort", p.ContainerPort),
		}
		if p.HostIP != "" {
			ip, ok := n.address(field+".hostIP", p.HostIP)
			spec.HostIP, known = ip, known && ok
		}
		if known && spec.HostPort != 0 {
			out.HostPorts = append(out.HostPorts, spec)
		}
	}
}

// Node converts a Node: its name, internal addresses (each family's primary
// first, as the API has them), zone and labels.
func Node(in *corev1.Node) (state.Node, []state.Notice) {
	n := &notes{object: "Node " + in.Name}
	out := state.Node{Name: in.Name, Zone: in.Labels[corev1.LabelTopologyZone], Labels: in.Labels}
	for i, a := range in.Status.Addresses {
		if a.Type != corev1.NodeInternalIP {
			continue
		}
		if ip, ok := n.address(fmt.Sprintf("status.addresses[%d].address", i), a.Address); ok {
			out.Addresses = append(out.Addresses, ip)
		}
	}
	return out, n.list
}

// trim keeps the entries whose keys have one of the prefixes; nil if there is none.
func trim(in map[string]string, prefixes ...string) map[string]string {
	var out map[string]string
	for key, value := range in {
		for _, prefix := range prefixes {
			if strings.HasPrefix(key, prefix) {
				if out == nil {
					out = map[string]string{}
				}
				out[key] = value
			}
		}
	}
	return out
}

func (n *notes) addresses(field string, texts []string) []netip.Addr {
	if len(texts) == 0 {
		return nil
	}
	return n.appendAddresses(make([]netip.Addr, 0, len(texts)), texts, func(i int) string { return fmt.Sprintf("%s[%d]", field, i) })
}

// appendAddresses adds what can be understood to a list. There are many addresses,
// so field says where one stands only where it is asked.
func (n *notes) appendAddresses(list []netip.Addr, texts []string, field func(i int) string) []netip.Addr {
	for i, text := range texts {
		if a, err := netip.ParseAddr(text); err == nil {
			list = append(list, a)
		} else {
			n.address(field(i), text)
		}
	}
	return list
}

func (n *notes) address(field, text string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(text)
	if err != nil {
		n.add(state.Error, "snapshot/bad-address", field, "", "%q is no IP address; it is left out", text)
		return netip.Addr{}, false
	}
	return a, true
}

// port converts a port number; one that is out of range is said and 0.
func (n *notes) port(field string, port int32) uint16 {
	if port < 0 || port > math.MaxUint16 {
		n.add(state.Error, "snapshot/bad-port", field, "want 1 to 65535", "%d is no port; it is left out", port)
		return 0
	}
	return uint16(port)
}

// isPort tells whether anything can be reached at a port.
func isPort(port int32) bool { return 0 < port && port <= math.MaxUint16 }

// protocol converts a protocol, and says where it is unknown.
func (n *notes) protocol(field string, p corev1.Protocol) (state.Protocol, bool) {
	proto, known := protocolOf(p)
	if !known {
		n.add(state.Error, "snapshot/unknown-protocol", field, "want TCP, UDP or SCTP", "unknown protocol %q; the port is left out", p)
	}
	return proto, known
}

// protocolOf converts a protocol; the API's default is TCP.
func protocolOf(p corev1.Protocol) (state.Protocol, bool) {
	switch p {
	case "", corev1.ProtocolTCP:
		return state.TCP, true
	case corev1.ProtocolUDP:
		return state.UDP, true
	case corev1.ProtocolSCTP:
		return state.SCTP, true
	}
	return 0, false
}

func deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
