// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"fmt"
	"net/netip"

	"plumbline.dev/plumbline/schema/state"
)

// NodeMap names a map of Cilium's that is not of the load balancer's, and that
// tells of the cluster or of the agent.
type NodeMap uint8

// The maps of the node that are read.
const (
	IPCache       NodeMap = iota // address → identity and tunnel endpoint
	Endpoints                    // address → the local endpoint that has it
	RuntimeConfig                // what the agent tells its programs while it runs
	nodeMapEnd
)

// NodeDesc describes a map of the node as a layout has it.
type NodeDesc struct {
	ID                 NodeMap
	Name               string // of the pin
	Type               string // as state.Map has it
	KeySize, ValueSize int    // bytes
}

// NodeMaps describes the maps of the node (Cilium pkg/maps/ipcache, lxcmap and
// configmap): 1.18 gave the ipcache another name and room for IPv6 tunnel
// endpoints; the others are alike in all known layouts.
func NodeMaps(l state.Layout) []NodeDesc {
	ipcache := NodeDesc{IPCache, ipcacheNew, "lpm-trie", 24, 24}
	if l <= state.Cilium117 {
		ipcache = NodeDesc{IPCache, ipcacheOld, "lpm-trie", 24, 12}
	}
	return []NodeDesc{ipcache, {Endpoints, "cilium_lxc", "hash", 20, 48}, {RuntimeConfig, "cilium_runtime_config", "array", 4, 8}}
}

// String gives the name that people use.
func (m NodeMap) String() string {
	if m >= nodeMapEnd {
		return fmt.Sprintf("node map(%d)", uint8(m))
	}
	return [...]string{"ipcache", "endpoints", "runtime config"}[m]
}

// The family byte of keys that hold an address of either family in 16 bytes, an
// IPv4 one in the first four (bpf/lib/common.h ENDPOINT_KEY_IPV4, _IPV6).
const (
	keyV4 = 1
	keyV6 = 2
)

// ipcacheStatic is how many bits of an ipcache key stand before the address:
// cluster id, padding and family.
const ipcacheStatic = 32

// IPCacheKey is struct ipcache_key (24 bytes): prefix length host32 (32 + the
// prefix' bits), cluster_id host16, a byte of padding, family u8, address.
type IPCacheKey struct {
	ClusterID uint16 // 0 is the local cluster
	Prefix    netip.Prefix
}

// Bytes encodes the key.
func (k IPCacheKey) Bytes() []byte {
	b := le.AppendUint32(make([]byte, 0, 24), uint32(ipcacheStatic+k.Prefix.Bits()))
	b = le.AppendUint16(b, k.ClusterID)
	b = append(b, 0, family(k.Prefix.Addr()))
	return appendWide(b, k.Prefix.Masked().Addr())
}

// DecodeIPCacheKey is the inverse of IPCacheKey.Bytes. What Bytes does not give
// is an error: padding, a family or a prefix length that are none.
func DecodeIPCacheKey(b []byte) (IPCacheKey, error) {
	if len(b) != 24 {
		return IPCacheKey{}, sizeError("ipcache key", len(b), 24)
	}
	a, err := wide("ipcache key", b[8:], b[7])
	if err != nil {
		return IPCacheKey{}, err
	}
	bits := int(le.Uint32(b)) - ipcacheStatic
	if bits < 0 || bits > a.BitLen() {
		return IPCacheKey{}, fmt.Errorf("ipcache key %x: prefix length %d is outside %d..%d", b, le.Uint32(b), ipcacheStatic, ipcacheStatic+a.BitLen())
	}
	if b[6] != 0 {
		return IPCacheKey{}, fmt.Errorf("ipcache key %x: its padding is not empty", b)
	}
	return IPCacheKey{ClusterID: le.Uint16(b[4:]), Prefix: netip.PrefixFrom(a, bits)}, nil
}

// The bits of IPCacheEntry.Flags (bpf/lib/common.h, struct remote_endpoint_info).
const (
	IPCacheSkipTunnel     = 0x01
	IPCacheHasTunnel      = 0x02 // from 1.18 on
	IPCacheTunnelIsV6     = 0x04 // from 1.18 on
	IPCacheRemoteCluster  = 0x08 // from 1.20 on
	ipcacheFlagsBefore118 = IPCacheSkipTunnel
)

// IPCacheEntry is struct remote_endpoint_info. Until 1.17 (12 bytes): identity
// host32, tunnel endpoint be32, two bytes of padding, key u8, flags u8. From 1.18
// on (24 bytes) the tunnel endpoint has 16 bytes, an IPv4 one in the first four.
type IPCacheEntry struct {
	Identity uint32
	// Tunnel is the node that traffic is encapsulated to; the zero Addr is none.
	Tunnel netip.Addr
	Key    uint8 // of encryption; 0 is none
	Flags  uint8
}

// Bytes encodes the value as the layout has it. Of the flags it sets those that
// tell of the tunnel itself.
func (e IPCacheEntry) Bytes(l state.Layout) []byte {
	b := le.AppendUint32(make([]byte, 0, 24), e.Identity)
	if l <= state.Cilium117 {
		four := [4]byte{}
		if e.Tunnel.Is4() {
			four = e.Tunnel.As4()
		}
		return append(append(b, four[:]...), 0, 0, e.Key, e.Flags&ipcacheFlagsBefore118)
	}
	flags := e.Flags &^ (IPCacheHasTunnel | IPCacheTunnelIsV6)
	if e.Tunnel.IsValid() {
		flags |= IPCacheHasTunnel
		if e.Tunnel.Is6() {
			flags |= IPCacheTunnelIsV6
		}
	}
	return append(appendWide(b, e.Tunnel), 0, 0, e.Key, flags)
}

