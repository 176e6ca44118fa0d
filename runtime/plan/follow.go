// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"math"
	"math/bits"
	"slices"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/schema/state"
)

// Follow plans a change of the wanted State for a kernel that holds the target: it
// gives the Drifts and the Plan that Diff would give for the whole, at the cost of
// what the change names. The target and its ledger are then those of the changed
// State; where the plan is not carried out to its end they are of no more use.
//
// False means that the change has to be planned by Diff, and that nothing was
// changed here: the State has Maglev tables, of which it holds only digests, ids
// ran out or are about to wrap, or the change is not one of this target's State.
func (t *Target) Follow(c *state.Change) (*Result, bool) {
	if t.since == nil {
		t.ledger = t.ids()
		t.since = newSince(t.ledger)
	}
	have, known := t.held(c)
	if !known || !t.follows(c) {
		return nil, false
	}
	want := t.wanted(c)
	old, err := layout.Encode(have, t.ledger)
	if err != nil || !complete(want) {
		return nil, false
	}
	// What the differ looks up stands in the tables and in these parts alone.
	dec := &layout.Decoded{State: have, Ledger: t.ledgerOf(have)}
	if arranged := arrange(have, want); t.unsaid || unknownPorts(arranged.Frontends) {
		return nil, false
	}
	if !t.assign(c) {
		return nil, false
	}
	want = arrange(have, want)
	next, err := layout.Encode(want, t.ledger)
	if err != nil {
		return nil, false
	}
	d := newDiffer(&Have{Layout: t.want.Layout, Tables: old}, dec, want, t.ledgerOf(want))
	for _, desc := range layout.Content() {
		for e := range layout.Edits(old[desc.ID], next[desc.ID]) {
			d.edit(desc.ID, e)
		}
	}
	order(d.plan)
	t.move(c, want, d.plan)
	return &Result{Drifts: d.found.sorted(), Plan: d.plan, ids: t.ids, Target: t}, true
}

// since is what a target has that it was not made with.
type since struct {
	frontends map[state.FrontendName]*state.Frontend // nil: gone
	backends  map[state.Endpoint]*state.Backend      // nil: gone
	entries   map[layout.MapID]map[string][]byte     // by key; nil: gone
	taken     [(math.MaxUint16 + 1) / 64]uint64      // reverse-NAT ids, a bit each
}

func newSince(ids *layout.Ledger) *since {
	s := &since{frontends: map[state.FrontendName]*state.Frontend{}, backends: map[state.Endpoint]*state.Backend{}, entries: map[layout.MapID]map[string][]byte{}}
	for _, id := range ids.Frontends {
		s.taken[id/64] |= 1 << (id % 64)
	}
	return s
}

func (s *since) isTaken(id uint16) bool { return s.taken[id/64]&(1<<(id%64)) != 0 }

// highest gives the greatest id that is taken, or 0.
func (s *since) highest() uint16 {
	for i := len(s.taken) - 1; i >= 0; i-- {
		if s.taken[i] != 0 {
			return uint16(i*64 + bits.Len64(s.taken[i]) - 1)
		}
	}
	return 0
}

// follows tells whether a change is one that Follow can plan.
func (t *Target) follows(c *state.Change) bool {
	if c.After.Layout != t.want.Layout || len(t.want.Maglev)+len(c.Before.Maglev)+len(c.After.Maglev) > 0 {
		return false
	}
	for i := range c.After.Frontends {
		n := c.After.Frontends[i].FrontendName
		if _, found := findFrontend(c.Before, n); !found && t.frontend(n) != nil {
			return false
		}
	}
	return true
}

// frontend gives a frontend of the target as it is arranged, or nil.
func (t *Target) frontend(n state.FrontendName) *state.Frontend {
	if f, changed := t.since.frontends[n]; changed {
		return f
	}
	if i, found := findFrontend(t.want, n); found {
		return &t.want.Frontends[i]
	}
	return nil
}

func findFrontend(s *state.State, n state.FrontendName) (int, bool) {
	return slices.BinarySearchFunc(s.Frontends, n, func(f state.Frontend, n state.FrontendName) int { return f.Compare(n) })
}

func findBackend(s *state.State, e state.Endpoint) *state.Backend {
	i, found := slices.BinarySearchFunc(s.Backends, e, func(b state.Backend, e state.Endpoint) int { return b.Compare(e) })
	if !found {
		return nil
	}
	return &s.Backends[i]
}

func (t *Target) backend(e state.Endpoint) *state.Backend {
	if b, changed := t.since.backends[e]; changed {
		return b
	}
	return findBackend(t.want, e)
}

// held gives the part of the held State that a change concerns: its frontends, and
// the rows of all backends that they lead to, before or after. False means that
// the target does not hold what the change starts from.
func (t *Target) held(c *state.Change) (*state.State, bool) {
	have := &state.State{Layout: t.want.Layout, SourceRanges: c.Before.SourceRanges, AffinityMatches: c.Before.AffinityMatches}
	for i := range c.Before.Frontends {
		f := t.frontend(c.Before.Frontends[i].FrontendName)
		if f == nil {
			return nil, false
		}
		have.Frontends = append(have.Frontends, *f)
	}
	for _, b := range c.Before.Backends {
		if t.backend(b.Endpoint) == nil {
			return nil, false
		}
	}
	for _, e := range concerned(c) {
		if b := t.backend(e); b != nil {
			have.Backends = append(have.Backends, *b)
		}
	}
	return have, true
}

