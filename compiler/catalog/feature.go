// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"strconv"
	"strings"

	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/load"
	"plumbline.dev/plumbline/compiler/lower"
	"plumbline.dev/plumbline/compiler/values"
)

// Feature is something of Cilium that is on, and the value that turns it on.
type Feature struct {
	Name   string `json:"name"`
	Detail string `json:"detail,omitempty"`
	Value  string `json:"value"` // path of the Helm value
	Is     string `json:"is"`
	// Places are where the author wrote it; none is the chart's default.
	Places []diag.Position `json:"places"`
}

// candidate is a feature that may be on.
type candidate struct {
	name   string
	values []string        // one that is true turns it on
	within func(tree) bool // without which it is never on
	on     func(tree) bool // turns it on where none of values is true
	detail func(tree) string
}

func always(tree) bool { return true }

// says gives a value with a word before it, if it is there.
func says(word, path string) func(tree) string {
	return func(t tree) string {
		if text := t.text(path); text != "" {
			return strings.TrimSpace(word + " " + text)
		}
		return ""
	}
}

// replaced is whether Cilium serves more than ClusterIPs.
func replaced(t tree) bool { return t.is("kubeProxyReplacement") }

// candidates are in the order of a page. Names of values hold for the minors 1.17
// to 1.20; one that a minor lacks is never true there.
var candidates = []candidate{
	{name: "kube-proxy replacement", values: []string{"kubeProxyReplacement"}},
	{name: "Socket load balancer", values: []string{"socketLB.enabled", "kubeProxyReplacement"}, detail: func(t tree) string {
		if t.is("socketLB.hostNamespaceOnly") {
			return "in the host's namespace only"
		}
		return ""
	}},
	{name: "IPv4", values: []string{"ipv4.enabled"}},
	{name: "IPv6", values: []string{"ipv6.enabled"}},
	{name: "Routing", values: []string{"routingMode"}, on: always, detail: routing},
	{name: "Address management", values: []string{"ipam.mode"}, on: always, detail: says("", "ipam.mode")},
	{name: "Masquerading", values: []string{"bpf.masquerade", "enableIPv4Masquerade"}, on: masquerades, detail: func(t tree) string {
		if t.is("bpf.masquerade") {
			return "in BPF"
		}
		return "by iptables"
	}},
	{name: "Backend selection", values: []string{"loadBalancer.algorithm"}, on: replaced, detail: func(t tree) string {
		if t.text("loadBalancer.algorithm") == "maglev" {
			return "Maglev"
		}
		return "at random"
	}},
	{name: "Load balancing at nodes", values: []string{"loadBalancer.mode"}, on: replaced, detail: func(t tree) string {
		if mode := t.text("loadBalancer.mode"); mode != "" {
			return mode
		}
		return "snat"
	}},
	{name: "XDP acceleration", values: []string{"loadBalancer.acceleration"}, detail: says("", "loadBalancer.acceleration"), on: func(t tree) bool {
		mode := t.text("loadBalancer.acceleration")
		return mode != "" && mode != "disabled"
	}},
	{name: "Topology-aware services", values: []string{"loadBalancer.serviceTopology"}},
	{name: "Session affinity", values: []string{"sessionAffinity"}},
	{name: "SCTP", values: []string{"sctp.enabled"}},
	{name: "Local redirect policies", values: []string{"localRedirectPolicies.enabled", "localRedirectPolicy"}},
	{name: "Encryption", values: []string{"encryption.enabled"}, detail: encryption},
	{name: "Hubble", values: []string{"hubble.enabled"}},
	{name: "Hubble Relay", values: []string{"hubble.relay.enabled"}, within: hubble},
	{name: "Hubble UI", values: []string{"hubble.ui.enabled"}, within: hubble},
	{name: "Hubble export", values: []string{"hubble.export.static.enabled"}, within: hubble},
	{name: "Hubble metrics", values: []string{"hubble.metrics.enabled"}, within: hubble, on: func(t tree) bool {
		list, _ := t.at("hubble.metrics.enabled").([]any)
		return len(list) > 0
	}},
	{name: "L7 proxy", values: []string{"l7Proxy"}, detail: func(t tree) string {
		if envoy(t) {
			return "Envoy in a DaemonSet of its own"
		}
		return "Envoy inside of the agent"
	}},
	{name: "Gateway API", values: []string{"gatewayAPI.enabled"}},
	{name: "Ingress controller", values: []string{"ingressController.enabled"}, detail: says("load balancers", "ingressController.loadbalancerMode")},
	{name: "BGP control plane", values: []string{"bgpControlPlane.enabled"}},
	{name: "L2 announcements", values: []string{"l2announcements.enabled"}},
	{name: "L2 announcements of pods", values: []string{"l2podAnnouncements.enabled"}},
	{name: "LoadBalancer addresses from nodes", values: []string{"nodeIPAM.enabled"}},
	{name: "Egress gateway", values: []string{"egressGateway.enabled"}},
	{name: "Host firewall", values: []string{"hostFirewall.enabled"}},
	{name: "Policy enforcement", values: []string{"policyEnforcementMode"}, detail: says("", "policyEnforcementMode"), on: func(t tree) bool {
		mode := t.text("policyEnforcementMode")
		return mode != "" && mode != "default"
	}},
	{name: "Mutual authentication", values: []string{"authentication.mutual.spire.enabled"}},
	{name: "Bandwidth manager", values: []string{"bandwidthManager.enabled"}, detail: func(t tree) string {
		if t.is("bandwidthManager.bbr") {
			return "with BBR"
		}
		return ""
	}},
	{name: "BIG TCP for IPv4", values: []string{"enableIPv4BIGTCP"}},
	{name: "BIG TCP for IPv6", values: []string{"enableIPv6BIGTCP"}},
	{name: "netkit", values: []string{"bpf.datapathMode"}, on: func(t tree) bool { return strings.HasPrefix(t.text("bpf.datapathMode"), "netkit") }},
	{name: "Cluster mesh", values: []string{"clustermesh.useAPIServer"}},
	{name: "Multi-cluster services", values: []string{"clustermesh.mcsapi.enabled", "clustermesh.enableMCSAPISupport"}},
	{name: "CNI chaining", values: []string{"cni.chainingMode"}, detail: says("", "cni.chainingMode"), on: func(t tree) bool {
		mode := t.text("cni.chainingMode")
		return mode != "" && mode != "none"
	}},
	{name: "Routes of each endpoint", values: []string{"endpointRoutes.enabled"}},
	{name: "IP masquerade agent", values: []string{"ipMasqAgent.enabled"}},
	{name: "NAT46/64 gateway", values: []string{"nat46x64Gateway.enabled"}},
	{name: "VXLAN tunnel endpoints", values: []string{"vtep.enabled"}},
	{name: "ClusterIPs from outside", values: []string{"bpf.lbExternalClusterIP"}},
	{name: "L7 load balancing", values: []string{"loadBalancer.l7.backend"}, on: func(t tree) bool { return t.text("loadBalancer.l7.backend") == "envoy" }},
	{name: "Envoy's own resources", values: []string{"envoyConfig.enabled"}},
	{name: "Policy audit mode", values: []string{"policyAuditMode"}},
	{name: "EKS with ENI", values: []string{"eni.enabled"}},
	{name: "AKS with BYOCNI", values: []string{"aksbyocni.enabled"}},
	{name: "Azure's addresses", values: []string{"azure.enabled"}},
	{name: "Alibaba Cloud's addresses", values: []string{"alibabacloud.enabled"}},
	{name: "GKE", values: []string{"gke.enabled"}},
	{name: "Metrics of the agent", values: []string{"prometheus.enabled"}},
	{name: "Metrics of the operator", values: []string{"operator.prometheus.enabled"}},
	{name: "Agents restart with their configuration", values: []string{"rollOutCiliumPods"}},
}

