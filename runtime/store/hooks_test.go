// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"plumbline.dev/plumbline/runtime/internal/testkernel"
	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/runtime/store"
	"plumbline.dev/plumbline/runtime/store/storetest"
	"plumbline.dev/plumbline/schema/state"
)

// node is a network namespace, a cgroup and pins as Cilium leaves them, with
// programs that do nothing but hold the maps that Cilium's hold.
type node struct {
	*testing.T
	settings *state.Settings
	maps     map[string]*ebpf.Map
}

const servicesMap = "cilium_lb4_services_v2"

func newNode(t *testing.T) *node {
	t.Helper()
	testkernel.Netns(t)
	n := &node{t, settings(t), map[string]*ebpf.Map{}}
	dir := filepath.Join(n.settings.BPFRoot, store.CiliumPins)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, m := range storetest.Maps() {
		if m.Type != "hash" {
			continue
		}
		n.maps[m.Name] = n.newMap(m)
		if err := n.maps[m.Name].Pin(filepath.Join(dir, m.Name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"cilium_host", "eth0", "lxc1"} {
		if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: "p-" + name}); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

func (n *node) newMap(m state.Map) *ebpf.Map {
	n.Helper()
	made, err := ebpf.NewMap(&ebpf.MapSpec{Name: m.Name, Type: ebpf.Hash, KeySize: m.KeySize, ValueSize: m.ValueSize, MaxEntries: m.MaxEntries, Flags: m.Flags})
	if err != nil {
		n.Fatal(err)
	}
	n.Cleanup(func() { made.Close() })
	return made
}

// program makes one that holds the maps and lets everything pass.
func (n *node) program(name string, kind ebpf.ProgramType, attach ebpf.AttachType, pass int32, maps ...*ebpf.Map) *ebpf.Program {
	n.Helper()
	var code asm.Instructions
	for _, m := range maps {
		code = append(code, asm.LoadMapPtr(asm.R1, m.FD()))
	}
	code = append(code, asm.Mov.Imm(asm.R0, pass), asm.Return())
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: name, Type: kind, AttachType: attach, Instructions: code, License: "Apache-2.0"})
	if err != nil {
		n.Fatal(err)
	}
	n.Cleanup(func() { p.Close() })
	return p
}

func (n *node) tc(name string, maps ...*ebpf.Map) *ebpf.Program {
	n.Helper()
	const next = -1 // TCX_NEXT, TC_ACT_UNSPEC
	return n.program(name, ebpf.SchedCLS, ebpf.AttachNone, next, maps...)
}

func (n *node) device(name string) netlink.Link {
	n.Helper()
	l, err := netlink.LinkByName(name)
	if err != nil {
		n.Fatal(err)
	}
	return l
}

// tcx attaches a program by a link, which lives until the test or the caller ends it.
func (n *node) tcx(device string, attach ebpf.AttachType, p *ebpf.Program) link.Link {
	n.Helper()
	return n.hold(link.AttachTCX(link.TCXOptions{Interface: n.device(device).Attrs().Index, Program: p, Attach: attach}))
}

func (n *node) hold(l link.Link, err error) link.Link {
	n.Helper()
	if err != nil {
		n.Fatal(err)
	}
	n.Cleanup(func() { l.Close() })
	return l
}

// filter attaches a program by a filter below clsact, as Cilium names it.
func (n *node) filter(device string, parent uint32, priority uint16, name string, p *ebpf.Program) {
	n.Helper()
	index := n.device(device).Attrs().Index
	clsact := &netlink.GenericQdisc{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT}, QdiscType: "clsact"}
	if err := netlink.QdiscReplace(clsact); err != nil {
		n.Fatal(err)
	}
	err := netlink.FilterAdd(&netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{LinkIndex: index, Parent: parent, Handle: 1, Protocol: unix.ETH_P_ALL, Priority: priority},
		Fd:          p.FD(), Name: name + "-" + device, DirectAction: true,
	})
	if err != nil {
		n.Fatal(err)
	}
}

func (n *node) cgroup(p *ebpf.Program, attach ebpf.AttachType, dir, pinned string) link.Link {
	n.Helper()
	l := n.hold(link.AttachCgroup(link.CgroupOptions{Path: dir, Attach: attach, Program: p}))
	if pinned != "" {
		dir := filepath.Join(n.settings.BPFRoot, "cilium/socketlb/links/cgroup")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			n.Fatal(err)
		}
		if err := l.Pin(filepath.Join(dir, pinned)); err != nil {
			n.Fatal(err)
		}
	}
	return l
}

