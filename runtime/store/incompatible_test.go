// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/google/go-cmp/cmp"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/runtime/internal/testkernel"
	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/runtime/store"
	"plumbline.dev/plumbline/schema/state"
)

// globals makes Cilium's folder of pins in a bpffs of the test's own.
func globals(t *testing.T) (root, dir string) {
	t.Helper()
	root = testkernel.BPFFS(t)
	dir = filepath.Join(root, store.CiliumPins)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return root, dir
}

func spec(id layout.MapID) *ebpf.MapSpec {
	d := id.Desc()
	kinds := map[string]ebpf.MapType{"hash": ebpf.Hash, "lpm-trie": ebpf.LPMTrie, "lru-hash": ebpf.LRUHash}
	s := &ebpf.MapSpec{Type: kinds[d.Type], KeySize: uint32(d.KeySize), ValueSize: uint32(d.ValueSize), MaxEntries: 64, Flags: 1}
	if s.Type == ebpf.LRUHash {
		s.Flags = 0
	}
	return s
}

func read(t *testing.T, root string, l state.Layout) (*plan.Have, error) {
	t.Helper()
	k, err := store.Open(root, l, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k.Read(context.Background())
}

// incompatibility gives the error's structure; any other error fails the test.
func incompatibility(t *testing.T, err error) *store.IncompatibleError {
	t.Helper()
	var out *store.IncompatibleError
	if !errors.As(err, &out) || !errors.Is(err, store.ErrIncompatible) {
		t.Fatalf("have %v, want an IncompatibleError", err)
	}
	return out
}

// I7: of each map every property that differs is in the error, and that no known
// layout is so.
func TestPrivilegedInvariantI7EveryDifference(t *testing.T) {
	root, dir := globals(t)
	pinMap(t, filepath.Join(dir, "cilium_lb4_services_v2"), &ebpf.MapSpec{Type: ebpf.Hash, KeySize: 16, ValueSize: 12, MaxEntries: 8})
	pinMap(t, filepath.Join(dir, "cilium_lb4_backends_v3"), &ebpf.MapSpec{Type: ebpf.LRUHash, KeySize: 4, ValueSize: 8, MaxEntries: 8})
	pinMap(t, filepath.Join(dir, "cilium_lb4_reverse_nat"), spec(layout.ReverseNAT4))
	program(t, filepath.Join(dir, "cilium_lb4_source_range"))
	if err := os.Mkdir(filepath.Join(dir, "cilium_lb4_affinity"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := read(t, root, state.Cilium118)
	e := incompatibility(t, err)
	want := []store.Difference{
		{Map: "cilium_lb4_affinity", Property: "pin", Want: "a map", Have: "a folder"},
		{Map: "cilium_lb4_backends_v3", Property: "type", Want: "hash", Have: "lru-hash"},
		{Map: "cilium_lb4_backends_v3", Property: "value size", Want: "12", Have: "8"},
		{Map: "cilium_lb4_services_v2", Property: "key size", Want: "12", Have: "16"},
		{Map: "cilium_lb4_source_range", Property: "pin", Want: "a map", Have: "a program"},
	}
	if diff := cmp.Diff(want, e.Differences); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(e.Fits) != 0 || !strings.Contains(e.Error(), "no known layout is so") {
		t.Errorf("fits %v, in: %v", e.Fits, e)
	}
	for _, d := range want {
		if !strings.Contains(e.Error(), d.String()) {
			t.Errorf("%q is not in: %v", d, e)
		}
	}
}

// program pins a program where a map is looked for.
func program(t *testing.T, path string) {
	t.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SocketFilter, License: "GPL", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Pin(path); err != nil {
		t.Fatal(err)
	}
}

// I7: what a release does otherwise tells it from the environment's, and the
// error names the layouts that would fit; where nothing speaks against it, it is
// read.
func TestPrivilegedInvariantI7OtherLayouts(t *testing.T) {
	closed := spec(layout.Services4)
	closed.Flags |= 0x80
	trie := func(value uint32) *ebpf.MapSpec {
		return &ebpf.MapSpec{Type: ebpf.LPMTrie, KeySize: 24, ValueSize: value, MaxEntries: 8, Flags: 1}
	}
	all := []state.Layout{state.Cilium117, state.Cilium118, state.Cilium119, state.Cilium120}
	for _, c := range []struct {
		name string
		pins map[string]*ebpf.MapSpec
		fits []state.Layout
	}{
		{"flags of 1.20", map[string]*ebpf.MapSpec{"cilium_lb4_services_v2": closed}, all[3:]},
		{"ipcache of 1.17", map[string]*ebpf.MapSpec{"cilium_lb4_services_v2": spec(layout.Services4), "cilium_ipcache": trie(12)}, all[:1]},
		{"ipcache of 1.18", map[string]*ebpf.MapSpec{"cilium_lb4_services_v2": spec(layout.Services4), "cilium_ipcache_v2": trie(24)}, all[1:]},
		{"policy of 1.19", map[string]*ebpf.MapSpec{"cilium_lb4_services_v2": spec(layout.Services4), "cilium_policy_v2_00007": trie(12)}, all[2:3]},
		{"nothing to tell by", map[string]*ebpf.MapSpec{"cilium_lb4_services_v2": spec(layout.Services4)}, all},
		{"a contradiction", map[string]*ebpf.MapSpec{"cilium_lb4_services_v2": closed, "cilium_ipcache": trie(12)}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			root, dir := globals(t)
			for name, s := range c.pins {
				pinMap(t, filepath.Join(dir, name), s)
			}
			for _, l := range all {
				have, err := read(t, root, l)
				if slices.Contains(c.fits, l) {
					if err != nil || !slices.Equal(have.Fits, c.fits) {
						t.Errorf("%s: %v, fits %v; want it read, fitting %v", l, err, have, c.fits)
					}
					continue
				}
				if e := incompatibility(t, err); !slices.Equal(e.Fits, c.fits) || e.Layout != l {
					t.Errorf("%s: %v: fits %v, want %v", l, e, e.Fits, c.fits)
				}
			}
			found, err := read(t, root, state.LayoutNone)
			if len(c.fits) == 0 {
				if e := incompatibility(t, err); len(e.Differences) != 2 {
					t.Errorf("a contradiction gives %v, want both facts", e)
				}
			} else if err != nil || found.Layout != c.fits[0] {
				t.Errorf("found %v, %v; want %s", found, err, c.fits[0])
			}
		})
	}
}

// Pins that are replaced under a read are read again: no map of before stands
// beside one of after. Those that never settle are said to do so.
func TestPrivilegedReadOfReplacedPins(t *testing.T) {
	root, dir := globals(t)
	replace := func(n uint16) {
		t.Helper()
		for _, id := range []layout.MapID{layout.ReverseNAT4, layout.Backends4} {
			path := filepath.Join(dir, id.Desc().Name)
			if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			m, err := ebpf.NewMap(spec(id))
			if err != nil {
				t.Fatal(err)
			}
			key := binary.BigEndian.AppendUint16(nil, n)
			if id == layout.Backends4 {
				key = binary.LittleEndian.AppendUint32(nil, uint32(n))
			}
			if err := errors.Join(m.Put(key, make([]byte, id.Desc().ValueSize)), m.Pin(path), m.Close()); err != nil {
				t.Fatal(err)
			}
		}
	}
	replace(1)
	k, err := store.Open(root, state.Cilium117, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	n := uint16(1)
	k.AfterMap(func(name string) {
		if name == layout.Backends4.Desc().Name && n < 3 { // backends are read before reverse NAT
			n++
			replace(n)
		}
	})
	have, err := k.Read(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	_, row := have.Tables[layout.ReverseNAT4].Find([]byte{0, 3})
	_, backend := have.Tables[layout.Backends4].Find([]byte{3, 0, 0, 0})
	if !row || !backend || n != 3 {
		t.Errorf("after %d replacements: reverse NAT read %v, backend read %v", n, row, backend)
	}
	k.AfterMap(func(name string) {
		if name == layout.Backends4.Desc().Name {
			n++
			replace(n)
		}
	})
	if have, err := k.Read(context.Background()); !errors.Is(err, store.ErrUnsettled) || !strings.Contains(fmt.Sprint(err), "cilium_lb4_backends_v3 was replaced") {
		t.Errorf("pins that never settle give %v, %v; want ErrUnsettled that names them", have, err)
	}
}

// I1: pins that go under a read are no maps that were never there: what is left
// is read anew, and where nothing is left that is said.
func TestPrivilegedInvariantI1PinsGoUnderARead(t *testing.T) {
	root, dir := globals(t)
	pinMap(t, filepath.Join(dir, "cilium_lb4_services_v2"), spec(layout.Services4))
	pinMap(t, filepath.Join(dir, "cilium_lb4_reverse_nat"), spec(layout.ReverseNAT4))
	k, err := store.Open(root, state.Cilium117, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	rounds := 0
	k.AfterMap(func(name string) {
		if name != "cilium_lb4_services_v2" {
			return
		}
		if rounds++; rounds == 1 {
			os.Remove(filepath.Join(dir, "cilium_lb4_services_v2"))
		}
	})
	have, err := k.Read(context.Background())
	if err != nil || rounds != 2 || len(have.Maps) != 1 || have.Tables[layout.Services4] != nil {
		t.Errorf("%d rounds, %v, %+v; want a second round without the map that has gone", rounds, err, have)
	}
	k.AfterMap(func(string) { os.RemoveAll(dir) })
	if have, err := k.Read(context.Background()); !errors.Is(err, store.ErrNoPins) {
		t.Errorf("all pins gone gives %v, %v; want ErrNoPins", have, err)
	}
}

// I1: a Maglev table that is replaced between the read of its id and its own is
// read again; one that can't be caught is a failed read, never a map without
// tables or no map at all.
func TestPrivilegedInvariantI1InnerMapsReplaced(t *testing.T) {
	root, dir := globals(t)
	inner := &ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4 * 251, MaxEntries: 1}
	outer, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.HashOfMaps, KeySize: 2, ValueSize: 4, MaxEntries: 8, Flags: 1, InnerMap: inner})
	if err != nil {
		t.Fatal(err)
	}
	defer outer.Close()
	table, err := ebpf.NewMap(inner)
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	if err := errors.Join(outer.Put([]byte{0, 7}, table), outer.Pin(filepath.Join(dir, "cilium_lb4_maglev"))); err != nil {
		t.Fatal(err)
	}
	failures := 2
	defer store.OpenInner(func(id ebpf.MapID) (*ebpf.Map, error) {
		if failures--; failures >= 0 {
			return nil, fmt.Errorf("by id: %w", os.ErrNotExist)
		}
		return ebpf.NewMapFromID(id)
	})()
	have, err := read(t, root, state.Cilium118)
	if err != nil || have.Tables[layout.Maglev4].Len() != 1 {
		t.Errorf("after two replacements: %v, %+v", err, have)
	}
	failures = 1000
	if have, err := read(t, root, state.Cilium118); err == nil || !strings.Contains(err.Error(), "its table was replaced during the read") {
		t.Errorf("a table that can't be caught gives %+v, %v", have, err)
	}
}
