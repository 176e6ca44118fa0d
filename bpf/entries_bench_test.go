// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"

	"plumbline.dev/plumbline/bpf/layout"
)

// benchEntries is about as many as ten thousand services of ten backends have in
// the services map, and in that of backends.
const benchEntries = 100000

// BenchmarkPrivilegedEntries sets what the program takes against the batch calls
// that do the same from outside, in turn: medians of the rounds.
func BenchmarkPrivilegedEntries(b *testing.B) {
	b.Run("services4", func(b *testing.B) { benchCompare[[12]byte, [12]byte](b, layout.Services4) })
	b.Run("backends4", func(b *testing.B) { benchCompare[[4]byte, [12]byte](b, layout.Backends4) })
}

func benchCompare[K, V any](b *testing.B, id layout.MapID) {
	d := id.Desc()
	m := entryMap(b, id, 131072, 1)
	keys, values := make([]K, benchEntries), make([]V, benchEntries)
	for i := range keys {
		binary.LittleEndian.PutUint32(memory(&keys[i]), uint32(i))
		binary.LittleEndian.PutUint32(memory(&values[i]), uint32(i))
	}
	if _, err := m.BatchUpdate(keys, values, nil); err != nil {
		b.Fatal(err)
	}
	held, shuffled := layout.NewTable(d.KeySize, d.ValueSize, benchEntries), layout.NewTable(d.KeySize, d.ValueSize, benchEntries)
	batch[K, V](b, m, held)
	for i := range keys {
		shuffled.Append(memory(&keys[i]), memory(&values[i]))
	}
	ordered, other := comparer(b, id, m), comparer(b, id, m)
	var raw, load, inOrder, anyOrder []time.Duration
	for b.Loop() {
		raw = append(raw, timed(func() { batch[K, V](b, m, nil) }))
		load = append(load, timed(func() {
			if c, err := NewComparer(d, m, benchEntries); err != nil || c.Close() != nil {
				b.Fatal(err)
			}
		}))
		inOrder = append(inOrder, timed(func() { equal(b, ordered, held) }))
		anyOrder = append(anyOrder, timed(func() { equal(b, other, shuffled) }))
	}
	floor := float64(median(raw))
	b.ReportMetric(float64(median(inOrder))/floor, "compare/raw")
	b.ReportMetric(float64(median(anyOrder))/floor, "compare-unordered/raw")
	b.ReportMetric(float64(median(load))/1e6, "load-ms")
	b.ReportMetric(0, "ns/op") // of all parts together: it says nothing
}

func equal(b *testing.B, c *Comparer, t *layout.Table) {
	found, err := c.Compare(t)
	if err != nil || !found.Equal() {
		b.Fatal(found, err)
	}
}

func timed(f func()) time.Duration {
	begin := time.Now()
	f()
	return time.Since(begin)
}

func median(list []time.Duration) time.Duration {
	slices.Sort(list)
	return list[len(list)/2]
}

// memory gives the bytes of an array.
func memory[T any](array *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(array)), unsafe.Sizeof(*array))
}

// batch reads the whole map by batch calls, and keeps it in a table if there is one.
func batch[K, V any](b *testing.B, m *ebpf.Map, keep *layout.Table) {
	var cursor ebpf.MapBatchCursor
	keys, values := make([]K, 4096), make([]V, 4096)
	for {
		n, err := m.BatchLookup(&cursor, keys, values, nil)
		for i := 0; keep != nil && i < n; i++ {
			keep.Append(memory(&keys[i]), memory(&values[i]))
		}
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return
		} else if err != nil {
			b.Fatal(err)
		}
	}
}
