// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"

	"plumbline.dev/plumbline/bpf/layout"
)

// entryMap makes an empty map of the layout.
func entryMap(t testing.TB, id layout.MapID, room, flags uint32) *ebpf.Map {
	t.Helper()
	requireKernel(t)
	d := id.Desc()
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Hash, KeySize: uint32(d.KeySize), ValueSize: uint32(d.ValueSize), MaxEntries: room, Flags: flags})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func comparer(t testing.TB, id layout.MapID, m *ebpf.Map) *Comparer {
	t.Helper()
	c, err := NewComparer(id.Desc(), m, 100)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func writable() []layout.MapID {
	var ids []layout.MapID
	for _, d := range layout.Content() {
		if Walkable(d.ID) {
			ids = append(ids, d.ID)
		}
	}
	return ids
}

// randomEntries gives up to n entries with keys that differ.
func randomEntries(r *rand.Rand, d layout.Desc, n int) map[string]string {
	entries := map[string]string{}
	for range n {
		entries[randomBytes(r, d.KeySize)] = randomBytes(r, d.ValueSize)
	}
	return entries
}

func randomBytes(r *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return string(b)
}

func tableOf(d layout.Desc, entries map[string]string) *layout.Table {
	t := layout.NewTable(d.KeySize, d.ValueSize, len(entries))
	for key, value := range entries {
		t.Append([]byte(key), []byte(value))
	}
	return t
}

func fill(t testing.TB, m *ebpf.Map, entries map[string]string) {
	t.Helper()
	for key, value := range entries {
		if err := m.Put([]byte(key), []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
}

// Random maps with random damage: the kernel names exactly the keys that differ.
func TestPrivilegedComparerFindsAllDamage(t *testing.T) {
	for _, id := range writable() {
		for round := range 12 {
			t.Run(fmt.Sprintf("%s/%d", id, round), func(t *testing.T) {
				r := rand.New(rand.NewPCG(uint64(id), uint64(round)))
				d := id.Desc()
				m := entryMap(t, id, 4096, uint32(round%2)) // prealloc, or not
				expected := randomEntries(r, d, r.IntN(2000))
				held := randomEntries(r, d, r.IntN(20)) // extra
				for key, value := range expected {
					switch r.IntN(40) {
					case 0: // missing
					case 1:
						held[key] = randomBytes(r, d.ValueSize) // different, perhaps
					default:
						held[key] = value
					}
				}
				fill(t, m, held)
				check(t, comparer(t, id, m), expected, held)
			})
		}
	}
}

func check(t *testing.T, c *Comparer, expected, held map[string]string) {
	t.Helper()
	var want, got []string
	for key, value := range expected {
		if other, ok := held[key]; !ok || other != value {
			want = append(want, fmt.Sprintf("%x", key))
		}
	}
	for key := range held {
		if _, ok := expected[key]; !ok {
			want = append(want, fmt.Sprintf("%x", key))
		}
	}
	found, err := c.Compare(tableOf(c.desc, expected))
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range found.Keys {
		got = append(got, fmt.Sprintf("%x", key))
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" || found.Overflow || found.Entries != len(held) || found.Equal() != (len(want) == 0) {
		t.Errorf("%d entries, overflow %t; keys (-want +got):\n%s", found.Entries, found.Overflow, diff)
	}
}

// More differences than the report has room for are said to be too many, on
// either side, and the comparer is none the worse for it.
func TestPrivilegedComparerOverflows(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	id := layout.Services4
	m := entryMap(t, id, 65536, 1)
	c := comparer(t, id, m)
	many := randomEntries(r, id.Desc(), 20000)
	if found, err := c.Compare(tableOf(id.Desc(), many)); err != nil || !found.Overflow {
		t.Errorf("all are missing: %+v, %v; want an overflow", found, err)
	}
	fill(t, m, many)
	if found, err := c.Compare(tableOf(id.Desc(), nil)); err != nil || !found.Overflow || found.Entries != len(many) {
		t.Errorf("none is expected: %+v, %v; want an overflow", found, err)
	}
	check(t, c, many, many)
}

// A map opened for reading is enough to compare.
func TestPrivilegedComparerOnReadOnlyMaps(t *testing.T) {
	dir := testBPFFS(t)
	r := rand.New(rand.NewPCG(2, 2))
	id := layout.Backends4
	m := entryMap(t, id, 4096, 1)
	entries := randomEntries(r, id.Desc(), 1000)
	fill(t, m, entries)
	if err := m.Pin(dir + "/map"); err != nil {
		t.Fatal(err)
	}
	reader, err := ebpf.LoadPinnedMap(dir+"/map", &ebpf.LoadPinOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { reader.Close() })
	check(t, comparer(t, id, reader), entries, entries)
	if err := m.Freeze(); err != nil {
		t.Fatal(err)
	}
	check(t, comparer(t, id, reader), entries, entries)
}

// While another writes, a comparison neither fails nor hangs; once that one
// rests, what is said is exact.
func TestPrivilegedComparerBesideAWriter(t *testing.T) {
	for _, flags := range []uint32{0, 1} {
		r := rand.New(rand.NewPCG(3, uint64(flags)))
		id := layout.Services4
		m := entryMap(t, id, 8192, flags)
		entries := randomEntries(r, id.Desc(), 4000)
		fill(t, m, entries)
		c := comparer(t, id, m)
		expected := tableOf(id.Desc(), entries)
		var wg sync.WaitGroup
		stop := make(chan struct{})
		wg.Go(func() { churn(t, m, entries, stop) })
		for range 200 {
			if _, err := c.Compare(expected); err != nil {
				t.Error(err)
			}
		}
		close(stop)
		wg.Wait()
		check(t, c, entries, entries)
		extra := randomBytes(r, 12)
		fill(t, m, map[string]string{extra: extra})
		held := map[string]string{extra: extra}
		for k, v := range entries {
			held[k] = v
		}
		check(t, c, entries, held)
	}
}

// churn deletes and writes entries again until it is stopped; it ends with all of them.
func churn(t *testing.T, m *ebpf.Map, entries map[string]string, stop chan struct{}) {
	for {
		for key, value := range entries {
			if err := errors.Join(m.Delete([]byte(key)), m.Put([]byte(key), []byte(value))); err != nil {
				t.Error(err)
				return
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	}
}

// Operations of all maps in a random order leave what they would leave one
// after the other.
func TestPrivilegedWriterKeepsTheOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	maps := map[string]*ebpf.Map{}
	want := map[layout.MapID]map[string]string{}
	for _, id := range writable() {
		maps[id.String()], want[id] = entryMap(t, id, 65536, 1), map[string]string{}
	}
	w := writer(t, maps)
	var operations []Operation
	for range 3*maxOperations + 17 {
		id := writable()[r.IntN(len(writable()))]
		d := id.Desc()
		o := Operation{Map: id, Key: make([]byte, d.KeySize)}
		o.Key[0], o.Key[d.KeySize-1] = byte(r.Uint32()), byte(r.IntN(8)) // collide often
		if r.IntN(3) > 0 {
			o.Value = []byte(randomBytes(r, d.ValueSize))
			want[id][string(o.Key)] = string(o.Value)
		} else {
			delete(want[id], string(o.Key))
		}
		operations = append(operations, o)
	}
	if n, err := w.Write(operations); err != nil || n != len(operations) {
		t.Fatalf("%d of %d operations: %v", n, len(operations), err)
	}
	for _, id := range writable() {
		check(t, comparer(t, id, maps[id.String()]), want[id], want[id])
	}
}

func writer(t testing.TB, maps map[string]*ebpf.Map) *Writer {
	t.Helper()
	w, err := NewWriter(maps)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// The first operation that fails ends the run, with its errno; what stands
// behind it has no effect.
func TestPrivilegedWriterStopsAtTheFirstFailure(t *testing.T) {
	const room = 8
	backends := entryMap(t, layout.Backends4, room, 0)
	services := entryMap(t, layout.Services4, room, 1)
	w := writer(t, map[string]*ebpf.Map{layout.Backends4.String(): backends, layout.Services4.String(): services})
	put := func(id layout.MapID, n byte) Operation {
		d := id.Desc()
		return Operation{Map: id, Key: bytes.Repeat([]byte{n}, d.KeySize), Value: bytes.Repeat([]byte{n}, d.ValueSize)}
	}
	var full []Operation
	for n := range byte(room + 1) {
		full = append(full, put(layout.Backends4, n))
	}
	for _, test := range []struct {
		name string
		list []Operation
		want int
		err  error
	}{
		{"full", append(slices.Clone(full), put(layout.Services4, 1)), room, syscall.E2BIG},
		{"sizes", []Operation{put(layout.Services4, 2), {Map: layout.Services4, Key: []byte{1}, Value: []byte{2}}, put(layout.Services4, 3)}, 1, syscall.EINVAL},
		{"not among its maps", []Operation{put(layout.Services4, 4), put(layout.Services6, 1), put(layout.Services4, 5)}, 1, syscall.EINVAL},
		{"removing what is gone", []Operation{{Map: layout.Services4, Key: make([]byte, 12)}, put(layout.Services4, 6)}, 2, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			if n, err := w.Write(test.list); n != test.want || !errors.Is(err, test.err) {
				t.Errorf("%d operations, %v; want %d, %v", n, err, test.want, test.err)
			}
		})
	}
	got := 0
	var key, value []byte
	for entries := services.Iterate(); entries.Next(&key, &value); got++ {
		if key[0] != 2 && key[0] != 4 && key[0] != 6 {
			t.Errorf("the services hold %x", key)
		}
	}
	if got != 3 {
		t.Errorf("the services hold %d entries, want 3", got)
	}
}

// What the programs can't do is refused with a reason, before anything is loaded.
func TestPrivilegedComparerRefuses(t *testing.T) {
	m := entryMap(t, layout.Services4, 8, 1)
	if _, err := NewComparer(layout.SourceRange4.Desc(), m, 0); err == nil {
		t.Error("a trie was accepted")
	}
	if _, err := NewComparer(layout.Backends4.Desc(), m, 0); !errors.Is(err, ErrIncompatible) {
		t.Errorf("a map of other sizes gives %v, want ErrIncompatible", err)
	}
}
