// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/schema/state"
)

var layouts = []state.Layout{state.Cilium117, state.Cilium118, state.Cilium119, state.Cilium120}

// eachSeed runs a property over many seeds; a failure names its seed.
func eachSeed(t *testing.T, n int, property func(t *testing.T, r *rand.Rand, l state.Layout)) {
	for seed := range uint64(n) {
		r := rand.New(rand.NewPCG(seed, 7))
		l := layouts[seed%uint64(len(layouts))]
		t.Run(fmt.Sprintf("seed-%d", seed), func(t *testing.T) { property(t, r, l) })
	}
}

// Diff(x, x) is empty, whatever the ids and the slot order.
func TestDiffOfEqualIsEmpty(t *testing.T) {
	eachSeed(t, 200, func(t *testing.T, r *rand.Rand, l state.Layout) {
		want := randomState(r, l)
		have := &Have{Layout: l, Tables: mustEncode(t, want, randomLedger(r, want))}
		for i := range want.Frontends {
			b := slices.Clone(want.Frontends[i].Backends)
			r.Shuffle(len(b), func(i, j int) { b[i], b[j] = b[j], b[i] })
			want.Frontends[i].Backends = b
		}
		result := mustDiff(t, have, want, nil)
		if len(result.Drifts) > 0 || len(result.Plan) > 0 {
			t.Errorf("drifts %v, plan:\n%s", result.Drifts, result.Plan)
		}
	})
}

// Applying Diff(h, w) to h gives w: nothing is left to say, and what the maps
// hold decodes to what was wanted. This holds for a damaged h as well.
func TestApplyingDiffGivesWant(t *testing.T) {
	eachSeed(t, 600, func(t *testing.T, r *rand.Rand, l state.Layout) {
		w, want := randomHave(t, r, l), randomState(r, l)
		result := mustDiff(t, &Have{Layout: l, Tables: w.tables()}, want, nil)
		if (len(result.Drifts) == 0) != (len(result.Plan) == 0) {
			t.Errorf("%d drifts, but a plan of %d steps:\n%s", len(result.Drifts), len(result.Plan), result.Plan)
		}
		for _, s := range result.Plan {
			w.apply(s)
		}
		for _, known := range []*layout.Ledger{nil, result.Ledger()} {
			again := mustDiff(t, &Have{Layout: l, Tables: w.tables()}, want, known)
			if len(again.Drifts) > 0 || len(again.Plan) > 0 {
				t.Fatalf("after the plan: drifts %v, plan:\n%s", again.Drifts, again.Plan)
			}
		}
		checkDecodes(t, l, w, want)
	})
}

// FuzzDiff looks for two moments of a cluster, or a damaged one, between which
// the properties above do not hold.
func FuzzDiff(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(seed, seed*seed, seed%2 == 0)
	}
	f.Fuzz(func(t *testing.T, a, b uint64, damaged bool) {
		r := rand.New(rand.NewPCG(a, b))
		l := layouts[a%uint64(len(layouts))]
		st, want := randomState(r, l), randomState(r, l)
		w := newWorld(mustEncode(t, st, randomLedger(r, st)))
		if damaged {
			damage(r, w)
		}
		result := mustDiff(t, &Have{Layout: l, Tables: w.tables()}, want, nil)
		if (len(result.Drifts) == 0) != (len(result.Plan) == 0) {
			t.Errorf("%d drifts, but a plan of %d steps:\n%s", len(result.Drifts), len(result.Plan), result.Plan)
		}
		for _, s := range result.Plan {
			w.apply(s)
		}
		if again := mustDiff(t, &Have{Layout: l, Tables: w.tables()}, want, nil); len(again.Plan) > 0 {
			t.Errorf("after the plan:\n%s", again.Plan)
		}
	})
}

func randomHave(t *testing.T, r *rand.Rand, l state.Layout) world {
	st := randomState(r, l)
	w := newWorld(mustEncode(t, st, randomLedger(r, st)))
	if r.IntN(2) == 0 {
		damage(r, w)
	}
	return w
}

// checkDecodes compares what the maps mean with what was wanted, by a path that
// Diff has no part in.
func checkDecodes(t *testing.T, l state.Layout, w world, want *state.State) {
	t.Helper()
	dec, err := layout.Decode(l, w.tables())
	if err != nil {
		t.Fatal(err)
	}
	if len(dec.Stray) > 0 {
		t.Errorf("stray entries are left: %v", dec.Stray)
	}
	if diff := cmp.Diff(plain(dec.State), plain(want)); diff != "" {
		t.Errorf("held state (-have +want):\n%s", diff)
	}
}

// plain gives what a State says without names of services, ids and slot order.
func plain(st *state.State) []string {
	var lines []string
	for _, f := range st.Frontends {
		active, inactive := texts(f.Backends), texts(f.Inactive)
		lines = append(lines, fmt.Sprint(f.FrontendName, f.Type, f.Flags, f.Algorithm, f.AffinityTimeoutSeconds, active, inactive))
	}
	for _, b := range st.Backends {
		lines = append(lines, fmt.Sprint("backend ", b.Endpoint, b.State, b.Zone))
	}
	for _, r := range st.SourceRanges {
		lines = append(lines, fmt.Sprint("range ", r.Frontend, r.CIDR))
	}
	for _, m := range st.AffinityMatches {
		lines = append(lines, fmt.Sprint("match ", m.Frontend, m.Backend))
	}
	slices.Sort(lines)
	return lines
}

