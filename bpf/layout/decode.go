// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"plumbline.dev/plumbline/schema/state"
)

// Decoded is what the bytes of the content maps mean.
type Decoded struct {
	// State has its Frontends' IDs filled in. A slot that leads nowhere is the
	// zero Endpoint.
	State  *state.State
	Ledger *Ledger
	// Stray are entries that no frontend accounts for: they are not part of the
	// State, and none is passed over silently (I10).
	Stray []Stray
}

// Stray is an entry that belongs to nothing, and why.
type Stray struct {
	Map MapID
	Key []byte
	Why string
}

// Decode reads the maps' bytes. It fails only where bytes are of the wrong size
// for the layout; content that contradicts itself is Stray or unresolved.
func Decode(l state.Layout, t Tables) (*Decoded, error) {
	if !Known(l) {
		return nil, fmt.Errorf("decode: layout %q is not known", l)
	}
	t, strange := Sift(t)
	d := decoder{Decoded: Decoded{State: &state.State{Layout: l}, Ledger: LedgerFor(0, t[Backends4].Rows()), Stray: strange}, names: map[uint16]state.FrontendName{}}
	d.rows = map[MapID]map[uint32]Backend{Backends4: d.backends(t, Backends4), Backends6: d.backends(t, Backends6)}
	d.services(t, Services4, Backends4)
	d.services(t, Services6, Backends6)
	d.affinityMatches(t)
	d.sourceRanges(t, SourceRange4)
	d.sourceRanges(t, SourceRange6)
	d.maglev(t, Maglev4, Backends4)
	d.maglev(t, Maglev6, Backends6)
	d.State.Sort()
	if err := errors.Join(d.errs...); err != nil {
		return nil, fmt.Errorf("decode %s: %w", l, err)
	}
	return &d.Decoded, nil
}

type decoder struct {
	Decoded
	rows  map[MapID]map[uint32]Backend
	names map[uint16]state.FrontendName // by reverse-NAT id
	errs  []error
}

func (d *decoder) fail(id MapID, err error) { d.errs = append(d.errs, fmt.Errorf("%s: %w", id, err)) }

func (d *decoder) stray(id MapID, key []byte, format string, args ...any) {
	d.Stray = append(d.Stray, Stray{id, key, fmt.Sprintf(format, args...)})
}

// backends reads the rows. Of two rows for one endpoint the lower id is the
// ledger's, and the other is stray: no State has the same backend twice.
func (d *decoder) backends(t Tables, id MapID) map[uint32]Backend {
	rows := make(map[uint32]Backend, t[id].Len())
	for key, value := range t[id].All() {
		n, kerr := DecodeBackendID(key)
		b, verr := DecodeBackend(value)
		if err := cmp.Or(kerr, verr); err != nil {
			d.fail(id, err)
			continue
		}
		rows[n] = b
	}
	for _, n := range sortedIDs(rows) {
		b := rows[n]
		if first, ok := d.Ledger.Backends.Find(b.Endpoint); ok {
			d.stray(id, BackendID(n), "backend %d repeats %s of backend %d", n, b.Endpoint, first)
			continue
		}
		d.Ledger.Backends.Set(b.Endpoint, n)
		d.State.Backends = append(d.State.Backends, state.Backend{Endpoint: b.Endpoint, State: b.State, Zone: b.Zone})
	}
	return rows
}

