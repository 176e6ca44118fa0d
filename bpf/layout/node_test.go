// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"encoding/hex"
	"net/netip"
	"testing"

	"plumbline.dev/plumbline/schema/state"
)

// The bytes of each entry, by hand from the layouts' sources.
func TestNodeEntriesBytes(t *testing.T) {
	tunnel := IPCacheEntry{Identity: 0x1234, Tunnel: netip.MustParseAddr("192.168.1.10"), Key: 5, Flags: IPCacheSkipTunnel}
	for _, c := range []struct {
		name, want string
		have       []byte
	}{
		{"ipcache key, an address", "40000000" + "0000" + "00" + "01" + "0a010203" + "000000000000000000000000",
			IPCacheKey{Prefix: netip.MustParsePrefix("10.1.2.3/32")}.Bytes()},
		{"ipcache key, a prefix", "38000000" + "0700" + "00" + "01" + "0a010200" + "000000000000000000000000",
			IPCacheKey{ClusterID: 7, Prefix: netip.MustParsePrefix("10.1.2.3/24")}.Bytes()},
		{"ipcache key, IPv6", "a0000000" + "0000" + "00" + "02" + "fd000000000000000000000000000001",
			IPCacheKey{Prefix: netip.MustParsePrefix("fd00::1/128")}.Bytes()},
		{"ipcache entry of 1.17", "34120000" + "c0a8010a" + "0000" + "05" + "01", tunnel.Bytes(state.Cilium117)},
		{"ipcache entry of 1.18", "34120000" + "c0a8010a000000000000000000000000" + "0000" + "05" + "03", tunnel.Bytes(state.Cilium118)},
		{"ipcache entry, IPv6 tunnel", "06000000" + "fd000000000000000000000000000001" + "0000" + "00" + "06",
			IPCacheEntry{Identity: 6, Tunnel: netip.MustParseAddr("fd00::1")}.Bytes(state.Cilium120)},
		{"ipcache entry without a tunnel", "01000000" + "00000000000000000000000000000000" + "0000" + "00" + "00", IPCacheEntry{Identity: 1}.Bytes(state.Cilium119)},
		{"endpoint key", "0a010203" + "000000000000000000000000" + "01" + "00" + "0000", EndpointKey{Address: netip.MustParseAddr("10.1.2.3")}.Bytes()},
		{"endpoint", "0b000000" + "0000" + "0c00" + "01000000" + "00000000" + "0100000000000000" + "0200000000000000" + "34120000" + "0d000000" + "0000000000000000",
			EndpointInfo{Interface: 11, ID: 12, Flags: EndpointHost, MAC: 1, NodeMAC: 2, Identity: 0x1234, ParentInterface: 13}.Bytes()},
		{"liveness key", "01000000", LivenessKey()},
	} {
		if got := hex.EncodeToString(c.have); got != c.want {
			t.Errorf("%s: have %s, want %s", c.name, got, c.want)
		}
	}
}

func TestNodeEntriesRoundTrip(t *testing.T) {
	for _, prefix := range []string{"0.0.0.0/0", "10.0.0.0/8", "10.1.2.3/32", "::/0", "fd00::/64", "fd00::1/128"} {
		want := IPCacheKey{ClusterID: 3, Prefix: netip.MustParsePrefix(prefix)}
		if got, err := DecodeIPCacheKey(want.Bytes()); err != nil || got != want {
			t.Errorf("%v: have %v, %v", want, got, err)
		}
	}
	for _, e := range []IPCacheEntry{{Identity: 1}, {Identity: 65535, Tunnel: netip.MustParseAddr("10.0.0.1"), Key: 3}} {
		for _, l := range []state.Layout{state.Cilium117, state.Cilium118, state.Cilium119, state.Cilium120} {
			got, err := DecodeIPCacheEntry(e.Bytes(l))
			got.Flags = 0
			if err != nil || got != e {
				t.Errorf("%s %v: have %v, %v", l, e, got, err)
			}
		}
	}
	for _, a := range []string{"10.1.2.3", "fd00::1"} {
		want := EndpointKey{Address: netip.MustParseAddr(a), ClusterID: 9}
		if got, err := DecodeEndpointKey(want.Bytes()); err != nil || got != want {
			t.Errorf("%v: have %v, %v", want, got, err)
		}
	}
	want := EndpointInfo{Interface: 1, ID: 2, Flags: 3, RouteInfo: 4, MAC: 5, NodeMAC: 6, Identity: 7, ParentInterface: 8}
	if got, err := DecodeEndpointInfo(want.Bytes()); err != nil || got != want {
		t.Errorf("%v: have %v, %v", want, got, err)
	}
}

// What no agent writes is refused, and says what it is.
func TestNodeEntriesRefuse(t *testing.T) {
	good := IPCacheKey{Prefix: netip.MustParsePrefix("10.1.2.3/32")}.Bytes()
	for name, spoil := range map[string]func([]byte) []byte{
		"size":    func(b []byte) []byte { return b[:23] },
		"family":  func(b []byte) []byte { b[7] = 3; return b },
		"padding": func(b []byte) []byte { b[6] = 1; return b },
		"short":   func(b []byte) []byte { b[0] = 31; return b },
		"long":    func(b []byte) []byte { b[0] = 65; return b },
		"address": func(b []byte) []byte { b[20] = 1; return b },
	} {
		if k, err := DecodeIPCacheKey(spoil(append([]byte(nil), good...))); err == nil {
			t.Errorf("%s: read as %v", name, k)
		}
	}
	for n := range 60 {
		b := make([]byte, n)
		if _, err := DecodeIPCacheEntry(b); (err == nil) != (n == 12 || n == 24) {
			t.Errorf("an ipcache value of %d bytes: %v", n, err)
		}
		if _, err := DecodeEndpointInfo(b); (err == nil) != (n == 48) {
			t.Errorf("an endpoint of %d bytes: %v", n, err)
		}
		if _, err := DecodeRuntimeConfig(b); (err == nil) != (n == 8) {
			t.Errorf("a runtime config value of %d bytes: %v", n, err)
		}
	}
}

// The sizes that are compared with the kernel's are those of the codec.
func TestNodeMapSizes(t *testing.T) {
	for l := state.Cilium117; Known(l); l++ {
		for _, d := range NodeMaps(l) {
			key, value := 4, 8
			switch d.ID {
			case IPCache:
				key, value = len(IPCacheKey{Prefix: netip.MustParsePrefix("::/0")}.Bytes()), len(IPCacheEntry{}.Bytes(l))
			case Endpoints:
				key, value = len(EndpointKey{Address: netip.MustParseAddr("::")}.Bytes()), len(EndpointInfo{}.Bytes())
			}
			if d.KeySize != key || d.ValueSize != value {
				t.Errorf("%s %s: %d/%d, the codec has %d/%d", l, d.Name, d.KeySize, d.ValueSize, key, value)
			}
		}
	}
}
