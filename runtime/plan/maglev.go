// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"encoding/binary"
	"fmt"
	"slices"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/schema/state"
)

// tableEdit is one write of a map of Maglev tables: the frontend's table is put
// under the key, or what is there goes, where there is no frontend.
type tableEdit struct {
	of       layout.MapID
	key, old []byte
	want     *state.MaglevTable
	backends []state.Endpoint
}

func maglevMap(id layout.MapID) bool { return id == layout.Maglev4 || id == layout.Maglev6 }

// maglev compares tables by digest: a State does not hold them.
func (d *differ) maglev() {
	held := map[state.FrontendName]state.MaglevTable{}
	for _, m := range d.dec.State.Maglev {
		held[m.Frontend] = m
	}
	wanted := map[state.FrontendName]bool{}
	for i := range d.want.Maglev {
		want := &d.want.Maglev[i]
		wanted[want.Frontend] = true
		have, ok := held[want.Frontend]
		same := ok && have.Digest == want.Digest
		if !same && d.haveF[want.Frontend] != nil {
			text := "no table"
			if ok {
				text = maglevText(have)
			}
			d.drift(MaglevDrift, want.Frontend, state.Endpoint{}, maglevText(*want), text, "the Maglev table of %s is %s, want %s", want.Frontend, text, maglevText(*want))
		}
		d.putTable(want, same)
	}
	for _, have := range d.dec.State.Maglev {
		if d.wantF[have.Frontend] != nil && !wanted[have.Frontend] {
			d.drift(MaglevDrift, have.Frontend, state.Endpoint{}, "no table", maglevText(have), "%s has a Maglev table, want none", have.Frontend)
		}
	}
	d.dropTables(layout.Maglev4, wanted)
	d.dropTables(layout.Maglev6, wanted)
}

// putTable notes the write of a table that is not as it is wanted. One that leads
// to the wanted backends by ids that are about to go is not either.
func (d *differ) putTable(want *state.MaglevTable, same bool) {
	f := d.wantF[want.Frontend]
	if f == nil {
		return
	}
	of := layout.Maglev4
	if !want.Frontend.Address.Is4() {
		of = layout.Maglev6
	}
	key := layout.ReverseNATID(d.ids.Frontends[want.Frontend])
	old, _ := d.have.Tables[of].Find(key)
	if !same || !d.leadsToKept(old) {
		d.tables = append(d.tables, tableEdit{of, key, old, want, f.Backends})
	}
}

// leadsToKept tells whether all ids of a held table are such as stay. One that
// stands under another key has none.
func (d *differ) leadsToKept(table []byte) bool {
	var last uint32
	for i := 0; i+4 <= len(table); i += 4 {
		if id := binary.LittleEndian.Uint32(table[i:]); id != last {
			if _, kept := d.wantRow[id]; !kept {
				return false
			}
			last = id
		}
	}
	return len(table) > 0
}

// dropTables notes the removal of tables that no frontend wants, and reports those
// that none has at all.
func (d *differ) dropTables(of layout.MapID, wanted map[state.FrontendName]bool) {
	for key, old := range d.have.Tables[of].All() {
		id, err := layout.DecodeReverseNATID(key)
		if err != nil || wanted[d.wantID[id]] {
			continue
		}
		d.tables = append(d.tables, tableEdit{of: of, key: key, old: old})
		if _, known := d.haveID[id]; !known {
			d.found.add(Drift{Kind: MaglevDrift, Severity: state.Warning, Want: "no table", Have: fmt.Sprintf("table of id %d", id),
				Message: fmt.Sprintf("a Maglev table of reverse-NAT id %d is left over: no frontend has that id", id)})
		}
	}
}

func maglevText(m state.MaglevTable) string {
	return fmt.Sprintf("%d positions over %d backends, digest %.12s", m.TableSize, len(m.Slots), m.Digest)
}

// Tabulate adds the writes of Maglev tables to the plan. compute gives a table of
// size positions, each an index into backends; a State has only its digest, and a
// table of another one is an error, which names every frontend that it is of and
// leaves the plan as it was. A value that is written is what the kernel's inner
// map holds: backend ids of 4 bytes in the host's order, one per position.
func (r *Result) Tabulate(compute func(backends []state.Endpoint, size uint32) []uint32) error {
	if len(r.tables) == 0 {
		return nil
	}
	t := tabulator{compute: compute, ids: r.ids(), made: map[string][]byte{}}
	steps := make(Plan, 0, len(r.Plan)+len(r.tables))
	for _, e := range r.tables {
		step := Step{Op: Delete, Map: e.of, Key: e.key, Old: e.old}
		if e.want != nil {
			step.Op, step.New = Put, t.table(e)
		}
		steps = append(steps, step)
	}
	if len(t.wrong) > 0 {
		return fmt.Errorf("the Maglev tables of %v come out otherwise than they were compiled: table size and hash seed have to be those of the settings", t.wrong)
	}
	r.Plan, r.tables = append(steps, r.Plan...), nil
	order(r.Plan)
	return nil
}

// tabulator computes tables, and each of those that frontends share once.
type tabulator struct {
	compute func([]state.Endpoint, uint32) []uint32
	ids     *layout.Ledger
	made    map[string][]byte // by digest
	wrong   []state.FrontendName
}

func (t *tabulator) table(e tableEdit) []byte {
	if value, ok := t.made[e.want.Digest]; ok {
		return value
	}
	backends := slices.SortedFunc(slices.Values(e.backends), state.Endpoint.Compare)
	table := t.compute(backends, e.want.TableSize)
	if state.CondenseMaglev(e.want.Frontend, backends, table).Digest != e.want.Digest {
		t.wrong = append(t.wrong, e.want.Frontend)
		return nil
	}
	value := make([]byte, 0, 4*len(table))
	for _, i := range table {
		id, _ := t.ids.Backends.Find(backends[i]) // every backend of a table has a row
		value = binary.LittleEndian.AppendUint32(value, id)
	}
	t.made[e.want.Digest] = value
	return value
}
