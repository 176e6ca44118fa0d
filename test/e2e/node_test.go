// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// bpffs is where a node has its pins, unless its environment says otherwise.
const bpffs = "/sys/fs/bpf"

// node is what Cilium would have made of this machine: pinned maps with the
// cluster's services, and programs at the cgroup and at devices.
//
// Its maps are written by a stand-in, an agent in mode own with a bpffs and a
// cgroup of its own: the layout is the same. Its maps are pinned where Cilium pins
// them as well, and nothing else of it is seen. It follows changes, and looks for
// damage only when it is asked to: so it leaves a tampered map as Cilium does.
type node struct {
	cgroup   string // what programs hang at
	settings string
	bpffs    string // where Cilium pins its maps
	own      string // the stand-in's bpffs
	files    string // the folder with the services that it follows
	cilium   *process
}

// newNode makes a node without Cilium: a cgroup and a bpffs.
func newNode(t testing.TB) *node {
	t.Helper()
	return newNodeAt(t, bpffs)
}

// newNodeAt makes a node with its bpffs in a folder: two of them are as good as two
// machines, for all that is kept in maps.
func newNodeAt(t testing.TB, dir string) *node {
	t.Helper()
	require(t)
	n := &node{cgroup: newCgroup(t), bpffs: dir, own: t.TempDir(), files: t.TempDir()}
	mountBPFFS(t, dir)
	mountBPFFS(t, n.own)
	return n
}

func mountBPFFS(t testing.TB, dir string) {
	t.Helper()
	if err := unix.Mount("bpf", dir, "bpf", 0, "mode=0700"); err != nil {
		t.Fatalf("mount a bpffs at %s: %v", dir, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
}

// newCgroup makes a cgroup of the test's own, wherever this machine has cgroup2.
func newCgroup(t testing.TB) string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		before, after, _ := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		if !strings.HasPrefix(after, "cgroup2 ") || len(fields) < 5 {
			continue
		}
		dir, err := os.MkdirTemp(fields[4], "plumb-e2e-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := os.Remove(dir); err != nil {
				t.Errorf("remove the cgroup: %v", err)
			}
		})
		return dir
	}
	t.Fatal("this machine has no cgroup2 mounted")
	return ""
}

// install brings Cilium's maps and programs for the services of the node's files.
func (n *node) install(t testing.TB, e environment) {
	t.Helper()
	n.fill(t, e)
	n.attach(t)
}

// fill brings the maps alone, which is all that an agent judges that is not asked
// to look at programs.
func (n *node) fill(t testing.TB, e environment) {
	t.Helper()
	n.settings = e.settings
	n.cilium = start(t, nil, binary("plumb-agent"), "run", "--mode", "own", "--datapath", n.settings, "--snapshot", n.files, "--node", "n1",
		"--bpffs", n.own, "--cgroup-root", newCgroup(t), "--interval", "1h", "--grace", "0", "--output", "json", "--allow-empty")
	t.Cleanup(n.unpin)
	n.settled(t, 1)
	pins := globbed(t, filepath.Join(n.own, "plumbline", "cilium_*"))
	if err := os.MkdirAll(filepath.Join(n.bpffs, "tc/globals"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, pin := range pins {
		m, err := ebpf.LoadPinnedMap(pin, nil)
		if err != nil {
			t.Fatalf("%s: %v", pin, err)
		}
		// Another pin of the same map; Pin alone would move the one that is there.
		clone, err := m.Clone()
		if err == nil {
			err = clone.Pin(filepath.Join(n.bpffs, "tc/globals", filepath.Base(pin)))
		}
		if err != nil {
			t.Fatalf("pin %s: %v", filepath.Base(pin), err)
		}
		clone.Close()
		m.Close()
	}
}

// unpin detaches the stand-in's programs, so that its cgroup can go.
func (n *node) unpin() {
	n.cilium.kill()
	links, _ := filepath.Glob(filepath.Join(n.own, "plumbline", "links", "*"))
	for _, name := range links {
		os.Remove(name)
	}
}

// settled waits until the stand-in has reported n rounds in all.
func (n *node) settled(t testing.TB, rounds int) {
	t.Helper()
	n.cilium.await(t, fmt.Sprintf("round %d of the stand-in for Cilium", rounds), func(said string) bool {
		return strings.Count(said, `"status":`) >= rounds
	})
}

// mend has the stand-in look at its maps and put right what is not, as a restart
// of Cilium's agent would.
func (n *node) mend(t testing.TB) {
	t.Helper()
	rounds := strings.Count(n.cilium.said(t), `"status":`)
	if err := n.cilium.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	n.settled(t, rounds+1)
}

// followed changes the services that the stand-in writes, and waits for it to have
// done so. It gives the rounds that it has reported.
func (n *node) followed(t testing.TB, services ...service) int {
	t.Helper()
	n.follow(t, services...)
	n.mend(t)
	return strings.Count(n.cilium.said(t), `"status":`)
}

// uninstall takes Cilium's pins away.
func (n *node) uninstall(t testing.TB) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(n.bpffs, "tc")); err != nil {
		t.Fatal(err)
	}
}

// tamper damages the maps by another hand than the agent's.
func (n *node) tamper(t testing.TB, args ...string) {
	t.Helper()
	plumb(t, t.TempDir(), append([]string{"demo-tamper", filepath.Join(n.bpffs, "tc/globals")}, args...)...)
}