func (n *node) connect(maps ...*ebpf.Map) *ebpf.Program {
	n.Helper()
	return n.program("cil_sock4_connect", ebpf.CGroupSockAddr, ebpf.AttachCGroupInet4Connect, 1, maps...)
}

func (n *node) read() *plan.Have {
	n.Helper()
	k, err := store.Open(n.settings.BPFRoot, state.Cilium118, store.Options{CgroupRoot: n.settings.CgroupRoot, Hooks: true})
	if err != nil {
		n.Fatal(err)
	}
	defer k.Close()
	have, err := k.Read(context.Background())
	if err != nil {
		n.Fatal(err)
	}
	if have.NoTCX {
		n.Error("the kernel is said to have no tcx")
	}
	return have
}

// want are the attachments of a node as it should be.
func (n *node) want() []state.Attachment {
	return []state.Attachment{
		{Program: "cil_from_host", Attach: "tcx_egress", Target: "dev:cilium_host"},
		{Program: "cil_from_netdev", Attach: "tcx_ingress", Target: "dev:eth0"},
		{Program: "cil_sock4_connect", Attach: "cgroup_inet4_connect", Target: n.settings.CgroupRoot},
		{Program: "cil_xdp_entry", Attach: "xdp_generic", Target: "dev:eth0"},
	}
}

// attachAll brings the node to what want says, but for what is left out, and puts
// a pod's program beside it.
func (n *node) attachAll(leave string) {
	n.Helper()
	m := n.maps[servicesMap]
	attach := map[string]func(){
		"cil_from_host":   func() { n.tcx("cilium_host", ebpf.AttachTCXEgress, n.tc("cil_from_host", m)) },
		"cil_from_netdev": func() { n.tcx("eth0", ebpf.AttachTCXIngress, n.tc("cil_from_netdev", m)) },
		"cil_sock4_connect": func() {
			n.cgroup(n.connect(m), ebpf.AttachCGroupInet4Connect, n.settings.CgroupRoot, "cil_sock4_connect")
		},
		"cil_xdp_entry": func() { n.xdp(link.XDPGenericMode, n.xdpProgram(m)) },
		"pod":           func() { n.tcx("lxc1", ebpf.AttachTCXIngress, n.tc("cil_from_container", m)) },
	}
	for name, do := range attach {
		if name != leave {
			do()
		}
	}
}

func (n *node) xdpProgram(maps ...*ebpf.Map) *ebpf.Program {
	n.Helper()
	const pass = 2
	return n.program("cil_xdp_entry", ebpf.XDP, ebpf.AttachXDP, pass, maps...)
}

func (n *node) xdp(mode link.XDPAttachFlags, p *ebpf.Program) link.Link {
	n.Helper()
	return n.hold(link.AttachXDP(link.XDPOptions{Program: p, Interface: n.device("eth0").Attrs().Index, Flags: mode}))
}

// drifts compares the node with want, programs alone.
func (n *node) drifts() []string {
	n.Helper()
	have := n.read()
	have.Tables, have.Maps = nil, nil
	result, err := plan.Diff(have, &state.State{Layout: state.Cilium118, Attachments: n.want()}, nil)
	if err != nil {
		n.Fatal(err)
	}
	var list []string
	for _, d := range result.Drifts {
		list = append(list, d.String())
	}
	return list
}

// What hangs as it should is read as such, whatever else hangs beside it.
func TestPrivilegedHooksOfARightNode(t *testing.T) {
	n := newNode(t)
	n.attachAll("")
	n.filter("eth0", netlink.HANDLE_MIN_INGRESS, 5, "other", n.tc("other", n.maps[servicesMap]))
	n.tcx("eth0", ebpf.AttachTCXEgress, n.tc("other_program"))
	have := n.read()
	s := &state.State{Attachments: have.Attachments}
	s.Sort()
	want := &state.State{Attachments: append(n.want(), state.Attachment{Program: "cil_from_container", Attach: "tcx_ingress", Target: "dev:lxc1"})}
	want.Sort()
	if diff := cmp.Diff(want.Attachments, s.Attachments); diff != "" {
		t.Errorf("attachments (-want +got):\n%s", diff)
	}
	if list := n.drifts(); len(list) > 0 {
		t.Errorf("drifts of a node that is right: %q", list)
	}
}

