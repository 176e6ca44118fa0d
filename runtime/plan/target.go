// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/schema/state"
)

// Target is the wanted State as bytes, under the ids that a Diff gave or kept.
// It answers the question that an audit asks nearly always, whether anything has
// changed at all, without decoding what was read.
type Target struct {
	want   *state.State
	ids    func() *layout.Ledger
	parts  map[layout.MapID]*part
	unsaid bool           // a frontend leads to a proxy's port that is not known
	ledger *layout.Ledger // what ids gave; nil: nothing was followed
	since  *since         // nil: nothing was followed
}

// part is one map of a Target. It is indexed once it has to be.
type part struct {
	table *layout.Table
	index *layout.Index
}

func newTarget(want *state.State, ids func() *layout.Ledger, tables layout.Tables) *Target {
	t := &Target{want: want, ids: ids, unsaid: unknownPorts(want.Frontends), parts: make(map[layout.MapID]*part, len(tables))}
	for id, table := range tables {
		if table.Rows() > 0 {
			t.parts[id] = &part{table: table.Share()}
		}
	}
	return t
}

// Holds tells whether a kernel holds the target to the byte: then a Diff would
// find nothing, and Result says so. False is no verdict: ask Diff. A State with
// Maglev tables is never said to be held, as it has only their digests.
func (t *Target) Holds(have *Have) bool {
	if have.Layout != t.want.Layout || len(t.want.Maglev) > 0 || t.unsaid {
		return false
	}
	t.fold()
	for _, d := range layout.Content() {
		p, table := t.parts[d.ID], have.Tables[d.ID]
		if p == nil && table.Rows() > 0 || p != nil && !p.holds(table) {
			return false
		}
	}
	rest := &differ{have: have, want: t.want, found: newDrifts()}
	rest.maps()
	rest.attachments()
	return len(rest.found.list) == 0
}

// holds compares, and then goes on from the table that was found equal: whoever
// reads the same again shares it, which is seen without a look at its entries.
func (p *part) holds(have *layout.Table) bool {
	if p.table.Shares(have) {
		return true
	}
	if p.index == nil {
		p.index = layout.NewIndex(p.table)
	}
	if !p.index.Holds(have) {
		return false
	}
	p.table, p.index = have.Share(), nil
	return true
}

// Rebase goes on from a State that Holds has found held and that is the target's but
// for the order of slots, which stays: what was followed since is in it, and the
// State before is kept no longer.
func (t *Target) Rebase(want *state.State) {
	if want == t.want || t.since == nil || len(want.Frontends) == 0 {
		return
	}
	t.want = arrangedAs(t.frontend, want)
	t.since.frontends, t.since.backends = map[state.FrontendName]*state.Frontend{}, map[state.Endpoint]*state.Backend{}
}

// Ledger are the target's ids.
func (t *Target) Ledger() *layout.Ledger { return t.ids() }

// Result is what Diff gives where Holds is true.
func (t *Target) Result() *Result { return &Result{ids: t.ids, Target: t} }

// Tables are the wanted State's bytes, but for Maglev tables.
func (t *Target) Tables() layout.Tables {
	t.fold()
	tables := make(layout.Tables, len(t.parts))
	for id, p := range t.parts {
		tables[id] = p.table.Share()
	}
	return tables
}
