// SPDX-License-Identifier: Apache-2.0

package source

import (
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"plumbline.dev/plumbline/runtime/internal/testkernel"
	"plumbline.dev/plumbline/schema/state"
)

// Addresses, the default route and what a device belongs to are read.
func TestPrivilegedDevices(t *testing.T) {
	testkernel.Netns(t)
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}
	for _, l := range []netlink.Link{bridge, &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "port0"}, PeerName: "eth0"}, &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "cilium_host"}, PeerName: "lxc1"}} {
		if err := netlink.LinkAdd(l); err != nil {
			t.Fatal(err)
		}
	}
	port, eth0 := device(t, "port0"), device(t, "eth0")
	address, gateway := net.IPv4(192, 168, 1, 10), net.IPv4(192, 168, 1, 1)
	for _, err := range []error{
		netlink.LinkSetMaster(port, bridge), netlink.LinkSetUp(port), netlink.LinkSetUp(eth0),
		netlink.AddrAdd(eth0, &netlink.Addr{IPNet: &net.IPNet{IP: address, Mask: net.CIDRMask(24, 32)}}),
		netlink.RouteAdd(&netlink.Route{LinkIndex: eth0.Attrs().Index, Gw: gateway}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	list, err := Devices()
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]state.Device{}
	for _, d := range list {
		d.Addresses = slices.DeleteFunc(d.Addresses, func(a netip.Addr) bool { return a.IsLinkLocalUnicast() }) // the kernel's, in its own time
		have[d.Name] = d
	}
	for _, name := range []string{"cilium_host", "lxc1"} {
		if d, ok := have[name]; ok {
			t.Errorf("%+v is listed", d)
		}
	}
	for name, want := range map[string]state.Device{
		"lo":    {Name: "lo", Inner: true},
		"br0":   {Name: "br0", Kind: "bridge"},
		"port0": {Name: "port0", Kind: "veth", Up: true, Inner: true},
		"eth0":  {Name: "eth0", Kind: "veth", Up: true, DefaultRoute: true, Addresses: []netip.Addr{netip.MustParseAddr("192.168.1.10")}},
	} {
		if diff := cmp.Diff(want, have[name], compareAddresses); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func device(t *testing.T, name string) netlink.Link {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}
