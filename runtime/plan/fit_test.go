// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/schema/state"
)

// sizedWorld reads a world whose maps have the room that is stated.
func sizedWorld(w world, l state.Layout, room map[layout.MapID]uint32) *Have {
	have := haveWorld(w, l)
	for _, d := range layout.Content() {
		if room[d.ID] > 0 {
			have.Maps = append(have.Maps, HeldMap{Map: state.Map{Name: d.Name, MaxEntries: room[d.ID]}, Entries: uint32(have.Tables[d.ID].Rows())})
		}
	}
	return have
}

func mustFit(t *testing.T, have *Have, want *state.State) *Fitting {
	t.Helper()
	f, err := Fit(have, want)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

const crowded = `layout cilium/1.17
frontend 10.96.0.1:443/TCP type=ClusterIP flags=non-routable alg=random affinity=0 service=default/kubernetes port=https backends=10.0.0.1:6443/TCP inactive=-
frontend 10.96.0.10:53/UDP type=ClusterIP flags=non-routable alg=random affinity=0 service=kube-system/kube-dns port=dns backends=10.244.0.2:53/UDP,10.244.0.3:53/UDP inactive=-
frontend 10.96.0.11:443/TCP type=ClusterIP flags=non-routable alg=random affinity=0 service=kube-system/metrics port=https backends=10.244.0.9:443/TCP inactive=-
frontend 10.96.0.2:80/TCP type=ClusterIP flags=non-routable alg=random affinity=0 service=a/first port=http backends=10.244.1.1:80/TCP inactive=-
frontend 10.96.0.3:80/TCP type=NodePort flags=- alg=random affinity=0 service=a/node port=http backends=10.244.1.1:80/TCP inactive=-
frontend 10.96.0.4:80/TCP type=ClusterIP flags=non-routable alg=random affinity=0 service=b/second port=http backends=10.244.1.1:80/TCP,10.244.1.2:80/TCP inactive=-
backend 10.0.0.1:6443/TCP state=active zone=0
backend 10.244.0.2:53/UDP state=active zone=0
backend 10.244.0.3:53/UDP state=active zone=0
backend 10.244.0.9:443/TCP state=active zone=0
backend 10.244.1.1:80/TCP state=active zone=0
backend 10.244.1.2:80/TCP state=active zone=0
`

// What matters more is in, and each service that is not is said.
func TestFitGoesByImportance(t *testing.T) {
	want, err := state.Parse(crowded)
	if err != nil {
		t.Fatal(err)
	}
	for room, left := range map[uint32][]string{
		14: nil,
		12: {"a/node"},
		11: {"b/second"}, // which is too large, but the next one is not
		9:  {"a/node", "b/second"},
		8:  {"a/first", "a/node", "b/second"},
		5:  {"a/first", "a/node", "b/second", "kube-system/metrics"},
		2:  {"a/first", "a/node", "b/second", "kube-system/kube-dns", "kube-system/metrics"},
	} {
		f := mustFit(t, sizedWorld(newWorld(nil), want.Layout, map[layout.MapID]uint32{layout.Services4: room}), want)
		var have []string
		for _, d := range f.Left {
			if d.Kind != MapFull || d.Severity != state.Error {
				t.Errorf("room for %d: %s", room, d)
			}
			have = append(have, d.Service)
		}
		if diff := cmp.Diff(left, have); diff != "" {
			t.Errorf("room for %d leaves out (-want +have):\n%s", room, diff)
		}
	}
}

// I3 in maps that are too small: no prefix of what is planned needs more than there
// is, none takes from what stays, and it comes to rest; with room again all is there.
func TestInvariantI3FitConverges(t *testing.T) {
	eachSeed(t, 400, func(t *testing.T, r *rand.Rand, l state.Layout) {
		w, want := settled(t, r, withTables(r, randomState(r, l))), withTables(r, randomState(r, l))
		room := roomFor(r, w, want)
		var known *layout.Ledger
		rest := false
		for n := 0; n < 8 && !rest; n++ {
			f := mustFit(t, sizedWorld(w, l, room), want)
			if f.First != nil {
				known = tabulated(t, sizedWorld(w, l, room), f.First, known).follow(t, w, f, room)
			}
			result := tabulated(t, sizedWorld(w, l, room), f.Want, known)
			rest = len(result.Plan) == 0 && f.First == nil
			known = result.follow(t, w, f, room)
		}
		if !rest {
			t.Fatal("it does not come to rest")
		}
		for id := range room {
			room[id] = 10000
		}
		f := mustFit(t, sizedWorld(w, l, room), want)
		if len(f.Left) > 0 || f.First != nil || f.Want != want {
			t.Fatalf("with room for all of it there are left: %v", f.Left)
		}
		tabulated(t, sizedWorld(w, l, room), f.Want, known).follow(t, w, f, room)
		if again := tabulated(t, haveWorld(w, l), want, nil); len(again.Plan) > 0 {
			t.Fatalf("with room for all of it there is yet to do:\n%s", again.Plan)
		}
	})
}

// roomFor gives each map room for what it holds, and for some of what is wanted.
func roomFor(r *rand.Rand, w world, want *state.State) map[layout.MapID]uint32 {
	needed := usage{}
	needed.addAll(want)
	room := map[layout.MapID]uint32{}
	for _, d := range layout.Content() {
		room[d.ID] = uint32(max(1, len(w[d.ID]), needed[d.ID]-r.IntN(5)))
	}
	return room
}

// follow carries a plan out, and looks at every prefix of it.
func (r *Result) follow(t *testing.T, w world, f *Fitting, room map[layout.MapID]uint32) *layout.Ledger {
	t.Helper()
	kept := map[state.FrontendName]bool{}
	for _, frontend := range f.Want.Frontends {
		_, there := w.resolve(frontend.FrontendName)
		kept[frontend.FrontendName] = there && frontend.Scope == state.External
	}
	for n, s := range r.Plan {
		w.apply(s)
		if uint32(len(w[s.Map])) > room[s.Map] {
			t.Fatalf("%s holds %d entries, and has room for %d, after:\n%s", s.Map, len(w[s.Map]), room[s.Map], r.Plan[:n+1])
		}
		for name, before := range kept {
			if before {
				checkWhole(t, w, name, r.Plan[:n+1])
				if _, there := w.resolve(name); !there {
					t.Fatalf("%s is gone after:\n%s", name, r.Plan[:n+1])
				}
			}
		}
	}
	return r.Ledger()
}
