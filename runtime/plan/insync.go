// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"sync"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/schema/state"
)

// InSync tells whether a kernel holds the wanted State under some ids, whichever:
// then Diff(have, want, nil) finds nothing. False is no verdict: ask Diff. It
// looks at each entry once and decodes none, so that the first audit of a
// process costs little more than its reads.
func InSync(have *Have, want *state.State) bool {
	if have.Layout != want.Layout {
		return false
	}
	result := cold(have, want)
	return result != nil && len(result.Drifts) == 0
}

// cold is Diff(have, want, nil) where each entry is as it is wanted under some
// ids, else nil: parameters and programs may differ. The ids, which hardly
// anyone asks for then, are collected when someone does.
func cold(have *Have, want *state.State) *Result {
	if !layout.Known(want.Layout) || len(want.Maglev) > 0 || unknownPorts(want.Frontends) || !sized(have.Tables) {
		return nil
	}
	s := newSyncer(have, want)
	if !s.family(v4) || !s.family(v6) || !s.matches() || !s.ranges() {
		return nil
	}
	rest := &differ{have: have, want: want, found: newDrifts()}
	rest.maps()
	rest.attachments()
	order(rest.plan)
	ids := sync.OnceValue(s.ledger)
	return &Result{Drifts: rest.found.sorted(), Plan: rest.plan, ids: ids, Target: newTarget(want, ids, have.Tables)}
}

// sized tells whether all entries are of their layout's sizes, and none is of a
// Maglev table.
func sized(tables layout.Tables) bool {
	for id, table := range tables {
		d := id.Desc()
		if table.Rows() == 0 {
			continue
		}
		if key, value := table.Row(0); maglevMap(id) || len(key) != d.KeySize || len(value) != d.ValueSize {
			return false
		}
	}
	return true
}

// ledger gives the ids under which all was found.
func (s *syncer) ledger() *layout.Ledger {
	ids := layout.LedgerFor(len(s.want.Frontends), len(s.want.Backends))
	for _, backendOf := range s.backendOf {
		for id, n := range backendOf {
			if n >= 0 {
				ids.Backends.Set(s.want.Backends[n].Endpoint, uint32(id))
				ids.LastBackend = max(ids.LastBackend, uint32(id))
			}
		}
	}
	for n, id := range s.reverseNAT {
		if id != 0 {
			ids.Frontends[s.want.Frontends[n].FrontendName] = id
		}
		if id <= maxReverseNAT {
			ids.LastFrontend = max(ids.LastFrontend, id)
		}
	}
	return ids
}

// family are the maps of an IP family.
type family struct {
	services, backends, reverseNAT, ranges layout.MapID
	is4                                    bool
}

var (
	v4 = family{layout.Services4, layout.Backends4, layout.ReverseNAT4, layout.SourceRange4, true}
	v6 = family{layout.Services6, layout.Backends6, layout.ReverseNAT6, layout.SourceRange6, false}
)

// maxDenseID bounds the ids for which a slice is kept; Cilium counts from 1.
const maxDenseID = 1 << 22

// syncer pairs what is held with what is wanted. Frontends and backends go by
// their number in the wanted State; -1 is none.
type syncer struct {
	have *Have
	want *state.State
	// frontendOf and reverseNAT map between reverse-NAT ids and frontends.
	frontendOf [1 << 16]int32
	reverseNAT []uint16
	// backendOf maps the ids of the family at hand to backends; of both, for the
	// affinity matches.
	backendOf map[bool][]int32
}

func newSyncer(have *Have, want *state.State) *syncer {
	s := &syncer{have: have, want: want, reverseNAT: make([]uint16, len(want.Frontends)), backendOf: map[bool][]int32{}}
	for i := range s.frontendOf {
		s.frontendOf[i] = -1
	}
	return s
}

func (s *syncer) family(f family) bool {
	byEndpoint, wanted, numbers := s.indexBackends(f)
	return s.rows(f, byEndpoint, wanted, numbers) && s.services(f, byEndpoint, numbers) && s.reverseRows(f)
}

// endpointBytes are the first bytes of a row: address, port, protocol.
func endpointBytes(row []byte) []byte { return row[:len(row)-5] }

// indexBackends indexes the wanted backends of a family by endpoint; the table
// has the bytes behind it as values. numbers gives a backend's number by its
// entry's.
func (s *syncer) indexBackends(f family) (*layout.Index, *layout.Table, []int32) {
	size := f.backends.Desc().ValueSize
	table := layout.NewTable(size-5, 5, len(s.want.Backends))
	numbers := make([]int32, 0, len(s.want.Backends))
	var row [24]byte
	for i := range s.want.Backends {
		if b := &s.want.Backends[i]; b.Address.Is4() == f.is4 {
			row := layout.Backend{Endpoint: b.Endpoint, State: b.State, Zone: b.Zone}.Append(row[:0])
			table.Append(endpointBytes(row), row[len(row)-5:])
			numbers = append(numbers, int32(i))
		}
	}
	return layout.NewIndex(table), table, numbers
}

