// SPDX-License-Identifier: Apache-2.0

package lower

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/load"
	"plumbline.dev/plumbline/schema/state"
)

// What the agent takes where neither the chart nor extraConfig says anything
// (Cilium 1.17 to 1.20, flags of the agent).
const (
	agentNodePortMin = 30000
	agentNodePortMax = 32767
	agentMapMax      = 65536
	agentSocketMax   = 262144
	agentMaglevTable = 16381
	agentMaglevSeed  = "JLfvgnHc2kaSUFaI"
	agentBPFRoot     = "/sys/fs/bpf"
	// maglevSeedBytes is the length of a decoded Maglev seed.
	maglevSeedBytes = 12
)

// maglevTables are the table sizes that the agent takes, all of them primes.
var maglevTables = []string{"251", "509", "1021", "2039", "4093", "8191", "16381", "32749", "65521", "131071"}

// Settings resolves what the datapath needs of an environment. values are its
// Helm values over the chart's defaults. The Settings are nil where something is
// an Error.
func Settings(env *load.Environment, values map[string]any) (*state.Settings, diag.List) {
	layout, err := state.LayoutOf(env.Chart.Version)
	if err != nil {
		return nil, diag.List{{Code: CodeBadOption, Path: "environment.chart.version", Message: err.Error(), Positions: env.Positions("chart", "version")}}
	}
	r := &resolver{env: env, values: values}
	replaced := r.boolean(option{"kubeProxyReplacement", "kube-proxy-replacement"}, false)
	s := &state.Settings{
		Environment: env.Name, ChartVersion: env.Chart.Version, Layout: layout,
		Mode: env.Datapath.Mode, Interval: env.Datapath.Interval, Grace: env.Datapath.Grace, Limits: env.Datapath.Limits, Suspend: env.Datapath.Suspend,
		CgroupRoot: env.Cgroup.Root, BPFRoot: r.path(option{"bpf.root", "bpf-root"}, agentBPFRoot),
		IPv4: r.boolean(option{"ipv4.enabled", "enable-ipv4"}, true),
		IPv6: r.boolean(option{"ipv6.enabled", "enable-ipv6"}, false),

		KubeProxyReplacement: replaced,
		SocketLB:             r.boolean(option{"socketLB.enabled", "bpf-lb-sock"}, false) || replaced,
		NodePortAddresses:    r.nodePortAddresses(),
		BindProtection:       r.boolean(option{"nodePort.bindProtection", "node-port-bind-protection"}, true),
		LoadBalancer:         r.loadBalancer(layout, replaced),
		Maps:                 r.maps(),
		Routing:              r.routing(),
		Audits:               env.Datapath.Audits,
		Services:             services(env),
	}
	if env.Agent.Enabled && len(env.Agent.NodeSelector) > 0 {
		s.NodeSelector = env.Agent.NodeSelector
	}
	s.NodePortMin, s.NodePortMax = r.nodePortRange()
	s.Devices = r.devices(s)
	r.partialReplacement(layout, replaced)
	if r.list.Count(diag.Error) > 0 {
		return nil, r.list
	}
	return s, r.list
}

// loadBalancer resolves what is said of load balancing. What a release no longer
// has a switch for is on.
func (r *resolver) loadBalancer(layout state.Layout, replaced bool) state.LoadBalancerSettings {
	until18 := layout <= state.Cilium118
	s := state.LoadBalancerSettings{
		Mode:                r.word(option{"loadBalancer.mode", "bpf-lb-mode"}, "snat", "snat", "dsr", "hybrid"),
		MaglevTableSize:     r.maglevTable(),
		MaglevHashSeed:      r.maglevSeed(),
		SourceRangeAllTypes: r.boolean(option{"bpf.lbSourceRangeAllTypes", "bpf-lb-source-range-all-types"}, false),
		ExternalClusterIP:   r.boolean(option{"bpf.lbExternalClusterIP", "bpf-lb-external-clusterip"}, false),
		AlgorithmAnnotation: r.boolean(option{"bpf.lbAlgorithmAnnotation", "bpf-lb-algorithm-annotation"}, false),
		ModeAnnotation:      r.boolean(option{"bpf.lbModeAnnotation", "bpf-lb-mode-annotation"}, false),
		ServiceTopology:     r.boolean(option{"loadBalancer.serviceTopology", "enable-service-topology"}, false),
		ServiceProxyName:    r.plain(option{"k8s.serviceProxyName", "k8s-service-proxy-name"}),
		DefaultIPAM:         r.word(option{"defaultLBServiceIPAM", "default-lb-service-ipam"}, "lbipam", "lbipam", "nodeipam", "none"),
		LocalRedirectPolicy: r.boolean(option{"localRedirectPolicy", "enable-local-redirect-policy"}, false),
		SCTP:                r.boolean(option{"sctp.enabled", "enable-sctp"}, false),
		HealthCheckVIP:      r.boolean(option{"nodePort.enableHealthCheckLoadBalancerIP", "enable-health-check-loadbalancer-ip"}, false),
		Zones:               r.zones(),

		SessionAffinity: replaced, SourceRangeCheck: true, InternalTrafficPolicy: true, TerminatingEndpoints: true,
		WildcardEntries: layout >= state.Cilium119,
	}
	if r.word(option{"loadBalancer.algorithm", "bpf-lb-algorithm"}, "random", "random", "maglev") == "maglev" {
		s.Algorithm = state.Maglev
	} else {
		s.Algorithm = state.Random
	}
	if layout == state.Cilium117 {
		s.TerminatingEndpoints = r.boolean(option{"enableK8sTerminatingEndpoint", "enable-k8s-terminating-endpoint"}, true)
	} else {
		s.LocalRedirectPolicy = s.LocalRedirectPolicy || r.switchedOn("localRedirectPolicies.enabled")
	}
	s.EnvoyConfig = r.envoyConfig()
	if until18 {
		s.SessionAffinity = r.boolean(option{"sessionAffinity", "enable-session-affinity"}, false) || replaced
		s.SourceRangeCheck = r.boolean(option{"svcSourceRangeCheck", "enable-svc-source-range-check"}, true)
		s.InternalTrafficPolicy = r.boolean(option{"enableInternalTrafficPolicy", "enable-internal-traffic-policy"}, true)
	}
	if layout >= state.Cilium120 {
		s.AlgorithmAnnotation = s.AlgorithmAnnotation || r.switchedOn("gatewayAPI.enabled")
		s.WildcardEntries = r.boolean(option{"", "bpf-lb-enable-wildcard-entries"}, true)
	}
	return s
}