// wanted gives the part of the wanted State that a change concerns.
func (t *Target) wanted(c *state.Change) *state.State {
	want := *c.After
	want.Backends = nil
	for _, e := range concerned(c) {
		b := findBackend(c.After, e)
		if b == nil && findBackend(c.Before, e) == nil {
			b = t.backend(e)
		}
		if b != nil {
			want.Backends = append(want.Backends, *b)
		}
	}
	return &want
}

// complete tells whether a part has the rows of all backends that it leads to.
func complete(part *state.State) bool {
	for i := range part.Frontends {
		f := &part.Frontends[i]
		for s := range len(f.Backends) + len(f.Inactive) {
			if findBackend(part, f.Slot(s)) == nil {
				return false
			}
		}
	}
	return true
}

// concerned lists every backend that a change speaks of, sorted.
func concerned(c *state.Change) []state.Endpoint {
	var list []state.Endpoint
	for _, part := range []*state.State{c.Before, c.After} {
		for i := range part.Frontends {
			list = append(append(list, part.Frontends[i].Backends...), part.Frontends[i].Inactive...)
		}
		for _, b := range part.Backends {
			list = append(list, b.Endpoint)
		}
	}
	slices.SortFunc(list, state.Endpoint.Compare)
	return slices.Compact(list)
}

// ledgerOf is the ledger of a part.
func (t *Target) ledgerOf(part *state.State) *layout.Ledger {
	ids := layout.NewLedger()
	for i := range part.Frontends {
		if n := part.Frontends[i].FrontendName; !part.Frontends[i].Wildcard() {
			ids.Frontends[n] = t.ledger.Frontends[n]
		}
	}
	for i := range part.Backends {
		id, _ := t.ledger.Backends.Find(part.Backends[i].Endpoint)
		ids.Backends.Set(part.Backends[i].Endpoint, id)
	}
	return ids
}

// maxFollowed is the backend id from which on Diff has to say which are free.
const maxFollowed = math.MaxUint32 - 1<<20

// assign gives what is new its id, as Diff would, and takes those of what is gone.
func (t *Target) assign(c *state.Change) bool {
	if t.ledger.LastBackend > maxFollowed {
		return false
	}
	last, given, ok := t.reverseNAT(c)
	if !ok {
		return false
	}
	for n, id := range given {
		t.ledger.Frontends[n] = id
		t.since.taken[id/64] |= 1 << (id % 64)
	}
	t.ledger.LastFrontend = last
	for i := range c.Before.Frontends {
		n := c.Before.Frontends[i].FrontendName
		if id, has := t.ledger.Frontends[n]; has && !foundIn(c.After, n) {
			delete(t.ledger.Frontends, n)
			t.since.taken[id/64] &^= 1 << (id % 64)
		}
	}
	for _, b := range c.After.Backends {
		if _, has := t.ledger.Backends.Find(b.Endpoint); !has {
			t.ledger.LastBackend++
			t.ledger.Backends.Set(b.Endpoint, t.ledger.LastBackend)
		}
	}
	for _, b := range c.Before.Backends {
		if findBackend(c.After, b.Endpoint) == nil {
			t.ledger.Backends.Drop(b.Endpoint)
		}
	}
	return true
}

func foundIn(s *state.State, n state.FrontendName) bool {
	_, found := findFrontend(s, n)
	return found
}

// reverseNAT chooses ids for new frontends, in their order.
func (t *Target) reverseNAT(c *state.Change) (last uint16, given map[state.FrontendName]uint16, ok bool) {
	last = max(t.ledger.LastFrontend, t.since.highest())
	given, chosen := map[state.FrontendName]uint16{}, map[uint16]bool{}
	for i := range c.After.Frontends {
		f := &c.After.Frontends[i]
		if _, has := t.ledger.Frontends[f.FrontendName]; has || f.Wildcard() {
			continue
		}
		free := false
		for range maxReverseNAT {
			last = last%maxReverseNAT + 1
			if free = !t.since.isTaken(last) && !chosen[last]; free {
				break
			}
		}
		if !free {
			return 0, nil, false
		}
		given[f.FrontendName], chosen[last] = last, true
	}
	return last, given, true
}

// move makes the target that of the changed State.
func (t *Target) move(c *state.Change, want *state.State, plan Plan) {
	for i := range c.Before.Frontends {
		t.since.frontends[c.Before.Frontends[i].FrontendName] = nil
	}
	for i := range want.Frontends {
		t.since.frontends[want.Frontends[i].FrontendName] = &want.Frontends[i]
	}
	for _, b := range c.Before.Backends {
		t.since.backends[b.Endpoint] = nil
	}
	for i := range c.After.Backends {
		t.since.backends[c.After.Backends[i].Endpoint] = &c.After.Backends[i]
	}
	t.note(plan)
}

// note takes over what a plan writes.
func (t *Target) note(plan Plan) {
	for _, s := range plan {
		if s.Op != Put && s.Op != Delete {
			continue
		}
		if t.since.entries[s.Map] == nil {
			t.since.entries[s.Map] = map[string][]byte{}
		}
		t.since.entries[s.Map][string(s.Key)] = s.New
	}
}

// fold brings what Follow changed into the tables.
func (t *Target) fold() {
	if t.since == nil {
		return
	}
	for id, entries := range t.since.entries {
		table := layout.NewTable(id.Desc().KeySize, id.Desc().ValueSize, 0)
		if p := t.parts[id]; p != nil {
			table = p.table
		}
		t.parts[id] = &part{table: table.With(entries)}
	}
	clear(t.since.entries)
}