func texts(list []state.Endpoint) []string {
	out := []string{}
	for _, b := range list {
		out = append(out, b.String())
	}
	slices.Sort(out)
	return out
}

// I3: after every prefix of a plan, a frontend that was there before and is to
// be there after resolves, and only to backends that it had before or is to
// have. Where all its slots led to a row before, all do at every prefix. Within a
// rank this holds for any order, and so for any part of its steps.
func TestInvariantI3EveryPrefixIsSafe(t *testing.T) {
	eachSeed(t, 600, func(t *testing.T, r *rand.Rand, l state.Layout) {
		old := randomState(r, l)
		w := newWorld(mustEncode(t, old, randomLedger(r, old)))
		want := randomState(r, l)
		result := mustDiff(t, &Have{Layout: l, Tables: w.tables()}, want, nil)
		if r.IntN(2) == 0 {
			shuffleRanks(r, result.Plan)
		}
		after := newWorld(w.tables())
		for _, s := range result.Plan {
			after.apply(s)
		}
		var shared []state.FrontendName
		for _, f := range want.Frontends {
			_, before := w.resolve(f.FrontendName)
			if _, then := after.resolve(f.FrontendName); before && then && f.Scope == state.External {
				shared = append(shared, f.FrontendName)
			}
		}
		allowed := map[state.FrontendName]map[state.Endpoint]bool{}
		for _, name := range shared {
			allowed[name] = map[state.Endpoint]bool{}
			for _, side := range []world{w, after} {
				for _, b := range everyScope(side, name) {
					allowed[name][b] = true
				}
			}
		}
		for n, s := range result.Plan {
			w.apply(s)
			for _, name := range shared {
				checkResolves(t, w, after, name, allowed[name], result.Plan[:n+1])
			}
			for _, f := range old.Frontends {
				checkWhole(t, w, f.FrontendName, result.Plan[:n+1])
			}
		}
	})
}

// shuffleRanks changes the order of steps that may be carried out in any.
func shuffleRanks(r *rand.Rand, p Plan) {
	for len(p) > 0 {
		n := max(1, Together(p))
		r.Shuffle(n, func(i, j int) { p[i], p[j] = p[j], p[i] })
		p = p[n:]
	}
}

// everyScope lists what either scope's slots lead to.
func everyScope(w world, name state.FrontendName) []state.Endpoint {
	backends, _ := w.resolve(name)
	services, rows := w[layout.Services4], w[layout.Backends4]
	if !name.Address.Is4() {
		services, rows = w[layout.Services6], w[layout.Backends6]
	}
	for key, value := range services {
		k, _ := layout.DecodeServiceKey([]byte(key))
		s, _ := layout.DecodeService([]byte(value))
		if k.Endpoint == name.Endpoint && k.Slot > 0 {
			b, _ := layout.DecodeBackend([]byte(rows[string(layout.BackendID(s.Word))]))
			backends = append(backends, b.Endpoint)
		}
	}
	return backends
}

// checkWhole asks that a service that is there, and be it about to go, leads to
// a backend from each of its slots.
func checkWhole(t *testing.T, w world, name state.FrontendName, prefix Plan) {
	t.Helper()
	backends, _ := w.resolve(name)
	if slices.Contains(backends, state.Endpoint{}) {
		t.Fatalf("a slot of %s leads nowhere after:\n%s", name, prefix)
	}
}

func checkResolves(t *testing.T, w, after world, name state.FrontendName, allowed map[state.Endpoint]bool, prefix Plan) {
	t.Helper()
	backends, ok := w.resolve(name)
	if !ok {
		t.Fatalf("%s does not resolve after:\n%s", name, prefix)
	}
	for _, b := range backends {
		if !allowed[b] {
			t.Fatalf("%s leads to %s after:\n%s", name, b, prefix)
		}
	}
	if final, _ := after.resolve(name); len(final) > 0 && len(backends) == 0 {
		if before := prefix[len(prefix)-1]; before.Op == Delete {
			t.Fatalf("%s has no backend after:\n%s", name, prefix)
		}
	}
}

// I4: an id that stands for a frontend or a backend before and after is the
// same, and an id never comes to stand for something else while in use.
func TestInvariantI4IDsAreStable(t *testing.T) {
	eachSeed(t, 300, func(t *testing.T, r *rand.Rand, l state.Layout) {
		old := randomState(r, l)
		ids := randomLedger(r, old)
		have := &Have{Layout: l, Tables: mustEncode(t, old, ids)}
		want := randomState(r, l)
		result := mustDiff(t, have, want, ids)
		owner := map[uint32]state.Endpoint{}
		for b, id := range ids.Backends.All() {
			owner[id] = b
		}
		for b, id := range result.Ledger().Backends.All() {
			if before, ok := ids.Backends.Find(b); ok && before != id {
				t.Errorf("backend %s: id %d became %d", b, before, id)
			}
			if before, ok := owner[id]; ok && before != b {
				t.Errorf("id %d: %s became %s", id, before, b)
			}
		}
		for f, id := range result.Ledger().Frontends {
			if before, ok := ids.Frontends[f]; ok && before != id {
				t.Errorf("frontend %s: id %d became %d", f, before, id)
			}
		}
	})
}

