// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"bytes"
	"hash/maphash"
)

// Index finds the entries of a Table by key without an order: it tells whether a
// map that has just been read holds exactly those, at a cost below that of
// reading it.
type Index struct {
	table *Table
	seed  maphash.Seed
	// slots is an open-addressing table of entry numbers, from 1 on; 0 is free.
	slots []uint32
	seen  []uint64 // a bit per entry; used within Holds
	held  *Table   // what Holds was last true of
}

// NewIndex indexes a table's entries as they are now. It does not sort them; of
// equal keys the last one is found.
func NewIndex(t *Table) *Index {
	if t != nil {
		t = t.Share()
	}
	n := t.Rows()
	size := 16
	for size < 2*n {
		size *= 2
	}
	ix := &Index{table: t, seed: maphash.MakeSeed(), slots: make([]uint32, size), seen: make([]uint64, n/64+1)}
	for i := range n {
		at := ix.home(t.key(i))
		for ix.slots[at] != 0 && !bytes.Equal(t.key(int(ix.slots[at]-1)), t.key(i)) {
			at = (at + 1) % uint64(size)
		}
		ix.slots[at] = uint32(i + 1)
	}
	return ix
}

func (ix *Index) home(key []byte) uint64 {
	return maphash.Bytes(ix.seed, key) % uint64(len(ix.slots))
}

// Find gives the number of a key's entry, counted from 0 as it was appended, or
// -1.
func (ix *Index) Find(key []byte) int {
	for at := ix.home(key); ; at = (at + 1) % uint64(len(ix.slots)) {
		switch i := int(ix.slots[at]) - 1; {
		case i < 0:
			return -1
		case bytes.Equal(ix.table.key(i), key):
			return i
		}
	}
}

// Holds tells whether have holds exactly the indexed entries, each once. It does
// not sort have. Where it holds one of them twice, as a read during a change may,
// the answer is false: then a comparison in order has to tell. A Table that
// shares its entries with the last one that was held costs nothing.
func (ix *Index) Holds(have *Table) bool {
	if have.Rows() != ix.table.Rows() {
		return false
	}
	if ix.held != nil && ix.held.shares(have) {
		return true
	}
	clear(ix.seen)
	for i := range have.Rows() {
		at := ix.Find(have.key(i))
		if at < 0 || !bytes.Equal(ix.table.value(at), have.value(i)) || ix.seen[at/64]&(1<<(at%64)) != 0 {
			return false
		}
		ix.seen[at/64] |= 1 << (at % 64)
	}
	if have != nil {
		ix.held = have.Share()
	}
	return true
}
