// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"errors"
	"fmt"
	"math"
	"net/netip"

	"plumbline.dev/plumbline/schema/state"
)

// ErrNoID is wrapped by Encode where the ledger lacks an id that the State needs.
var ErrNoID = errors.New("no id in the ledger")

// Encode writes a State as the maps of its layout hold it, under the ledger's
// ids. Decode is its inverse. It does not encode Maglev tables: a State holds
// only their digests.
func Encode(st *state.State, ids *Ledger) (Tables, error) {
	if !Known(st.Layout) {
		return nil, fmt.Errorf("encode: layout %q is not known", st.Layout)
	}
	e := encoder{layout: st.Layout, ids: ids, tables: emptyTables(st)}
	for i := range st.Frontends {
		e.frontend(&st.Frontends[i])
	}
	for _, b := range st.Backends {
		t, row := e.tables[byFamily(b.Address, Backends4, Backends6)], Backend{Endpoint: b.Endpoint, State: b.State, Zone: b.Zone}
		t.ended(row.Append(le.AppendUint32(t.entry(), e.backend(b.Endpoint))))
	}
	for _, m := range st.AffinityMatches {
		key := AffinityKey{Backend: e.backend(m.Backend), ReverseNAT: e.reverseNAT(m.Frontend)}
		e.put(AffinityMatch, key.Bytes(), []byte{0})
	}
	for _, r := range st.SourceRanges {
		key := RangeKey{ReverseNAT: e.reverseNAT(r.Frontend), CIDR: r.CIDR}
		e.put(byFamily(r.CIDR.Addr(), SourceRange4, SourceRange6), key.Bytes(), []byte{0})
	}
	return e.tables, errors.Join(e.errs...)
}

// emptyTables makes tables with room for what most entries are.
func emptyTables(st *state.State) Tables {
	room := map[MapID]int{}
	for i := range st.Frontends {
		f := &st.Frontends[i]
		room[byFamily(f.Address, Services4, Services6)] += 1 + len(f.Backends) + len(f.Inactive)
		room[byFamily(f.Address, ReverseNAT4, ReverseNAT6)]++
	}
	for i := range st.Backends {
		room[byFamily(st.Backends[i].Address, Backends4, Backends6)]++
	}
	tables := Tables{}
	for _, d := range Content() {
		if d.ID == Maglev4 || d.ID == Maglev6 {
			continue
		}
		tables[d.ID] = NewTable(d.KeySize, d.ValueSize, room[d.ID])
	}
	return tables
}

type encoder struct {
	layout state.Layout
	ids    *Ledger
	tables Tables
	errs   []error
}

func (e *encoder) put(id MapID, key, value []byte) { e.tables[id].Append(key, value) }

func (e *encoder) frontend(f *state.Frontend) {
	services := e.tables[byFamily(f.Address, Services4, Services6)]
	if n := len(f.Backends) + len(f.Inactive); n > math.MaxUint16 {
		e.errs = append(e.errs, fmt.Errorf("frontend %s: %d backends exceed the %d slots that a key can number: split the service", f.FrontendName, n, math.MaxUint16))
		return // slot 65536 would be written over the master
	}
	master, key := Master(f), ServiceKey{FrontendName: f.FrontendName}
	if f.Wildcard() {
		services.ended(master.Append(key.Append(services.entry())))
		return
	}
	master.ReverseNAT = e.reverseNAT(f.FrontendName)
	services.ended(master.Append(key.Append(services.entry())))
	e.put(byFamily(f.Address, ReverseNAT4, ReverseNAT6), ReverseNATID(master.ReverseNAT),
		ReverseNAT(netip.AddrPortFrom(f.Address, f.Port)))
	for i := range len(f.Backends) + len(f.Inactive) {
		slot := Service{Word: e.backend(f.Slot(i)), ReverseNAT: master.ReverseNAT}
		slot.Flags, slot.Flags2 = slotFlags(e.layout, master, i+1)
		key.Slot = uint16(i + 1)
		services.ended(slot.Append(key.Append(services.entry())))
	}
}

func (e *encoder) backend(b state.Endpoint) uint32 {
	id, ok := e.ids.Backends.Find(b)
	if !ok {
		e.errs = append(e.errs, fmt.Errorf("backend %s: %w", b, ErrNoID))
	}
	return id
}

func (e *encoder) reverseNAT(f state.FrontendName) uint16 {
	id, ok := e.ids.Frontends[f]
	if !ok {
		e.errs = append(e.errs, fmt.Errorf("frontend %s: %w", f, ErrNoID))
	}
	return id
}

func byFamily(a netip.Addr, v4, v6 MapID) MapID {
	if a.Is4() {
		return v4
	}
	return v6
}

// Master gives a frontend's master without its reverse-NAT id.
func Master(f *state.Frontend) Service {
	master := Service{Word: masterWord(f), Count: uint16(len(f.Backends)), QCount: uint16(len(f.Inactive))}
	master.Flags, master.Flags2 = masterFlags(f)
	return master
}

// SlotTail gives the bytes of slot n behind its backend id, but for the
// reverse-NAT id: count, id, flags and qcount.
func SlotTail(l state.Layout, master Service, n int) []byte {
	var slot Service
	slot.Flags, slot.Flags2 = slotFlags(l, master, n)
	return slot.Bytes()[4:]
}
