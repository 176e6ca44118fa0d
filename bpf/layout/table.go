// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"bytes"
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sort"
)

// Table is a map's content: entries of one size, packed. It costs no more memory
// than the entries themselves. Whatever walks or looks up sorts it by key first,
// once; what does not need an order, as Index.Holds, leaves it as it was read. A
// Table is filled by one goroutine and used by one at a time.
type Table struct {
	keySize, valueSize int
	data               []byte
	unsorted           bool
}

// NewTable makes an empty table with room for n entries.
func NewTable(keySize, valueSize, n int) *Table {
	return &Table{keySize: keySize, valueSize: valueSize, data: make([]byte, 0, n*(keySize+valueSize))}
}

// Append adds an entry. Of equal keys the last one counts, as in a map that is
// written in that order. It panics where the sizes differ from the table's: that
// is a programming error, entries that come from a kernel are of the map's sizes.
func (t *Table) Append(key, value []byte) {
	if !t.Accepts(key, value) {
		panic(fmt.Sprintf("entry of %d+%d bytes in a table of %d+%d", len(key), len(value), t.keySize, t.valueSize))
	}
	t.data = append(append(t.data, key...), value...)
	t.unsorted = true
}

// entry begins an entry for the encoder, which appends its key and value to the
// table's own memory; ended ends it.
func (t *Table) entry() []byte { return t.data }

// ended panics as Append does.
func (t *Table) ended(data []byte) {
	if len(data) != len(t.data)+t.stride() {
		panic(fmt.Sprintf("entry of %d bytes in a table of %d+%d", len(data)-len(t.data), t.keySize, t.valueSize))
	}
	t.data, t.unsorted = data, true
}

// AppendAll adds n entries whose keys and values stand one behind the other.
func (t *Table) AppendAll(keys, values []byte, n int) {
	if len(keys) < n*t.keySize || len(values) < n*t.valueSize {
		panic(fmt.Sprintf("%d entries of %d+%d bytes out of %d+%d", n, t.keySize, t.valueSize, len(keys), len(values)))
	}
	if need := len(t.data) + n*t.stride(); need > cap(t.data) {
		grown := make([]byte, len(t.data), max(need, 2*cap(t.data)))
		copy(grown, t.data)
		t.data = grown
	}
	at := len(t.data)
	t.data = t.data[:at+n*t.stride()]
	for i := range n {
		copy(t.data[at:], keys[i*t.keySize:][:t.keySize])
		copy(t.data[at+t.keySize:], values[i*t.valueSize:][:t.valueSize])
		at += t.stride()
	}
	t.unsorted = true
}

// Clip gives memory back that is kept for more entries, where it is much.
func (t *Table) Clip() {
	if cap(t.data) > len(t.data)+len(t.data)/4 {
		t.data = append(make([]byte, 0, len(t.data)), t.data...)
	}
}

// Accepts tells whether an entry is of the table's sizes.
func (t *Table) Accepts(key, value []byte) bool {
	return len(key) == t.keySize && len(value) == t.valueSize
}

// Sort orders the entries by key and drops all but the last of equal keys.
func (t *Table) Sort() {
	if t == nil || !t.unsorted {
		return
	}
	t.unsorted = false
	n, stride := t.Rows(), t.stride()
	order := make([]place, n)
	inOrder := true
	for i := range order {
		order[i] = place{prefix(t.key(i)), int32(i)}
		inOrder = inOrder && (i == 0 || order[i-1].prefix < order[i].prefix)
	}
	if inOrder {
		return
	}
	slices.SortFunc(order, func(a, b place) int {
		if a.prefix != b.prefix {
			return cmp.Compare(a.prefix, b.prefix)
		}
		return cmp.Or(bytes.Compare(t.key(int(a.number)), t.key(int(b.number))), cmp.Compare(a.number, b.number))
	})
	sorted := make([]byte, 0, len(t.data))
	for i, at := range order {
		from := int(at.number)
		if i+1 < n && order[i+1].prefix == at.prefix && bytes.Equal(t.key(from), t.key(int(order[i+1].number))) {
			continue
		}
		sorted = append(sorted, t.data[from*stride:][:stride]...)
	}
	t.data = sorted
}

// place is an entry's number, and the front of its key: most comparisons end there.
type place struct {
	prefix uint64
	number int32
}

// prefix gives the first eight bytes of a key as a number that is as large as
// they are, in the order of bytes.Compare.
func prefix(key []byte) uint64 {
	if len(key) >= 8 {
		return be.Uint64(key)
	}
	var p uint64
	for i := range 8 {
		p <<= 8
		if i < len(key) {
			p |= uint64(key[i])
		}
	}
	return p
}

