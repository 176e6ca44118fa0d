// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"encoding/binary"
	"maps"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/schema/state"
)

// maxPartial is how many entries may differ for a Diff of a part: with more the
// whole is not much dearer.
const maxPartial = 4096

// Diff is plan.Diff(have, want, t.Ledger()) for a kernel that differs from the
// target in few entries: it compares bytes, and decodes only the frontends and
// backends that a difference concerns. want is the State that the target was made
// from. False is no verdict: ask plan.Diff.
func (t *Target) Diff(have *Have, want *state.State) (*Result, bool) {
	if have.Layout != t.want.Layout || len(t.want.Maglev)+len(want.Maglev) > 0 {
		return nil, false
	}
	differing, ok := t.differing(have)
	if !ok {
		return nil, false
	}
	if t.since == nil {
		t.ledger = t.ids()
		t.since = newSince(t.ledger)
	}
	c := t.concernedBy(differing, want)
	held, wanted := t.partsOf(c, want)
	ids := t.ledgerOf(held)
	tables, err := layout.Encode(held, ids)
	if err != nil || !complete(wanted) {
		return nil, false
	}
	for id, entries := range differing {
		table := tables[id]
		if table == nil {
			table = layout.NewTable(id.Desc().KeySize, id.Desc().ValueSize, 0)
		}
		tables[id] = table.With(entries)
	}
	known := t.ledgerOf(wanted)
	part := *have
	part.Tables = tables
	result, err := diff(&part, wanted, known)
	if err != nil || !sameIDs(result.ids(), known) {
		return nil, false
	}
	t.rearrange(result)
	result.ids, result.Target = t.ids, t
	return result, true
}

// differing gives the entries of each map that are not as in the target, as the
// kernel holds them; nil where it does not.
func (t *Target) differing(have *Have) (map[layout.MapID]map[string][]byte, bool) {
	t.fold()
	all, n := map[layout.MapID]map[string][]byte{}, 0
	for _, d := range layout.Content() {
		p, held := t.parts[d.ID], have.Tables[d.ID]
		if p == nil && held.Rows() == 0 || p != nil && p.table.Shares(held) {
			continue
		}
		if p == nil {
			p = &part{table: layout.NewTable(d.KeySize, d.ValueSize, 0)}
		}
		if p.index == nil {
			p.index = layout.NewIndex(p.table)
		}
		entries, ok := p.index.Differing(held, maxPartial-n)
		if !ok {
			return nil, false
		}
		if len(entries) > 0 {
			all[d.ID] = entries
		}
		n += len(entries)
	}
	return all, true
}

// concern are the frontends and backends that differences name.
type concern struct {
	frontends map[state.FrontendName]bool
	// backends are those whose rows differ: with them goes each frontend that
	// leads to one. context are those of which only the row is looked at.
	backends, context map[state.Endpoint]bool
}

// concernedBy lists what differing entries concern.
func (t *Target) concernedBy(differing map[layout.MapID]map[string][]byte, want *state.State) *concern {
	c := &concern{map[state.FrontendName]bool{}, map[state.Endpoint]bool{}, map[state.Endpoint]bool{}}
	revNAT, rows, context := map[uint16]bool{}, map[uint32]bool{}, map[uint32]bool{}
	for id, entries := range differing {
		for key, value := range entries {
			switch id {
			case layout.Services4, layout.Services6:
				k, _ := layout.DecodeServiceKey([]byte(key))
				c.frontends[k.FrontendName] = true
				if s, err := layout.DecodeService(value); err == nil && k.Slot > 0 {
					context[s.Word] = true
				}
			case layout.Backends4, layout.Backends6:
				rows[binary.LittleEndian.Uint32([]byte(key))] = true
				if b, err := layout.DecodeBackend(value); err == nil {
					c.backends[b.Endpoint] = true
				}
			case layout.ReverseNAT4, layout.ReverseNAT6:
				revNAT[binary.BigEndian.Uint16([]byte(key))] = true
			case layout.AffinityMatch:
				k, _ := layout.DecodeAffinityKey([]byte(key))
				revNAT[k.ReverseNAT], context[k.Backend] = true, true
			case layout.SourceRange4, layout.SourceRange6:
				k, _ := layout.DecodeRangeKey([]byte(key))
				revNAT[k.ReverseNAT] = true
			}
		}
	}
	t.byID(c, revNAT, rows, context)
	c.users(want)
	return c
}

// byID adds what ids stand for.
func (t *Target) byID(c *concern, revNAT map[uint16]bool, rows, context map[uint32]bool) {
	if len(revNAT) > 0 {
		for name, id := range t.ledger.Frontends {
			if revNAT[id] {
				c.frontends[name] = true
			}
		}
	}
	if len(rows)+len(context) == 0 {
		return
	}
	for e, id := range t.ledger.Backends.All() {
		if rows[id] {
			c.backends[e] = true
		}
		if context[id] {
			c.context[e] = true
		}
	}
}

// users adds the frontends that lead to a backend whose row differs.
func (c *concern) users(want *state.State) {
	if len(c.backends) == 0 {
		return
	}
	for i := range want.Frontends {
		if f := &want.Frontends[i]; f.LeadsTo(c.backends) {
			c.frontends[f.FrontendName] = true
		}
	}
}

// partsOf gives the parts of the target and of the wanted State that are concerned:
// the frontends with all that hangs on them, and the rows of all backends named.
func (t *Target) partsOf(c *concern, want *state.State) (held, wanted *state.State) {
	held = &state.State{Layout: t.want.Layout}
	wanted = &state.State{Layout: want.Layout, Maps: want.Maps, Attachments: want.Attachments}
	rows := maps.Clone(c.backends)
	maps.Copy(rows, c.context)
	for name := range c.frontends {
		i, found := findFrontend(want, name)
		f := t.frontend(name)
		if !found || f == nil {
			continue
		}
		held.Frontends, wanted.Frontends = append(held.Frontends, *f), append(wanted.Frontends, want.Frontends[i])
		for s := range len(f.Backends) + len(f.Inactive) {
			rows[f.Slot(s)] = true
		}
		wanted.SourceRanges = append(wanted.SourceRanges, state.Of(want.SourceRanges, name)...)
		wanted.AffinityMatches = append(wanted.AffinityMatches, state.Of(want.AffinityMatches, name)...)
	}
	for e := range rows {
		if b := findBackend(want, e); b != nil {
			wanted.Backends = append(wanted.Backends, *b)
		}
	}
	wanted.Sort()
	held.Sort()
	held.Backends, held.SourceRanges, held.AffinityMatches = wanted.Backends, wanted.SourceRanges, wanted.AffinityMatches
	return held, wanted
}

// sameIDs tells whether a plan gave no new ids: those that the rest of the maps
// holds are not known to it.
func sameIDs(a, b *layout.Ledger) bool {
	return maps.Equal(a.Frontends, b.Frontends) && a.Backends.Equal(b.Backends)
}

// rearrange takes over the order of slots that a plan leaves.
func (t *Target) rearrange(result *Result) {
	for i := range result.Target.want.Frontends {
		f := &result.Target.want.Frontends[i]
		t.since.frontends[f.FrontendName] = f
	}
	t.note(result.Plan)
}
