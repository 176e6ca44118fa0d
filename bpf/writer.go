// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"fmt"
	"syscall"
	"unsafe"

	"github.com/cilium/ebpf"

	"plumbline.dev/plumbline/bpf/layout"
)

// Operation puts an entry, or removes one where Value is nil.
type Operation struct {
	Map        layout.MapID
	Key, Value []byte
}

// Writer writes entries within the kernel: a list of operations over several
// maps is one run, in the list's order, and nothing of user space stands between
// one operation and the next. Close it. It is used by one goroutine at a time.
type Writer struct {
	entries *entries
	maps    map[string]*ebpf.Map // given, by name
}

// operation is struct operation of entries.bpf.c.
type operation struct {
	mapNumber, remove uint32
	key, value        [24]byte
	_                 uint64
}

// maxOperations is how many one run carries out.
const maxOperations = 8192

// NewWriter loads the program over the given maps, by name. Ones that are not
// among them are replaced by empty ones of the program's own, and can't be
// written. The error says what the kernel or the process lacks.
func NewWriter(maps map[string]*ebpf.Map) (*Writer, error) {
	all := map[string]*ebpf.Map{}
	for i, name := range entryMaps {
		if all[name] = maps[name]; maps[name] != nil {
			continue
		}
		d, _ := layout.ByName(name)
		m, err := ebpf.NewMap(&ebpf.MapSpec{Name: fmt.Sprintf("plumb_off_%d", i), Type: ebpf.Hash, KeySize: uint32(d.KeySize), ValueSize: uint32(d.ValueSize), MaxEntries: 1})
		if err != nil {
			return nil, fmt.Errorf("make an empty map for %s: %w", name, err)
		}
		defer m.Close()
		all[name] = m
	}
	e, err := openEntries(all, maxOperations*record, writeEntries)
	if err != nil {
		return nil, err
	}
	return &Writer{e, maps}, nil
}

// Writes tells whether entries of a map can be written.
func (w *Writer) Writes(id layout.MapID) bool {
	return Walkable(id) && w.maps[id.String()] != nil
}

// Write carries operations out in their order, and stops at the first that
// fails. It gives how many took effect, which are a prefix. Removing what is not
// there is no error. Maps must be such as Writes says.
func (w *Writer) Write(operations []Operation) (int, error) {
	done := 0
	for done < len(operations) {
		part := operations[done:min(len(operations), done+maxOperations)]
		n, err := w.run(part)
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

func (w *Writer) run(part []Operation) (int, error) {
	h := w.entries.header()
	*h = header{rows: uint64(len(part)), rowsAt: headerSize}
	list := unsafe.Slice((*operation)(unsafe.Pointer(&w.entries.memory[headerSize])), len(part))
	for i, o := range part {
		d := o.Map.Desc()
		if !w.Writes(o.Map) || len(o.Key) != d.KeySize || o.Value != nil && len(o.Value) != d.ValueSize {
			h.rows = uint64(i) // what stands before it is carried out
			break
		}
		list[i].mapNumber, list[i].remove = uint32(mapNumber(o.Map)), 0
		copy(list[i].key[:], o.Key)
		if o.Value == nil {
			list[i].remove = 1
		}
		copy(list[i].value[:], o.Value)
	}
	if err := w.entries.run(writeEntries); err != nil {
		return int(h.visited), err
	}
	switch n := int(h.visited); {
	case h.failed != 0:
		return n, fmt.Errorf("%s: %w", part[n].Map, syscall.Errno(h.failed))
	case n < len(part):
		return n, fmt.Errorf("%s: an entry of %d+%d bytes: %w", part[n].Map, len(part[n].Key), len(part[n].Value), syscall.EINVAL)
	}
	return len(part), nil
}

// Close releases the program; entries stay.
func (w *Writer) Close() error { return w.entries.Close() }
