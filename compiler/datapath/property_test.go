// SPDX-License-Identifier: Apache-2.0

package datapath_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"plumbline.dev/plumbline/compiler/datapath"
	"plumbline.dev/plumbline/schema/state"
)

var releases = []string{"1.17.2", "1.18.0", "1.18.6", "1.19.0", "1.20.2"}

// I9: the order of a snapshot's lists makes no difference, and compiling twice
// gives the same.
func TestCompileIgnoresOrder(t *testing.T) {
	for seed := range uint64(150) {
		r := rand.New(rand.NewPCG(seed, 1))
		settings, snapshot := randomInput(r)
		checkCompile(t, settings, snapshot, r)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func FuzzCompile(f *testing.F) {
	for i := range uint64(20) {
		f.Add(i, []byte(nil))
	}
	f.Add(uint64(1), []byte(`{"node":{"name":"a","addresses":["10.0.0.1"]},"services":[{"namespace":"n","name":"s","type":"NodePort","clusterIPs":["10.0.0.2"],"ports":[{"name":"","protocol":"TCP","port":1,"nodePort":30000}]}],"endpointSlices":[{"namespace":"n","name":"x","service":"s","ports":[{"name":"","protocol":"UDP","port":0}],"endpoints":[{"addresses":["::1","1.2.3.4"]}]}]}`))
	f.Fuzz(func(t *testing.T, seed uint64, data []byte) {
		r := rand.New(rand.NewPCG(seed, 2))
		settings, snapshot := randomInput(r)
		var given state.Snapshot
		if json.Unmarshal(data, &given) == nil {
			snapshot = &given
		}
		checkCompile(t, settings, snapshot, r)
	})
}

func checkCompile(t *testing.T, settings *state.Settings, snapshot *state.Snapshot, r *rand.Rand) {
	t.Helper()
	want, wantNotices := datapath.Compile(settings, snapshot)
	got, gotNotices := datapath.Compile(settings, shuffled(snapshot, r))
	if diff := cmp.Diff(want, got, compareValues); diff != "" {
		t.Errorf("State of the shuffled input (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(wantNotices, gotNotices); diff != "" {
		t.Errorf("Notices of the shuffled input (-want +got):\n%s", diff)
	}
	checkState(t, want)
}

// checkState checks what holds for every State that Compile gives.
func checkState(t *testing.T, s *state.State) {
	t.Helper()
	parsed, err := state.Parse(s.String())
	if err != nil {
		t.Fatalf("its text does not parse: %v\n%s", err, s)
	}
	if diff := cmp.Diff(s, parsed, compareValues); diff != "" {
		t.Errorf("it is not canonical (-Compile +Parse(String)):\n%s", diff)
	}
	backends := map[state.Endpoint]state.BackendState{}
	for _, b := range s.Backends {
		backends[b.Endpoint] = b.State
	}
	frontends := map[state.FrontendName]*state.Frontend{}
	used := map[state.Endpoint]bool{}
	for i := range s.Frontends {
		f := &s.Frontends[i]
		frontends[f.FrontendName] = f
		for _, b := range slices.Concat(f.Backends, f.Inactive) {
			used[b] = true
			if at, ok := backends[b]; !ok || b.Address.Is4() != f.Address.Is4() || b.Protocol != f.Protocol {
				t.Errorf("%s has backend %s (%s, known: %v)", f.FrontendName, b, at, ok)
			}
		}
		if f.Scope == state.Internal && frontends[state.FrontendName{Endpoint: f.Endpoint}] == nil {
			t.Errorf("%s has no external entry beside it", f.FrontendName)
		}
	}
	for b, at := range backends {
		if !used[b] && at != state.Maintenance {
			t.Errorf("%s backend %s has no slot", at, b)
		}
	}
	for _, m := range s.AffinityMatches {
		if f := frontends[m.Frontend]; f == nil || f.Flags&state.Affinity == 0 || !slices.Contains(slices.Concat(f.Backends, f.Inactive), m.Backend) {
			t.Errorf("stray affinity match %v", m)
		}
	}
	for _, c := range s.SourceRanges {
		if frontends[c.Frontend] == nil || c.CIDR != c.CIDR.Masked() {
			t.Errorf("stray source range %v", c)
		}
	}
	for _, m := range s.Maglev {
		if f := frontends[m.Frontend]; f == nil || len(m.Slots) > len(f.Backends) || m.Frontend.Address.IsUnspecified() {
			t.Errorf("stray Maglev table %v", m)
		}
	}
}

func shuffled(in *state.Snapshot, r *rand.Rand) *state.Snapshot {
	out := *in
	out.Services, out.Slices, out.Pods = slices.Clone(in.Services), slices.Clone(in.Slices), slices.Clone(in.Pods)
	shuffle(r, out.Services)
	shuffle(r, out.Slices)
	shuffle(r, out.Pods)
	out.RedirectPolicies = slices.Clone(in.RedirectPolicies)
	shuffle(r, out.RedirectPolicies)
	out.EnvoyConfigs = slices.Clone(in.EnvoyConfigs)
	shuffle(r, out.EnvoyConfigs)
	return &out
}

func shuffle[T any](r *rand.Rand, list []T) {
	r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
}

// randomInput makes a small cluster in which names, addresses and ports
// collide and everything can be wrong.
func randomInput(r *rand.Rand) (*state.Settings, *state.Snapshot) {
	s := settingsOf(pick(r, releases))
	s.IPv6, s.KubeProxyReplacement = r.IntN(4) > 0, r.IntN(4) > 0
	lb := &s.LoadBalancer
	lb.MaglevTableSize = 251
	lb.Algorithm = pick(r, []state.Algorithm{state.Random, state.Random, state.Maglev})
	lb.Mode = pick(r, []string{"snat", "dsr", "hybrid"})
	for _, on := range []*bool{&lb.SessionAffinity, &lb.SourceRangeCheck, &lb.SourceRangeAllTypes, &lb.ExternalClusterIP, &lb.AlgorithmAnnotation,
		&lb.ModeAnnotation, &lb.ServiceTopology, &lb.InternalTrafficPolicy, &lb.TerminatingEndpoints, &lb.WildcardEntries, &lb.HealthCheckVIP} {
		*on = r.IntN(2) == 0
	}
	lb.Zones = map[string]uint8{"a": 1}
	snapshot := &state.Snapshot{Node: state.Node{Name: pick(r, []string{"n1", "n2", ""}), Zone: pick(r, []string{"a", "b", ""}), Addresses: randomAddresses(r)}}
	if lb.LocalRedirectPolicy = r.IntN(3) > 0; lb.LocalRedirectPolicy || r.IntN(4) == 0 {
		for i := range r.IntN(4) {
			snapshot.RedirectPolicies = append(snapshot.RedirectPolicies, randomRedirect(r, i))
		}
	}
	if lb.EnvoyConfig = r.IntN(3) > 0; lb.EnvoyConfig || r.IntN(4) == 0 {
		for range r.IntN(4) {
			snapshot.EnvoyConfigs = append(snapshot.EnvoyConfigs, randomEnvoy(r))
		}
	}
	for range r.IntN(6) {
		snapshot.Services = append(snapshot.Services, randomService(r))
	}
	for i := range r.IntN(8) {
		snapshot.Slices = append(snapshot.Slices, randomSlice(r, i))
	}
	for i := range r.IntN(3) {
		snapshot.Pods = append(snapshot.Pods, state.Pod{
			Namespace: "t", Name: fmt.Sprint("p", i%2), NodeName: "n1", Running: r.IntN(4) > 0, IPs: randomAddresses(r),
			Ready: r.IntN(3) > 0, Labels: map[string]string{"app": pick(r, []string{"x", "y"})},
			Ports:     []state.EndpointPort{{Name: pick(r, []string{"", "a", "b"}), Protocol: randomProtocol(r), Port: randomPort(r)}}[:r.IntN(2)],
			HostPorts: []state.HostPortSpec{{HostPort: randomPort(r), ContainerPort: randomPort(r), Protocol: randomProtocol(r), HostIP: pick(r, []netip.Addr{{}, {}, randomAddress(r)})}},
		})
	}
	if r.IntN(4) == 0 {
		s.Services = []state.DeclaredService{{Namespace: "t", Name: "s1", IPs: randomAddresses(r), Ports: []state.DeclaredServicePort{{
			Protocol: randomProtocol(r), Port: randomPort(r), Backends: []netip.AddrPort{netip.AddrPortFrom(randomAddress(r), randomPort(r))}}}}}
	}
	return s, snapshot
}

func randomService(r *rand.Rand) state.Service {
	svc := state.Service{
		Namespace: "t", Name: fmt.Sprint("s", r.IntN(5)), Type: pick(r, []string{"ClusterIP", "NodePort", "LoadBalancer", "LoadBalancer", "ExternalName", "?"}),
		ClusterIPs: randomAddresses(r), ExternalIPs: randomAddresses(r), Headless: r.IntN(8) == 0,
		ExternalTrafficPolicy: pick(r, []string{"", "Cluster", "Local"}), InternalTrafficPolicy: pick(r, []string{"", "Cluster", "Local", "x"}),
		TrafficDistribution: pick(r, []string{"", "", "PreferClose", "PreferSameNode", "x"}),
		SessionAffinity:     r.IntN(2) == 0, AffinityTimeoutSeconds: pick(r, []uint32{0, 5, 1 << 25}),
		SourceRanges: pick(r, [][]string{nil, {"10.0.0.0/8"}, {"10.1.0.0/8", "fd00::/8", "x"}}), HealthCheckNodePort: pick(r, []uint16{0, 32100}),
		LoadBalancerClass: pick(r, []*string{nil, ptr("io.cilium/l2-announcer"), ptr("x")}),
	}
	for _, a := range randomAddresses(r) {
		svc.LoadBalancerIPs = append(svc.LoadBalancerIPs, state.LoadBalancerIP{IP: a, IPMode: pick(r, []string{"", "VIP", "Proxy"})})
	}
	for range r.IntN(3) {
		svc.Ports = append(svc.Ports, state.ServicePort{Name: pick(r, []string{"", "a", "b"}), Protocol: randomProtocol(r), Port: randomPort(r), NodePort: pick(r, []uint16{0, 30001, 30002})})
	}
	if r.IntN(3) == 0 {
		svc.Annotations = map[string]string{"service.cilium.io/" + pick(r, []string{"type", "node", "node-selector", "lb-algorithm", "src-ranges-policy", "forwarding-mode", "proxy-delegation", "x"}): pick(r, []string{"LoadBalancer", "maglev", "deny", "dsr", "delegate-if-local", "a=b", "a in"})}
	}
	return svc
}

func randomRedirect(r *rand.Rand, i int) state.RedirectPolicy {
	p := state.RedirectPolicy{Namespace: "t", Name: fmt.Sprint("r", i%3), Selector: pick(r, []string{"", "app=x", "app in (x,y)", "a in"}), ToPorts: randomRedirectPorts(r), SkipFromBackend: r.IntN(5) == 0}
	if r.IntN(2) == 0 {
		p.Address = &state.RedirectAddress{IP: pick(r, []string{"10.0.0.1", "10.0.0.1", "fd00::1", "x"}), Ports: randomRedirectPorts(r)}
	}
	if p.Address == nil || r.IntN(8) == 0 {
		p.Service = &state.RedirectService{Namespace: pick(r, []string{"t", "t", "t", "u"}), Name: fmt.Sprint("s", r.IntN(5)), Ports: randomRedirectPorts(r)}
	}
	return p
}

func randomEnvoy(r *rand.Rand) state.EnvoyConfig {
	e := state.EnvoyConfig{Namespace: pick(r, []string{"t", "t", ""}), Name: fmt.Sprint("e", r.IntN(3)), Listeners: []string{"l", "t/m"}[:r.IntN(3)], NodeSelector: pick(r, []*string{nil, nil, ptr("a=b"), ptr("a in")})}
	for range r.IntN(4) {
		e.Services = append(e.Services, state.EnvoyService{Namespace: pick(r, []string{"t", "t", ""}), Name: fmt.Sprint("s", r.IntN(5)),
			Ports: pick(r, [][]uint16{nil, {80}, {81, 443}}), Listener: pick(r, []string{"", "l", "t/m", "x"})})
	}
	return e
}

func randomRedirectPorts(r *rand.Rand) []state.RedirectPort {
	var list []state.RedirectPort
	for range r.IntN(3) {
		list = append(list, state.RedirectPort{Port: pick(r, []string{"80", "80", "81", "443", "0x50", "0", "70000"}), Name: pick(r, []string{"a", "A", "b", ""}), Protocol: pick(r, []string{"TCP", "TCP", "TCP", "UDP", "x"})})
	}
	return list
}

func randomSlice(r *rand.Rand, i int) state.EndpointSlice {
	slice := state.EndpointSlice{Namespace: "t", Name: fmt.Sprint("x", i-i%7), Service: pick(r, []string{"s0", "s1", "s2", "s3", "s4", "s9", ""}), IPv6: r.IntN(3) == 0}
	for range r.IntN(3) {
		slice.Ports = append(slice.Ports, state.EndpointPort{Name: pick(r, []string{"", "a", "b"}), Protocol: randomProtocol(r), Port: randomPort(r)})
	}
	for range r.IntN(4) {
		slice.Endpoints = append(slice.Endpoints, state.EndpointSpec{
			Addresses: randomAddresses(r), Ready: randomBool(r), Serving: randomBool(r), Terminating: randomBool(r),
			NodeName: pick(r, []string{"", "n1", "n2"}), Zone: pick(r, []string{"", "a", "b"}), HintZones: pick(r, [][]string{nil, {"a"}, {"b"}}),
		})
	}
	return slice
}

func randomAddresses(r *rand.Rand) []netip.Addr {
	var list []netip.Addr
	for range r.IntN(3) {
		list = append(list, randomAddress(r))
	}
	return list
}

func randomAddress(r *rand.Rand) netip.Addr {
	if r.IntN(20) == 0 {
		return pick(r, []netip.Addr{{}, netip.IPv4Unspecified(), netip.MustParseAddr("::ffff:1.2.3.4"), netip.MustParseAddr("fe80::1%e"), netip.MustParseAddr("127.0.0.1")})
	}
	if r.IntN(3) == 0 {
		return netip.AddrFrom16([16]byte{0xfd, 15: byte(r.IntN(12))})
	}
	return netip.AddrFrom4([4]byte{10, 0, 0, byte(r.IntN(12))})
}

func randomPort(r *rand.Rand) uint16 { return pick(r, []uint16{80, 80, 81, 443, 30001, 0}) }

func randomProtocol(r *rand.Rand) state.Protocol {
	return pick(r, []state.Protocol{state.TCP, state.TCP, state.TCP, state.UDP, state.SCTP, state.Any, 47})
}

func randomBool(r *rand.Rand) *bool { return pick(r, []*bool{nil, ptr(true), ptr(false)}) }

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

func ptr[T any](v T) *T { return &v }