// masquerades holds where no value says otherwise: from 1.18 on, the agent has it
// by default unless the cloud's own routing does without.
func masquerades(t tree) bool { return t.at("enableIPv4Masquerade") == nil && !t.is("eni.enabled") }

func routing(t tree) string {
	if t.text("routingMode") == "native" || t.is("gke.enabled") {
		return strings.TrimSpace("native " + t.text("ipv4NativeRoutingCIDR"))
	}
	if protocol := t.text("tunnelProtocol"); protocol != "" {
		return "tunnel, " + protocol
	}
	return "tunnel, vxlan"
}

func encryption(t tree) string {
	kind := t.text("encryption.type")
	if kind == "" {
		kind = "ipsec"
	}
	if t.is("encryption.nodeEncryption") {
		kind += ", between nodes too"
	}
	if t.is("encryption.strictMode.enabled") || t.is("encryption.strictMode.egress.enabled") {
		kind += ", strict"
	}
	return kind
}

// features lists what is on. options are those of extraConfig, by the value that
// they go before.
func features(env *load.Environment, t tree, options map[string]string) []Feature {
	list := []Feature{}
	for _, c := range candidates {
		path, on := c.turnedOn(t)
		if !on {
			continue
		}
		f := Feature{Name: c.name, Value: path, Is: "not set"}
		if v := t.at(path); v != nil && v != "" {
			f.Is = leaf(v)
		}
		if option := options[path]; option != "" {
			f.Value = values.Join("extraConfig", option)
		}
		f.Places = places(written(env, f.Value))
		if c.detail != nil {
			f.Detail = c.detail(t)
		}
		list = append(list, f)
	}
	return list
}

// turnedOn gives the value that turns a feature on: the first that is true, or
// else the last one.
func (c *candidate) turnedOn(t tree) (path string, on bool) {
	if c.within != nil && !c.within(t) {
		return "", false
	}
	for _, path := range c.values {
		if b, err := strconv.ParseBool(t.text(path)); err == nil && b {
			return path, true
		}
	}
	return c.values[len(c.values)-1], c.on != nil && c.on(t)
}

// written is where the author states a value: there, or in the field that it
// follows from.
func written(env *load.Environment, path string) []diag.Position {
	names, err := values.Split(path)
	if err != nil {
		return nil // no path of a candidate; their test splits each
	}
	if at := env.Written(append([]string{"values"}, names...)...); len(at) > 0 {
		return at
	}
	if field := lower.Field(path); field != nil {
		return env.Written(field...)
	}
	return nil
}
