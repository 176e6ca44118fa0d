// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/schema/state"
)

// Follow says of a change what Diff says of the whole, change after change, and
// the target stays that of what the kernel holds.
func TestFollowIsDiff(t *testing.T) {
	eachSeed(t, 400, func(t *testing.T, r *rand.Rand, l state.Layout) { checkFollow(t, r, l) })
}

func FuzzFollow(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(seed, seed*3)
	}
	f.Fuzz(func(t *testing.T, a, b uint64) {
		checkFollow(t, rand.New(rand.NewPCG(a, b)), layouts[a%uint64(len(layouts))])
	})
}

func checkFollow(t *testing.T, r *rand.Rand, l state.Layout) {
	want := randomState(r, l)
	w := newWorld(mustEncode(t, want, randomLedger(r, want)))
	result := mustDiff(t, &Have{Layout: l, Tables: w.tables()}, want, nil)
	if r.IntN(3) == 0 {
		result.Ledger().LastFrontend = maxReverseNAT - 2 // about to wrap
	}
	target := result.Target
	for range 6 {
		next := randomlyChanged(r, want)
		known := cloneLedger(target.Ledger())
		whole := mustDiff(t, &Have{Layout: l, Tables: w.tables()}, next, known)
		got, ok := target.Follow(state.Between(want, next))
		if !ok {
			t.Fatal("the change could not be followed")
		}
		if diff := cmp.Diff(whole.Plan, got.Plan); diff != "" {
			t.Fatalf("plan (-Diff +Follow):\n%s\n%s\n%s", diff, whole.Plan, got.Plan)
		}
		if diff := cmp.Diff(whole.Drifts, got.Drifts); diff != "" {
			t.Fatalf("drifts (-Diff +Follow):\n%s", diff)
		}
		if diff := cmp.Diff(whole.Ledger(), got.Ledger()); diff != "" {
			t.Fatalf("ledger (-Diff +Follow):\n%s", diff)
		}
		for _, s := range got.Plan {
			w.apply(s)
		}
		if want = next; r.IntN(2) == 0 && !target.Holds(&Have{Layout: l, Tables: w.tables()}) {
			t.Fatal("the target is not what the kernel holds after the plan")
		}
	}
	checkDecodes(t, l, w, want)
}

// randomlyChanged gives a State of which some frontends are gone, new, or
// different, and some backends in another state.
func randomlyChanged(r *rand.Rand, in *state.State) *state.State {
	out := &state.State{Layout: in.Layout}
	for _, f := range in.Frontends {
		if r.IntN(6) == 0 {
			continue
		}
		if r.IntN(4) == 0 && !f.Wildcard() {
			f.Backends, f.Inactive = randomSlots(r, f.Address.Is4())
		}
		if r.IntN(10) == 0 {
			f.Service += "x"
		}
		out.Frontends = append(out.Frontends, f)
	}
	for range r.IntN(3) {
		f := randomFrontend(r, 6+r.IntN(4))
		if in.Layout >= state.Cilium119 && r.IntN(3) == 0 {
			f = state.Frontend{FrontendName: state.FrontendName{Endpoint: state.Endpoint{Address: f.Address}}, Flags: state.NonRoutable, Service: f.Service}
		}
		if !slices.ContainsFunc(out.Frontends, func(o state.Frontend) bool { return o.FrontendName == f.FrontendName }) {
			out.Frontends = append(out.Frontends, f)
		}
	}
	addDetails(r, in, out)
	out.Sort()
	return out
}

