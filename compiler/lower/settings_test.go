// SPDX-License-Identifier: Apache-2.0

package lower

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/load"
	"plumbline.dev/plumbline/compiler/values"
	"plumbline.dev/plumbline/schema/state"
)

var comparePrefixes = cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{}, netip.AddrPort{})

func environment(version string) *load.Environment {
	return &load.Environment{
		Name: "dev", Chart: load.Chart{Version: version}, Cgroup: load.Cgroup{Root: "/sys/fs/cgroup"},
		Datapath: load.Datapath{Interval: state.Duration{Duration: 30 * time.Second}, Limits: state.Limits{RepairEntries: 64}, Audits: state.Audits{IPCache: true, Fill: true}},
	}
}

// resolve gives the Settings of values over the chart's defaults.
func resolve(t *testing.T, version string, free map[string]any) (*state.Settings, diag.List) {
	t.Helper()
	table, err := values.For(version)
	if err != nil {
		t.Fatal(err)
	}
	return Settings(environment(version), table.Merge(free))
}

// tree builds nested values from dotted paths.
func tree(pairs map[string]any) map[string]any {
	out := map[string]any{}
	for path, v := range pairs {
		set(out, strings.Split(path, "."), v)
	}
	return out
}

// What a chart installs that nobody gave a value, for each minor. The switches
// that a minor has lost are on.
func TestDefaultsOfEachMinor(t *testing.T) {
	for version, layout := range map[string]state.Layout{
		"1.17.2": state.Cilium117, "1.18.6": state.Cilium118, "1.19.0": state.Cilium119, "1.20.2": state.Cilium120,
	} {
		t.Run(version, func(t *testing.T) {
			want := &state.Settings{
				Environment: "dev", ChartVersion: version, Layout: layout, CgroupRoot: "/sys/fs/cgroup", BPFRoot: "/sys/fs/bpf",
				IPv4: true, NodePortMin: 30000, NodePortMax: 32767, BindProtection: true,
				Devices: &state.DeviceSettings{TCX: true, Acceleration: "disabled", Tunnel: "vxlan"},
				LoadBalancer: state.LoadBalancerSettings{
					Algorithm: state.Random, Mode: "snat", MaglevTableSize: 16381, MaglevHashSeed: "JLfvgnHc2kaSUFaI",
					SourceRangeCheck: true, InternalTrafficPolicy: true, TerminatingEndpoints: true, DefaultIPAM: "lbipam",
					WildcardEntries: layout >= state.Cilium119,
				},
				Maps:     state.MapSettings{Services: 65536, Backends: 65536, ReverseNAT: 65536, Affinity: 65536, SourceRanges: 65536, Maglev: 65536},
				Interval: state.Duration{Duration: 30 * time.Second}, Limits: state.Limits{RepairEntries: 64},
				Routing: "tunnel", Audits: state.Audits{IPCache: true, Fill: true},
			}
			got, list := resolve(t, version, nil)
			if len(list) > 0 {
				t.Errorf("findings: %v", list)
			}
			if diff := cmp.Diff(want, got, comparePrefixes); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Each value reaches its setting, in the minors that have it and in no other.
func TestValuesReachTheirSettings(t *testing.T) {
	all := []string{"1.17.2", "1.18.6", "1.19.0", "1.20.2"}
	for _, c := range []struct {
		value any
		path  string
		in    []string
		holds func(*state.Settings) bool
	}{
		{true, "kubeProxyReplacement", all, func(s *state.Settings) bool {
			return s.KubeProxyReplacement && s.SocketLB && s.LoadBalancer.SessionAffinity && s.Devices.Egress
		}},
		{"true", "kubeProxyReplacement", all, func(s *state.Settings) bool { return s.KubeProxyReplacement }},
		{true, "socketLB.enabled", all, func(s *state.Settings) bool { return s.SocketLB && !s.KubeProxyReplacement }},
		{true, "sessionAffinity", all[:2], func(s *state.Settings) bool { return s.LoadBalancer.SessionAffinity }},
		{false, "svcSourceRangeCheck", all[:2], func(s *state.Settings) bool { return !s.LoadBalancer.SourceRangeCheck }},
		{false, "enableInternalTrafficPolicy", all[:2], func(s *state.Settings) bool { return !s.LoadBalancer.InternalTrafficPolicy }},
		{false, "enableK8sTerminatingEndpoint", all[:1], func(s *state.Settings) bool { return !s.LoadBalancer.TerminatingEndpoints }},
		{true, "localRedirectPolicy", all, func(s *state.Settings) bool { return s.LoadBalancer.LocalRedirectPolicy }},
		{true, "localRedirectPolicies.enabled", all[1:], func(s *state.Settings) bool { return s.LoadBalancer.LocalRedirectPolicy }},
		{true, "envoyConfig.enabled", all, func(s *state.Settings) bool { return s.LoadBalancer.EnvoyConfig }},
		{true, "ingressController.enabled", all, func(s *state.Settings) bool { return s.LoadBalancer.EnvoyConfig }},
		{"true", "extraConfig.enable-envoy-config", all, func(s *state.Settings) bool { return s.LoadBalancer.EnvoyConfig }},
		{"envoy", "loadBalancer.l7.backend", all, func(s *state.Settings) bool { return s.LoadBalancer.EnvoyConfig }},
		{true, "gatewayAPI.enabled", all[3:], func(s *state.Settings) bool { return s.LoadBalancer.AlgorithmAnnotation }},
		{"false", "extraConfig.bpf-lb-enable-wildcard-entries", all[3:], func(s *state.Settings) bool { return !s.LoadBalancer.WildcardEntries && s.Layout == state.Cilium120 }},
		{false, "ipv4.enabled", all, func(s *state.Settings) bool { return !s.IPv4 }},
		{true, "ipv6.enabled", all, func(s *state.Settings) bool { return s.IPv6 }},
		{"/bpf", "bpf.root", all, func(s *state.Settings) bool { return s.BPFRoot == "/bpf" }},
		{"20000,20100", "nodePort.range", all, func(s *state.Settings) bool { return s.NodePortMin == 20000 && s.NodePortMax == 20100 }},
		{[]any{"192.168.7.1/16", "10.0.0.0/8", "192.168.0.0/16"}, "nodePort.addresses", all, func(s *state.Settings) bool {
			return slices.Equal(s.NodePortAddresses, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.168.0.0/16")})
		}},
		{false, "nodePort.bindProtection", all, func(s *state.Settings) bool { return !s.BindProtection }},
		{[]any{"eth+", "bond0", "eth+"}, "devices", all, func(s *state.Settings) bool { return slices.Equal(s.Devices.Names, []string{"bond0", "eth+"}) }},
		{"eth0 eth1", "extraConfig.devices", all, func(s *state.Settings) bool { return slices.Equal(s.Devices.Names, []string{"eth0", "eth1"}) }},
		{false, "bpf.enableTCX", all, func(s *state.Settings) bool { return !s.Devices.TCX }},
		{true, "hostFirewall.enabled", all, func(s *state.Settings) bool { return s.Devices.Egress }},
		{true, "l2announcements.enabled", all, func(s *state.Settings) bool { return s.Devices.Egress }},
		{"native", "loadBalancer.acceleration", all, func(s *state.Settings) bool { return s.Devices.Acceleration == "native" }},
		{"geneve", "tunnelProtocol", all, func(s *state.Settings) bool { return s.Devices.Tunnel == "geneve" }},
		{"native", "routingMode", all, func(s *state.Settings) bool { return s.Devices.Tunnel == "" }},
		{"netkit", "bpf.datapathMode", all, func(s *state.Settings) bool { return s.Devices != nil }},
		{true, "nodePort.enableHealthCheckLoadBalancerIP", all, func(s *state.Settings) bool { return s.LoadBalancer.HealthCheckVIP }},
		{"maglev", "loadBalancer.algorithm", all, func(s *state.Settings) bool { return s.LoadBalancer.Algorithm == state.Maglev }},
		{"dsr", "loadBalancer.mode", all, func(s *state.Settings) bool { return s.LoadBalancer.Mode == "dsr" }},
		{true, "loadBalancer.serviceTopology", all, func(s *state.Settings) bool { return s.LoadBalancer.ServiceTopology }},
		{"1021", "maglev.tableSize", all, func(s *state.Settings) bool { return s.LoadBalancer.MaglevTableSize == 1021 }},
		{"AAAAAAAAAAAAAAAA", "maglev.hashSeed", all, func(s *state.Settings) bool { return s.LoadBalancer.MaglevHashSeed == "AAAAAAAAAAAAAAAA" }},
		{true, "bpf.lbSourceRangeAllTypes", all, func(s *state.Settings) bool { return s.LoadBalancer.SourceRangeAllTypes }},
		{true, "bpf.lbExternalClusterIP", all, func(s *state.Settings) bool { return s.LoadBalancer.ExternalClusterIP }},
		{true, "bpf.lbAlgorithmAnnotation", all, func(s *state.Settings) bool { return s.LoadBalancer.AlgorithmAnnotation }},
		{true, "bpf.lbModeAnnotation", all, func(s *state.Settings) bool { return s.LoadBalancer.ModeAnnotation }},
		{"edge", "k8s.serviceProxyName", all, func(s *state.Settings) bool { return s.LoadBalancer.ServiceProxyName == "edge" }},
		{"nodeipam", "defaultLBServiceIPAM", all, func(s *state.Settings) bool { return s.LoadBalancer.DefaultIPAM == "nodeipam" }},
		{true, "sctp.enabled", all, func(s *state.Settings) bool { return s.LoadBalancer.SCTP }},
		{"a=1,b=255", "extraConfig.fixed-zone-mapping", all, func(s *state.Settings) bool { return s.LoadBalancer.Zones["b"] == 255 }},
		{1024, "bpf.lbMapMax", all, func(s *state.Settings) bool { return s.Maps.Services == 1024 && s.Maps.Maglev == 1024 }},
		{"7", "extraConfig.bpf-lb-service-map-max", all, func(s *state.Settings) bool { return s.Maps.Services == 7 && s.Maps.Backends == 65536 }},
		{"7", "extraConfig.bpf-lb-service-backend-map-max", all, func(s *state.Settings) bool { return s.Maps.Backends == 7 }},
		{"7", "extraConfig.bpf-lb-rev-nat-map-max", all, func(s *state.Settings) bool { return s.Maps.ReverseNAT == 7 }},
		{"7", "extraConfig.bpf-lb-affinity-map-max", all, func(s *state.Settings) bool { return s.Maps.Affinity == 7 }},
		{"7", "extraConfig.bpf-lb-source-range-map-max", all, func(s *state.Settings) bool { return s.Maps.SourceRanges == 7 }},
		{"7", "extraConfig.bpf-lb-maglev-map-max", all, func(s *state.Settings) bool { return s.Maps.Maglev == 7 }},
		{"7", "extraConfig.bpf-sock-rev-map-max", all, func(s *state.Settings) bool { return s.Maps.SocketReverse == 7 }},
		{0, "bpf.mapDynamicSizeRatio", all, func(s *state.Settings) bool { return s.Maps.SocketReverse == 262144 }},
		{"1.7", "upgradeCompatibility", all, func(s *state.Settings) bool { return s.Maps.SocketReverse == 262144 }},
		{true, "bpf.preallocateMaps", all, func(s *state.Settings) bool { return s.Maps.Preallocate }},
		{true, "bpf.distributedLRU.enabled", all, func(s *state.Settings) bool { return s.Maps.DistributedLRU }},
	} {
		t.Run(fmt.Sprint(c.path, "=", c.value), func(t *testing.T) {
			for _, version := range all {
				s, list := resolve(t, version, tree(map[string]any{c.path: c.value}))
				if list.Count(diag.Error) > 0 {
					t.Errorf("%s: %v", version, list)
					continue
				}
				if got, want := c.holds(s), slices.Contains(c.in, version); got != want {
					t.Errorf("%s: reaches its setting: %v, want %v", version, got, want)
				}
			}
		})
	}
}

// Compatibility with 1.8 or later, or with nothing, leaves the maps dynamic.
func TestUpgradeCompatibility(t *testing.T) {
	for _, version := range []string{"1.8", "1.17", "2.0", ""} {
		s, _ := resolve(t, "1.17.2", map[string]any{"upgradeCompatibility": version})
		if s.Maps.SocketReverse != 0 {
			t.Errorf("upgradeCompatibility %q: a map of %d entries", version, s.Maps.SocketReverse)
		}
	}
}

func TestExtraConfigCounts(t *testing.T) {
	s, list := resolve(t, "1.17.2", tree(map[string]any{"bpf.lbMapMax": 1024, "extraConfig.bpf-lb-map-max": "2048"}))
	if s.Maps.Services != 2048 {
		t.Errorf("services map has %d entries", s.Maps.Services)
	}
	if len(list) != 1 || list[0].Code != CodeOptionTwice || list[0].Severity != diag.Warning {
		t.Errorf("findings: %v", list)
	}
}

// Every bad value is told in one run, and there are no Settings then.
func TestBadValuesAreAllTold(t *testing.T) {
	s, list := resolve(t, "1.18.6", tree(map[string]any{
		"kubeProxyReplacement": "strict", "loadBalancer.mode": "direct", "maglev.tableSize": 16384, "maglev.hashSeed": "%",
		"nodePort.range": "1", "nodePort.addresses": []any{"eth0", "10.0.0.1"}, "bpf.lbMapMax": -1, "bpf.root": "bpf",
		"bpf.mapDynamicSizeRatio": "all", "extraConfig.fixed-zone-mapping": "a=0,=2",
	}))
	if s != nil {
		t.Error("Settings beside errors")
	}
	var got []string
	for _, d := range list {
		if d.Code != CodeBadOption {
			t.Errorf("code %s of %s", d.Code, d.Path)
		}
		got = append(got, strings.TrimPrefix(d.Path, "environment.values."))
	}
	slices.Sort(got)
	want := []string{
		"bpf.lbMapMax", "bpf.mapDynamicSizeRatio", "bpf.root", `extraConfig."fixed-zone-mapping"`, `extraConfig."fixed-zone-mapping"`,
		"kubeProxyReplacement", "loadBalancer.mode", "maglev.hashSeed", "maglev.tableSize", "nodePort.addresses", "nodePort.addresses", "nodePort.range",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestUnknownMinor(t *testing.T) {
	s, list := Settings(environment("1.42.0"), nil)
	if s != nil || list.Count(diag.Error) != 1 || !strings.Contains(list[0].Message, "supported minors are 1.17, 1.18, 1.19, 1.20") {
		t.Errorf("got %v, %v", s, list)
	}
}

func TestPartialReplacementIsTold(t *testing.T) {
	for version, want := range map[string]int{"1.17.2": 1, "1.18.6": 1, "1.19.0": 0} {
		_, list := resolve(t, version, tree(map[string]any{"nodePort.enabled": true}))
		if list.Count(diag.Warning) != want {
			t.Errorf("%s: %v", version, list)
		}
	}
	if _, list := resolve(t, "1.17.2", tree(map[string]any{"nodePort.enabled": true, "kubeProxyReplacement": true})); len(list) > 0 {
		t.Errorf("with kube-proxy replaced: %v", list)
	}
}

func TestServicesAreInOrder(t *testing.T) {
	env := environment("1.17.2")
	env.Services = map[string]load.Service{"b/a": {}, "a/z": {IPs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}, "a/b": {}}
	want := []state.DeclaredService{
		{Namespace: "a", Name: "b"}, {Namespace: "a", Name: "z", IPs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}, {Namespace: "b", Name: "a"},
	}
	if diff := cmp.Diff(want, services(env), comparePrefixes); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// An option is rendered from the Helm value that is named beside it: the charts
// themselves say so, in one minor at least.
func TestOptionsAreTheCharts(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "settings.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	ast.Inspect(file, func(n ast.Node) bool {
		literal, ok := n.(*ast.CompositeLit)
		if !ok || len(literal.Elts) != 2 {
			return true
		}
		if name, ok := literal.Type.(*ast.Ident); !ok || name.Name != "option" {
			return true
		}
		value, flag := unquote(t, literal.Elts[0]), unquote(t, literal.Elts[1])
		if value == "" || flag == "" {
			return true
		}
		checked++
		if !rendered(t, value, flag) {
			t.Errorf("no chart renders %s from %s", flag, value)
		}
		return true
	})
	if checked < 25 {
		t.Errorf("only %d options were found in settings.go", checked)
	}
}

func rendered(t *testing.T, value, flag string) bool {
	t.Helper()
	return slices.ContainsFunc(values.Minors(), func(minor string) bool {
		table, err := values.For(minor)
		if err != nil {
			t.Fatal(err)
		}
		return slices.Contains(table.Option(flag), value)
	})
}

func unquote(t *testing.T, e ast.Expr) string {
	t.Helper()
	literal, ok := e.(*ast.BasicLit)
	if !ok {
		return ""
	}
	text, err := strconv.Unquote(literal.Value)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Routing is a tunnel by default; a cloud's mode leaves it to the chart.
func TestRouting(t *testing.T) {
	for _, c := range []struct {
		values map[string]any
		want   string
	}{
		{nil, "tunnel"},
		{map[string]any{"routingMode": "native"}, "native"},
		{map[string]any{"routingMode": "tunnel", "gke.enabled": true}, "tunnel"},
		{map[string]any{"eni.enabled": true}, ""},
		{map[string]any{"extraConfig": map[string]any{"routing-mode": "native"}}, "native"},
	} {
		got, list := resolve(t, "1.19.0", tree(c.values))
		if len(list) > 0 || got.Routing != c.want {
			t.Errorf("%v: routing %q, findings %v; want %q", c.values, got.Routing, list, c.want)
		}
	}
	if _, list := resolve(t, "1.19.0", tree(map[string]any{"routingMode": "direct"})); list.Count(diag.Error) != 1 {
		t.Errorf("an unknown routing mode gives %v", list)
	}
}

// Agents that are on some nodes alone are expected there alone.
func TestNodesOfTheAgent(t *testing.T) {
	for _, test := range []struct {
		agent load.Agent
		want  map[string]string
	}{
		{load.Agent{}, nil},
		{load.Agent{Enabled: true, NodeSelector: map[string]string{}}, nil},
		{load.Agent{Enabled: true, NodeSelector: map[string]string{"pool": "a"}}, map[string]string{"pool": "a"}},
		{load.Agent{NodeSelector: map[string]string{"pool": "a"}}, nil},
	} {
		env := &load.Environment{Name: "dev", Chart: load.Chart{Version: "1.17.2"}, Agent: test.agent}
		got, list := Settings(env, nil)
		if got == nil {
			t.Fatalf("no settings: %v", list)
		}
		if diff := cmp.Diff(test.want, got.NodeSelector); diff != "" {
			t.Errorf("%+v: (-want +got):\n%s", test.agent, diff)
		}
	}
}
