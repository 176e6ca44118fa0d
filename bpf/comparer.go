// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"github.com/cilium/ebpf"

	"plumbline.dev/plumbline/bpf/layout"
)

// Comparer compares a map with expected entries within the kernel: no entry
// crosses over. It only reads, so that a map which was opened for reading will
// do, and CAP_BPF. Close it. It is used by one goroutine at a time.
//
// A map that changes during a run may be told wrongly of: an entry that moves is
// seen twice or not at all. Of a map at rest nothing wrong is said. Who acts on a
// difference therefore looks its key up first.
type Comparer struct {
	desc     layout.Desc
	subject  *ebpf.Map // a descriptor of our own
	entries  *entries
	capacity int // bytes behind the header
	// expected and rows are what the area has; a table that is sorted meanwhile
	// has the same entries.
	expected *layout.Table
	rows     int
}

// Walkable tells whether programs can walk a map: hash tables alone.
func Walkable(id layout.MapID) bool { return mapNumber(id) >= 0 }

func mapNumber(id layout.MapID) int {
	for i, name := range entryMaps {
		if name == id.String() {
			return i
		}
	}
	return -1
}

// NewComparer loads the program over a map, which must be as d describes it, with
// room for so many expected entries to begin with. The map may be closed then.
// The error says what the kernel or the process lacks.
func NewComparer(d layout.Desc, m *ebpf.Map, rows int) (*Comparer, error) {
	if !Walkable(d.ID) {
		return nil, fmt.Errorf("map %s: a %s can't be walked by programs", d.Name, d.Type)
	}
	own, err := m.Clone()
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", d.Name, err)
	}
	c := &Comparer{desc: d, subject: own}
	if err := c.open(c.size(rows, slotsFor(rows))); err != nil {
		return nil, errors.Join(err, own.Close())
	}
	return c, nil
}

func (c *Comparer) open(capacity int) error {
	fresh, err := openEntries(map[string]*ebpf.Map{c.desc.Name: c.subject}, capacity, comparePrefix+c.desc.Name)
	if err != nil {
		return err
	}
	if c.entries != nil {
		err = c.entries.Close()
	}
	c.entries, c.capacity, c.expected = fresh, capacity, nil
	return err
}

// maxDifferences is how many keys one comparison names.
const maxDifferences = 1024

const reportSize = 24 // bytes of a reported key

// Comparison is what Compare found.
type Comparison struct {
	// Entries is how many the map holds.
	Entries int
	// Keys are those of entries that differ, are missing or are not expected, as
	// far as Overflow does not say that there are too many of them.
	Keys     [][]byte
	Overflow bool
}

// Equal tells whether the map holds exactly what was expected.
func (c *Comparison) Equal() bool { return len(c.Keys) == 0 && !c.Overflow }

// Compare compares the map's entries with the expected ones, byte for byte.
func (c *Comparer) Compare(expected *layout.Table) (*Comparison, error) {
	if c.expected != expected || c.rows != expected.Rows() {
		if err := c.expect(expected); err != nil {
			return nil, err
		}
	}
	h := c.entries.header()
	seen := c.entries.words(h.seenAt, c.rows/64+1)
	clear(seen)
	h.next, h.visited, h.matched, h.repeated, h.reports = 0, 0, 0, 0, 0
	if err := c.entries.run(comparePrefix + c.desc.Name); err != nil {
		return nil, err
	}
	found := &Comparison{Entries: int(h.visited)}
	if int(h.matched) == c.rows && h.reports == 0 && h.repeated == 0 {
		return found, nil
	}
	c.expected = nil // what is expected next is another table: this one may go
	if h.reports > h.maxReports || h.repeated > 0 {
		found.Overflow = true
		return found, nil
	}
	for i := range h.reports {
		from := c.entries.words(h.reportsAt+i*reportSize, reportSize/8)
		found.Keys = append(found.Keys, c.key(from))
	}
	c.missing(found, seen)
	return found, nil
}

// key copies a key from the words that it is held in.
func (c *Comparer) key(words []uint64) []byte {
	return slices.Clone(bytesOf(words)[:c.desc.KeySize])
}

