// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Hooked is a program of Cilium's that hangs at a hook, however it was attached.
type Hooked struct {
	Name   string // in full where it is known; the kernel keeps 15 bytes of it
	Attach string // as state.Attachment has it
	Device string // empty at a cgroup
	ProgID uint32
}

// ciliumPrefix is how Cilium knows its own programs (pkg/datapath/loader/tc.go
// and tcx.go, 1.17 to 1.20).
const ciliumPrefix = "cil_"

// longNames are the names of Cilium's programs that the kernel cuts (bpf/bpf_sock.c,
// bpf_lxc.c, bpf_overlay.c and bpf_wireguard.c, 1.17 to 1.20).
var longNames = []string{
	"cil_sock4_connect", "cil_sock6_connect", "cil_sock4_sendmsg", "cil_sock6_sendmsg", "cil_sock4_recvmsg", "cil_sock6_recvmsg",
	"cil_sock4_getpeername", "cil_sock6_getpeername", "cil_sock4_post_bind", "cil_sock6_post_bind", "cil_sock4_pre_bind", "cil_sock6_pre_bind",
	"cil_sock_release", "cil_from_container", "cil_to_container", "cil_from_overlay", "cil_from_wireguard", "cil_to_wireguard",
}

// objName is how many bytes the kernel keeps of a program's name or a map's.
const objName = unix.BPF_OBJ_NAME_LEN - 1

// fullName completes a name that the kernel has cut.
func fullName(name string) string {
	if len(name) < objName {
		return name
	}
	for _, long := range longNames {
		if strings.HasPrefix(long, name) {
			return long
		}
	}
	return name
}

// CgroupHooks reads which of Cilium's programs hang at the cgroup itself, by
// links, pinned or not, or without any. It reads only; it needs CAP_NET_ADMIN
// and CAP_SYS_ADMIN. All errors are in the one (I1).
func CgroupHooks(dir string, programs *ProgramInfos) ([]Hooked, error) {
	cgroup, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("read programs of cgroup %s: %w", dir, err)
	}
	defer cgroup.Close()
	var list []Hooked
	var errs []error
	for _, attach := range slices.Sorted(maps.Keys(attachNames)) {
		name := attachNames[attach]
		ids, err := query(int(cgroup.Fd()), attach)
		if errors.Is(err, unix.EINVAL) { // the kernel is older than the hook
			continue
		}
		at, nameErr := programs.hooked(ids, Hooked{Attach: name})
		list = append(list, at...)
		if err := errors.Join(err, nameErr); err != nil {
			errs = append(errs, fmt.Errorf("read programs of cgroup %s, %s: %w", dir, name, err))
		}
	}
	return sortHooked(list), errors.Join(errs...)
}

// Devices are the devices of a network namespace.
type Devices struct {
	Names  []string
	Hooked []Hooked
	TCX    bool // the kernel has it
}

// DeviceHooks reads which of Cilium's programs hang at the devices of this
// network namespace: by tcx, by netkit, by filters below clsact, and XDP. A device
// that goes away meanwhile has no programs. It reads only; it needs CAP_NET_ADMIN and CAP_SYS_ADMIN. All errors
// are in the one (I1).
func DeviceHooks(programs *ProgramInfos) (*Devices, error) {
	devices, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list devices: %w", err)
	}
	held := &Devices{TCX: true}
	var errs []error
	for _, device := range devices {
		at, supported, err := deviceHooks(device, programs)
		if err != nil && gone(device) {
			continue
		}
		held.TCX = held.TCX && supported
		held.Names = append(held.Names, device.Attrs().Name)
		held.Hooked = append(held.Hooked, at...)
		errs = append(errs, err)
	}
	sortHooked(held.Hooked)
	return held, errors.Join(errs...)
}

// gone tells whether a device is no longer there under its index.
func gone(device netlink.Link) bool {
	_, err := netlink.LinkByIndex(device.Attrs().Index)
	var missing netlink.LinkNotFoundError
	return errors.As(err, &missing)
}