// rows pairs each held row with a wanted backend, one to one.
func (s *syncer) rows(f family, byEndpoint *layout.Index, wanted *layout.Table, numbers []int32) bool {
	held := s.have.Tables[f.backends]
	if held.Rows() != len(numbers) {
		return false
	}
	highest := uint32(0)
	for i := range held.Rows() {
		key, _ := held.Row(i)
		highest = max(highest, binary.LittleEndian.Uint32(key))
	}
	if highest > maxDenseID {
		return false
	}
	ids := make([]int32, highest+1)
	for i := range ids {
		ids[i] = -1
	}
	s.backendOf[f.is4] = ids
	seen := make([]bool, len(numbers))
	for i := range held.Rows() {
		key, row := held.Row(i)
		at := byEndpoint.Find(endpointBytes(row))
		if at < 0 || seen[at] {
			return false
		}
		seen[at] = true
		if _, tail := wanted.Row(at); !bytes.Equal(row[len(row)-5:], tail) {
			return false
		}
		ids[binary.LittleEndian.Uint32(key)] = numbers[at]
	}
	return true
}

// slotRange is where a frontend's slots stand in the flat list of them.
type slotRange struct {
	number        int32 // of the frontend
	first, active int   // first slot, count of selectable ones
	all           int
	// master is the wanted value, and tails those of slots behind the backend's
	// id, selectable and not; all without the reverse-NAT id.
	master []byte
	tails  [2][]byte
}

// reverseNATAt is where the id stands in a services value.
const reverseNATAt = 6

// services pairs masters, then slots.
func (s *syncer) services(f family, byEndpoint *layout.Index, numbers []int32) bool {
	byKey, frontends, slots, ok := s.indexFrontends(f, byEndpoint, numbers)
	held := s.have.Tables[f.services]
	if !ok || held.Rows() != len(frontends)+len(slots) {
		return false
	}
	masters := make([]bool, len(frontends))
	for i := range held.Rows() {
		key, value := held.Row(i)
		if slotOf(key) == 0 && !s.master(byKey, frontends, masters, key, value) {
			return false
		}
	}
	used := make([]bool, len(slots))
	ids := s.backendOf[f.is4]
	var name [24]byte
	for i := range held.Rows() {
		key, value := held.Row(i)
		if slotOf(key) == 0 {
			continue
		}
		at := byKey.Find(frontendOf(key, &name))
		if at < 0 || !masters[at] || !s.slot(&frontends[at], slots, used, ids, int(slotOf(key)), value) {
			return false
		}
	}
	return true
}

// slotOf knows where the slot stands in a key: before the last four bytes, which
// are protocol, scope and padding.
func slotOf(key []byte) uint16 { return binary.LittleEndian.Uint16(key[len(key)-6:]) }

// scopeOf knows where the scope stands in a key: before the padding.
func scopeOf(key []byte) state.Scope { return state.Scope(key[len(key)-3]) }

// frontendOf leaves the slot out of a key, and the padding where it is none: of
// IPv4 the name of a frontend has eight bytes then.
func frontendOf(key []byte, name *[24]byte) []byte {
	n := copy(name[:], key[:len(key)-6])
	tail := key[len(key)-4:]
	if tail[2]|tail[3] == 0 {
		tail = tail[:2]
	}
	return name[:n+copy(name[n:], tail)]
}

// indexFrontends indexes the wanted masters of a family by key, and lists all
// their slots as numbers of backends.
func (s *syncer) indexFrontends(f family, byEndpoint *layout.Index, numbers []int32) (byKey *layout.Index, frontends []slotRange, slots []int32, ok bool) {
	table := layout.NewTable(f.services.Desc().KeySize-4, 0, len(s.want.Frontends))
	var row, name [24]byte
	for i := range s.want.Frontends {
		w := &s.want.Frontends[i]
		if w.Address.Is4() != f.is4 {
			continue
		}
		table.Append(frontendOf(layout.ServiceKey{FrontendName: w.FrontendName}.Append(row[:0]), &name), nil)
		master := layout.Master(w)
		r := slotRange{number: int32(i), first: len(slots), active: len(w.Backends), all: len(w.Backends) + len(w.Inactive), master: master.Bytes()}
		r.tails[0], r.tails[1] = layout.SlotTail(s.want.Layout, master, r.active), layout.SlotTail(s.want.Layout, master, r.active+1)
		for n := range r.all {
			at := byEndpoint.Find(endpointBytes(layout.Backend{Endpoint: w.Slot(n)}.Append(row[:0])))
			if at < 0 {
				return nil, nil, nil, false
			}
			slots = append(slots, numbers[at])
		}
		frontends = append(frontends, r)
	}
	return layout.NewIndex(table), frontends, slots, true
}