// maps resolves the maps' sizes: one for all, and one for each that goes before.
func (r *resolver) maps() state.MapSettings {
	all := r.size(option{"bpf.lbMapMax", "bpf-lb-map-max"}, agentMapMax, 1)
	of := func(flag string) uint32 {
		if n := r.size(option{"", flag}, 0, 0); n > 0 {
			return n
		}
		return all
	}
	m := state.MapSettings{
		Services: of("bpf-lb-service-map-max"), Backends: of("bpf-lb-service-backend-map-max"),
		ReverseNAT: of("bpf-lb-rev-nat-map-max"), Affinity: of("bpf-lb-affinity-map-max"),
		SourceRanges: of("bpf-lb-source-range-map-max"), Maglev: of("bpf-lb-maglev-map-max"),
		SocketReverse: r.size(option{"", "bpf-sock-rev-map-max"}, 0, 0),
		// The agent's own default is true, and the chart always says otherwise.
		Preallocate:    r.boolean(option{"bpf.preallocateMaps", "preallocate-bpf-maps"}, true),
		DistributedLRU: r.boolean(option{"bpf.distributedLRU.enabled", "bpf-distributed-lru"}, false),
	}
	if m.SocketReverse == 0 && !r.dynamicSizes() {
		m.SocketReverse = agentSocketMax
	}
	return m
}

// dynamicSizes tells whether the agent sizes maps by the node's memory: always,
// unless the ratio is zero or the chart keeps to what was before 1.8.
func (r *resolver) dynamicSizes() bool {
	ratio, path := r.text(option{"bpf.mapDynamicSizeRatio", "bpf-map-dynamic-size-ratio"}, "")
	if ratio == "" {
		compatible := strings.SplitN(r.plain(option{"upgradeCompatibility", ""}), ".", 3)
		minor := ""
		if len(compatible) > 1 {
			minor = compatible[1]
		}
		n, err := strconv.Atoi(minor)
		return compatible[0] != "1" || err != nil || n >= 8
	}
	f, err := strconv.ParseFloat(ratio, 64)
	if err != nil || f < 0 || f > 1 {
		r.bad(path, "a ratio from 0 to 1", ratio)
	}
	return f > 0
}

// cloudModes are values by which the chart takes another routing mode than it
// does elsewhere.
var cloudModes = []string{"eni.enabled", "azure.enabled", "alibabacloud.enabled", "gke.enabled", "aksbyocni.enabled"}

// routing is empty where the chart takes it from a cloud's mode.
func (r *resolver) routing() string {
	mode := r.word(option{"routingMode", "routing-mode"}, "", "", "tunnel", "native")
	if mode == "" && !slices.ContainsFunc(cloudModes, r.switchedOn) {
		return "tunnel"
	}
	return mode
}

// nodePortRange parses "30000,32767".
func (r *resolver) nodePortRange() (least, most uint16) {
	text, path := r.text(option{"nodePort.range", "node-port-range"}, fmt.Sprintf("%d,%d", agentNodePortMin, agentNodePortMax))
	first, second, _ := strings.Cut(text, ",")
	a, errA := strconv.ParseUint(strings.TrimSpace(first), 10, 16)
	b, errB := strconv.ParseUint(strings.TrimSpace(second), 10, 16)
	if errA != nil || errB != nil || a == 0 || a >= b {
		r.bad(path, "two ports, the smaller first, such as 30000,32767", text)
	}
	return uint16(a), uint16(b)
}

