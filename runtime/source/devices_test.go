// SPDX-License-Identifier: Apache-2.0

package source

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"plumbline.dev/plumbline/runtime/internal/testkernel"
)

// A device with addresses and one without count; a loopback and what belongs to a
// bridge do not.
func TestPrivilegedDevices(t *testing.T) {
	testkernel.Netns(t)
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}
	port := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "port0"}, PeerName: "eth0"}
	for _, l := range []netlink.Link{bridge, port} {
		if err := netlink.LinkAdd(l); err != nil {
			t.Fatal(err)
		}
	}
	if err := netlink.LinkSetMaster(port, bridge); err != nil {
		t.Fatal(err)
	}
	eth0, err := netlink.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"192.168.1.10/24", "fd00::10/64"} {
		address, err := netlink.ParseAddr(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := netlink.AddrAdd(eth0, address); err != nil {
			t.Fatal(err)
		}
	}
	list, err := Devices()
	if err != nil {
		t.Fatal(err)
	}
	have := map[string][]netip.Addr{}
	for _, d := range list {
		have[d.Name] = d.Addresses
	}
	for name := range have { // whatever tunnels the kernel puts into each namespace
		if name != "br0" && name != "eth0" && name != "port0" {
			delete(have, name)
		}
	}
	want := map[string][]netip.Addr{"br0": nil, "eth0": {netip.MustParseAddr("192.168.1.10"), netip.MustParseAddr("fd00::10")}}
	if diff := cmp.Diff(want, have, compareAddresses); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