// queried are the hooks of devices that are asked for by BPF_PROG_QUERY.
var queried = []struct {
	name   string
	attach ebpf.AttachType
	netkit bool
}{
	{"tcx_ingress", ebpf.AttachTCXIngress, false},
	{"tcx_egress", ebpf.AttachTCXEgress, false},
	{"netkit_primary", ebpf.AttachNetkitPrimary, true},
	{"netkit_peer", ebpf.AttachNetkitPeer, true},
}

func deviceHooks(device netlink.Link, programs *ProgramInfos) (list []Hooked, tcx bool, err error) {
	var errs []error
	add := func(attach string, ids []uint32, err error) {
		at, nameErr := programs.hooked(ids, Hooked{Attach: attach, Device: device.Attrs().Name})
		list = append(list, at...)
		if err := errors.Join(err, nameErr); err != nil {
			errs = append(errs, fmt.Errorf("read programs of device %s, %s: %w", device.Attrs().Name, attach, err))
		}
	}
	tcx = true
	for _, q := range queried {
		if q.netkit && device.Type() != "netkit" {
			continue
		}
		ids, err := query(device.Attrs().Index, q.attach)
		if !q.netkit && errors.Is(err, unix.EINVAL) {
			tcx, err = false, nil
		}
		add(q.name, ids, err)
	}
	ids, err := filters(device, netlink.HANDLE_MIN_INGRESS)
	add("tc_ingress", ids, err)
	ids, err = filters(device, netlink.HANDLE_MIN_EGRESS)
	add("tc_egress", ids, err)
	if device.Attrs().Xdp != nil && device.Attrs().Xdp.Attached {
		native, generic, err := xdp(device.Attrs().Index)
		add("xdp", native, err)
		add("xdp_generic", generic, nil)
	}
	return list, tcx, errors.Join(errs...)
}

// query asks which programs hang at a hook of a cgroup or device.
func query(target int, attach ebpf.AttachType) ([]uint32, error) {
	result, err := link.QueryPrograms(link.QueryOptions{Target: target, Attach: attach})
	if err != nil {
		return nil, lacks(err, "CAP_NET_ADMIN")
	}
	ids := make([]uint32, len(result.Programs))
	for i, p := range result.Programs {
		ids[i] = uint32(p.ID)
	}
	return ids, nil
}

// lacks says which capability a refusal is for. One of BPF_PROG_QUERY looks as if
// the kernel did not have it (4.15) to the library, which asks once more.
func lacks(err error, capability string) error {
	if errors.Is(err, unix.EPERM) || errors.Is(err, ebpf.ErrNotSupported) {
		return &lackError{err, capability}
	}
	return err
}

// lackError is a refusal for want of a capability. It is os.ErrPermission, which
// the library's own error is not.
type lackError struct {
	error
	capability string
}

// Error names the capability.
func (e *lackError) Error() string {
	return fmt.Sprintf("%s: it needs %s in the initial user namespace", e.error, e.capability)
}

// Unwrap gives what the kernel, or the library, said, and os.ErrPermission.
func (e *lackError) Unwrap() []error { return []error{e.error, os.ErrPermission} }

// filters gives the programs of a device's filters below clsact; without clsact
// there are none.
func filters(device netlink.Link, parent uint32) ([]uint32, error) {
	list, err := netlink.FilterList(device, parent)
	if err != nil {
		return nil, err
	}
	var ids []uint32
	for _, f := range list {
		if f, ok := f.(*netlink.BpfFilter); ok && f.Id != 0 {
			ids = append(ids, uint32(f.Id))
		}
	}
	return ids, nil
}

func sortHooked(list []Hooked) []Hooked {
	slices.SortFunc(list, func(a, b Hooked) int {
		return cmp.Or(cmp.Compare(a.Device, b.Device), cmp.Compare(a.Attach, b.Attach), cmp.Compare(a.Name, b.Name), cmp.Compare(a.ProgID, b.ProgID))
	})
	return list
}
