// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"encoding/binary"
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/compiler/datapath"
	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/runtime/store"
	"plumbline.dev/plumbline/schema/state"
)

// newTabled is a cluster whose node ports have Maglev tables.
func newTabled(seed uint64) *cluster {
	c := newCluster(seed)
	c.settings.LoadBalancer.Algorithm = state.Maglev
	c.settings.LoadBalancer.MaglevTableSize, c.settings.LoadBalancer.MaglevHashSeed = 251, "JLfvgnHc2kaSUFaI"
	return c
}

func TestTablesConverge(t *testing.T) {
	for seed := range uint64(10) {
		c := newTabled(seed)
		c.convergesWithTables(t, c.fake())
	}
}

// The same against a kernel.
func TestPrivilegedTablesConverge(t *testing.T) {
	c := newTabled(5)
	c.convergesWithTables(t, c.kernel(t))
}

// convergesWithTables has changes come, each of which is a round.
func (c *cluster) convergesWithTables(t *testing.T, s store.Store) {
	t.Helper()
	r := c.reconciler(t, s, nil)
	for step := range 30 {
		if report := r.Follow(t.Context()); report.Status != InSync {
			t.Fatalf("step %d: %s (%s) %v, %d unconfirmed", step, report.Status, report.Reason, report.Err, report.Counts.Unconfirmed)
		}
		holds(t, s, c.state())
		c.holdsTables(t, s)
		if report := r.Round(t.Context()); report.Status != InSync || report.Applied > 0 {
			t.Fatalf("step %d: a round finds %s, %d applied", step, report.Status, report.Applied)
		}
		c.change()
	}
}

// holdsTables compares each table with the one that its backends give, by a way
// that no digest has a part in.
func (c *cluster) holdsTables(t *testing.T, s store.Store) {
	t.Helper()
	have, err := s.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dec, err := layout.Decode(have.Layout, have.Tables)
	if err != nil {
		t.Fatal(err)
	}
	seed, err := datapath.MaglevSeed(c.settings.LoadBalancer.MaglevHashSeed)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := datapath.Compile(c.settings, c.snapshot())
	if held := have.Tables[layout.Maglev4].Len(); held != len(want.Maglev) || held == 0 {
		t.Errorf("%d tables are held, want %d", held, len(want.Maglev))
	}
	for _, m := range want.Maglev {
		i, _ := slices.BinarySearchFunc(want.Frontends, m.Frontend, func(f state.Frontend, n state.FrontendName) int { return f.Compare(n) })
		var ids []byte
		for _, at := range datapath.MaglevTable(want.Frontends[i].Backends, nil, 251, seed) {
			id, _ := dec.Ledger.Backends.Find(want.Frontends[i].Backends[at])
			ids = binary.LittleEndian.AppendUint32(ids, id)
		}
		table, _ := have.Tables[layout.Maglev4].Find(layout.ReverseNATID(dec.Ledger.Frontends[m.Frontend]))
		if diff := cmp.Diff(ids, table); diff != "" {
			t.Errorf("the table of %s (-want +have):\n%s", m.Frontend, diff)
		}
	}
}

// A table that someone takes away, or writes another one over, is drift that is
// confirmed and then mended.
func TestPrivilegedTablesAreMended(t *testing.T) {
	c := newTabled(2)
	k := c.kernel(t)
	r := c.reconciler(t, k, func(cfg *Config) { cfg.Grace = 0 })
	if first := r.Round(t.Context()); first.Status != InSync {
		t.Fatalf("the first round came to %s: %v", first.Status, first.Err)
	}
	have, err := k.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	one, _ := have.Tables[layout.Maglev4].Row(0)
	other, table := have.Tables[layout.Maglev4].Row(1)
	c.tamperTables(t, slices.Clone(one), slices.Clone(other), slices.Clone(table))
	if seen := r.Round(t.Context()); seen.Status != OutOfSync || seen.Counts.Unconfirmed != 2 {
		t.Errorf("%s, %d unconfirmed; want two differences", seen.Status, seen.Counts.Unconfirmed)
	}
	mended := r.Round(t.Context())
	if mended.Status != InSync || mended.Reason != ReasonDriftCorrected || mended.Applied != 2 {
		t.Errorf("%s (%s), %d applied, %v", mended.Status, mended.Reason, mended.Applied, mended.Err)
	}
	for _, d := range mended.Drifts {
		if d.Kind != plan.MaglevDrift {
			t.Errorf("drift of another kind: %s", d)
		}
	}
	c.holdsTables(t, k)
}

func (c *cluster) tamperTables(t *testing.T, one, other, table []byte) {
	t.Helper()
	outer, err := ebpf.LoadPinnedMap(filepath.Join(c.settings.BPFRoot, store.OwnPins, "cilium_lb4_maglev"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer outer.Close()
	inner, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: uint32(len(table)), MaxEntries: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer inner.Close()
	table[4] ^= 0xff
	if err := errors.Join(outer.Delete(one), inner.Put(uint32(0), table), outer.Put(other, inner)); err != nil {
		t.Fatal(err)
	}
}

// A fault at any operation: three rounds later all tables are there.
func TestTablesFaultSweep(t *testing.T) {
	for _, effect := range []bool{false, true} {
		for at, operations := 1, 1; at <= operations; at++ {
			c := newTabled(7)
			fake := c.fake()
			faulty := &store.Faulty{Store: fake, At: at, TookEffect: effect}
			r := c.reconciler(t, faulty, nil)
			for range 3 {
				for i := 0; r.Round(t.Context()).Status != InSync; i++ {
					if i == 3 {
						t.Fatalf("a fault at operation %d: not in sync after three rounds", at)
					}
				}
				c.holdsTables(t, fake)
				c.change()
			}
			if faulty.Fired() {
				operations = faulty.Operations()
			} else if at < 10 {
				t.Errorf("only %d operations were swept", at)
			}
		}
	}
}