// attach makes Cilium's devices and attaches programs that do nothing at the hooks
// where the environment wants Cilium's.
func (n *node) attach(t testing.TB) {
	t.Helper()
	for _, name := range []string{"cilium_host", "cilium_net", "cilium_vxlan"} {
		if err := makeDevice(name, ""); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		t.Cleanup(func() {
			if device, err := netlink.LinkByName(name); err != nil || netlink.LinkDel(device) != nil {
				t.Errorf("remove %s: %v", name, err)
			}
		})
	}
	pinned, err := ebpf.LoadPinnedMap(filepath.Join(n.bpffs, "tc/globals/cilium_lb4_services_v2"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer pinned.Close()
	for _, a := range n.wanted(t) {
		l, err := n.hang(a, pinned)
		if err != nil {
			t.Fatalf("attach %s at %s: %v", a.Program, a.Target, err)
		}
		t.Cleanup(func() { l.Close() })
	}
}

type attachment struct{ Program, Attach, Target string }

// wanted are the attachments of the node, as plumb compiles them.
func (n *node) wanted(t testing.TB) []attachment {
	t.Helper()
	dir := filepath.Dir(n.settings)
	var out struct{ Attachments []attachment }
	name, _ := n.environment(t)
	data := plumb(t, dir, "state", name, "-f", n.files, "--node", "n1", "-o", "json")
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(&out); err != nil {
		t.Fatal(err)
	}
	native := out.Attachments
	for _, program := range []string{"cil_from_netdev/tcx_ingress", "cil_to_netdev/tcx_egress"} {
		name, attach, _ := strings.Cut(program, "/")
		native = append(native, attachment{name, attach, "dev:eth0"}) // only an agent on the node knows its devices
	}
	return native
}

// environment is the name that the settings have.
func (n *node) environment(t testing.TB) (string, error) {
	t.Helper()
	data, err := os.ReadFile(n.settings)
	if err != nil {
		t.Fatal(err)
	}
	var settings struct{ Environment string }
	err = json.Unmarshal(data, &settings)
	return settings.Environment, err
}

// hooks are the attach types of a State's, by the names that they have there.
var hooks = map[string]struct {
	kind   ebpf.ProgramType
	attach ebpf.AttachType
}{
	"tcx_ingress":              {ebpf.SchedCLS, ebpf.AttachTCXIngress},
	"tcx_egress":               {ebpf.SchedCLS, ebpf.AttachTCXEgress},
	"cgroup_inet4_connect":     {ebpf.CGroupSockAddr, ebpf.AttachCGroupInet4Connect},
	"cgroup_inet6_connect":     {ebpf.CGroupSockAddr, ebpf.AttachCGroupInet6Connect},
	"cgroup_udp4_sendmsg":      {ebpf.CGroupSockAddr, ebpf.AttachCGroupUDP4Sendmsg},
	"cgroup_udp6_sendmsg":      {ebpf.CGroupSockAddr, ebpf.AttachCGroupUDP6Sendmsg},
	"cgroup_udp4_recvmsg":      {ebpf.CGroupSockAddr, ebpf.AttachCGroupUDP4Recvmsg},
	"cgroup_udp6_recvmsg":      {ebpf.CGroupSockAddr, ebpf.AttachCGroupUDP6Recvmsg},
	"cgroup_inet4_getpeername": {ebpf.CGroupSockAddr, ebpf.AttachCgroupInet4GetPeername},
	"cgroup_inet6_getpeername": {ebpf.CGroupSockAddr, ebpf.AttachCgroupInet6GetPeername},
	"cgroup_inet4_post_bind":   {ebpf.CGroupSock, ebpf.AttachCGroupInet4PostBind},
	"cgroup_inet6_post_bind":   {ebpf.CGroupSock, ebpf.AttachCGroupInet6PostBind},
}

// hang attaches a program that lets everything pass and knows a map, as each of
// Cilium's does.
func (n *node) hang(a attachment, over *ebpf.Map) (link.Link, error) {
	hook, ok := hooks[a.Attach]
	if !ok {
		return nil, fmt.Errorf("no hook %s", a.Attach)
	}
	pass := int32(1)
	spec := &ebpf.ProgramSpec{Name: a.Program, Type: hook.kind, AttachType: hook.attach, License: "Apache-2.0"}
	if hook.kind == ebpf.SchedCLS {
		pass, spec.AttachType = -1, ebpf.AttachNone
	}
	spec.Instructions = asm.Instructions{asm.LoadMapPtr(asm.R1, over.FD()), asm.Mov.Imm(asm.R0, pass), asm.Return()}
	program, err := ebpf.NewProgram(spec)
	if err != nil {
		return nil, err
	}
	defer program.Close()
	name, ok := strings.CutPrefix(a.Target, "dev:")
	if !ok {
		return link.AttachCgroup(link.CgroupOptions{Path: n.cgroup, Attach: hook.attach, Program: program})
	}
	device, err := netlink.LinkByName(name)
	if err != nil {
		return nil, err
	}
	return link.AttachTCX(link.TCXOptions{Interface: device.Attrs().Index, Program: program, Attach: hook.attach})
}
