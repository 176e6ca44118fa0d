// SPDX-License-Identifier: Apache-2.0

package source

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"

	"plumbline.dev/plumbline/schema/state"
)

// Devices reads the network devices of this network namespace that Cilium's
// agent could attach to: all but loopbacks and those that belong to a bond or a
// bridge (pkg/datapath/linux/devices_controller.go, 1.17 to 1.20), by their
// indices. It needs no capability.
func Devices() ([]state.Device, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list the node's devices: %w", err)
	}
	var list []state.Device
	names := map[int]int{} // of the list, by the device's index
	for _, l := range links {
		a := l.Attrs()
		if a.Flags&net.FlagLoopback != 0 || a.MasterIndex != 0 {
			continue
		}
		names[a.Index] = len(list)
		list = append(list, state.Device{Name: a.Name})
	}
	addresses, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list the node's addresses: %w", err)
	}
	for _, a := range addresses {
		ip, ok := netip.AddrFromSlice(a.IP)
		if i, known := names[a.LinkIndex]; ok && known {
			list[i].Addresses = append(list[i].Addresses, ip.Unmap())
		}
	}
	return list, nil
}
