// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"

	"plumbline.dev/plumbline/schema/state"
)

// rows are backends as single services see them: all services share one entry
// per address, port and protocol. They are the bulk of a State, so those of IPv4
// are packed into a number that sorts as their endpoints do.
type rows struct {
	v4 []row4
	v6 []state.Backend
}

// row4 is address (32 bits), port (16), protocol (8) and state (8), from the
// most significant bit down.
type row4 struct {
	key  uint64
	zone uint8
}

func (r *rows) add(b state.Backend) {
	if !b.Address.Is4() {
		r.v6 = append(r.v6, b)
		return
	}
	a := b.Address.As4()
	key := uint64(binary.BigEndian.Uint32(a[:]))<<32 | uint64(b.Port)<<16 | uint64(b.Protocol)<<8 | uint64(b.State)
	r.v4 = append(r.v4, row4{key, b.Zone})
}

func (r row4) backend() state.Backend {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], uint32(r.key>>32))
	at := state.Endpoint{Address: netip.AddrFrom4(a), Port: uint16(r.key >> 16), Protocol: state.Protocol(r.key >> 8)}
	return state.Backend{Endpoint: at, State: state.BackendState(r.key), Zone: r.zone}
}

// merge gives the backends map's entries, sorted. Of two conditions the better
// one holds, and with it the greater of two zones.
func (r *rows) merge() []state.Backend {
	r.compact()
	if len(r.v4)+len(r.v6) == 0 {
		return nil
	}
	list := make([]state.Backend, 0, len(r.v4)+len(r.v6))
	for _, row := range r.v4 {
		list = append(list, row.backend())
	}
	return append(list, r.v6...)
}

// compact sorts and leaves one row of each backend.
func (r *rows) compact() {
	slices.SortFunc(r.v4, func(a, b row4) int { return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(b.zone, a.zone)) })
	r.v4 = slices.CompactFunc(r.v4, func(a, b row4) bool { return a.key>>8 == b.key>>8 })
	slices.SortFunc(r.v6, func(a, b state.Backend) int {
		return cmp.Or(a.Compare(b.Endpoint), cmp.Compare(a.State, b.State), cmp.Compare(b.Zone, a.Zone))
	})
	r.v6 = slices.CompactFunc(r.v6, func(a, b state.Backend) bool { return a.Endpoint == b.Endpoint })
}

// each calls f with each row.
func (r *rows) each(f func(state.Backend)) {
	for _, row := range r.v4 {
		f(row.backend())
	}
	for _, b := range r.v6 {
		f(b)
	}
}
