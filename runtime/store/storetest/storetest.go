// SPDX-License-Identifier: Apache-2.0

// Package storetest is what every store.Store must do, as tests: a fake that
// nothing checks against the kernel misleads all that rely on it.
package storetest

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/runtime/store"
	"plumbline.dev/plumbline/schema/state"
)

// Room is how many entries each map of Maps has room for.
const Room = 64

// Maps are the maps that a store under test has: every content map but those
// of maps, which need a size of tables and have tests of their own.
func Maps() []state.Map {
	var maps []state.Map
	for _, d := range layout.Content() {
		if d.Type == "hash-of-maps" {
			continue
		}
		const noPrealloc = 1
		maps = append(maps, state.Map{Name: d.Name, Type: d.Type, KeySize: uint32(d.KeySize), ValueSize: uint32(d.ValueSize), MaxEntries: Room, Flags: noPrealloc})
	}
	return maps
}

// Run runs the suite. open gives an empty store with the maps of Maps.
func Run(t *testing.T, open func(*testing.T) store.Store) {
	for _, d := range layout.Content() {
		if d.Type == "hash-of-maps" {
			continue
		}
		t.Run(d.Name, func(t *testing.T) { runMap(t, d, open) })
	}
	t.Run("every map is read", func(t *testing.T) { readsAll(t, open(t)) })
	t.Run("a failing step ends the prefix", func(t *testing.T) { prefix(t, open(t)) })
	t.Run("an ended context", func(t *testing.T) { cancelled(t, open(t)) })
}

func runMap(t *testing.T, d layout.Desc, open func(*testing.T) store.Store) {
	t.Run("put, read, overwrite, delete", func(t *testing.T) {
		s := open(t)
		for _, n := range []int{1, 40} { // one by one, and as a batch
			steps := puts(d, n, 1)
			apply(t, s, steps)
			check(t, s, d, steps)
			apply(t, s, steps) // what is there already
			check(t, s, d, steps)
			again := puts(d, n, 2)
			apply(t, s, again)
			check(t, s, d, again)
			apply(t, s, deletes(d, n))
			check(t, s, d, nil)
			apply(t, s, deletes(d, n)) // what is not there any more
			check(t, s, d, nil)
		}
	})
	t.Run("deleting some that are not there", func(t *testing.T) {
		s := open(t)
		apply(t, s, puts(d, 20, 1)[10:])
		apply(t, s, deletes(d, 20))
		check(t, s, d, nil)
	})
	t.Run("full", func(t *testing.T) {
		s := open(t)
		steps := puts(d, Room+5, 1)
		n, err := s.Apply(context.Background(), steps)
		if err == nil || n != Room {
			t.Fatalf("%d of %d steps were applied (%v), want %d and an error", n, len(steps), err, Room)
		}
		check(t, s, d, steps[:Room])
	})
}

// puts makes n entries with keys that differ and values that depend on version.
func puts(d layout.Desc, n, version int) []plan.Step {
	var steps []plan.Step
	for i := range n {
		value := make([]byte, d.ValueSize)
		if d.Type != "lpm-trie" {
			for j := range value {
				value[j] = byte(i + j + version)
			}
		}
		steps = append(steps, plan.Step{Op: plan.Put, Map: d.ID, Key: key(d, i), New: value})
	}
	return steps
}

func deletes(d layout.Desc, n int) []plan.Step {
	var steps []plan.Step
	for i := range n {
		steps = append(steps, plan.Step{Op: plan.Delete, Map: d.ID, Key: key(d, i)})
	}
	return steps
}

// key makes the i-th key; of a trie it is a whole address, with its prefix length.
func key(d layout.Desc, i int) []byte {
	key := make([]byte, d.KeySize)
	key[d.KeySize-1], key[d.KeySize-2] = byte(i), byte(i>>8)
	if d.Type == "lpm-trie" {
		key[0] = byte(8 * (d.KeySize - 4))
	}
	return key
}

func apply(t *testing.T, s store.Store, steps []plan.Step) {
	t.Helper()
	n, err := s.Apply(context.Background(), steps)
	if err != nil || n != len(steps) {
		t.Fatalf("%d of %d steps were applied: %v", n, len(steps), err)
	}
}

func read(t *testing.T, s store.Store) *plan.Have {
	t.Helper()
	have, err := s.Read(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return have
}

// check reads the map back: exactly the entries that were put.
func check(t *testing.T, s store.Store, d layout.Desc, put []plan.Step) {
	t.Helper()
	want, got := map[string]string{}, map[string]string{}
	for _, p := range put {
		want[fmt.Sprintf("%x", p.Key)] = fmt.Sprintf("%x", p.New)
	}
	have := read(t, s)
	for key, value := range have.Tables[d.ID].All() {
		got[fmt.Sprintf("%x", key)] = fmt.Sprintf("%x", value)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%s (-want +got):\n%s", d.Name, diff)
	}
	for _, m := range have.Maps {
		if m.Name == d.Name && int(m.Entries) != len(want) {
			t.Fatalf("%s is said to hold %d entries, want %d", d.Name, m.Entries, len(want))
		}
	}
}

// readsAll is I1 where nothing fails: no map is left out.
func readsAll(t *testing.T, s store.Store) {
	have := read(t, s)
	names := map[string]state.Map{}
	for _, m := range have.Maps {
		names[m.Name] = m.Map
	}
	for _, want := range Maps() {
		if diff := cmp.Diff(want, names[want.Name]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", want.Name, diff)
		}
		d, _ := layout.ByName(want.Name)
		if have.Tables[d.ID] == nil {
			t.Errorf("%s has no table", want.Name)
		}
	}
}

func prefix(t *testing.T, s store.Store) {
	d := layout.Services4.Desc()
	good := puts(d, 3, 1)
	bad := plan.Step{Op: plan.Put, Map: layout.Services4, Key: []byte{1}, New: []byte{2}}
	never := puts(layout.Backends4.Desc(), 2, 1)
	n, err := s.Apply(context.Background(), append(append(append([]plan.Step{}, good...), bad), never...))
	if err == nil || n != len(good) {
		t.Fatalf("%d steps were applied (%v), want %d and an error", n, err, len(good))
	}
	check(t, s, d, good)
	check(t, s, layout.Backends4.Desc(), nil)
}

func cancelled(t *testing.T, s store.Store) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	d := layout.Services4.Desc()
	if n, err := s.Apply(ctx, puts(d, 3, 1)); err == nil || n != 0 {
		t.Errorf("%d steps were applied (%v), want none and an error", n, err)
	}
	check(t, s, d, nil)
	if _, err := s.Read(ctx); err == nil {
		t.Error("a read with an ended context gave no error")
	}
}
