// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"encoding/binary"
	"iter"
	"maps"
	"net/netip"

	"plumbline.dev/plumbline/schema/state"
)

// Ledger says under which ids a kernel knows what a State names. It is the
// whole of what differs between two nodes that hold the same State.
type Ledger struct {
	// Backends holds ids from 1; both families draw from one allocator.
	Backends BackendIDs
	// Frontends holds reverse-NAT ids from 1 to 65534, one per frontend and
	// scope; a wildcard entry has none.
	Frontends map[state.FrontendName]uint16
	// LastBackend and LastFrontend are the highest ids ever given: a freed id
	// is not given again before the numbers wrap, as connections may hold it.
	LastBackend  uint32
	LastFrontend uint16
}

// NewLedger makes an empty ledger.
func NewLedger() *Ledger { return LedgerFor(0, 0) }

// LedgerFor makes an empty ledger with room for so many frontends and backends.
func LedgerFor(frontends, backends int) *Ledger {
	return &Ledger{Frontends: make(map[state.FrontendName]uint16, frontends), Backends: BackendIDs{v4: make(map[uint64]uint32, backends)}}
}

// BackendIDs are ids by endpoint. Backends are by far the most of what has ids, and
// nearly all are of IPv4, so that those are packed into a number. The zero value is
// empty. A copy shares the ids, as that of a map does.
type BackendIDs struct {
	v4 map[uint64]uint32
	v6 map[state.Endpoint]uint32
}

// packed is address, port and protocol of IPv4, from the most significant bit
// down.
func packed(e state.Endpoint) uint64 {
	a := e.Address.As4()
	return uint64(binary.BigEndian.Uint32(a[:]))<<24 | uint64(e.Port)<<8 | uint64(e.Protocol)
}

func unpacked(key uint64) state.Endpoint {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], uint32(key>>24))
	return state.Endpoint{Address: netip.AddrFrom4(a), Port: uint16(key >> 8), Protocol: state.Protocol(key)}
}

// Find gives the id of a backend.
func (b *BackendIDs) Find(e state.Endpoint) (uint32, bool) {
	if e.Address.Is4() {
		id, found := b.v4[packed(e)]
		return id, found
	}
	id, found := b.v6[e]
	return id, found
}

// Set gives a backend its id.
func (b *BackendIDs) Set(e state.Endpoint, id uint32) {
	if e.Address.Is4() {
		if b.v4 == nil {
			b.v4 = map[uint64]uint32{}
		}
		b.v4[packed(e)] = id
		return
	}
	if b.v6 == nil {
		b.v6 = map[state.Endpoint]uint32{}
	}
	b.v6[e] = id
}

// Drop takes a backend's id away, if it has one.
func (b *BackendIDs) Drop(e state.Endpoint) {
	if e.Address.Is4() {
		delete(b.v4, packed(e))
		return
	}
	delete(b.v6, e)
}

// Len counts the backends.
func (b *BackendIDs) Len() int { return len(b.v4) + len(b.v6) }

// All gives backends and ids, in any order.
func (b *BackendIDs) All() iter.Seq2[state.Endpoint, uint32] {
	return func(yield func(state.Endpoint, uint32) bool) {
		for key, id := range b.v4 {
			if !yield(unpacked(key), id) {
				return
			}
		}
		for e, id := range b.v6 {
			if !yield(e, id) {
				return
			}
		}
	}
}

// Clone copies the ids.
func (b *BackendIDs) Clone() BackendIDs { return BackendIDs{maps.Clone(b.v4), maps.Clone(b.v6)} }

// Equal compares the ids.
func (b BackendIDs) Equal(o BackendIDs) bool { return maps.Equal(b.v4, o.v4) && maps.Equal(b.v6, o.v6) }

// BackendIDsOf gives the ids of a map.
func BackendIDsOf(ids map[state.Endpoint]uint32) BackendIDs {
	var out BackendIDs
	for e, id := range ids {
		out.Set(e, id)
	}
	return out
}
