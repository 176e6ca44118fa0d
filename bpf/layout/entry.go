// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"plumbline.dev/plumbline/schema/state"
)

var (
	be = binary.BigEndian
	le = binary.LittleEndian
)

// ServiceKey is struct lb4_key (12 bytes) or lb6_key (24 bytes): address,
// dport be16, backend_slot host16, proto u8, scope u8, two bytes of padding.
type ServiceKey struct {
	state.FrontendName
	Slot uint16 // 0 is the master
}

// Service is struct lb4_service and lb6_service (12 bytes).
type Service struct {
	// Word is the union: in a slot the backend id; in a master the algorithm in
	// the top byte over 24 bits of affinity timeout in seconds, or the L7
	// proxy's port in network byte order.
	Word       uint32
	Count      uint16 // selectable slots; masters only
	ReverseNAT uint16 // id, here in host order; network order in the map
	Flags      uint8
	Flags2     uint8
	QCount     uint16 // slots after Count that are not selectable; masters only
}

// The bits of Service.Flags and Service.Flags2 (Cilium bpf/lib/common.h, enum
// svc_flag; the same in 1.17 to 1.20).
const (
	flagExternalIP   = 0x01
	flagNodePort     = 0x02
	flagExtLocal     = 0x04
	flagHostPort     = 0x08
	flagAffinity     = 0x10
	flagLoadBalancer = 0x20
	flagRoutable     = 0x40
	flagSourceRange  = 0x80

	flag2LocalRedirect = 0x01
	flag2NAT46x64      = 0x02
	flag2L7            = 0x04
	flag2Loopback      = 0x08 // of a HostPort; L7 delegate of any other type
	flag2IntLocal      = 0x10
	flag2TwoScopes     = 0x20
	flag2Quarantined   = 0x40 // of a slot; source-range deny of a master
	flag2DSR           = 0x80
)

// Backend is struct lb4_backend (12 bytes) or lb6_backend (24 bytes): address,
// port be16, proto u8, flags u8, cluster_id u16, zone u8, a byte of padding.
type Backend struct {
	state.Endpoint
	State     state.BackendState
	ClusterID uint16
	Zone      uint8
}

// AffinityKey is the key of the affinity match map (8 bytes): backend id host32,
// reverse-NAT id be16, two bytes of padding.
type AffinityKey struct {
	Backend    uint32
	ReverseNAT uint16
}

// RangeKey is the key of a source-range trie (12 or 24 bytes): prefix length
// host32 (32 + the CIDR's bits), reverse-NAT id be16, padding, address.
type RangeKey struct {
	ReverseNAT uint16
	CIDR       netip.Prefix
}

// Bytes encodes the key; its length follows from the address' family.
func (k ServiceKey) Bytes() []byte {
	return k.Append(make([]byte, 0, 24))
}

// Append appends Bytes.
func (k ServiceKey) Append(b []byte) []byte {
	b = be.AppendUint16(appendAddr(b, k.Address), k.Port)
	b = le.AppendUint16(b, k.Slot)
	return append(b, byte(k.Protocol), byte(k.Scope), 0, 0)
}

// appendAddr appends an address in network byte order: 4 or 16 bytes.
func appendAddr(b []byte, a netip.Addr) []byte {
	if a.Is4() {
		four := a.As4()
		return append(b, four[:]...)
	}
	sixteen := a.As16()
	return append(b, sixteen[:]...)
}

// DecodeServiceKey is the inverse of ServiceKey.Bytes.
func DecodeServiceKey(b []byte) (ServiceKey, error) {
	n, err := addressLen("service key", b, 12, 24)
	if err != nil {
		return ServiceKey{}, err
	}
	addr, _ := netip.AddrFromSlice(b[:n])
	var k ServiceKey
	k.Address, k.Port, k.Slot = addr, be.Uint16(b[n:]), le.Uint16(b[n+2:])
	k.Protocol, k.Scope = state.Protocol(b[n+4]), state.Scope(b[n+5])
	return k, nil
}

// Bytes encodes the value.
func (s Service) Bytes() []byte { return s.Append(make([]byte, 0, 12)) }

// Append appends Bytes.
func (s Service) Append(b []byte) []byte {
	b = le.AppendUint32(b, s.Word)
	b = le.AppendUint16(b, s.Count)
	b = be.AppendUint16(b, s.ReverseNAT)
	b = append(b, s.Flags, s.Flags2)
	return le.AppendUint16(b, s.QCount)
}

// DecodeService is the inverse of Service.Bytes.
func DecodeService(b []byte) (Service, error) {
	if len(b) != 12 {
		return Service{}, sizeError("service value", len(b), 12)
	}
	return Service{
		Word: le.Uint32(b), Count: le.Uint16(b[4:]), ReverseNAT: be.Uint16(b[6:]),
		Flags: b[8], Flags2: b[9], QCount: le.Uint16(b[10:]),
	}, nil
}

// BackendID encodes the key of a backends map.
func BackendID(id uint32) []byte { return le.AppendUint32(nil, id) }

