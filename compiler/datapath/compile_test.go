// SPDX-License-Identifier: Apache-2.0

package datapath_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"plumbline.dev/plumbline/compiler/datapath"
	"plumbline.dev/plumbline/schema/state"
)

func programs(list []state.Attachment) string {
	names := make([]string, len(list))
	for i, a := range list {
		names[i] = a.Program + "@" + a.Attach
	}
	return strings.Join(names, " ")
}

func TestAttachments(t *testing.T) {
	const (
		socket = "cil_sock4_connect@cgroup_inet4_connect cil_sock4_getpeername@cgroup_inet4_getpeername %4cil_sock4_recvmsg@cgroup_udp4_recvmsg cil_sock4_sendmsg@cgroup_udp4_sendmsg " +
			"cil_sock6_connect@cgroup_inet6_connect cil_sock6_getpeername@cgroup_inet6_getpeername %6cil_sock6_recvmsg@cgroup_udp6_recvmsg cil_sock6_sendmsg@cgroup_udp6_sendmsg"
		release = " cil_sock_release@cgroup_inet_sock_release"
		own     = "plumb_connect4@cgroup_inet4_connect plumb_connect6@cgroup_inet6_connect plumb_getpeername4@cgroup_inet4_getpeername plumb_getpeername6@cgroup_inet6_getpeername " +
			"plumb_recvmsg4@cgroup_udp4_recvmsg plumb_recvmsg6@cgroup_udp6_recvmsg plumb_sendmsg4@cgroup_udp4_sendmsg plumb_sendmsg6@cgroup_udp6_sendmsg"
	)
	bound := strings.NewReplacer("%4", "cil_sock4_post_bind@cgroup_inet4_post_bind ", "%6", "cil_sock6_post_bind@cgroup_inet6_post_bind ").Replace(socket)
	free := strings.NewReplacer("%4", "", "%6", "").Replace(socket)
	for name, c := range map[string]struct {
		version string
		change  func(*state.Settings)
		want    string
	}{
		"1.17":                             {"1.17.2", func(*state.Settings) {}, bound},
		"1.20, IPv4 alone":                 {"1.20.2", func(s *state.Settings) { s.IPv6 = false }, bound + release},
		"1.18 without bind protection":     {"1.18.6", func(s *state.Settings) { s.BindProtection = false }, free + release},
		"socket LB without replacement":    {"1.17.2", func(s *state.Settings) { s.KubeProxyReplacement = false }, free},
		"neither":                          {"1.20.2", func(s *state.Settings) { s.KubeProxyReplacement, s.SocketLB = false, false }, ""},
		"replacement forces socket LB":     {"1.17.2", func(s *state.Settings) { s.SocketLB = false }, bound},
		"repair is Cilium's":               {"1.17.2", func(s *state.Settings) { s.Mode = state.Repair }, bound},
		"own":                              {"1.20.2", func(s *state.Settings) { s.Mode = state.Own }, own},
		"own needs no setting of Cilium's": {"1.17.2", func(s *state.Settings) { s.Mode, s.KubeProxyReplacement, s.SocketLB = state.Own, false, false }, own},
	} {
		settings := settingsOf(c.version)
		c.change(settings)
		list := datapath.Attachments(settings, &state.Node{})
		if diff := cmp.Diff(strings.Fields(c.want), strings.Fields(programs(list))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		for _, a := range list {
			if a.Target != settings.CgroupRoot {
				t.Errorf("%s: %s hangs at %q", name, a.Program, a.Target)
			}
		}
	}
}

// The vectors show the maps of a default install; these are the settings that
// change them.
func TestMaps(t *testing.T) {
	for name, c := range map[string]struct {
		version string
		change  func(*state.Settings)
		want    string // lines that differ from the default, "-" before one that goes
	}{
		"preallocated": {"1.20.2", func(s *state.Settings) { s.Maps.Preallocate, s.IPv6 = true, false }, `
map cilium_lb4_backends_v3 type=hash key=4 value=12 max=4096 flags=0x0
map cilium_lb4_maglev type=hash-of-maps key=2 value=4 max=4096 flags=0x80
map cilium_lb4_reverse_nat type=hash key=2 value=6 max=4096 flags=0x0
map cilium_lb4_services_v2 type=hash key=12 value=12 max=4096 flags=0x80
map cilium_lb_affinity_match type=hash key=8 value=1 max=4096 flags=0x80
map cilium_skip_lb4 type=hash key=16 value=1 max=100 flags=0x80`},
		"distributed LRU": {"1.19.0", func(s *state.Settings) { s.Maps.DistributedLRU, s.IPv6, s.Maps.SocketReverse = true, false, 262144 }, `
map cilium_lb4_affinity type=lru-hash key=16 value=16 max=4096 flags=0x2
map cilium_lb4_reverse_sk type=lru-hash key=16 value=8 max=262144 flags=0x2`},
		"1.17 creates what features need": {"1.17.2", func(s *state.Settings) {
			s.IPv6, s.KubeProxyReplacement, s.SocketLB = false, false, false
			s.LoadBalancer.SessionAffinity, s.LoadBalancer.SourceRangeCheck = false, false
			s.LoadBalancer.AlgorithmAnnotation = true
		}, `
-map cilium_lb4_affinity type=lru-hash key=16 value=16 max=4096 flags=0x0
-map cilium_lb4_reverse_sk type=lru-hash key=16 value=8 max=0 flags=0x0
-map cilium_lb4_source_range type=lpm-trie key=12 value=1 max=4096 flags=0x1
-map cilium_lb_affinity_match type=hash key=8 value=1 max=4096 flags=0x1
map cilium_lb4_maglev type=hash-of-maps key=2 value=4 max=4096 flags=0x1`},
		"later releases create all": {"1.18.6", func(s *state.Settings) {
			s.IPv6, s.KubeProxyReplacement, s.SocketLB = false, false, false
			s.LoadBalancer.SessionAffinity, s.LoadBalancer.SourceRangeCheck = false, false
		}, ``},
		"own": {"1.17.2", func(s *state.Settings) { s.Mode, s.IPv6 = state.Own, false }, ``},
	} {
		settings := settingsOf(c.version)
		settings.IPv6 = false
		before := mapLines(settings)
		c.change(settings)
		after := mapLines(settings)
		var got []string
		for _, line := range before {
			name := strings.Fields(line)[1]
			if !slices.ContainsFunc(after, func(l string) bool { return strings.Fields(l)[1] == name }) {
				got = append(got, "-"+line)
			}
		}
		for _, line := range after {
			if !slices.Contains(before, line) {
				got = append(got, line)
			}
		}
		want := strings.FieldsFunc(c.want, func(r rune) bool { return r == '\n' })
		if diff := cmp.Diff(want, got, compareValues); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func mapLines(settings *state.Settings) []string {
	text := (&state.State{Maps: datapath.Maps(settings)}).String()
	return strings.Split(strings.TrimSpace(text), "\n")[1:]
}

// Sizes are judged against the maps' and the ids' limits.
func TestCompileJudgesSizes(t *testing.T) {
	settings := settingsOf("1.17.2")
	settings.Maps.Services, settings.Maps.Backends, settings.Maps.ReverseNAT = 128, 100, 11
	_, notices := datapath.Compile(settings, manyServices(10, 10))
	var got []string
	for _, n := range notices {
		got = append(got, n.Severity.String()+" "+n.Code+" "+n.Message)
	}
	want := []string{
		`error snapshot/map-full map "cilium_lb4_reverse_nat": 12 entries exceed max_entries 11`,
		`error snapshot/map-full map "cilium_lb4_services_v2": 132 entries exceed max_entries 128`,
		`warning snapshot/map-nearly-full map "cilium_lb4_backends_v3": 100 entries of max_entries 100`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestCompileWithoutInput(t *testing.T) {
	s, notices := datapath.Compile(nil, nil)
	if len(s.Frontends)+len(s.Maps)+len(s.Attachments) != 0 || len(notices) != 1 || notices[0].Code != "settings/layout" {
		t.Errorf("got %v and %v", s, notices)
	}
	s, notices = datapath.Compile(settingsOf("1.20.2"), nil)
	unnamed := func(n state.Notice) bool { return n.Code == "snapshot/no-node-name" }
	if len(s.Frontends) != 0 || len(s.Maps) == 0 || !slices.ContainsFunc(notices, unnamed) {
		t.Errorf("got %v and %v", s, notices)
	}
}

// Releases that were not read for what is turned on are compiled, not silently.
func TestUnverifiedRelease(t *testing.T) {
	for version, want := range map[string]bool{
		"1.18.0": false, "v1.18.3": true, "1.18.5-rc.1": true, "1.18.6": false, "1.18": false, "1.17.7": true, "1.17.8": false, "1.20.1": true, "1.20.2": false,
	} {
		settings := settingsOf(version)
		settings.LoadBalancer.LocalRedirectPolicy = true
		_, notices := datapath.Compile(settings, &state.Snapshot{Node: state.Node{Name: "n"}})
		got := slices.ContainsFunc(notices, func(n state.Notice) bool { return n.Code == "settings/unverified-release" })
		if got != want {
			t.Errorf("%s: notice %v, want %v", version, got, want)
		}
	}
}
