// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/schema/state"
)

func mustMend(t *testing.T, have *Have, want *state.State, memory *layout.Ledger, confirmed []Drift) *Repair {
	t.Helper()
	repair, err := Mend(have, want, memory, confirmed)
	if err != nil {
		t.Fatal(err)
	}
	return repair
}

// I3, I4: a repair of anything, cut anywhere, leaves each frontend with what it
// had or should have, loses no entry that any lookup finds, and takes no id that
// the maps do not have.
func TestInvariantI3RepairIsSafeInEveryPrefix(t *testing.T) {
	eachSeed(t, 600, func(t *testing.T, r *rand.Rand, l state.Layout) {
		w, want := randomHave(t, r, l), randomState(r, l)
		have := &Have{Layout: l, Tables: w.tables()}
		held := mentioned(have.Tables)
		sound, strays := layout.Sift(have.Tables)
		strange := map[string]bool{}
		for _, s := range strays {
			strange[string(s.Key)] = true
		}
		dec, err := layout.Decode(l, sound)
		if err != nil {
			t.Fatal(err)
		}
		repair := mustMend(t, have, want, nil, mustDiff(t, have, want, nil).Drifts)
		after := newWorld(w.tables())
		for _, s := range repair.Plan {
			after.apply(s)
		}
		for n, s := range repair.Plan {
			checkKept(t, held, strange, s)
			w.apply(s)
			for i := range dec.State.Frontends {
				f := dec.State.Frontends[i].FrontendName
				f.Scope = state.External
				checkNoWorse(t, have, w, after, f, repair.Plan[:n+1])
			}
		}
	})
}

// checkKept asks that a step deletes only what no lookup finds, and writes known
// ids alone.
func checkKept(t *testing.T, held *mentions, strange map[string]bool, s Step) {
	t.Helper()
	if s.Op == Delete {
		k, err := layout.DecodeAffinityKey(s.Key)
		lost := s.Map == layout.AffinityMatch && err == nil && !(held.reverseNAT[k.ReverseNAT] && held.backends[k.Backend])
		if !lost && !strange[string(s.Key)] {
			t.Errorf("%s: Cilium may believe in it", s)
		}
		return
	}
	switch s.Map {
	case layout.Services4, layout.Services6:
		k, _ := layout.DecodeServiceKey(s.Key)
		v, _ := layout.DecodeService(s.New)
		if k.Slot > 0 && !held.backends[v.Word] || k.Port > 0 && !held.reverseNAT[v.ReverseNAT] {
			t.Errorf("%s: an id that Cilium did not give", s)
		}
	case layout.Backends4, layout.Backends6:
		if n, _ := layout.DecodeBackendID(s.Key); !held.backends[n] {
			t.Errorf("%s: an id that Cilium did not give", s)
		}
	case layout.ReverseNAT4, layout.ReverseNAT6:
		if n, _ := layout.DecodeReverseNATID(s.Key); !held.reverseNAT[n] {
			t.Errorf("%s: an id that Cilium did not give", s)
		}
	}
}

// checkNoWorse asks that a frontend that resolved still does, that it has a
// backend if it had one and is to have one, and that no slot leads nowhere that
// did not do so before.
func checkNoWorse(t *testing.T, have *Have, w, after world, name state.FrontendName, prefix Plan) {
	t.Helper()
	before := newWorld(have.Tables)
	was, resolved := before.resolve(name)
	now, resolves := w.resolve(name)
	then, _ := after.resolve(name)
	if resolved && !resolves {
		t.Fatalf("%s does not resolve after:\n%s", name, prefix)
	}
	if len(was) > 0 && len(then) > 0 && len(now) == 0 {
		t.Fatalf("%s has no backend after:\n%s", name, prefix)
	}
	if !nowhere(was) && nowhere(now) {
		t.Fatalf("a slot of %s leads nowhere after:\n%s", name, prefix)
	}
}

func nowhere(list []state.Endpoint) bool {
	for _, b := range list {
		if b == (state.Endpoint{}) {
			return true
		}
	}
	return false
}