// DecodeBackendID is the inverse of BackendID.
func DecodeBackendID(b []byte) (uint32, error) {
	if len(b) != 4 {
		return 0, sizeError("backend key", len(b), 4)
	}
	return le.Uint32(b), nil
}

// Bytes encodes the value; its length follows from the address' family.
func (v Backend) Bytes() []byte { return v.Append(make([]byte, 0, 24)) }

// Append appends Bytes.
func (v Backend) Append(b []byte) []byte {
	b = be.AppendUint16(appendAddr(b, v.Address), v.Port)
	b = append(b, byte(v.Protocol), byte(v.State))
	b = le.AppendUint16(b, v.ClusterID)
	return append(b, v.Zone, 0)
}

// DecodeBackend is the inverse of Backend.Bytes.
func DecodeBackend(b []byte) (Backend, error) {
	n, err := addressLen("backend value", b, 12, 24)
	if err != nil {
		return Backend{}, err
	}
	addr, _ := netip.AddrFromSlice(b[:n])
	return Backend{
		Endpoint: state.Endpoint{Address: addr, Port: be.Uint16(b[n:]), Protocol: state.Protocol(b[n+2])},
		State:    state.BackendState(b[n+3]), ClusterID: le.Uint16(b[n+4:]), Zone: b[n+6],
	}, nil
}

// ReverseNATID encodes a reverse-NAT id as it stands in every map: be16.
func ReverseNATID(id uint16) []byte { return be.AppendUint16(nil, id) }

// DecodeReverseNATID is the inverse of ReverseNATID.
func DecodeReverseNATID(b []byte) (uint16, error) {
	if len(b) != 2 {
		return 0, sizeError("reverse-NAT key", len(b), 2)
	}
	return be.Uint16(b), nil
}

// ReverseNAT encodes a reverse-NAT row: the frontend's address and port (be16),
// packed to 6 or 18 bytes.
func ReverseNAT(ap netip.AddrPort) []byte {
	return AppendReverseNAT(make([]byte, 0, 18), ap)
}

// AppendReverseNAT appends ReverseNAT.
func AppendReverseNAT(b []byte, ap netip.AddrPort) []byte {
	return be.AppendUint16(appendAddr(b, ap.Addr()), ap.Port())
}

// DecodeReverseNAT is the inverse of ReverseNAT.
func DecodeReverseNAT(b []byte) (netip.AddrPort, error) {
	n, err := addressLen("reverse-NAT value", b, 6, 18)
	if err != nil {
		return netip.AddrPort{}, err
	}
	addr, _ := netip.AddrFromSlice(b[:n])
	return netip.AddrPortFrom(addr, be.Uint16(b[n:])), nil
}

// Bytes encodes the key.
func (k AffinityKey) Bytes() []byte {
	b := le.AppendUint32(make([]byte, 0, 8), k.Backend)
	return append(be.AppendUint16(b, k.ReverseNAT), 0, 0)
}

// DecodeAffinityKey is the inverse of AffinityKey.Bytes.
func DecodeAffinityKey(b []byte) (AffinityKey, error) {
	if len(b) != 8 {
		return AffinityKey{}, sizeError("affinity match key", len(b), 8)
	}
	return AffinityKey{Backend: le.Uint32(b), ReverseNAT: be.Uint16(b[4:])}, nil
}

// rangeStatic is how many bits of a source-range key stand before the address:
// the reverse-NAT id and its padding.
const rangeStatic = 32

// Bytes encodes the key; its length follows from the CIDR's family.
func (k RangeKey) Bytes() []byte {
	b := le.AppendUint32(make([]byte, 0, 24), uint32(rangeStatic+k.CIDR.Bits()))
	b = append(be.AppendUint16(b, k.ReverseNAT), 0, 0)
	return append(b, k.CIDR.Masked().Addr().AsSlice()...)
}

// DecodeRangeKey is the inverse of RangeKey.Bytes.
func DecodeRangeKey(b []byte) (RangeKey, error) {
	n, err := addressLen("source-range key", b, 12, 24)
	if err != nil {
		return RangeKey{}, err
	}
	addr, _ := netip.AddrFromSlice(b[8:])
	bits := int(le.Uint32(b)) - rangeStatic
	if bits < 0 || bits > 8*n {
		return RangeKey{}, fmt.Errorf("source-range key %x: prefix length %d is outside %d..%d", b, le.Uint32(b), rangeStatic, rangeStatic+8*n)
	}
	return RangeKey{ReverseNAT: be.Uint16(b[4:]), CIDR: netip.PrefixFrom(addr, bits)}, nil
}

// addressLen tells the address' length in an entry that is v4 bytes long with
// an IPv4 address and v6 bytes long with an IPv6 one.
func addressLen(what string, b []byte, v4, v6 int) (int, error) {
	switch len(b) {
	case v4:
		return 4, nil
	case v6:
		return 16, nil
	}
	return 0, fmt.Errorf("%s: %d bytes, want %d (IPv4) or %d (IPv6)", what, len(b), v4, v6)
}

func sizeError(what string, have, want int) error {
	return fmt.Errorf("%s: %d bytes, want %d", what, have, want)
}
