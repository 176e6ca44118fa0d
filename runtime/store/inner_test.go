// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/runtime/internal/testkernel"
	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/runtime/store"
	"plumbline.dev/plumbline/schema/state"
)

// tables are settings and the one map of a Kernel that holds Maglev tables.
func tables(t *testing.T, size uint32) (*state.Settings, []state.Map) {
	t.Helper()
	s := settings(t)
	s.LoadBalancer.MaglevTableSize = size
	return s, []state.Map{{Name: "cilium_lb4_maglev", Type: "hash-of-maps", KeySize: 2, ValueSize: 4, MaxEntries: 600, Flags: 1}}
}

// tableSteps write n tables, of which every position holds the table's number and
// the version.
func tableSteps(n, size, version int) []plan.Step {
	var steps []plan.Step
	for i := range n {
		word := binary.LittleEndian.AppendUint32(nil, uint32(i<<8|version))
		steps = append(steps, plan.Step{Op: plan.Put, Map: layout.Maglev4, Key: layout.ReverseNATID(uint16(i + 1)), New: bytes.Repeat(word, size)})
	}
	return steps
}

func TestPrivilegedTablesAreWritten(t *testing.T) {
	testkernel.Require(t)
	s, maps := tables(t, 251)
	for name, programs := range map[string]store.Programs{"calls": store.Never, "programs": store.Always} {
		k := createWith(t, s, maps, store.Options{Programs: programs})
		for _, n := range []int{1, 600} { // one by one, and as batches
			for version := range 3 {
				steps := tableSteps(n, 251, version)
				if done, err := k.Apply(t.Context(), steps); err != nil || done != n {
					t.Fatalf("%s: %d of %d tables were written: %v", name, done, n, err)
				}
				checkTables(t, k, steps)
			}
			removed := deletions(n)
			if done, err := k.Apply(t.Context(), append(removed, removed...)); err != nil || done != 2*n {
				t.Fatalf("%s: %d of %d tables were removed: %v", name, done, 2*n, err)
			}
			checkTables(t, k, nil)
		}
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func deletions(n int) []plan.Step {
	var steps []plan.Step
	for i := range n {
		steps = append(steps, plan.Step{Op: plan.Delete, Map: layout.Maglev4, Key: layout.ReverseNATID(uint16(i + 1))})
	}
	return steps
}

func checkTables(t *testing.T, k *store.Kernel, want []plan.Step) {
	t.Helper()
	have, err := k.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	held := have.Tables[layout.Maglev4]
	if held.Len() != len(want) {
		t.Fatalf("%d tables are held, want %d", held.Len(), len(want))
	}
	for _, s := range want {
		if table, _ := held.Find(s.Key); !bytes.Equal(table, s.New) {
			t.Fatalf("the table of %x is %x…, want %x…", s.Key, table[:min(8, len(table))], s.New[:8])
		}
	}
}

// Tables beyond the room there is are an error, behind those that there is room for.
func TestPrivilegedTablesBeyondTheRoom(t *testing.T) {
	testkernel.Require(t)
	s, maps := tables(t, 251)
	k := create(t, s, maps)
	steps := tableSteps(610, 251, 1)
	done, err := k.Apply(t.Context(), steps)
	if err == nil || done != 600 {
		t.Fatalf("%d tables were written (%v), want 600 and an error", done, err)
	}
	checkTables(t, k, steps[:600])
}

// Whoever reads while tables are swapped sees one or the other, and each whole.
func TestPrivilegedTablesAreSwappedWhole(t *testing.T) {
	testkernel.Require(t)
	s, maps := tables(t, 16381)
	k := create(t, s, maps)
	if _, err := k.Apply(t.Context(), tableSteps(8, 16381, 0)); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		for version := range 64 {
			if _, err := k.Apply(t.Context(), tableSteps(8, 16381, version)); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	outer, err := ebpf.LoadPinnedMap(pin(s, "cilium_lb4_maglev"), &ebpf.LoadPinOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer outer.Close()
	seen := map[uint32]bool{}
	for {
		select {
		case err := <-done:
			if err != nil || len(seen) < 2 {
				t.Errorf("%d versions were seen, want several; %v", len(seen), err)
			}
			return
		default:
			seen[wholeTable(t, outer)] = true
		}
	}
}

// wholeTable gives the word of the first table, which each of its positions has.
func wholeTable(t *testing.T, outer *ebpf.Map) uint32 {
	t.Helper()
	for {
		var id ebpf.MapID
		if err := outer.Lookup(layout.ReverseNATID(1), &id); err != nil {
			t.Fatalf("there is no table: %v", err)
		}
		inner, err := ebpf.NewMapFromID(id)
		if errors.Is(err, os.ErrNotExist) {
			continue // it was replaced since
		}
		if err != nil {
			t.Fatal(err)
		}
		table, err := inner.LookupBytes(uint32(0))
		inner.Close()
		if err != nil || len(table) != 4*16381 || !bytes.Equal(table, bytes.Repeat(table[:4], 16381)) {
			t.Fatalf("half a table: %v", err)
		}
		return binary.LittleEndian.Uint32(table)
	}
}

// I7: a pinned map whose tables are of another size is said, also where it is
// empty; it is left as it is.
func TestPrivilegedInvariantI7TableSize(t *testing.T) {
	testkernel.Require(t)
	s, maps := tables(t, 251)
	k := create(t, s, maps)
	steps := tableSteps(2, 251, 1)
	for _, list := range [][]plan.Step{nil, steps} {
		if _, err := k.Apply(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
		s.LoadBalancer.MaglevTableSize = 509
		_, err := store.Create(s, maps)
		if !errors.Is(err, store.ErrIncompatible) || !strings.Contains(err.Error(), "cilium_lb4_maglev: value size of inner maps another, want 2036") {
			t.Errorf("another size of tables gives: %v", err)
		}
		s.LoadBalancer.MaglevTableSize = 251
		k = create(t, s, maps)
		checkTables(t, k, list)
	}
}