func (r *resolver) nodePortAddresses() []netip.Prefix {
	text, path := r.text(option{"nodePort.addresses", "nodeport-addresses"}, "")
	var list []netip.Prefix
	for word := range strings.FieldsFuncSeq(text, func(c rune) bool { return c == ',' || c == ' ' }) {
		prefix, err := netip.ParsePrefix(word)
		if err != nil {
			r.bad(path, "CIDRs, such as 192.168.0.0/16", word)
			continue
		}
		list = append(list, prefix.Masked())
	}
	slices.SortFunc(list, netip.Prefix.Compare)
	return slices.Compact(list)
}

func (r *resolver) maglevTable() uint32 {
	text, path := r.text(option{"maglev.tableSize", "bpf-lb-maglev-table-size"}, strconv.Itoa(agentMaglevTable))
	if !slices.Contains(maglevTables, text) {
		r.bad(path, "one of the primes "+strings.Join(maglevTables, ", "), text)
		return agentMaglevTable
	}
	n, _ := strconv.ParseUint(text, 10, 32) // it is one of maglevTables
	return uint32(n)
}

func (r *resolver) maglevSeed() string {
	text, path := r.text(option{"maglev.hashSeed", "bpf-lb-maglev-hash-seed"}, agentMaglevSeed)
	if seed, err := base64.StdEncoding.DecodeString(text); err != nil || len(seed) != maglevSeedBytes {
		r.bad(path, fmt.Sprintf("%d bytes in base64, as `head -c12 /dev/urandom | base64 -w0` gives them", maglevSeedBytes), text)
	}
	return text
}

// zones parses the numbers of zones, "eu-1a=1,eu-1b=2". There is no Helm value
// for them.
func (r *resolver) zones() map[string]uint8 {
	text, path := r.text(option{"", "fixed-zone-mapping"}, "")
	var zones map[string]uint8
	used := map[uint64]string{}
	for word := range strings.FieldsFuncSeq(text, func(c rune) bool { return c == ',' || c == ' ' }) {
		name, number, _ := strings.Cut(word, "=")
		n, err := strconv.ParseUint(number, 10, 8)
		if _, twice := zones[name]; err != nil || n == 0 || name == "" || twice || used[n] != "" {
			r.bad(path, "ZONE=NUMBER, each zone and each number from 1 to 255 once", word)
			continue
		}
		if zones == nil {
			zones = map[string]uint8{}
		}
		zones[name], used[n] = uint8(n), name
	}
	return zones
}

// path gives an absolute path.
func (r *resolver) path(o option, agent string) string {
	text, path := r.text(o, agent)
	if !strings.HasPrefix(text, "/") {
		r.bad(path, "an absolute path", text)
	}
	return text
}

// plain gives a text that may be anything.
func (r *resolver) plain(o option) string {
	text, _ := r.text(o, "")
	return text
}

// switchedOn tells whether a Helm value that makes the chart render another
// option is true.
func (r *resolver) switchedOn(value string) bool {
	v, _ := lookup(r.values, strings.Split(value, "."))
	return fmt.Sprint(v) == "true"
}

// envoyConfig tells whether the agent reads Envoy configurations: the chart asks
// for it with each feature that is made of them, and it takes the L7 proxy.
func (r *resolver) envoyConfig() bool {
	on := r.boolean(option{"", "enable-envoy-config"}, false)
	for _, value := range []string{"envoyConfig.enabled", "ingressController.enabled", "gatewayAPI.enabled"} {
		on = on || r.switchedOn(value)
	}
	backend, _ := lookup(r.values, strings.Split("loadBalancer.l7.backend", "."))
	return (on || fmt.Sprint(backend) == "envoy") && r.boolean(option{"l7Proxy", "enable-l7-proxy"}, true)
}

// partialReplacement warns of the single services that 1.17 and 1.18 could take
// from kube-proxy: what is compiled is all of them or ClusterIPs alone.
func (r *resolver) partialReplacement(layout state.Layout, replaced bool) {
	if replaced || layout > state.Cilium118 {
		return
	}
	for _, value := range []string{"nodePort.enabled", "hostPort.enabled", "externalIPs.enabled"} {
		if r.switchedOn(value) {
			r.add(CodeNotCompiled, diag.Warning, strings.Split(value, "."), "set kubeProxyReplacement to true",
				"%s without kubeProxyReplacement is not compiled: the state has ClusterIPs alone", value)
		}
	}
}

// services are the environment's own, in order.
func services(env *load.Environment) []state.DeclaredService {
	var list []state.DeclaredService
	for _, key := range slices.Sorted(maps.Keys(env.Services)) {
		namespace, name, _ := strings.Cut(key, "/")
		s := env.Services[key]
		list = append(list, state.DeclaredService{Namespace: namespace, Name: name, IPs: s.IPs, Ports: s.Ports})
	}
	return list
}
