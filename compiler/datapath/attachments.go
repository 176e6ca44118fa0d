// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"cmp"
	"slices"

	"plumbline.dev/plumbline/schema/state"
)

// hook is a place where a socket program hangs, with the two names of its
// program.
type hook struct{ attach, cilium, own string }

// hooks are those of every release with socket load balancing. The IPv6 ones
// hang even where Cilium's IPv6 is off: sockets of that family reach IPv4
// addresses too (Cilium pkg/socketlb).
var hooks = []hook{
	{"cgroup_inet4_connect", "cil_sock4_connect", "plumb_connect4"},
	{"cgroup_inet6_connect", "cil_sock6_connect", "plumb_connect6"},
	{"cgroup_udp4_sendmsg", "cil_sock4_sendmsg", "plumb_sendmsg4"},
	{"cgroup_udp6_sendmsg", "cil_sock6_sendmsg", "plumb_sendmsg6"},
	{"cgroup_udp4_recvmsg", "cil_sock4_recvmsg", "plumb_recvmsg4"},
	{"cgroup_udp6_recvmsg", "cil_sock6_recvmsg", "plumb_recvmsg6"},
	{"cgroup_inet4_getpeername", "cil_sock4_getpeername", "plumb_getpeername4"},
	{"cgroup_inet6_getpeername", "cil_sock6_getpeername", "plumb_getpeername6"},
}

var (
	bindHooks = []hook{
		{"cgroup_inet4_post_bind", "cil_sock4_post_bind", ""},
		{"cgroup_inet6_post_bind", "cil_sock6_post_bind", ""},
	}
	releaseHook = hook{"cgroup_inet_sock_release", "cil_sock_release", ""}
)

// Attachments lists the programs that hang at the cgroup root: Plumbline's own
// in mode own, Cilium's in the others, and Cilium's at the node's devices. Names
// are full; the kernel cuts a program's at 15 bytes.
func Attachments(s *state.Settings, node *state.Node) []state.Attachment {
	list := socketAttachments(s)
	if s.Devices != nil {
		list = append(list, deviceAttachments(s, nativeDevices(s.Devices, node))...)
	}
	slices.SortFunc(list, func(a, b state.Attachment) int {
		return cmp.Or(cmp.Compare(a.Program, b.Program), cmp.Compare(a.Attach, b.Attach), cmp.Compare(a.Target, b.Target))
	})
	return list
}

func socketAttachments(s *state.Settings) []state.Attachment {
	own := s.Mode == state.Own
	if !own && !socketLB(s) {
		return nil
	}
	wanted := slices.Clone(hooks)
	if !own && s.KubeProxyReplacement && s.BindProtection {
		wanted = append(wanted, bindHooks...)
	}
	if !own && s.Layout >= state.Cilium118 {
		wanted = append(wanted, releaseHook)
	}
	list := make([]state.Attachment, len(wanted))
	for i, h := range wanted {
		list[i] = state.Attachment{Program: h.cilium, Attach: h.attach, Target: s.CgroupRoot}
		if own {
			list[i].Program = h.own
		}
	}
	return list
}

// socketLB tells whether sockets are load-balanced: the kube-proxy replacement
// forces it.
func socketLB(s *state.Settings) bool { return s.SocketLB || s.KubeProxyReplacement }