// I5: what is not confirmed is not written, and neither is what depends on it.
func TestInvariantI5RepairOfConfirmedAlone(t *testing.T) {
	eachSeed(t, 300, func(t *testing.T, r *rand.Rand, l state.Layout) {
		w, want := randomHave(t, r, l), randomState(r, l)
		have := &Have{Layout: l, Tables: w.tables()}
		if repair := mustMend(t, have, want, nil, nil); len(repair.Plan) > 0 || len(repair.Left) > 0 {
			t.Fatalf("nothing is confirmed, but there is a plan:\n%s", repair.Plan)
		}
		drifts := mustDiff(t, have, want, nil).Drifts
		var confirmed []Drift
		pending := map[string]bool{}
		for _, d := range drifts {
			if r.IntN(2) == 0 {
				confirmed = append(confirmed, d)
			} else {
				pending[bare(d.Frontend)] = true
			}
		}
		for _, s := range mustMend(t, have, want, nil, confirmed).Plan {
			if s.Map != layout.Services4 && s.Map != layout.Services6 || s.Op != Put {
				continue
			}
			if k, _ := layout.DecodeServiceKey(s.Key); pending[bare(k.FrontendName.String())] {
				t.Errorf("%s: the frontend has unconfirmed drift", s)
			}
		}
	})
}

// What has gone as a whole comes back by the ids of a reading that was in sync.
// What was there is written as it was, and nothing else is.
func TestRepairRemembersIDs(t *testing.T) {
	eachSeed(t, 300, func(t *testing.T, r *rand.Rand, l state.Layout) {
		want := randomState(r, l)
		ids := randomLedger(r, want)
		sound := newWorld(mustEncode(t, want, ids))
		w := newWorld(sound.tables())
		for _, d := range layout.Content() {
			for key := range w[d.ID] {
				if r.IntN(3) == 0 {
					delete(w[d.ID], key)
				}
			}
		}
		have := &Have{Layout: l, Tables: w.tables()}
		drifts := mustDiff(t, have, want, nil).Drifts
		repair := mustMend(t, have, want, ids, drifts)
		for _, s := range repair.Plan {
			if _, there := w[s.Map][string(s.Key)]; there && s.Op == Put && string(s.Old) == string(s.New) {
				t.Errorf("%s: that is there", s)
			}
			w.apply(s)
		}
		left := mustDiff(t, &Have{Layout: l, Tables: w.tables()}, want, nil)
		if len(left.Drifts) > 0 {
			t.Errorf("left: %v\nplan:\n%s\nrest:\n%s", left.Drifts, repair.Plan, left.Plan)
		}
		for id, entries := range sound {
			for key, value := range entries {
				if w[id][key] != value && (id == layout.ReverseNAT4 || id == layout.ReverseNAT6) {
					t.Errorf("%s %x: %x, want %x", id, key, w[id][key], value)
				}
			}
		}
	})
}

// What a full map has no room for is left, with the reason, and so is all that
// would refer to it.
func TestRepairOfAFullMap(t *testing.T) {
	name := state.FrontendName{Endpoint: state.Endpoint{Address: netip.MustParseAddr("10.96.0.1"), Port: 80, Protocol: state.TCP}}
	b := state.Endpoint{Address: netip.MustParseAddr("10.244.0.1"), Port: 80, Protocol: state.TCP}
	want := &state.State{
		Layout: state.Cilium117, Backends: []state.Backend{{Endpoint: b}},
		Frontends: []state.Frontend{{FrontendName: name, Type: state.ClusterIP, Backends: []state.Endpoint{b}}},
	}
	w := newWorld(mustEncode(t, want, sequentialLedger(want)))
	delete(w[layout.Services4], string(layout.ServiceKey{FrontendName: name, Slot: 1}.Bytes()))
	have := &Have{Layout: want.Layout, Tables: w.tables(), Maps: []HeldMap{{Map: state.Map{Name: layout.Services4.String(), MaxEntries: 2}, Entries: 1}}}
	confirmed := mustDiff(t, have, want, nil).Drifts
	if repair := mustMend(t, have, want, nil, confirmed); len(repair.Plan) != 1 {
		t.Errorf("with room for one the plan is\n%s", repair.Plan)
	}
	have.Maps[0].Entries = 2
	repair := mustMend(t, have, want, nil, confirmed)
	if len(repair.Plan) > 0 || !slices.ContainsFunc(repair.Left, func(u Unmended) bool { return u.Kind == SlotGap && u.Why == whyFull }) {
		t.Errorf("with no room the plan is\n%s, left %v", repair.Plan, repair.Left)
	}
}