// DecodeIPCacheEntry is the inverse of IPCacheEntry.Bytes; its length tells the
// layout.
func DecodeIPCacheEntry(b []byte) (IPCacheEntry, error) {
	switch len(b) {
	case 12:
		e := IPCacheEntry{Identity: le.Uint32(b), Key: b[10], Flags: b[11]}
		if a, _ := netip.AddrFromSlice(b[4:8]); !a.IsUnspecified() {
			e.Tunnel = a
		}
		return e, nil
	case 24:
		e := IPCacheEntry{Identity: le.Uint32(b), Key: b[22], Flags: b[23]}
		if e.Flags&IPCacheHasTunnel != 0 {
			n := 8
			if e.Flags&IPCacheTunnelIsV6 != 0 {
				n = 20
			}
			e.Tunnel, _ = netip.AddrFromSlice(b[4:n])
		}
		return e, nil
	}
	return IPCacheEntry{}, fmt.Errorf("ipcache value: %d bytes, want 12 (until 1.17) or 24", len(b))
}

// EndpointKey is struct endpoint_key (20 bytes): address in 16 bytes, family u8,
// key u8, cluster_id host16.
type EndpointKey struct {
	Address   netip.Addr
	ClusterID uint16
}

// Bytes encodes the key.
func (k EndpointKey) Bytes() []byte {
	b := appendWide(make([]byte, 0, 20), k.Address)
	return le.AppendUint16(append(b, family(k.Address), 0), k.ClusterID)
}

// DecodeEndpointKey is the inverse of EndpointKey.Bytes.
func DecodeEndpointKey(b []byte) (EndpointKey, error) {
	if len(b) != 20 {
		return EndpointKey{}, sizeError("endpoint key", len(b), 20)
	}
	a, err := wide("endpoint key", b[:16], b[16])
	if err == nil && b[17] != 0 {
		err = fmt.Errorf("endpoint key %x: its key byte is not empty", b)
	}
	return EndpointKey{Address: a, ClusterID: le.Uint16(b[18:])}, err
}

// The bits of EndpointInfo.Flags (bpf/lib/common.h ENDPOINT_F_*).
const (
	EndpointHost     = 0x01 // an address of the node itself
	EndpointAtHostNS = 0x02 // an endpoint within the host's network namespace
)

// EndpointInfo is struct endpoint_info (48 bytes): ifindex host32, u16 unused,
// lxc_id host16, flags host32, 4 bytes (route information from 1.20 on), mac u64,
// node_mac u64, sec_id host32, parent_ifindex host32, 8 bytes of padding.
type EndpointInfo struct {
	Interface       uint32
	ID              uint16 // the agent's own number of the endpoint
	Flags           uint32
	RouteInfo       uint32
	MAC, NodeMAC    uint64
	Identity        uint32
	ParentInterface uint32
}

// Bytes encodes the value.
func (e EndpointInfo) Bytes() []byte {
	b := le.AppendUint32(make([]byte, 0, 48), e.Interface)
	b = le.AppendUint16(append(b, 0, 0), e.ID)
	b = le.AppendUint32(le.AppendUint32(b, e.Flags), e.RouteInfo)
	b = le.AppendUint64(le.AppendUint64(b, e.MAC), e.NodeMAC)
	b = le.AppendUint32(le.AppendUint32(b, e.Identity), e.ParentInterface)
	return append(b, make([]byte, 8)...)
}

// DecodeEndpointInfo is the inverse of EndpointInfo.Bytes.
func DecodeEndpointInfo(b []byte) (EndpointInfo, error) {
	if len(b) != 48 {
		return EndpointInfo{}, sizeError("endpoint value", len(b), 48)
	}
	return EndpointInfo{
		Interface: le.Uint32(b), ID: le.Uint16(b[6:]), Flags: le.Uint32(b[8:]), RouteInfo: le.Uint32(b[12:]),
		MAC: le.Uint64(b[16:]), NodeMAC: le.Uint64(b[24:]), Identity: le.Uint32(b[32:]), ParentInterface: le.Uint32(b[36:]),
	}, nil
}

// LivenessKey is the key of the runtime config under which the agent writes its
// heartbeat, about once a second: nanoseconds of the monotonic clock, host order
// (pkg/maps/configmap, AgentLiveness).
func LivenessKey() []byte { return le.AppendUint32(nil, 1) }

// DecodeRuntimeConfig reads one value of the runtime config.
func DecodeRuntimeConfig(b []byte) (uint64, error) {
	if len(b) != 8 {
		return 0, sizeError("runtime config value", len(b), 8)
	}
	return le.Uint64(b), nil
}

func family(a netip.Addr) byte {
	if a.Is4() {
		return keyV4
	}
	return keyV6
}

// appendWide appends an address in 16 bytes, an IPv4 one in the first four; the
// zero Addr is empty.
func appendWide(b []byte, a netip.Addr) []byte {
	var sixteen [16]byte
	copy(sixteen[:], a.AsSlice())
	return append(b, sixteen[:]...)
}

// wide is the inverse of appendWide.
func wide(what string, b []byte, family byte) (netip.Addr, error) {
	switch family {
	case keyV4:
		for _, rest := range b[4:16] {
			if rest != 0 {
				return netip.Addr{}, fmt.Errorf("%s: IPv4 address %x has more than four bytes", what, b)
			}
		}
		a, _ := netip.AddrFromSlice(b[:4])
		return a, nil
	case keyV6:
		a, _ := netip.AddrFromSlice(b[:16])
		return a, nil
	}
	return netip.Addr{}, fmt.Errorf("%s: family %d is neither IPv4 (%d) nor IPv6 (%d)", what, family, keyV4, keyV6)
}
