// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"plumbline.dev/plumbline/bpf"
	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/runtime/plan"
)

// Programs says whether a Kernel compares and writes whole maps by programs that
// it loads (package bpf), rather than by system calls. What it reads and writes
// is the same.
type Programs uint8

// The choices. WhereUseful is the zero value: programs for writing, and for
// reading a map again that holds more entries than loading one is worth; system
// calls where the kernel or the process can't load them.
const (
	WhereUseful Programs = iota
	Never
	Always // for maps of any size
)

// useful is from how many entries on a map is compared by a program.
const useful = 1024

// known is what the last Read gave for a map, from which the next one starts.
type known struct {
	id       uint32 // the map's
	table    *layout.Table
	comparer *bpf.Comparer // nil until it is of use
}

// Refused gives why this Kernel makes do with system calls; nil is that nothing
// has stood in the way of programs so far. It may be asked at any time.
func (k *Kernel) Refused() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return errors.Join(k.noCompare, k.noWrite)
}

// content gives the entries of a map. The first time, and wherever too much has
// changed for less, they are read as a whole.
func (k *Kernel) content(m *ebpf.Map, d layout.Desc, id uint32) (*layout.Table, error) {
	if table := k.readAgain(m, d, id); table != nil {
		return table.Share(), nil
	}
	table, err := readTable(m, d)
	if err != nil {
		return nil, err
	}
	k.remember(d, id, table)
	return table, nil
}

// remember keeps what has been read, in the order in which it was: a comparison
// in that order needs no search.
func (k *Kernel) remember(d layout.Desc, id uint32, table *layout.Table) {
	if k.programs == Never || !bpf.Walkable(d.ID) {
		return
	}
	last := k.known[d.ID]
	if last != nil && last.id != id {
		last.close()
		last = nil
	}
	if last == nil {
		last = &known{id: id}
		k.known[d.ID] = last
	}
	last.table = table.Share()
}

// readAgain has the kernel compare a map with what the last Read gave, and looks
// up only what differs: a map that changes during the comparison may be told
// wrongly of, a key that is looked up not. Nil is that the map has to be read.
func (k *Kernel) readAgain(m *ebpf.Map, d layout.Desc, id uint32) *layout.Table {
	last := k.known[d.ID]
	if last == nil || last.id != id || k.noCompare != nil || k.programs == WhereUseful && last.table.Rows() < useful {
		return nil
	}
	found, err := last.compare(d, m)
	if err != nil {
		k.noCompare = fmt.Errorf("maps are read by system calls alone: %w", err)
		return nil
	}
	if found.Overflow {
		return nil
	}
	if !found.Equal() {
		values, err := lookUp(m, found.Keys)
		if err != nil {
			return nil
		}
		last.table = last.table.With(values)
	}
	return last.table
}

func (l *known) compare(d layout.Desc, m *ebpf.Map) (*bpf.Comparison, error) {
	if l.comparer == nil {
		var err error
		if l.comparer, err = bpf.NewComparer(d, m, l.table.Rows()); err != nil {
			return nil, err
		}
	}
	return l.comparer.Compare(l.table)
}

// lookUp gives the values of keys; nil is that there is no such entry.
func lookUp(m *ebpf.Map, keys [][]byte) (map[string][]byte, error) {
	values := make(map[string][]byte, len(keys))
	for _, key := range keys {
		value, err := m.LookupBytes(key)
		if err != nil {
			return nil, err
		}
		values[string(key)] = value
	}
	return values, nil
}

func (l *known) close() error {
	if l.comparer == nil {
		return nil
	}
	return l.comparer.Close()
}

// operations is how many steps one run carries out, between two looks at the context.
const operations = 8192

// writeInKernel carries out the steps from the front that the program can: puts
// and deletes of entries, in one run. 0 and no error is that it can't do the first.
func (k *Kernel) writeInKernel(steps []plan.Step) int {
	if k.writer == nil && !k.loadWriter() {
		return 0
	}
	var list []bpf.Operation
	for _, s := range steps[:min(len(steps), operations)] {
		if s.Op != plan.Put && s.Op != plan.Delete || !k.writer.Writes(s.Map) {
			break
		}
		o := bpf.Operation{Map: s.Map, Key: s.Key}
		if s.Op == plan.Put {
			o.Value = s.New
		}
		list = append(list, o)
	}
	if len(list) == 0 {
		return 0
	}
	// What the run stopped at is tried again by a system call, which fails for
	// the same reason or succeeds: a run can't wait for memory, a call can.
	n, _ := k.writer.Write(list)
	return n
}

// loadWriter loads the program once, if it may.
func (k *Kernel) loadWriter() bool {
	if k.programs == Never || k.noWrite != nil {
		return false
	}
	writer, err := bpf.NewWriter(k.owned)
	if err != nil {
		k.noWrite = fmt.Errorf("maps are written by system calls alone: %w", err)
		return false
	}
	k.writer = writer
	return true
}
