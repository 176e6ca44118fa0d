// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/runtime/internal/testvector"
	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/runtime/reconcile"
	"plumbline.dev/plumbline/runtime/store"
	"plumbline.dev/plumbline/runtime/store/storetest"
	"plumbline.dev/plumbline/schema/state"
)

// vectors pins maps that hold what a release of Cilium wrote, and gives them by
// their ids.
func vectors(t *testing.T, version string) (root string, held map[layout.MapID]*ebpf.Map) {
	t.Helper()
	root, dir := globals(t)
	held = map[layout.MapID]*ebpf.Map{}
	for id, table := range testvector.Tables(t, version) {
		if d := id.Desc(); d.Type == "hash-of-maps" {
			continue // the vectors hold no Maglev tables
		}
		s := spec(id)
		s.MaxEntries = 512
		m, err := ebpf.NewMap(s)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { m.Close() })
		for key, value := range table.All() {
			if err := m.Put(key, value); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.Pin(filepath.Join(dir, id.String())); err != nil {
			t.Fatal(err)
		}
		held[id] = m
	}
	return root, held
}

// wanted is a source of one State.
type wanted struct{ st *state.State }

func (w wanted) State(context.Context) (*state.State, error) { return w.st, nil }

// repairing is an agent of mode repair that has no grace to wait for, after a
// round that found the maps in sync.
func repairing(t *testing.T, root, version string, change func(*reconcile.Config)) (*reconcile.Reconciler, *store.Kernel) {
	t.Helper()
	k, err := store.OpenForRepair(root, testvector.Versions[version], store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	cfg := reconcile.Config{Store: k, Source: wanted{testvector.Want(t, version)}, Mode: state.Repair, Interval: time.Hour, RepairEntries: 64}
	if change != nil {
		change(&cfg)
	}
	r, err := reconcile.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if report := r.Round(context.Background()); report.Status != reconcile.InSync {
		t.Fatalf("the vector is %s (%s) %v: %v", report.Status, report.Reason, report.Err, report.Drifts)
	}
	return r, k
}

// Each entry that Cilium wrote, lost or overwritten, is as it was after the round
// that confirms it: nothing else is written, and every id is the one it was.
func TestPrivilegedRepairOfWhatCiliumWrote(t *testing.T) {
	for version := range testvector.Versions {
		t.Run(version, func(t *testing.T) {
			root, held := vectors(t, version)
			var wrote []plan.Step
			r, k := repairing(t, root, version, func(c *reconcile.Config) { c.Repaired = func(s plan.Step) { wrote = append(wrote, s) } })
			sound := entries(t, k)
			for id, table := range testvector.Tables(t, version) {
				for key, value := range table.All() {
					for name, damage := range damages(id, value) {
						wrote = nil
						write(t, held[id], key, damage)
						r.Round(context.Background())
						if len(wrote) > 0 {
							t.Fatalf("%s %x: written at first sight", id, key)
						}
						report := r.Round(context.Background())
						if len(wrote) == 1 && slotOf(id, wrote[0].Key) > 0 && report.Status == reconcile.InSync {
							write(t, held[id], key, value) // slots have no order: two of them may have changed places
							write(t, held[id], wrote[0].Key, wrote[0].Old)
							write(t, held[id], key, value)
						}
						if now := entries(t, k); report.Status != reconcile.InSync || !maps.Equal(now, sound) || len(wrote) != 1 {
							t.Fatalf("%s of %s: %s (%s), written %v, left %v", name, layout.Describe(id, key, value), report.Status, report.Reason, wrote, report.Left)
						}
					}
				}
			}
		})
	}
}

func slotOf(id layout.MapID, key []byte) uint16 {
	if id != layout.Services4 && id != layout.Services6 {
		return 0
	}
	k, _ := layout.DecodeServiceKey(key)
	return k.Slot
}

// damages are what may become of an entry; nil is that it is gone.
func damages(id layout.MapID, value []byte) map[string][]byte {
	list := map[string][]byte{"loss": nil}
	if id == layout.AffinityMatch || id == layout.SourceRange4 || id == layout.SourceRange6 {
		return list // their values say nothing
	}
	for i := 0; i < len(value); i += 3 {
		changed := slices.Clone(value)
		changed[i] ^= 1
		list[fmt.Sprintf("change of byte %d", i)] = changed
	}
	return list
}

func write(t *testing.T, m *ebpf.Map, key, value []byte) {
	t.Helper()
	var err error
	if value == nil {
		err = m.Delete(key)
	} else {
		err = m.Put(key, value)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A Cilium agent that removes and rewrites the very entries while they are
// repaired is not worked against: once it rests, what traffic follows comes to be
// right. Between the look at an entry and the write lie microseconds: a row for an
// id that the agent has given up meanwhile may stay, which is said and which no
// repair deletes.
func TestPrivilegedRepairBesideCilium(t *testing.T) {
	const version = "1.20.2"
	root, held := vectors(t, version)
	r, _ := repairing(t, root, version, nil)
	tables := testvector.Tables(t, version)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		for id, table := range tables { // damage, some of which the agent below rewrites as well
			for key, value := range table.All() {
				if list := damages(id, value); rng.IntN(8) == 0 {
					write(t, held[id], key, list[slices.Sorted(maps.Keys(list))[rng.IntN(len(list))]])
				}
			}
		}
		r.Round(context.Background())
		var agent sync.WaitGroup
		agent.Go(func() {
			for range 5 {
				rewrite(t, held, tables)
			}
		})
		r.Round(context.Background())
		agent.Wait()
		for i := 0; ; i++ {
			report := r.Round(context.Background())
			if report.Status == reconcile.InSync || report.Reason == reconcile.ReasonUnmended {
				break
			}
			if i == 5 {
				t.Fatalf("the agent rests, and the maps are %s (%s): %v %v", report.Status, report.Reason, report.Err, report.Drifts)
			}
		}
		sweep(t, held, tables)
	}
}

// sweep removes what is in no table.
func sweep(t *testing.T, held map[layout.MapID]*ebpf.Map, tables layout.Tables) {
	for id, m := range held {
		var key, value []byte
		var extra [][]byte
		for entries := m.Iterate(); entries.Next(&key, &value); {
			if _, found := tables[id].Find(key); !found {
				extra = append(extra, slices.Clone(key))
			}
		}
		for _, key := range extra {
			if err := m.Delete(key); err != nil {
				t.Error(err)
			}
		}
	}
}

// rewrite removes all entries and writes them anew, in the order of an agent that
// starts: what is referred to first.
func rewrite(t *testing.T, held map[layout.MapID]*ebpf.Map, tables layout.Tables) {
	ids := slices.Sorted(maps.Keys(held))
	for _, id := range ids {
		for key := range tables[id].All() {
			if err := held[id].Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
				t.Error(err)
			}
		}
	}
	slices.Reverse(ids)
	for _, id := range ids {
		for key, value := range tables[id].All() {
			if err := held[id].Put(key, value); err != nil {
				t.Error(err)
			}
		}
	}
}

// I6: one agent repairs a folder of pins at a time; others may observe it. Pins of
// mode own are not repaired.
func TestPrivilegedRepairHasOneOwner(t *testing.T) {
	root, _ := vectors(t, "1.17.2")
	_, k := repairing(t, root, "1.17.2", nil)
	if _, err := store.OpenForRepair(root, state.Cilium117, store.Options{}); !errors.Is(err, store.ErrLocked) {
		t.Errorf("a second one got %v, want ErrLocked", err)
	}
	if _, err := read(t, root, state.Cilium117); err != nil {
		t.Errorf("an observer beside it got %v", err)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	repairing(t, root, "1.17.2", nil)
	s := settings(t)
	create(t, s, nil)
	pinMap(t, pin(s, "cilium_lb4_services_v2"), spec(layout.Services4))
	if _, err := store.OpenForRepair(s.BPFRoot, s.Layout, store.Options{}); err == nil {
		t.Error("pins of mode own are open for repair")
	}
}

// I7: a pin that was replaced, or that became another map's, between read and write
// is not written, and neither is anything before it.
func TestPrivilegedRepairOfReplacedPins(t *testing.T) {
	root, held := vectors(t, "1.17.2")
	_, k := repairing(t, root, "1.17.2", nil)
	service, row := []byte("123456789012"), []byte{99, 9, 0, 0}
	path := filepath.Join(root, store.CiliumPins, "cilium_lb4_services_v2")
	steps := []plan.Step{
		{Op: plan.Put, Map: layout.Backends4, Key: row, New: make([]byte, 12)},
		{Op: plan.Put, Map: layout.Services4, Key: service, New: make([]byte, 12)},
	}
	for name, want := range map[string]struct {
		spec *ebpf.MapSpec
		err  error
	}{
		"the same again": {&ebpf.MapSpec{Type: ebpf.Hash, KeySize: 12, ValueSize: 12, MaxEntries: 512, Flags: 1}, store.ErrChanged},
		"another layout": {&ebpf.MapSpec{Type: ebpf.Hash, KeySize: 12, ValueSize: 16, MaxEntries: 512, Flags: 1}, store.ErrChanged},
	} {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		pinMap(t, path, want.spec)
		if n, err := k.Apply(context.Background(), steps); n != 0 || !errors.Is(err, want.err) {
			t.Errorf("%s: %d steps, %v; want none, and %v", name, n, err, want.err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if n, err := k.Apply(context.Background(), steps); n != 0 || err == nil {
		t.Errorf("a pin that has gone: %d steps, %v", n, err)
	}
	if err := held[layout.Backends4].Lookup(row, new([12]byte)); !errors.Is(err, ebpf.ErrKeyNotExist) {
		t.Errorf("the step before was carried out: %v", err)
	}
}

// I1: a bpffs that is unmounted under a running agent is a failed read, whatever
// the agent may write: nothing that was there is called absent.
func TestPrivilegedInvariantI1UnmountedBPFFS(t *testing.T) {
	root, _ := vectors(t, "1.18.6")
	r, _ := repairing(t, root, "1.18.6", func(c *reconcile.Config) {
		c.Repaired = func(s plan.Step) { t.Errorf("%s was written", s) }
	})
	s := settings(t)
	ours, err := reconcile.New(reconcile.Config{Store: create(t, s, storetest.Maps()), Source: wanted{testvector.Want(t, "1.17.2")}, Mode: state.Own, Interval: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{root, s.BPFRoot} {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Fatal(err)
		}
	}
	for name, agent := range map[string]*reconcile.Reconciler{"repair": r, "own": ours} {
		for range 3 {
			report := agent.Round(context.Background())
			if report.Status != reconcile.Unknown || report.Applied > 0 || !errors.Is(report.Err, store.ErrNoPins) {
				t.Errorf("mode %s came to %s (%s) %v, %d applied; want Unknown, and ErrNoPins", name, report.Status, report.Reason, report.Err, report.Applied)
			}
		}
	}
}