// Each damage is found and named, and nothing else is.
func TestPrivilegedHooksDamaged(t *testing.T) {
	for name, c := range map[string]struct {
		leave  string
		damage func(*node)
		want   []string // words of the one drift
	}{
		"tcx detached":    {"cil_from_host", func(*node) {}, []string{"error program-detached", "cil_from_host does not hang at device cilium_host"}},
		"xdp detached":    {"cil_xdp_entry", func(*node) {}, []string{"error program-detached", "cil_xdp_entry does not hang at device eth0 (xdp_generic)"}},
		"cgroup detached": {"cil_sock4_connect", func(*node) {}, []string{"error program-detached", "cil_sock4_connect (cgroup_inet4_connect) is not attached"}},
		"link is dead": {"cil_sock4_connect", func(n *node) {
			n.cgroup(n.connect(n.maps[servicesMap]), ebpf.AttachCGroupInet4Connect, n.settings.CgroupRoot, "cil_sock4_connect").(interface{ Detach() error }).Detach()
		}, []string{"error program-detached", "has been detached from"}},
		"wrong cgroup": {"cil_sock4_connect", func(n *node) {
			n.cgroup(n.connect(n.maps[servicesMap]), ebpf.AttachCGroupInet4Connect, testkernel.Cgroup(n.T), "cil_sock4_connect")
		}, []string{"error program-wrong-cgroup", "hangs at cgroup:"}},
		"filter in place of tcx": {"cil_from_netdev", func(n *node) {
			n.filter("eth0", netlink.HANDLE_MIN_INGRESS, 1, "cil_from_netdev", n.tc("cil_from_netdev"))
		}, []string{"warning program-detached", "hangs at device eth0 by tc_ingress, want tcx_ingress"}},
		"filter beside tcx": {"", func(n *node) {
			n.filter("eth0", netlink.HANDLE_MIN_INGRESS, 1, "cil_from_netdev", n.tc("cil_from_netdev"))
		}, []string{"error program-duplicate", "cil_from_netdev hangs 2 times", "1 by tc_ingress at dev:eth0, 1 by tcx_ingress at dev:eth0", "tc filter show dev eth0 ingress"}},
		"two filters at a pod": {"", func(n *node) {
			n.filter("lxc1", netlink.HANDLE_MIN_EGRESS, 1, "cil_to_container", n.tc("cil_to_container"))
			n.filter("lxc1", netlink.HANDLE_MIN_EGRESS, 2, "cil_to_container", n.tc("cil_to_container"))
		}, []string{"error program-duplicate", "cil_to_container hangs 2 times", "2 by tc_egress at dev:lxc1"}},
		"two links at a device": {"", func(n *node) { n.tcx("cilium_host", ebpf.AttachTCXEgress, n.tc("cil_from_host")) },
			[]string{"error program-duplicate", "2 by tcx_egress at dev:cilium_host", "bpftool link detach id"}},
		"two links at a cgroup": {"", func(n *node) { n.cgroup(n.connect(), ebpf.AttachCGroupInet4Connect, n.settings.CgroupRoot, "") },
			[]string{"error program-duplicate", "cil_sock4_connect hangs 2 times", "2 by cgroup_inet4_connect"}},
		"xdp of the driver": {"cil_xdp_entry", func(n *node) { n.xdp(link.XDPDriverMode, n.xdpProgram()) },
			[]string{"warning program-detached", "cil_xdp_entry hangs at device eth0 by xdp, want xdp_generic"}},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			n.attachAll(c.leave)
			c.damage(n)
			n.expect(c.want...)
		})
	}
}

// expect wants one drift that has all the words.
func (n *node) expect(words ...string) {
	n.Helper()
	list := n.drifts()
	if len(list) != 1 {
		n.Fatalf("%d drifts, want 1: %q", len(list), list)
	}
	for _, word := range words {
		if !strings.Contains(list[0], word) {
			n.Errorf("%q has no %q", list[0], word)
		}
	}
}

