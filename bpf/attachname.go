// SPDX-License-Identifier: Apache-2.0

package bpf

import "github.com/cilium/ebpf"

// attachNames are the attach types of socket programs, as bpftool names them.
var attachNames = map[ebpf.AttachType]string{
	ebpf.AttachCGroupInet4Bind:        "cgroup_inet4_bind",
	ebpf.AttachCGroupInet6Bind:        "cgroup_inet6_bind",
	ebpf.AttachCGroupInet4Connect:     "cgroup_inet4_connect",
	ebpf.AttachCGroupInet6Connect:     "cgroup_inet6_connect",
	ebpf.AttachCGroupInet4PostBind:    "cgroup_inet4_post_bind",
	ebpf.AttachCGroupInet6PostBind:    "cgroup_inet6_post_bind",
	ebpf.AttachCGroupUDP4Sendmsg:      "cgroup_udp4_sendmsg",
	ebpf.AttachCGroupUDP6Sendmsg:      "cgroup_udp6_sendmsg",
	ebpf.AttachCGroupUDP4Recvmsg:      "cgroup_udp4_recvmsg",
	ebpf.AttachCGroupUDP6Recvmsg:      "cgroup_udp6_recvmsg",
	ebpf.AttachCgroupInet4GetPeername: "cgroup_inet4_getpeername",
	ebpf.AttachCgroupInet6GetPeername: "cgroup_inet6_getpeername",
	ebpf.AttachCgroupInetSockRelease:  "cgroup_inet_sock_release",
}

// AttachName gives an attach type's name as state.Attachment has it, or the
// type's own where it is none of a socket program's.
func AttachName(t ebpf.AttachType) string {
	if name, ok := attachNames[t]; ok {
		return name
	}
	return t.String()
}
