// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"plumbline.dev/plumbline/schema/state"
)

// Target.Diff says what Diff says, of damaged maps and sound ones, and leaves a
// target that changes can be followed from.
func TestTargetDiffIsDiff(t *testing.T) {
	answered := 0
	eachSeed(t, 600, func(t *testing.T, r *rand.Rand, l state.Layout) { answered += checkTargetDiff(t, r, l) })
	if answered < 400 {
		t.Errorf("%d of 600 were answered: the property says little", answered)
	}
}

func FuzzTargetDiff(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(seed, seed*5)
	}
	f.Fuzz(func(t *testing.T, a, b uint64) {
		checkTargetDiff(t, rand.New(rand.NewPCG(a, b)), layouts[a%uint64(len(layouts))])
	})
}

func checkTargetDiff(t *testing.T, r *rand.Rand, l state.Layout) (answered int) {
	want := randomState(r, l)
	w := newWorld(mustEncode(t, want, randomLedger(r, want)))
	target := mustDiff(t, &Have{Layout: l, Tables: w.tables()}, want, nil).Target
	for range 3 {
		damage(r, w)
	}
	have := &Have{Layout: l, Tables: w.tables()}
	whole := mustDiff(t, have, want, cloneLedger(target.Ledger()))
	got, ok := target.Diff(have, want)
	if !ok {
		return 0
	}
	if diff := cmp.Diff(whole.Drifts, got.Drifts); diff != "" {
		t.Fatalf("drifts (-Diff +Target.Diff):\n%s", diff)
	}
	if diff := cmp.Diff(whole.Plan, got.Plan); diff != "" {
		t.Fatalf("plan (-Diff +Target.Diff):\n%s", diff)
	}
	if len(whole.Stray) != len(got.Stray) {
		t.Fatalf("%d stray entries, want %d", len(got.Stray), len(whole.Stray))
	}
	for _, s := range got.Plan {
		w.apply(s)
	}
	if !got.Target.Holds(&Have{Layout: l, Tables: w.tables()}) {
		t.Fatal("the target is not what the plan leaves")
	}
	next := randomlyChanged(r, want)
	after := mustDiff(t, &Have{Layout: l, Tables: w.tables()}, next, cloneLedger(target.Ledger()))
	followed, ok := target.Follow(state.Between(want, next))
	if !ok {
		t.Fatal("the change could not be followed")
	}
	if diff := cmp.Diff(after.Plan, followed.Plan); diff != "" {
		t.Fatalf("a change after it (-Diff +Follow):\n%s", diff)
	}
	return 1
}
