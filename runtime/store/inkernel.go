// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"runtime"

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
// and deletes of entries, in one run, or in many where their order is of no
// matter. 0 is that it can't do the first.
func (k *Kernel) writeInKernel(ctx context.Context, steps []plan.Step) int {
	if k.writer == nil && !k.loadWriter() {
		return 0
	}
	if len(steps) > 2*operations {
		if n := plan.Together(steps); n > 2*operations && runtime.GOMAXPROCS(0) > 1 {
			return k.writeTwofold(ctx, steps[:n])
		}
	}
	return k.writeOnce(k.writer, steps)
}

// writeTwofold carries out steps whose order is of no matter, by two programs that
// run at the same time: a map locks no more than a bucket. What it gives is how many
// took effect from the front; behind one that did not others may have.
func (k *Kernel) writeTwofold(ctx context.Context, steps []plan.Step) int {
	half := len(steps) / 2
	second := make(chan int)
	go func() { second <- k.writeAside(ctx, steps[half:]) }()
	n := k.writeMany(ctx, k.writer, steps[:half])
	if m := <-second; n == half {
		n += m
	}
	return n
}

// writeAside is writeMany by the second program, which is loaded once. Where it can't
// be the first does all by itself.
func (k *Kernel) writeAside(ctx context.Context, steps []plan.Step) int {
	if k.aside == nil {
		var err error
		if k.aside, err = bpf.NewWriter(k.owned); err != nil {
			k.aside = nil
			return 0
		}
	}
	return k.writeMany(ctx, k.aside, steps)
}

// writeMany is writeOnce again and again, until all is done or nothing more is.
func (k *Kernel) writeMany(ctx context.Context, w *bpf.Writer, steps []plan.Step) int {
	done := 0
	for done < len(steps) && ctx.Err() == nil {
		n := k.writeOnce(w, steps[done:])
		if done += n; n == 0 {
			break
		}
	}
	return done
}

func (k *Kernel) writeOnce(w *bpf.Writer, steps []plan.Step) int {
	steps = steps[:min(len(steps), operations)]
	list := make([]bpf.Operation, 0, len(steps))
	for _, s := range steps {
		if s.Op != plan.Put && s.Op != plan.Delete || !w.Writes(s.Map) {
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
	n, _ := w.Write(list)
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
