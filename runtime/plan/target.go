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
	want    *state.State
	ledger  *layout.Ledger
	tables  layout.Tables
	indexes map[layout.MapID]*layout.Index
}

func newTarget(want *state.State, ledger *layout.Ledger, tables layout.Tables) *Target {
	t := &Target{want: want, ledger: ledger, tables: tables, indexes: make(map[layout.MapID]*layout.Index, len(tables))}
	for id, table := range tables {
		t.indexes[id] = layout.NewIndex(table)
	}
	return t
}

// Holds tells whether a kernel holds the target to the byte: then a Diff would
// find nothing, and Result says so. False is no verdict: ask Diff. A State with
// Maglev tables is never said to be held, as it has only their digests.
func (t *Target) Holds(have *Have) bool {
	if have.Layout != t.want.Layout || len(t.want.Maglev) > 0 {
		return false
	}
	for _, d := range layout.Content() {
		index, table := t.indexes[d.ID], have.Tables[d.ID]
		if index == nil && table.Rows() > 0 || index != nil && !index.Holds(table) {
			return false
		}
	}
	rest := &differ{have: have, want: t.want, found: newDrifts()}
	rest.maps()
	rest.attachments()
	return len(rest.found.list) == 0
}

// Result is what Diff gives where Holds is true.
func (t *Target) Result() *Result { return &Result{Ledger: t.ledger, Target: t} }

// Tables are the wanted State's bytes, but for Maglev tables. They must not be
// changed.
func (t *Target) Tables() layout.Tables { return t.tables }