// A program keeps the map that it was loaded with: after a pin has been replaced
// both ids are said, whether the program holds the map itself or calls one that
// does.
func TestPrivilegedHooksOnAnotherMap(t *testing.T) {
	old := state.Map{Name: servicesMap, KeySize: 12, ValueSize: 12, MaxEntries: storetest.Room, Flags: 1}
	for name, attach := range map[string]func(n *node, m *ebpf.Map) string{
		"tcx": func(n *node, m *ebpf.Map) string {
			n.tcx("eth0", ebpf.AttachTCXIngress, n.tc("cil_from_netdev", m))
			return "cil_from_netdev"
		},
		"a called program": func(n *node, m *ebpf.Map) string {
			n.tcx("eth0", ebpf.AttachTCXIngress, n.tc("cil_from_netdev", n.calls("cilium_calls_netdev_00002", n.tc("tail_nodeport", m))))
			return "cil_from_netdev"
		},
		"xdp": func(n *node, m *ebpf.Map) string {
			n.xdp(link.XDPGenericMode, n.xdpProgram(m))
			return "cil_xdp_entry"
		},
		"cgroup": func(n *node, m *ebpf.Map) string {
			n.cgroup(n.connect(m), ebpf.AttachCGroupInet4Connect, n.settings.CgroupRoot, "cil_sock4_connect")
			return "cil_sock4_connect"
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			m := n.newMap(old)
			program := attach(n, m)
			n.attachAll(program)
			n.expect("error program-detached", program, servicesMap+" is map "+mapID(t, m)+", pinned is "+mapID(t, n.maps[servicesMap]))
		})
	}
}

// The maps of a policy's programs say nothing of the device that leads to them.
func TestPrivilegedHooksLookAtNoSharedCalls(t *testing.T) {
	n := newNode(t)
	n.attachAll("cil_from_netdev")
	m := n.newMap(state.Map{Name: servicesMap, KeySize: 12, ValueSize: 12, MaxEntries: 1, Flags: 1})
	n.tcx("eth0", ebpf.AttachTCXIngress, n.tc("cil_from_netdev", n.calls("cilium_call_policy", n.tc("cil_lxc_policy", m))))
	if list := n.drifts(); len(list) > 0 {
		t.Errorf("have %q, want none", list)
	}
}

// calls makes a map of programs with one in it.
func (n *node) calls(name string, p *ebpf.Program) *ebpf.Map {
	n.Helper()
	m, err := ebpf.NewMap(&ebpf.MapSpec{Name: name, Type: ebpf.ProgramArray, KeySize: 4, ValueSize: 4, MaxEntries: 8})
	if err != nil {
		n.Fatal(err)
	}
	n.Cleanup(func() { m.Close() })
	if err := m.Put(uint32(3), p); err != nil {
		n.Fatal(err)
	}
	return m
}

// I1: what may not be read is an error that says which capability it takes, for
// every hook, and no program less.
func TestPrivilegedInvariantI1HooksWithoutCapabilities(t *testing.T) {
	for name, c := range map[string]struct {
		drop []uint
		want []string
	}{
		"no CAP_SYS_ADMIN":                   {[]uint{unix.CAP_SYS_ADMIN}, []string{"device cilium_host, tcx_egress", "device eth0, tcx_ingress", "it needs CAP_SYS_ADMIN"}},
		"no CAP_NET_ADMIN, no CAP_SYS_ADMIN": {[]uint{unix.CAP_NET_ADMIN, unix.CAP_SYS_ADMIN}, []string{"cgroup_inet4_connect", "device eth0, tcx_ingress", "it needs CAP_NET_ADMIN"}},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			n.attachAll("cil_sock4_connect")
			k, err := store.Open(n.settings.BPFRoot, state.Cilium118, store.Options{CgroupRoot: n.settings.CgroupRoot, Hooks: true})
			if err != nil {
				t.Fatal(err)
			}
			defer k.Close()
			n.without(c.drop, func() { _, err = k.Read(context.Background()) })
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q has no %q", err, want)
				}
			}
		})
	}
}

// without runs something while this thread's effective capabilities lack some.
func (n *node) without(drop []uint, do func()) {
	n.Helper()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var all, less [2]unix.CapUserData
	if err := unix.Capget(&header, &all[0]); err != nil {
		n.Fatal(err)
	}
	less = all
	for _, c := range drop {
		less[c/32].Effective &^= 1 << (c % 32)
	}
	if err := unix.Capset(&header, &less[0]); err != nil {
		n.Fatal(err)
	}
	do()
	if err := unix.Capset(&header, &all[0]); err != nil {
		n.Fatal(err)
	}
}

func mapID(t *testing.T, m *ebpf.Map) string {
	t.Helper()
	info, err := m.Info()
	if err != nil {
		t.Fatal(err)
	}
	id, _ := info.ID()
	return strconv.Itoa(int(id))
}
