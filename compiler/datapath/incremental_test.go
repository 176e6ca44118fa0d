// SPDX-License-Identifier: Apache-2.0

package datapath_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"plumbline.dev/plumbline/compiler/datapath"
	"plumbline.dev/plumbline/schema/state"
)

// steps is how many changes a Compiler is told of one after the other.
const steps = 12

// I9: after each of many changes a Compiler says what Compile says of the whole.
func TestCompilerIsCompile(t *testing.T) {
	for seed := range uint64(40) {
		for i, release := range releases {
			checkCompiler(t, rand.New(rand.NewPCG(seed, uint64(i))), release)
			if t.Failed() {
				t.Fatalf("seed %d, release %s", seed, release)
			}
		}
	}
}

func FuzzCompiler(f *testing.F) {
	for i := range uint64(20) {
		f.Add(i, i*7, uint8(i))
	}
	f.Fuzz(func(t *testing.T, a, b uint64, release uint8) {
		checkCompiler(t, rand.New(rand.NewPCG(a, b)), releases[int(release)%len(releases)])
	})
}

func checkCompiler(t *testing.T, r *rand.Rand, release string) {
	t.Helper()
	settings, snapshot := randomInput(r)
	chosen := settingsOf(release)
	settings.ChartVersion, settings.Layout = chosen.ChartVersion, chosen.Layout
	if r.IntN(4) == 0 {
		settings.Maps = state.MapSettings{Services: 8, Backends: 4, ReverseNAT: 3, Affinity: 2, SourceRanges: 2, Maglev: 2}
	}
	c := datapath.New(settings)
	model := &state.Snapshot{}
	before, _ := datapath.Compile(settings, model)
	delta := state.Whole(snapshot)
	model = snapshot
	for step := range steps {
		want, wantNotices := datapath.Compile(settings, model)
		change, said := apply(c, delta, step%4 == int(settings.NodePortMin)%4, before, want)
		name := fmt.Sprintf("after step %d", step)
		if diff := cmp.Diff(state.Between(before, want), change, compareValues); diff != "" {
			t.Errorf("%s: Change (-want +got):\n%s", name, diff)
		}
		if step%3 > 0 { // some changes add up before anyone asks
			if diff := cmp.Diff(want, c.State(), compareValues); diff != "" {
				t.Errorf("%s: State (-want +got):\n%s", name, diff)
			}
		}
		if diff := cmp.Diff(wantNotices, c.Notices()); diff != "" {
			t.Errorf("%s: Notices (-want +got):\n%s", name, diff)
		}
		if wrong := slices.ContainsFunc(wantNotices, func(n state.Notice) bool { return n.Severity == state.Error }); wrong != c.Failed() {
			t.Errorf("%s: Failed is %v, want %v", name, !wrong, wrong)
		}
		if diff := cmp.Diff(want, change.Do(before), compareValues); diff != "" {
			t.Errorf("%s: the Change done (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff(before, change.Undo(want), compareValues); diff != "" {
			t.Errorf("%s: the Change undone (-want +got):\n%s", name, diff)
		}
		for _, n := range said {
			if !slices.Contains(wantNotices, n) {
				t.Errorf("%s: stray notice %s", name, n)
			}
		}
		if t.Failed() {
			t.Logf("the last delta: %+v", delta)
			return
		}
		before = want
		model, delta = randomChange(r, model)
	}
}

// apply has a Compiler take a Delta in, with or without telling what has changed.
func apply(c *datapath.Compiler, delta *state.Delta, load bool, before, after *state.State) (*state.Change, []state.Notice) {
	if load {
		c.Load(delta)
		return state.Between(before, after), nil
	}
	return c.Apply(delta)
}

// randomChange changes up to three objects, or the node.
func randomChange(r *rand.Rand, in *state.Snapshot) (*state.Snapshot, *state.Delta) {
	_, pool := randomInput(r)
	out := *in
	delta := &state.Delta{}
	if r.IntN(12) == 0 {
		out.Node = pool.Node
		delta.Node = &out.Node
	}
	for range 1 + r.IntN(3) {
		switch r.IntN(7) {
		case 0, 1:
			changeServices(r, &out, delta)
		case 2, 3:
			changeSlices(r, &out, delta)
		case 4:
			changeRedirects(r, &out, delta)
		case 5:
			changeEnvoys(r, &out, delta)
		default:
			changePods(r, &out, pool.Pods, delta)
		}
	}
	return &out, delta
}

func changeServices(r *rand.Rand, s *state.Snapshot, delta *state.Delta) {
	name := state.Name{Namespace: "t", Name: fmt.Sprint("s", r.IntN(5))}
	s.Services = slices.DeleteFunc(slices.Clone(s.Services), func(o state.Service) bool { return o.Namespace == name.Namespace && o.Name == name.Name })
	var list []*state.Service
	for range pick(r, []int{0, 1, 1, 1, 1, 2}) {
		o := randomService(r)
		o.Name = name.Name
		soundService(r, &o)
		s.Services = append(s.Services, o)
		list = append(list, &o)
	}
	delta.SetService(name, list...)
}

func changeSlices(r *rand.Rand, s *state.Snapshot, delta *state.Delta) {
	name := state.Name{Namespace: "t", Name: fmt.Sprint("x", pick(r, []int{0, 0, 7, 8, 9}))}
	s.Slices = slices.DeleteFunc(slices.Clone(s.Slices), func(o state.EndpointSlice) bool { return o.Namespace == name.Namespace && o.Name == name.Name })
	var list []*state.EndpointSlice
	for range pick(r, []int{0, 1, 1, 1, 1, 2}) {
		o := randomSlice(r, 0)
		o.Name = name.Name
		soundSlice(r, &o)
		s.Slices = append(s.Slices, o)
		list = append(list, &o)
	}
	delta.SetSlice(name, list...)
}

func changeRedirects(r *rand.Rand, s *state.Snapshot, delta *state.Delta) {
	name := state.Name{Namespace: "t", Name: fmt.Sprint("r", r.IntN(3))}
	s.RedirectPolicies = slices.DeleteFunc(slices.Clone(s.RedirectPolicies), func(o state.RedirectPolicy) bool { return o.Name == name.Name })
	var list []*state.RedirectPolicy
	for range pick(r, []int{0, 1, 1, 1, 1, 2}) {
		o := randomRedirect(r, 0)
		o.Name = name.Name
		soundRedirect(r, &o)
		s.RedirectPolicies = append(s.RedirectPolicies, o)
		list = append(list, &o)
	}
	delta.SetRedirect(name, list...)
}

func changeEnvoys(r *rand.Rand, s *state.Snapshot, delta *state.Delta) {
	one := randomEnvoy(r)
	name := state.Name{Namespace: one.Namespace, Name: one.Name}
	s.EnvoyConfigs = slices.DeleteFunc(slices.Clone(s.EnvoyConfigs), func(o state.EnvoyConfig) bool { return o.Object() == one.Object() })
	var list []*state.EnvoyConfig
	for range pick(r, []int{0, 1, 1, 1, 1, 2}) {
		o := randomEnvoy(r)
		o.Namespace, o.Name = name.Namespace, name.Name
		s.EnvoyConfigs = append(s.EnvoyConfigs, o)
		list = append(list, &o)
	}
	delta.SetEnvoy(name, list...)
}

// soundRedirect makes most policies ones that redirect something.
func soundRedirect(r *rand.Rand, p *state.RedirectPolicy) {
	if r.IntN(4) == 0 {
		return
	}
	p.Selector, p.ToPorts = "", []state.RedirectPort{{Port: "80", Name: "a", Protocol: "TCP"}, {Port: "81", Name: "b", Protocol: "TCP"}}[:1+r.IntN(2)]
	if p.Service = nil; p.Address == nil || r.IntN(2) == 0 {
		p.Address, p.Service = nil, &state.RedirectService{Namespace: "t", Name: fmt.Sprint("s", r.IntN(5))}
		return
	}
	n := byte('0' + r.IntN(5))
	p.Address = &state.RedirectAddress{IP: netip.AddrFrom4([4]byte{10, 96, 0, n}).String(), Ports: []state.RedirectPort{{Port: pick(r, []string{"80", "81"}), Protocol: "TCP"}}}
}

func changePods(r *rand.Rand, s *state.Snapshot, pool []state.Pod, delta *state.Delta) {
	name := state.Name{Namespace: "t", Name: fmt.Sprint("p", r.IntN(2))}
	s.Pods = slices.DeleteFunc(slices.Clone(s.Pods), func(o state.Pod) bool { return o.Name == name.Name })
	var list []*state.Pod
	for i := range pool {
		if o := pool[i]; o.Name == name.Name {
			s.Pods = append(s.Pods, o)
			list = append(list, &o)
		}
	}
	delta.SetPod(name, list...)
}

// soundService makes most services ones that are written, with addresses of their
// own, so that slices lead somewhere.
func soundService(r *rand.Rand, s *state.Service) {
	if r.IntN(4) == 0 {
		return
	}
	s.Type, s.Headless, s.Annotations = pick(r, []string{"ClusterIP", "ClusterIP", "NodePort"}), false, nil
	n := s.Name[len(s.Name)-1]
	s.ClusterIPs = []netip.Addr{netip.AddrFrom4([4]byte{10, 96, 0, n}), netip.AddrFrom16([16]byte{0xfd, 96, 15: n})}
	s.Ports = []state.ServicePort{{Name: "a", Protocol: state.TCP, Port: 80, NodePort: uint16(30000 + int(n) + r.IntN(2))}}
	s.ExternalIPs, s.LoadBalancerIPs = s.ExternalIPs[:len(s.ExternalIPs)/2], nil
}

// soundSlice makes most slices ones whose few backends several services have, in
// whatever condition and zone.
func soundSlice(r *rand.Rand, s *state.EndpointSlice) {
	if r.IntN(4) == 0 {
		return
	}
	s.Service = fmt.Sprint("s", r.IntN(5))
	s.Ports = []state.EndpointPort{{Name: "a", Protocol: state.TCP, Port: 8080}}
	for i := range s.Endpoints {
		a := netip.AddrFrom4([4]byte{10, 1, 0, byte(r.IntN(3))})
		if s.IPv6 {
			a = netip.AddrFrom16([16]byte{0xfd, 1, 15: byte(r.IntN(3))})
		}
		s.Endpoints[i].Addresses = []netip.Addr{a}
	}
}

// Without a known layout nothing is compiled, however often.
func TestCompilerWithoutALayout(t *testing.T) {
	snapshot := manyServices(2, 2)
	for _, settings := range []*state.Settings{nil, {}} {
		c := datapath.New(settings)
		change, said := c.Apply(state.Whole(snapshot))
		want, notices := datapath.Compile(settings, snapshot)
		if diff := cmp.Diff(want, c.State(), compareValues); diff != "" || !change.Empty() {
			t.Errorf("State (-want +got):\n%s\nchange %+v", diff, change)
		}
		if diff := cmp.Diff(notices, c.Notices()); diff != "" || !slices.Equal(notices, said) {
			t.Errorf("Notices (-want +got):\n%s", diff)
		}
	}
}

// Many units are compiled together as few are.
func TestCompilerOfManyServices(t *testing.T) {
	settings, snapshot := settingsOf("1.19.0"), manyServices(300, 3)
	c := datapath.New(settings)
	c.Apply(state.Whole(snapshot))
	want, _ := datapath.Compile(settings, snapshot)
	if diff := cmp.Diff(want, c.State(), compareValues); diff != "" {
		t.Errorf("State (-want +got):\n%s", diff)
	}
	if again := c.State(); again != c.State() {
		t.Error("an unchanged State is not the same")
	}
	c.Apply(&state.Delta{Node: &state.Node{Name: "node-1"}})
	snapshot.Node = state.Node{Name: "node-1"}
	want, _ = datapath.Compile(settings, snapshot)
	if diff := cmp.Diff(want, c.State(), compareValues); diff != "" {
		t.Errorf("State on another node (-want +got):\n%s", diff)
	}
}

// Programs follow the node's devices, also once the State was asked for.
func TestCompilerFollowsDevices(t *testing.T) {
	settings := &state.Settings{Layout: state.Cilium117, ChartVersion: "1.17.2", IPv4: true, KubeProxyReplacement: true, Devices: &state.DeviceSettings{TCX: true}}
	c := datapath.New(settings)
	for _, name := range []string{"eth0", "ens5"} {
		node := state.Node{Name: "n", Devices: []state.Device{{Name: name, Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, Up: true, DefaultRoute: true}}}
		c.Apply(&state.Delta{Node: &node})
		want, _ := datapath.Compile(settings, &state.Snapshot{Node: node})
		if len(want.Attachments) == 0 {
			t.Fatal("no programs are wanted: the test says nothing")
		}
		if diff := cmp.Diff(want.Attachments, c.State().Attachments); diff != "" {
			t.Errorf("%s: attachments (-whole +incremental):\n%s", name, diff)
		}
	}
}
