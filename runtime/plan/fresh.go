// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"encoding/binary"
	"fmt"
	"slices"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/schema/state"
)

// fresh is Diff for maps without any entry, as a first start finds them, else nil:
// what is wanted is missing as a whole, so that there is nothing to pair with what
// is held, and each entry is a step. Of one kind the steps come as the State has
// its entries, not by their keys.
func fresh(have *Have, want *state.State, known *layout.Ledger) (*Result, error) {
	if !layout.Known(want.Layout) || len(want.Maglev) > 0 || unknownPorts(want.Frontends) {
		return nil, nil
	}
	for _, d := range layout.Content() {
		if have.Tables[d.ID].Rows() > 0 {
			return nil, nil
		}
	}
	ids, err := assign(have, &layout.Decoded{State: &state.State{Layout: want.Layout}, Ledger: layout.NewLedger()}, want, known)
	if err != nil {
		return nil, fmt.Errorf("assign ids: %w", err)
	}
	tables, err := layout.Encode(want, ids)
	if err != nil {
		return nil, err
	}
	d := &differ{have: have, want: want, found: newDrifts()}
	for i := range want.Frontends {
		d.missing(&want.Frontends[i])
	}
	d.unused(tables)
	d.maps()
	d.attachments()
	order(d.plan) // of programs alone, which come last
	d.plan = append(puts(tables, len(d.plan)), d.plan...)
	given := func() *layout.Ledger { return ids }
	return &Result{Drifts: d.found.sorted(), Plan: d.plan, ids: given, Target: newTarget(want, given, tables)}, nil
}

// unused reports the rows that no slot leads to.
func (d *differ) unused(tables layout.Tables) {
	for _, f := range []family{v4, v6} {
		services, rows := tables[f.services], tables[f.backends]
		used := make([]uint32, 0, services.Rows())
		for i := range services.Rows() {
			if key, value := services.Row(i); slotOf(key) > 0 {
				used = append(used, binary.LittleEndian.Uint32(value))
			}
		}
		slices.Sort(used)
		for i := range rows.Rows() {
			key, value := rows.Row(i)
			n := binary.LittleEndian.Uint32(key)
			if _, found := slices.BinarySearch(used, n); !found {
				b, _ := layout.DecodeBackend(value)
				d.rowUnused(n, b)
			}
		}
	}
}

// puts gives the step of each entry, in the order of their ranks, with room for more.
func puts(tables layout.Tables, more int) Plan {
	n := more
	for _, t := range tables {
		n += t.Rows()
	}
	plan := make(Plan, 0, n)
	for _, d := range layout.Content() {
		if d.ID != layout.Services4 && d.ID != layout.Services6 {
			plan = putRank(plan, d.ID, tables[d.ID], func([]byte) bool { return true })
		}
	}
	for _, of := range []func(key []byte) bool{isSlot, isInternal, isMaster} { // rankSlot, rankInternal, rankMaster
		plan = putRank(plan, layout.Services4, tables[layout.Services4], of)
		plan = putRank(plan, layout.Services6, tables[layout.Services6], of)
	}
	return plan
}

func isSlot(key []byte) bool     { return slotOf(key) > 0 }
func isInternal(key []byte) bool { return !isSlot(key) && scopeOf(key) == state.Internal }
func isMaster(key []byte) bool   { return !isSlot(key) && scopeOf(key) != state.Internal }

// putRank adds the puts of one rank.
func putRank(plan Plan, id layout.MapID, t *layout.Table, of func(key []byte) bool) Plan {
	for i := range t.Rows() {
		if key, value := t.Row(i); of(key) {
			plan = append(plan, Step{Op: Put, Map: id, Key: key, New: value})
		}
	}
	return plan
}
