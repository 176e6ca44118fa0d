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
	// short is that for keys of up to eight bytes: they stand in the slots, so that
	// to find one is a single look at memory.
	short []shortSlot
}

type shortSlot struct {
	key    uint64
	number uint32 // from 1 on; 0 is free
}

// NewIndex indexes a table's entries as they are now. It does not sort them; of
// equal keys the last one is found.
func NewIndex(t *Table) *Index {
	if t == nil {
		t = NewTable(0, 0, 0)
	}
	n := t.Rows()
	size := 16
	for 4*size < 5*n {
		size *= 2
	}
	ix := &Index{table: t.Share(), seed: maphash.MakeSeed()}
	if t.keySize <= 8 {
		ix.short = make([]shortSlot, size)
	} else {
		ix.slots = make([]uint32, size)
	}
	for i := range n {
		ix.add(i)
	}
	return ix
}

func (ix *Index) add(i int) {
	key := ix.table.key(i)
	if ix.short != nil {
		w, _ := Word(key)
		at := ix.placeShort(w)
		ix.short[at] = shortSlot{w, uint32(i + 1)}
		return
	}
	at := ix.home(key)
	for ix.slots[at] != 0 && !bytes.Equal(ix.table.key(int(ix.slots[at]-1)), key) {
		at = (at + 1) % uint64(len(ix.slots))
	}
	ix.slots[at] = uint32(i + 1)
}

func (ix *Index) home(key []byte) uint64 {
	return maphash.Bytes(ix.seed, key) % uint64(len(ix.slots))
}

// placeShort gives the slot that holds a key, or the free one for it.
func (ix *Index) placeShort(key uint64) uint64 {
	mask := uint64(len(ix.short) - 1) // their number is a power of two
	hash := (key ^ key>>32) * 0xff51afd7ed558ccd
	hash = (hash ^ hash>>32) * 0xc4ceb9fe1a85ec53
	at := (hash ^ hash>>32) & mask
	for ix.short[at].number != 0 && ix.short[at].key != key {
		at = (at + 1) & mask
	}
	return at
}

// Find gives the number of a key's entry, counted from 0 as it was appended, or
// -1.
func (ix *Index) Find(key []byte) int {
	if len(key) != ix.table.keySize {
		return -1
	}
	if ix.short != nil {
		w, _ := Word(key)
		return int(ix.short[ix.placeShort(w)].number) - 1
	}
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
// the answer is false: then a comparison in order has to tell.
func (ix *Index) Holds(have *Table) bool {
	if have.Rows() != ix.table.Rows() {
		return false
	}
	seen := make([]uint64, have.Rows()/64+1)
	for i := range have.Rows() {
		at := ix.Find(have.key(i))
		if at < 0 || !bytes.Equal(ix.table.value(at), have.value(i)) || seen[at/64]&(1<<(at%64)) != 0 {
			return false
		}
		seen[at/64] |= 1 << (at % 64)
	}
	return true
}

// Differing gives the entries in which a map that has just been read is not as
// indexed: as it holds them, nil where it lacks one. Where they are more than
// most, or the map holds a key twice as a read during a change may, false: then a
// comparison in order has to tell.
func (ix *Index) Differing(have *Table, most int) (map[string][]byte, bool) {
	out := map[string][]byte{}
	seen, found := make([]uint64, ix.table.Rows()/64+1), 0
	for i := range have.Rows() {
		key, value := have.Row(i)
		at := ix.Find(key)
		if at >= 0 {
			if seen[at/64]&(1<<(at%64)) != 0 {
				return nil, false
			}
			seen[at/64] |= 1 << (at % 64)
			found++
		}
		if at < 0 || !bytes.Equal(ix.table.value(at), value) {
			if _, twice := out[string(key)]; twice || len(out) == most {
				return nil, false
			}
			out[string(key)] = value
		}
	}
	for i := 0; found < ix.table.Rows() && i < ix.table.Rows(); i++ {
		if seen[i/64]&(1<<(i%64)) == 0 {
			if len(out) == most {
				return nil, false
			}
			out[string(ix.table.key(i))] = nil
			found++
		}
	}
	return out, true
}