func (t *Table) stride() int        { return t.keySize + t.valueSize }
func (t *Table) key(i int) []byte   { return t.data[i*t.stride():][:t.keySize:t.keySize] }
func (t *Table) value(i int) []byte { return t.data[i*t.stride()+t.keySize:][:t.valueSize:t.valueSize] }

// Rows counts what was appended, repeated keys included, and sorts nothing; a
// nil Table has none.
func (t *Table) Rows() int {
	if t == nil || t.stride() == 0 {
		return 0
	}
	return len(t.data) / t.stride()
}

// Len is the number of entries; a nil Table has none.
func (t *Table) Len() int {
	t.Sort()
	return t.Rows()
}

// All walks the entries in key order. The slices are the table's own.
func (t *Table) All() iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		for i := range t.Len() { // sorts
			if !yield(t.key(i), t.value(i)) {
				return
			}
		}
	}
}

// Row gives the i-th of Rows entries, in whatever order they are.
func (t *Table) Row(i int) (key, value []byte) { return t.key(i), t.value(i) }

// Find looks a key up.
func (t *Table) Find(key []byte) ([]byte, bool) {
	n := t.Len()
	i := sort.Search(n, func(i int) bool { return bytes.Compare(t.key(i), key) >= 0 })
	if i < n && bytes.Equal(t.key(i), key) {
		return t.value(i), true
	}
	return nil, false
}

// Equal tells whether two tables hold the same bytes.
func (t *Table) Equal(o *Table) bool {
	if n, m := t.Len(), o.Len(); n == 0 || m == 0 {
		return n == m
	}
	return t.keySize == o.keySize && bytes.Equal(t.data, o.data)
}

// Clone copies the table.
func (t *Table) Clone() *Table {
	clone := *t
	clone.data = slices.Clone(t.data)
	return &clone
}

// Share gives the same entries in the same order. Neither table sees what is
// done to the other: sorting one leaves the other as it is.
func (t *Table) Share() *Table {
	shared := *t
	shared.data = t.data[:len(t.data):len(t.data)]
	return &shared
}

// Shares tells whether two tables are known to hold the same without a look at
// their entries: one is the other, by Share. Neither may be nil and the answer
// for an empty one is false.
func (t *Table) Shares(o *Table) bool {
	return o != nil && len(t.data) > 0 && len(t.data) == len(o.data) && &t.data[0] == &o.data[0] && t.keySize == o.keySize
}

// With gives the table with other values: those of the given keys. A nil value
// drops the entry. What is there stays in its place, what is new comes last.
func (t *Table) With(values map[string][]byte) *Table {
	out := NewTable(t.keySize, t.valueSize, t.Rows()+len(values))
	rest := maps.Clone(values)
	for i := range t.Rows() {
		key := t.key(i)
		value, given := values[string(key)]
		_, first := rest[string(key)]
		switch {
		case !given:
			out.Append(key, t.value(i))
		case first && value != nil:
			out.Append(key, value)
		}
		delete(rest, string(key))
	}
	for _, key := range slices.Sorted(maps.Keys(rest)) {
		if rest[key] != nil {
			out.Append([]byte(key), rest[key])
		}
	}
	return out
}

// Edit is one difference between two tables: Old is nil where the key is to be
// added, New where it is to go.
type Edit struct{ Key, Old, New []byte }

// Edits yields what turns have into want, in key order. Either may be nil.
func Edits(have, want *Table) iter.Seq[Edit] {
	return func(yield func(Edit) bool) {
		i, j := 0, 0
		for n, m := have.Len(), want.Len(); i < n || j < m; {
			var e Edit
			switch c := compareAt(have, i, want, j); {
			case c < 0:
				e = Edit{Key: have.key(i), Old: have.value(i)}
				i++
			case c > 0:
				e = Edit{Key: want.key(j), New: want.value(j)}
				j++
			default:
				e = Edit{Key: have.key(i), Old: have.value(i), New: want.value(j)}
				i, j = i+1, j+1
				if bytes.Equal(e.Old, e.New) {
					continue
				}
			}
			if !yield(e) {
				return
			}
		}
	}
}

// compareAt compares the keys at two places; a table that has ended is last.
func compareAt(a *Table, i int, b *Table, j int) int {
	switch {
	case i == a.Rows():
		return 1
	case j == b.Rows():
		return -1
	}
	return bytes.Compare(a.key(i), b.key(j))
}

// Tables are the contents of all content maps. A missing one is an empty map;
// a map that could not be read has no place here (I1).
type Tables map[MapID]*Table