// missing adds the keys of expected entries that were not seen.
func (c *Comparer) missing(found *Comparison, seen []uint64) {
	for i := range c.rows {
		if seen[i/64]&(1<<(i%64)) != 0 {
			continue
		}
		if len(found.Keys) >= maxDifferences {
			found.Keys, found.Overflow = nil, true
			return
		}
		row := c.entries.words(c.entries.header().rowsAt+uint64(i*c.stride()), c.stride()/8)
		found.Keys = append(found.Keys, c.key(row))
	}
}

// expect lays the expected entries out in the area, whose size is made to fit.
func (c *Comparer) expect(t *layout.Table) error {
	slots := slotsFor(t.Rows())
	for range 4 {
		need := c.size(t.Rows(), slots)
		if need > c.capacity {
			if err := c.open(need + need/4); err != nil {
				return err
			}
		}
		c.lay(t, slots)
		if c.index(t.Rows(), slots) {
			c.expected, c.rows = t, t.Rows()
			return nil
		}
		slots *= 2
	}
	return fmt.Errorf("map %s: more than %d of the expected keys fall on one place", c.desc.Name, probes)
}

// slotsFor is how many slots so many rows have: at most half of them are taken.
func slotsFor(rows int) int {
	slots := 64
	for slots < 2*rows {
		slots *= 2
	}
	return slots
}

func (c *Comparer) stride() int {
	return 8 * (layout.Words(c.desc.KeySize) + layout.Words(c.desc.ValueSize))
}

func (c *Comparer) size(rows, slots int) int {
	return maxDifferences*reportSize + rows*c.stride() + 4*slots + 8*(rows/64+1)
}

// lay writes the header and the rows.
func (c *Comparer) lay(t *layout.Table, slots int) {
	h := c.entries.header()
	*h = header{rows: uint64(t.Rows()), slotMask: uint64(slots - 1), maxReports: maxDifferences}
	h.reportsAt = headerSize
	h.rowsAt = h.reportsAt + maxDifferences*reportSize
	h.slotsAt = h.rowsAt + uint64(t.Rows()*c.stride())
	h.seenAt = h.slotsAt + uint64(4*slots)
	rows := c.entries.words(h.rowsAt, t.Rows()*c.stride()/8)
	for i, at := 0, 0; i < t.Rows(); i++ {
		key, value := t.Row(i)
		for _, part := range [2][]byte{key, value} {
			for len(part) > 0 {
				rows[at], part = layout.Word(part)
				at++
			}
		}
	}
}

// probes is PROBES of entries.bpf.c: how many slots it looks at for a key.
const probes = 32

// index fills the slots, as search of entries.bpf.c reads them; it fails where
// a key would need more probes than that makes.
func (c *Comparer) index(rows, slots int) bool {
	h := c.entries.header()
	stride, mask := c.stride()/8, uint64(slots-1)
	words := c.entries.words(h.rowsAt, rows*stride)
	table := unsafe.Slice((*uint32)(unsafe.Pointer(&c.entries.memory[h.slotsAt])), slots)
	clear(table)
	for i := range rows {
		sum := hashWords(words[i*stride:][:layout.Words(c.desc.KeySize)])
		step, n := sum>>32|1, 0
		for ; n < probes && table[sum&mask] != 0; n++ {
			sum += step
		}
		if n == probes {
			return false
		}
		table[sum&mask] = uint32(i + 1)
	}
	return true
}

// hashWords is hash of entries.bpf.c.
func hashWords(key []uint64) uint64 {
	var sum uint64
	for _, w := range key {
		sum = mix(sum, w)
	}
	return mix(sum, 0)
}

func mix(sum, word uint64) uint64 {
	sum = (sum ^ word) * 0xff51afd7ed558ccd
	return sum ^ sum>>32
}

func bytesOf(words []uint64) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), 8*len(words))
}

// Close releases the programs and the memory.
func (c *Comparer) Close() error {
	return errors.Join(c.entries.Close(), c.subject.Close())
}
