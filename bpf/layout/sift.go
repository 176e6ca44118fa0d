// SPDX-License-Identifier: Apache-2.0

package layout

import "fmt"

// Sift parts entries whose keys no lookup builds from the others: padding that is
// not empty, a prefix length that is none. They stand for nothing, and yet they
// would decode to what a sound entry stands for. Tables without any are passed on
// as they are; none is changed.
func Sift(t Tables) (Tables, []Stray) {
	var strange []Stray
	out := make(Tables, len(t))
	for _, d := range Content() {
		table, ok := t[d.ID]
		if !ok {
			continue
		}
		out[d.ID] = table
		if bad := malformedRows(d.ID, table); len(bad) > 0 {
			strange = append(strange, bad...)
			out[d.ID] = table.without(d.ID)
		}
	}
	return out, strange
}

func malformedRows(id MapID, t *Table) []Stray {
	var list []Stray
	for i := range t.Rows() {
		key, _ := t.Row(i)
		if why := malformed(id, key); why != "" {
			list = append(list, Stray{Map: id, Key: key, Why: why})
		}
	}
	return list
}

// without copies the sound entries.
func (t *Table) without(id MapID) *Table {
	out := NewTable(t.keySize, t.valueSize, t.Rows())
	for i := range t.Rows() {
		if key, value := t.Row(i); malformed(id, key) == "" {
			out.Append(key, value)
		}
	}
	return out
}

// malformed says why no lookup builds a key; "" is that one may. A key of the
// wrong size is the codec's to refuse.
func malformed(id MapID, key []byte) string {
	d := id.Desc()
	if len(key) != d.KeySize {
		return ""
	}
	var padding []byte
	switch id {
	case Services4, Services6:
		padding = key[d.KeySize-2:]
	case AffinityMatch:
		padding = key[6:]
	case SourceRange4, SourceRange6:
		padding = key[6:8]
		least, most := uint32(rangeStatic), uint32(rangeStatic+8*(d.KeySize-8))
		if bits := le.Uint32(key); bits < least || bits > most {
			return fmt.Sprintf("key %x: its prefix length %d is outside %d to %d: a shorter one lets every client of other frontends match", key, bits, least, most)
		}
	}
	for _, b := range padding {
		if b != 0 {
			return fmt.Sprintf("key %x: its padding is not empty: no lookup finds it", key)
		}
	}
	return ""
}