// addDetails gives a State the rows, matches and ranges of its frontends.
func addDetails(r *rand.Rand, before, st *state.State) {
	rows := map[state.Endpoint]state.Backend{}
	for _, b := range before.Backends {
		if b.State == state.Maintenance && r.IntN(2) == 0 {
			st.Backends = append(st.Backends, b)
		}
		if rows[b.Endpoint] = b; r.IntN(5) == 0 {
			rows[b.Endpoint] = state.Backend{Endpoint: b.Endpoint, State: state.BackendState(r.IntN(2)), Zone: uint8(r.IntN(2))}
		}
	}
	used := map[state.Endpoint]bool{}
	for _, b := range st.Backends {
		used[b.Endpoint] = true
	}
	for i := range st.Frontends {
		f := &st.Frontends[i]
		for s := range len(f.Backends) + len(f.Inactive) {
			b := f.Slot(s)
			if f.Flags&state.Affinity != 0 {
				st.AffinityMatches = append(st.AffinityMatches, state.AffinityMatch{Frontend: f.FrontendName, Backend: b})
			}
			if row, had := rows[b]; !used[b] {
				used[b] = true
				if !had {
					row = state.Backend{Endpoint: b}
				}
				st.Backends = append(st.Backends, row)
			}
		}
		if f.Flags&state.SourceRangeFlag != 0 && f.Address.Is4() {
			st.SourceRanges = append(st.SourceRanges, state.SourceRange{Frontend: f.FrontendName, CIDR: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(r.IntN(4)), 0, 0}), 16)})
		}
	}
	if b := (state.Backend{Endpoint: state.Endpoint{Address: netip.AddrFrom4([4]byte{10, 9, 9, byte(r.IntN(3))}), Port: 1, Protocol: state.TCP}, State: state.Maintenance}); !used[b.Endpoint] {
		st.Backends = append(st.Backends, b)
	}
}

func cloneLedger(l *layout.Ledger) *layout.Ledger {
	out := *l
	out.Backends, out.Frontends = l.Backends.Clone(), maps.Clone(l.Frontends)
	return &out
}

// What Follow can't plan it refuses, and the target stays as it is.
func TestFollowRefuses(t *testing.T) {
	const text = `layout cilium/1.17
frontend 10.96.0.10:53/UDP type=ClusterIP flags=non-routable alg=random affinity=0 service=t/a port=p backends=10.244.0.2:53/UDP inactive=-
backend 10.244.0.2:53/UDP state=active zone=0
`
	want, err := state.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	frontend := want.Frontends[0]
	empty := &state.State{Layout: want.Layout}
	table := &state.State{Layout: want.Layout, Maglev: []state.MaglevTable{{Frontend: frontend.FrontendName}}}
	another := &state.State{Layout: state.Cilium118}
	stranger := frontend
	stranger.Port = 54
	lost := &state.State{Layout: want.Layout, Frontends: []state.Frontend{{FrontendName: stranger.FrontendName, Backends: []state.Endpoint{{Port: 1}}}}}
	for name, c := range map[string]*state.Change{
		"Maglev":                     {Before: empty, After: table},
		"layout":                     {Before: empty, After: another},
		"frontend that is there":     {Before: empty, After: want},
		"frontend that is not there": {Before: &state.State{Frontends: []state.Frontend{stranger}}, After: empty},
		"backend that is not there":  {Before: &state.State{Backends: []state.Backend{{Endpoint: stranger.Endpoint}}}, After: empty},
		"slot without a backend":     {Before: empty, After: lost},
	} {
		w := newWorld(mustEncode(t, want, randomLedger(rand.New(rand.NewPCG(1, 1)), want)))
		have := &Have{Layout: want.Layout, Tables: w.tables()}
		target := mustDiff(t, have, want, nil).Target
		before := cloneLedger(target.Ledger())
		if _, ok := target.Follow(c); ok {
			t.Errorf("%s: it was followed", name)
		}
		if diff := cmp.Diff(before, target.ledger); diff != "" || !target.Holds(have) {
			t.Errorf("%s: the target has changed: %s", name, diff)
		}
	}
}

func TestFollowRunsOutOfIDs(t *testing.T) {
	want := &state.State{Layout: state.Cilium117}
	for i := range maxReverseNAT + 1 {
		f := state.Frontend{Flags: state.NonRoutable, Algorithm: state.Random}
		f.Endpoint = state.Endpoint{Address: netip.AddrFrom4([4]byte{10, 96, byte(i >> 8), byte(i)}), Port: 1, Protocol: state.TCP}
		want.Frontends = append(want.Frontends, f)
	}
	most := &state.State{Layout: want.Layout, Frontends: want.Frontends[:maxReverseNAT]}
	target := mustDiff(t, &Have{Layout: want.Layout}, most, nil).Target
	if _, ok := target.Follow(state.Between(most, want)); ok {
		t.Error("65535 frontends have ids")
	}
	target.ledger.LastBackend = maxFollowed + 1
	if _, ok := target.Follow(state.Between(most, most)); ok {
		t.Error("a wrap of the backends' ids was followed")
	}
}