func sortedIDs(rows map[uint32]Backend) []uint32 {
	ids := make([]uint32, 0, len(rows))
	for id := range rows {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

type serviceEntry struct {
	ServiceKey
	Service
	raw []byte
}

// services groups a service map's entries by frontend.
func (d *decoder) services(t Tables, id, backends MapID) {
	entries := make([]serviceEntry, 0, t[id].Len())
	for key, value := range t[id].All() {
		k, kerr := DecodeServiceKey(key)
		s, verr := DecodeService(value)
		if err := cmp.Or(kerr, verr); err != nil {
			d.fail(id, err)
			continue
		}
		entries = append(entries, serviceEntry{k, s, key})
	}
	slices.SortFunc(entries, func(a, b serviceEntry) int {
		return cmp.Or(a.Compare(b.FrontendName), cmp.Compare(a.Slot, b.Slot))
	})
	for len(entries) > 0 {
		n := 1
		for n < len(entries) && entries[n].FrontendName == entries[0].FrontendName {
			n++
		}
		d.frontend(id, d.rows[backends], entries[:n])
		entries = entries[n:]
	}
}

// frontend reads a group: a master, if there is one, and slots in order.
func (d *decoder) frontend(id MapID, rows map[uint32]Backend, group []serviceEntry) {
	master := group[0]
	if master.Slot != 0 {
		for _, e := range group {
			d.stray(id, e.raw, "slot %d of %s, which has no master", e.Slot, e.FrontendName)
		}
		return
	}
	f := state.Frontend{FrontendName: master.FrontendName}
	f.Type, f.Flags = decodeFlags(master.Flags, master.Flags2)
	decodeWord(&f, master.Word)
	f.IDs = &state.FrontendIDs{ReverseNAT: master.ReverseNAT, Backends: map[string]uint32{}}
	f.Backends = make([]state.Endpoint, master.Count)
	f.Inactive = make([]state.Endpoint, master.QCount)
	for _, e := range group[1:] {
		if int(e.Slot) > len(f.Backends)+len(f.Inactive) {
			d.stray(id, e.raw, "slot %d of %s, whose master counts %d+%d", e.Slot, e.FrontendName, master.Count, master.QCount)
			continue
		}
		if b, ok := rows[e.Word]; ok {
			f.SetSlot(int(e.Slot)-1, b.Endpoint)
			f.IDs.Backends[b.Endpoint.String()] = e.Word
		}
	}
	if !f.Wildcard() {
		d.name(id, master)
	}
	d.State.Frontends = append(d.State.Frontends, f)
}

func (d *decoder) name(id MapID, master serviceEntry) {
	if first, ok := d.names[master.ReverseNAT]; ok {
		d.stray(id, master.raw, "reverse-NAT id %d of %s is that of %s too", master.ReverseNAT, master.FrontendName, first)
		return
	}
	d.names[master.ReverseNAT] = master.FrontendName
	d.Ledger.Frontends[master.FrontendName] = master.ReverseNAT
}

func (d *decoder) affinityMatches(t Tables) {
	for key := range t[AffinityMatch].All() {
		k, err := DecodeAffinityKey(key)
		if err != nil {
			d.fail(AffinityMatch, err)
			continue
		}
		name, named := d.names[k.ReverseNAT]
		rows := d.rows[byFamily(name.Address, Backends4, Backends6)]
		b, found := rows[k.Backend]
		if !named || !found {
			d.stray(AffinityMatch, key, "match of backend %d and reverse-NAT id %d, one of which is not there", k.Backend, k.ReverseNAT)
			continue
		}
		d.State.AffinityMatches = append(d.State.AffinityMatches, state.AffinityMatch{Frontend: name, Backend: b.Endpoint})
	}
}

func (d *decoder) sourceRanges(t Tables, id MapID) {
	for key := range t[id].All() {
		k, err := DecodeRangeKey(key)
		if err != nil {
			d.fail(id, err)
			continue
		}
		name, ok := d.names[k.ReverseNAT]
		if !ok {
			d.stray(id, key, "range %s of reverse-NAT id %d, which no frontend has", k.CIDR, k.ReverseNAT)
			continue
		}
		d.State.SourceRanges = append(d.State.SourceRanges, state.SourceRange{Frontend: name, CIDR: k.CIDR})
	}
}

func (d *decoder) maglev(t Tables, id, backends MapID) {
	for key, value := range t[id].All() {
		n, err := DecodeReverseNATID(key)
		if err != nil {
			d.fail(id, err)
			continue
		}
		name, ok := d.names[n]
		if !ok {
			d.stray(id, key, "table of reverse-NAT id %d, which no frontend has", n)
			continue
		}
		d.State.Maglev = append(d.State.Maglev, maglevTable(name, d.rows[backends], value))
	}
}

// maglevTable condenses an inner map's value: backend ids (host order, 4 bytes
// each), one per position.
func maglevTable(name state.FrontendName, rows map[uint32]Backend, value []byte) state.MaglevTable {
	table := state.MaglevTable{Frontend: name, TableSize: uint32(len(value) / 4), Slots: map[string]int{}}
	sum := sha256.New()
	for i := 0; i+4 <= len(value); i += 4 {
		var b state.Endpoint
		if row, ok := rows[le.Uint32(value[i:])]; ok {
			b = row.Endpoint
		}
		text := b.String()
		table.Slots[text]++
		sum.Write([]byte(text + "\n"))
	}
	table.Digest = hex.EncodeToString(sum.Sum(nil))
	return table
}