// master pairs a held master with a wanted one, and notes its reverse-NAT id.
func (s *syncer) master(byKey *layout.Index, frontends []slotRange, seen []bool, key, value []byte) bool {
	var name [24]byte
	at := byKey.Find(frontendOf(key, &name))
	if at < 0 || seen[at] {
		return false
	}
	seen[at] = true
	f := &frontends[at]
	if !bytes.Equal(value[:reverseNATAt], f.master[:reverseNATAt]) || !bytes.Equal(value[reverseNATAt+2:], f.master[reverseNATAt+2:]) {
		return false
	}
	id := binary.BigEndian.Uint16(value[reverseNATAt:])
	if s.want.Frontends[f.number].Wildcard() {
		return id == 0
	}
	if id == 0 || s.frontendOf[id] >= 0 {
		return false
	}
	s.frontendOf[id], s.reverseNAT[f.number] = f.number, id
	return true
}

// slot pairs a held slot with a wanted one of the same part: which of the
// selectable slots a backend has is without meaning, and so it is of the others.
func (s *syncer) slot(f *slotRange, slots []int32, used []bool, ids []int32, n int, value []byte) bool {
	from, to, tail := f.first, f.first+f.active, f.tails[0]
	if n > f.active {
		from, to, tail = to, f.first+f.all, f.tails[1]
	}
	const idAt = reverseNATAt - 4
	same := bytes.Equal(value[4:reverseNATAt], tail[:idAt]) && bytes.Equal(value[reverseNATAt+2:], tail[idAt+2:]) &&
		binary.BigEndian.Uint16(value[reverseNATAt:]) == s.reverseNAT[f.number]
	id := binary.LittleEndian.Uint32(value)
	if n > f.all || !same || int(id) >= len(ids) || ids[id] < 0 {
		return false
	}
	if at := f.first + n - 1; slots[at] == ids[id] && !used[at] {
		used[at] = true
		return true
	}
	for at := from; at < to; at++ {
		if slots[at] == ids[id] && !used[at] {
			used[at] = true
			return true
		}
	}
	return false
}

// reverseRows pairs each reverse-NAT row with the frontend of its id.
func (s *syncer) reverseRows(f family) bool {
	wanted := 0
	for i := range s.want.Frontends {
		if w := &s.want.Frontends[i]; w.Address.Is4() == f.is4 && !w.Wildcard() {
			wanted++
		}
	}
	held := s.have.Tables[f.reverseNAT]
	if held.Rows() != wanted {
		return false
	}
	seen := make([]bool, len(s.want.Frontends))
	var row [24]byte
	for i := range held.Rows() {
		key, value := held.Row(i)
		n := s.frontendOf[binary.BigEndian.Uint16(key)]
		if n < 0 || seen[n] {
			return false
		}
		seen[n] = true
		w := &s.want.Frontends[n]
		if !bytes.Equal(value, layout.AppendReverseNAT(row[:0], netip.AddrPortFrom(w.Address, w.Port))) {
			return false
		}
	}
	return true
}

// matches pairs the affinity matches of both families.
func (s *syncer) matches() bool {
	type match struct {
		frontend state.FrontendName
		backend  state.Endpoint
	}
	wanted := map[match]bool{}
	for _, m := range s.want.AffinityMatches {
		wanted[match{m.Frontend, m.Backend}] = true
	}
	held := s.have.Tables[layout.AffinityMatch]
	if held.Rows() != len(wanted) {
		return false
	}
	for i := range held.Rows() {
		key, _ := held.Row(i)
		k, err := layout.DecodeAffinityKey(key)
		n := s.frontendOf[k.ReverseNAT]
		if err != nil || n < 0 || !bytes.Equal(key, k.Bytes()) {
			return false
		}
		name := s.want.Frontends[n].FrontendName
		ids := s.backendOf[name.Address.Is4()]
		if int(k.Backend) >= len(ids) || ids[k.Backend] < 0 {
			return false
		}
		m := match{name, s.want.Backends[ids[k.Backend]].Endpoint}
		if !wanted[m] {
			return false
		}
		delete(wanted, m)
	}
	return true
}

// ranges pairs the source ranges of both families.
func (s *syncer) ranges() bool {
	wanted := map[state.SourceRange]bool{}
	for _, r := range s.want.SourceRanges {
		wanted[state.SourceRange{Frontend: r.Frontend, CIDR: r.CIDR.Masked()}] = true
	}
	for _, f := range []family{v4, v6} {
		held := s.have.Tables[f.ranges]
		for i := range held.Rows() {
			key, _ := held.Row(i)
			k, err := layout.DecodeRangeKey(key)
			n := s.frontendOf[k.ReverseNAT]
			if err != nil || n < 0 || !bytes.Equal(key, k.Bytes()) {
				return false
			}
			r := state.SourceRange{Frontend: s.want.Frontends[n].FrontendName, CIDR: k.CIDR}
			if !wanted[r] {
				return false
			}
			delete(wanted, r)
		}
	}
	return len(wanted) == 0
}
