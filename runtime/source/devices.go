// SPDX-License-Identifier: Apache-2.0

package source

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"

	"plumbline.dev/plumbline/schema/state"
)

// Devices reads the network devices of this network namespace, in the order of
// their indices, but for those that the agent makes for itself and for pods: they
// come and go, and face no network. It needs no capability.
func Devices() ([]state.Device, error) {
	links, linkErr := netlink.LinkList()
	addresses, addressErr := netlink.AddrList(nil, netlink.FAMILY_ALL)
	routes, routeErr := netlink.RouteList(nil, netlink.FAMILY_ALL)
	if err := errors.Join(linkErr, addressErr, routeErr); err != nil {
		return nil, fmt.Errorf("read the node's devices, addresses and routes: %w", err)
	}
	links = slices.DeleteFunc(links, func(l netlink.Link) bool {
		return strings.HasPrefix(l.Attrs().Name, "cilium_") || strings.HasPrefix(l.Attrs().Name, "lxc")
	})
	list := make([]state.Device, len(links))
	at := map[int]*state.Device{}
	for i, l := range links {
		a := l.Attrs()
		list[i] = state.Device{Name: a.Name, Up: a.Flags&net.FlagUp != 0, Inner: a.Flags&net.FlagLoopback != 0 || a.MasterIndex != 0}
		if kind := l.Type(); kind != "device" {
			list[i].Kind = kind
		}
		at[a.Index] = &list[i]
	}
	for _, a := range addresses {
		ip, ok := netip.AddrFromSlice(a.IP)
		if d := at[a.LinkIndex]; ok && d != nil {
			d.Addresses = append(d.Addresses, ip.Unmap())
		}
	}
	for _, r := range routes {
		if d := at[r.LinkIndex]; d != nil && isDefault(r.Dst) {
			d.DefaultRoute = true
		}
	}
	return list, nil
}

func isDefault(to *net.IPNet) bool {
	if to == nil {
		return true
	}
	ones, _ := to.Mask.Size()
	return ones == 0
}