// Shuffled input gives the identical plan.
func TestDiffIsDeterministic(t *testing.T) {
	eachSeed(t, 100, func(t *testing.T, r *rand.Rand, l state.Layout) {
		w, want := randomHave(t, r, l), randomState(r, l)
		first := mustDiff(t, &Have{Layout: l, Tables: w.tables()}, want, nil)
		for range 3 {
			again := mustDiff(t, &Have{Layout: l, Tables: w.tables()}, want, nil)
			if diff := cmp.Diff(first.Plan.String(), again.Plan.String()); diff != "" {
				t.Fatalf("plan (-first +again):\n%s", diff)
			}
			if diff := cmp.Diff(first.Drifts, again.Drifts); diff != "" {
				t.Fatalf("drifts (-first +again):\n%s", diff)
			}
		}
	})
}

// A Target is held exactly where Diff finds nothing: it may say no where Diff
// says yes, as slots may lie in another order, but never the other way round.
func TestTargetHoldsOnlyWhatDiffAccepts(t *testing.T) {
	held := 0
	eachSeed(t, 300, func(t *testing.T, r *rand.Rand, l state.Layout) {
		want := randomState(r, l)
		w := newWorld(mustEncode(t, want, randomLedger(r, want)))
		target := mustDiff(t, &Have{Layout: l, Tables: w.tables()}, want, nil).Target
		if r.IntN(2) == 0 {
			damage(r, w)
		}
		have := &Have{Layout: l, Tables: w.tables()}
		clean := len(mustDiff(t, have, want, nil).Drifts) == 0
		if target.Holds(have) {
			held++
			if !clean {
				t.Error("the target is said to be held, and Diff finds drifts")
			}
		} else if clean {
			t.Log("not held to the byte, though nothing drifts")
		}
	})
	if held < 100 {
		t.Errorf("only %d targets were held", held)
	}
}

// InSync says yes only where Diff finds nothing, and says it wherever nothing
// was damaged, whatever the ids and the order of slots.
func TestInSyncAgreesWithDiff(t *testing.T) {
	inSync := 0
	eachSeed(t, 600, func(t *testing.T, r *rand.Rand, l state.Layout) {
		want := randomState(r, l)
		w := newWorld(mustEncode(t, want, randomLedger(r, want)))
		damaged := r.IntN(2) == 0
		if damaged {
			damage(r, w)
		}
		for i := range want.Frontends {
			b := slices.Clone(want.Frontends[i].Backends)
			r.Shuffle(len(b), func(i, j int) { b[i], b[j] = b[j], b[i] })
			want.Frontends[i].Backends = b
		}
		have := &Have{Layout: l, Tables: w.tables()}
		full, err := diff(have, want, nil)
		if err != nil {
			t.Fatal(err)
		}
		result, drifts := mustDiff(t, have, want, nil), full.Drifts
		if diff := cmp.Diff(full.Ledger(), result.Ledger(), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("ids (-decoded +paired):\n%s", diff)
		}
		if diff := cmp.Diff(full.Plan.String(), result.Plan.String()); diff != "" || len(result.Drifts) != len(drifts) {
			t.Errorf("%d drifts, want %d; plan (-decoded +paired):\n%s", len(result.Drifts), len(drifts), diff)
		}
		if len(drifts) == 0 && !result.Target.Holds(have) {
			t.Error("nothing drifts, but its target is not held")
		}
		switch got := InSync(have, want); {
		case got && len(drifts) > 0:
			t.Errorf("in sync, but: %v", drifts)
		case !got && !damaged:
			t.Error("not in sync, though nothing was damaged")
		case got:
			inSync++
		}
	})
	if inSync < 200 {
		t.Errorf("only %d were in sync", inSync)
	}
}

// An entry that differs in the padding of its key is no frontend's.
func TestInSyncLooksAtPadding(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	want := randomState(r, state.Cilium117)
	tables := mustEncode(t, want, randomLedger(r, want))
	have := &Have{Layout: state.Cilium117, Tables: tables}
	if !InSync(have, want) {
		t.Fatal("not in sync, though nothing was damaged")
	}
	for _, id := range []layout.MapID{layout.Services4, layout.Services6} {
		damaged := layout.NewTable(id.Desc().KeySize, id.Desc().ValueSize, 0)
		for key, value := range tables[id].All() {
			key = slices.Clone(key)
			key[len(key)-1] = 1
			damaged.Append(key, value)
		}
		if damaged.Rows() == 0 {
			continue
		}
		with := maps.Clone(tables)
		with[id] = damaged
		if InSync(&Have{Layout: state.Cilium117, Tables: with}, want) {
			t.Errorf("%s: in sync, though every key is another one", id)
		}
	}
}
