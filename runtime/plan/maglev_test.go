// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/schema/state"
)

// tableSize is that of the tables of these tests.
const tableSize = 7

// computeTable stands for Maglev: any table that follows from the backends does.
func computeTable(backends []state.Endpoint, size uint32) []uint32 {
	table := make([]uint32, size)
	for i := range table {
		table[i] = uint32(i*i) % uint32(len(backends))
	}
	return table
}

// withTables gives some of the frontends that have backends a table.
func withTables(r *rand.Rand, st *state.State) *state.State {
	for _, f := range st.Frontends {
		if len(f.Backends) > 0 && r.IntN(4) > 0 {
			sorted := slices.SortedFunc(slices.Values(f.Backends), state.Endpoint.Compare)
			st.Maglev = append(st.Maglev, state.CondenseMaglev(f.FrontendName, sorted, computeTable(sorted, tableSize)))
		}
	}
	return st
}

// haveWorld reads a world with its tables, which are larger than an outer map's values.
func haveWorld(w world, l state.Layout) *Have {
	out := w.tablesOf(func(d layout.Desc) int {
		if maglevMap(d.ID) {
			return 4 * tableSize
		}
		return d.ValueSize
	})
	return &Have{Layout: l, Tables: out}
}

func tabulated(t *testing.T, have *Have, want *state.State, ids *layout.Ledger) *Result {
	t.Helper()
	result := mustDiff(t, have, want, ids)
	if err := result.Tabulate(computeTable); err != nil {
		t.Fatal(err)
	}
	return result
}

// settled gives a world that holds a State with its tables.
func settled(t *testing.T, r *rand.Rand, st *state.State) world {
	w := newWorld(mustEncode(t, st, randomLedger(r, st)))
	for _, s := range tabulated(t, haveWorld(w, st.Layout), st, nil).Plan {
		w.apply(s)
	}
	return w
}

// What is planned gives the tables that are wanted, and no others, also where the
// entries or the tables were damaged; then nothing is left to say.
func TestTablesConverge(t *testing.T) {
	eachSeed(t, 300, func(t *testing.T, r *rand.Rand, l state.Layout) {
		w, want := settled(t, r, withTables(r, randomState(r, l))), withTables(r, randomState(r, l))
		if r.IntN(2) == 0 {
			damage(r, w)
			damageTables(r, w)
		}
		result := tabulated(t, haveWorld(w, l), want, nil)
		if (len(result.Drifts) == 0) != (len(result.Plan) == 0) {
			t.Errorf("%d drifts, but a plan of %d steps:\n%s", len(result.Drifts), len(result.Plan), result.Plan)
		}
		for _, s := range result.Plan {
			w.apply(s)
		}
		for _, known := range []*layout.Ledger{nil, result.Ledger()} {
			if again := tabulated(t, haveWorld(w, l), want, known); len(again.Drifts) > 0 || len(again.Plan) > 0 {
				t.Fatalf("after the plan: drifts %v, plan:\n%s", again.Drifts, again.Plan)
			}
		}
		dec, err := layout.Decode(l, haveWorld(w, l).Tables)
		if err != nil {
			t.Fatal(err)
		}
		want.Sort()
		if diff := cmp.Diff(want.Maglev, dec.State.Maglev, cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("tables (-want +have):\n%s", diff)
		}
	})
}

// damageTables changes a position, takes a table away, or adds a stray one.
func damageTables(r *rand.Rand, w world) {
	tables := w[layout.Maglev4]
	var keys []string
	for key := range tables {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		switch r.IntN(4) {
		case 0:
			delete(tables, key)
		case 1:
			table := []byte(tables[key])
			table[4*r.IntN(tableSize)] ^= 1
			tables[key] = string(table)
		}
	}
	if r.IntN(2) == 0 {
		tables[string(layout.ReverseNATID(uint16(300+r.IntN(99))))] = string(make([]byte, 4*tableSize))
	}
}

// I3: after every prefix of a plan each table leads to rows, and a frontend that
// had one and is to have one has one.
func TestInvariantI3Tables(t *testing.T) {
	swapped := 0
	eachSeed(t, 300, func(t *testing.T, r *rand.Rand, l state.Layout) {
		before, want := withTables(r, randomState(r, l)), withTables(r, randomState(r, l))
		w := settled(t, r, before)
		result := tabulated(t, haveWorld(w, l), want, nil)
		for n, s := range result.Plan {
			w.apply(s)
			prefix := result.Plan[:n+1]
			for _, of := range []layout.MapID{layout.Maglev4, layout.Maglev6} {
				checkTables(t, w, of, prefix)
			}
			for _, m := range want.Maglev {
				if !slices.ContainsFunc(before.Maglev, func(b state.MaglevTable) bool { return b.Frontend == m.Frontend }) {
					continue
				}
				swapped++
				if key := layout.ReverseNATID(result.Ledger().Frontends[m.Frontend]); w[layout.Maglev4][string(key)]+w[layout.Maglev6][string(key)] == "" {
					t.Fatalf("%s has no table after:\n%s", m.Frontend, prefix)
				}
			}
		}
		for _, m := range want.Maglev { // a master comes after its table
			checkBehindTable(t, result, m.Frontend)
		}
	})
	if swapped == 0 {
		t.Error("no table was looked at")
	}
}

func checkTables(t *testing.T, w world, of layout.MapID, prefix Plan) {
	t.Helper()
	rows := w[layout.Backends4]
	if of == layout.Maglev6 {
		rows = w[layout.Backends6]
	}
	for key, table := range w[of] {
		for i := 0; i < len(table); i += 4 {
			if _, there := rows[table[i:i+4]]; !there {
				t.Fatalf("the table of %x leads to no row after:\n%s", key, prefix)
			}
		}
	}
}

func checkBehindTable(t *testing.T, result *Result, name state.FrontendName) {
	t.Helper()
	table, master := -1, -1
	for i, s := range result.Plan {
		switch {
		case s.Op == Put && maglevMap(s.Map) && binary.BigEndian.Uint16(s.Key) == result.Ledger().Frontends[name]:
			table = i
		case s.Op == Put && string(s.Key) == string(layout.ServiceKey{FrontendName: name}.Bytes()):
			master = i
		}
	}
	if master >= 0 && table > master {
		t.Errorf("the master of %s is written before its table:\n%s", name, result.Plan)
	}
}

// A table that is computed otherwise than it was compiled is not written.
func TestTabulateHoldsToTheDigest(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	want := withTables(r, randomState(r, state.Cilium117))
	if len(want.Maglev) == 0 {
		t.Fatal("no table is wanted")
	}
	result := mustDiff(t, &Have{Layout: want.Layout}, want, nil)
	before := len(result.Plan)
	if err := result.Tabulate(func([]state.Endpoint, uint32) []uint32 { return []uint32{1} }); err == nil || len(result.Plan) != before {
		t.Errorf("error %v, %d steps; want an error and the %d steps that there were", err, len(result.Plan), before)
	}
}
