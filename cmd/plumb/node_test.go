// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"plumbline.dev/plumbline/schema/state"
)

// onNode is the command `plumb-on-node DAMAGE STATE ARG…`: in a network namespace
// with eth0 (192.168.1.10), cilium_host, cilium_net and cilium_vxlan it attaches
// programs that do nothing as the attachments of a State say, damages them, and
// runs plumb with the arguments. All of it ends with the command. Damage is a
// comma-separated list: -NAME leaves a program out, +NAME attaches it twice,
// NAME:tc beside a filter, NAME:map over a map of another id than the pinned.
func onNode() {
	runtime.LockOSThread()
	code := 2
	if err := damagedNode(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			code = exit.ExitCode()
		} else {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(code)
	}
}

func damagedNode(damage, file string, args []string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	want, err := state.Parse(string(data))
	if err != nil {
		return err
	}
	if err := errors.Join(unix.Unshare(unix.CLONE_NEWNET), makeDevices()); err != nil {
		return err
	}
	pinned, err := ebpf.LoadPinnedMap(filepath.Join(os.Getenv("BPFFS"), "tc/globals/cilium_lb4_services_v2"), nil)
	if err != nil {
		return err
	}
	info, err := pinned.Info()
	if err != nil {
		return err
	}
	other, err := ebpf.NewMap(&ebpf.MapSpec{Name: "cilium_lb4_services_v2", Type: ebpf.Hash, KeySize: 12, ValueSize: 12, MaxEntries: info.MaxEntries, Flags: 1})
	if err != nil {
		return err
	}
	words := strings.Split(damage, ",")
	var links []link.Link // live until the command ends
	for _, a := range want.Attachments {
		if a.Target == "dev:ens9" { // the values name it, and the node has none
			continue
		}
		over := pinned
		if slices.Contains(words, a.Program+":map") {
			over = other
		}
		times := 1
		if slices.Contains(words, "-"+a.Program) {
			times = 0
		} else if slices.Contains(words, "+"+a.Program) {
			times = 2
		}
		for range times {
			l, err := attachOnNode(a, over)
			if err != nil {
				return fmt.Errorf("attach %s at %s: %w", a.Program, a.Target, err)
			}
			links = append(links, l)
		}
		if slices.Contains(words, a.Program+":tc") {
			if err := filterOnNode(a, over); err != nil {
				return fmt.Errorf("filter %s at %s: %w", a.Program, a.Target, err)
			}
		}
	}
	command := exec.Command("plumb", args...) // it starts in this thread's namespace
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	err = command.Run()
	for _, l := range links {
		err = errors.Join(err, l.Close())
	}
	return err
}

func makeDevices() error {
	for _, name := range []string{"eth0", "cilium_host", "cilium_net", "cilium_vxlan"} {
		if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: "p-" + name}); err != nil {
			return err
		}
	}
	eth0, err := netlink.LinkByName("eth0")
	if err != nil {
		return err
	}
	address, err := netlink.ParseAddr("192.168.1.10/24")
	if err != nil {
		return err
	}
	peer, err := netlink.LinkByName("p-eth0")
	if err != nil {
		return err
	}
	route := &netlink.Route{LinkIndex: eth0.Attrs().Index, Gw: net.IPv4(192, 168, 1, 1)}
	return errors.Join(netlink.LinkSetUp(peer), netlink.LinkSetUp(eth0), netlink.AddrAdd(eth0, address), netlink.RouteAdd(route))
}

// hooksOnNode are the attach types of a State's, by the names that they have there.
var hooksOnNode = map[string]struct {
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
	"cgroup_inet_sock_release": {ebpf.CGroupSock, ebpf.AttachCgroupInetSockRelease},
}

func programOnNode(a state.Attachment, over *ebpf.Map) (*ebpf.Program, error) {
	hook, ok := hooksOnNode[a.Attach]
	if !ok {
		return nil, fmt.Errorf("no hook %s", a.Attach)
	}
	pass := int32(1)
	spec := &ebpf.ProgramSpec{Name: a.Program, Type: hook.kind, AttachType: hook.attach, License: "Apache-2.0"}
	if hook.kind == ebpf.SchedCLS {
		pass, spec.AttachType = -1, ebpf.AttachNone
	}
	spec.Instructions = asm.Instructions{asm.LoadMapPtr(asm.R1, over.FD()), asm.Mov.Imm(asm.R0, pass), asm.Return()}
	return ebpf.NewProgram(spec)
}

func attachOnNode(a state.Attachment, over *ebpf.Map) (link.Link, error) {
	program, err := programOnNode(a, over)
	if err != nil {
		return nil, err
	}
	defer program.Close()
	attach := hooksOnNode[a.Attach].attach
	device, ok := a.Device()
	if !ok {
		return link.AttachCgroup(link.CgroupOptions{Path: os.Getenv("CGROUP"), Attach: attach, Program: program})
	}
	l, err := netlink.LinkByName(device)
	if err != nil {
		return nil, err
	}
	return link.AttachTCX(link.TCXOptions{Interface: l.Attrs().Index, Program: program, Attach: attach})
}

// filterOnNode attaches a program at its device's ingress by a filter as well.
func filterOnNode(a state.Attachment, over *ebpf.Map) error {
	program, err := programOnNode(a, over)
	if err != nil {
		return err
	}
	defer program.Close()
	device, _ := a.Device()
	l, err := netlink.LinkByName(device)
	if err != nil {
		return err
	}
	index := l.Attrs().Index
	clsact := &netlink.GenericQdisc{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT}, QdiscType: "clsact"}
	if err := netlink.QdiscReplace(clsact); err != nil {
		return err
	}
	return netlink.FilterAdd(&netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{LinkIndex: index, Parent: netlink.HANDLE_MIN_INGRESS, Handle: 1, Protocol: unix.ETH_P_ALL, Priority: 1},
		Fd:          program.FD(), Name: a.Program + "-" + device, DirectAction: true,
	})
}
