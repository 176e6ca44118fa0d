// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"plumbline.dev/plumbline/bpf/layout"
)

// benchEntries is as many as ten thousand services of ten backends have in the
// services map.
const benchEntries = 110000

// BenchmarkPrivilegedEntries sets what the programs take against the batch calls
// that do the same from outside, in turn: medians of the rounds.
func BenchmarkPrivilegedEntries(b *testing.B) {
	id := layout.Services4
	d := id.Desc()
	m := entryMap(b, id, 131072, 1)
	keys, values := make([][12]byte, benchEntries), make([][12]byte, benchEntries)
	for i := range keys {
		binary.LittleEndian.PutUint32(keys[i][:], uint32(i))
		binary.LittleEndian.PutUint32(values[i][:], uint32(i))
	}
	if _, err := m.BatchUpdate(keys, values, nil); err != nil {
		b.Fatal(err)
	}
	held := batch(b, m, true)
	shuffled := layout.NewTable(d.KeySize, d.ValueSize, benchEntries)
	for i := range keys {
		shuffled.Append(keys[i][:], values[i][:])
	}
	ordered, other := comparer(b, id, m), comparer(b, id, m)
	var raw, load, inOrder, anyOrder []time.Duration
	for b.Loop() {
		raw = append(raw, timed(func() { batch(b, m, false) }))
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
	b.ReportMetric(floor/1e6, "raw-ms")
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

// batch reads the whole map by batch calls, and keeps it or not.
func batch(b *testing.B, m *ebpf.Map, keep bool) *layout.Table {
	t := layout.NewTable(12, 12, 0)
	var cursor ebpf.MapBatchCursor
	keys, values := make([][12]byte, 4096), make([][12]byte, 4096)
	for {
		n, err := m.BatchLookup(&cursor, keys, values, nil)
		for i := range n {
			if keep {
				t.Append(keys[i][:], values[i][:])
			}
		}
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return t
		} else if err != nil {
			b.Fatal(err)
		}
	}
}
