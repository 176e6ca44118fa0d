// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/schema/state"
)

// Read reads every pinned map and link. Every map that is not of the layout is
// named in one IncompatibleError, and every one that could not be read in one
// error (I1, I7). Pins that come, go or are replaced meanwhile are read again:
// what it gives was pinned together. A map that has been read before is compared
// with that within the kernel, where Programs says so, and only what differs is
// read.
func (k *Kernel) Read(ctx context.Context) (*plan.Have, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.repin(); err != nil {
		return nil, err
	}
	var changes []string
	for range attempts {
		before, err := k.pinned()
		if err != nil {
			return nil, err
		}
		have, err := k.readAll(ctx)
		after, pinErr := k.pinned()
		if pinErr != nil {
			return nil, pinErr
		}
		if changes = pinChanges(before, after); len(changes) == 0 || ctx.Err() != nil {
			return have, err
		}
	}
	return nil, fmt.Errorf("read %s: %w: %s; a restarting agent does so for a moment, try again", k.pins.maps, ErrUnsettled, strings.Join(changes, ", "))
}

// readAll reads once.
func (k *Kernel) readAll(ctx context.Context) (*plan.Have, error) {
	have := &plan.Have{Layout: k.layout, Tables: layout.Tables{}}
	ids := map[string]uint32{}
	k.readIDs = ids
	var errs []error
	var differing []Difference
	for _, d := range layout.Maps() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		read, err := k.readMap(d)
		k.afterMap(d.Name)
		differing = append(differing, read.differing...)
		if err != nil && !errors.Is(err, errNoPin) {
			errs = append(errs, err)
		}
		if err != nil || len(read.differing) > 0 {
			continue
		}
		ids[d.Name] = read.id
		have.Maps = append(have.Maps, read.held)
		if d.Content() {
			have.Tables[d.ID] = read.table
		}
	}
	if err := errors.Join(append(errs, k.agree(have, differing))...); err != nil {
		return nil, fmt.Errorf("read %s: %w", k.pins.maps, err)
	}
	if len(have.Maps) == 0 {
		return nil, fmt.Errorf("read %s: %w", k.pins.maps, ErrNoPins)
	}
	if err := k.readAttachments(have, ids); err != nil {
		return nil, err
	}
	return have, nil
}

// agree compares the layout with all that was seen, or finds it. differing are
// the differences of the maps themselves, which no known layout explains. Maps
// of ours are brought to the layout whatever is in them.
func (k *Kernel) agree(have *plan.Have, differing []Difference) error {
	if k.owned != nil {
		return incompatible(k.layout, differing, nil, "restart the agent")
	}
	evidence, err := k.evidence(have)
	if err != nil {
		return err
	}
	var fits []state.Layout
	if len(differing) == 0 {
		fits = layout.Fits(evidence)
		have.Fits = fits
	}
	if k.layout == state.LayoutNone && len(fits) > 0 {
		have.Layout = fits[0]
	}
	if have.Layout == state.LayoutNone { // nothing explains all of it
		for _, e := range evidence {
			differing = append(differing, Difference{e.Map, e.Property, "one known layout's", fmt.Sprintf("%s, as %s has it", e.Have, texts(e.Of))})
		}
		return incompatible(k.layout, differing, fits, "")
	}
	return incompatible(have.Layout, append(differing, disagreements(have.Layout, evidence)...), fits, "")
}

// mapRead is what there is to say of one map.
type mapRead struct {
	held      plan.HeldMap
	table     *layout.Table
	id        uint32
	differing []Difference
}

// readMap reads one map by its pin; errNoPin is that there is none.
func (k *Kernel) readMap(d layout.Desc) (read mapRead, err error) {
	m, err := loadMap(filepath.Join(k.pins.maps, d.Name), &ebpf.LoadPinOptions{ReadOnly: true})
	var other *notMapError
	if errors.As(err, &other) {
		read.differing = []Difference{other.difference(d.Name)}
		return read, nil
	}
	if err != nil {
		return read, fmt.Errorf("map %s: %w", d.Name, err)
	}
	defer m.Close()
	if read.id, err = mapID(d.Name, m); err != nil {
		return read, err
	}
	if read.differing, err = k.sameAsOwned(d.Name, read.id); err != nil || read.differing != nil {
		return read, err
	}
	if read.held.Map, err = parameters(d.Name, m); err != nil {
		return read, err
	}
	if read.differing = readable(read.held.Map, d); read.differing != nil || !d.Content() {
		return read, nil
	}
	var inner *innerError
	read.table, err = k.content(m, d, read.id)
	if errors.As(err, &inner) {
		read.differing = []Difference{inner.difference(d.Name)}
		return read, nil
	}
	if err != nil {
		return read, fmt.Errorf("map %s: %w", d.Name, err)
	}
	read.held.Entries = uint32(read.table.Rows())
	return read, nil
}

func mapID(name string, m *ebpf.Map) (uint32, error) {
	info, err := m.Info()
	if err != nil {
		return 0, fmt.Errorf("map %s: %w", name, err)
	}
	id, ok := info.ID()
	if !ok {
		return 0, fmt.Errorf("map %s: the kernel does not say its id", name)
	}
	return uint32(id), nil
}

// sameAsOwned compares a pin with the map that an owner holds: where someone has
// replaced it, programs go on with the old map, and what is written into the new
// one serves nobody.
func (k *Kernel) sameAsOwned(name string, id uint32) ([]Difference, error) {
	m := k.owned[name]
	if m == nil {
		return nil, nil
	}
	mine, err := mapID(name, m)
	if err != nil || mine == id {
		return nil, err
	}
	return []Difference{{name, "pin", fmt.Sprintf("map %d, which the agent and its programs hold", mine), fmt.Sprintf("of map %d", id)}}, nil
}

// reader reads all entries of a map into a sorted table.
type reader func(*ebpf.Map, layout.Desc) (*layout.Table, error)

// readers are by map: batches need the sizes at compile time.
var readers = map[layout.MapID]reader{
	layout.Services4:     readBatch[[12]byte, [12]byte],
	layout.Services6:     readBatch[[24]byte, [12]byte],
	layout.Backends4:     readBatch[[4]byte, [12]byte],
	layout.Backends6:     readBatch[[4]byte, [24]byte],
	layout.ReverseNAT4:   readBatch[[2]byte, [6]byte],
	layout.ReverseNAT6:   readBatch[[2]byte, [18]byte],
	layout.AffinityMatch: readBatch[[8]byte, [1]byte],
	layout.SourceRange4:  readEach,
	layout.SourceRange6:  readEach,
	layout.Maglev4:       readInner,
	layout.Maglev6:       readInner,
}

// attempts bounds how often a map that changes during the read is read again.
const attempts = 5

func readTable(m *ebpf.Map, d layout.Desc) (*layout.Table, error) {
	return readSettled(m, d, readers[d.ID])
}

func readSettled(m *ebpf.Map, d layout.Desc, read reader) (*layout.Table, error) {
	var err error
	for range attempts {
		var t *layout.Table
		t, err = read(m, d)
		if err == nil {
			return t, nil
		}
		if !errors.Is(err, ebpf.ErrIterationAborted) && !errors.Is(err, errInnerGone) {
			break
		}
	}
	return nil, err
}

// chunk is how many entries one call reads; the gain ends at about a thousand.
const chunk = 4096

// readBatch reads by BPF_MAP_LOOKUP_BATCH (kernel 5.6), else entry by entry.
func readBatch[K, V any](m *ebpf.Map, d layout.Desc) (*layout.Table, error) {
	for size := min(chunk, int(m.MaxEntries())); ; size *= 2 {
		t, err := batches[K, V](m, d, size)
		switch {
		case errors.Is(err, ebpf.ErrNotSupported):
			return readEach(m, d)
		case errors.Is(err, unix.ENOSPC) && size < 1<<20:
			continue // a bucket holds more entries than one call may return
		}
		return t, err
	}
}

func batches[K, V any](m *ebpf.Map, d layout.Desc, size int) (*layout.Table, error) {
	var cursor ebpf.MapBatchCursor
	keys, values := make([]K, size), make([]V, size)
	t := layout.NewTable(d.KeySize, d.ValueSize, 0)
	for {
		n, err := m.BatchLookup(&cursor, keys, values, nil)
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return nil, err
		}
		t.AppendAll(allBytes(keys), allBytes(values), n)
		if err != nil { // the end
			t.Clip()
			return t, nil
		}
	}
}

// readEach reads by iteration. Keys are collected by it and values with them; a
// map that changes under it is ErrIterationAborted or misses what was just
// written, which the next read sees.
func readEach(m *ebpf.Map, d layout.Desc) (*layout.Table, error) {
	t := layout.NewTable(d.KeySize, d.ValueSize, 0)
	key, value := make([]byte, d.KeySize), make([]byte, d.ValueSize)
	entries := m.Iterate()
	for entries.Next(&key, &value) {
		t.Append(key, value)
	}
	if err := entries.Err(); err != nil {
		return nil, err
	}
	return t, nil
}

// readInner reads a map of maps: each inner map's one value.
func readInner(m *ebpf.Map, d layout.Desc) (*layout.Table, error) {
	var t *layout.Table
	var key []byte
	var id ebpf.MapID
	var size int
	entries := m.Iterate()
	for entries.Next(&key, &id) {
		value, err := innerValue(id)
		if err != nil {
			return nil, err
		}
		if t == nil {
			size = len(value)
			t = layout.NewTable(d.KeySize, size, 0)
		}
		if fits := t.Accepts(key, value); !fits {
			return nil, &innerError{id: uint32(id), size: len(value), first: size}
		}
		t.Append(key, value)
	}
	if err := entries.Err(); err != nil {
		return nil, err
	}
	if t == nil {
		return layout.NewTable(d.KeySize, 4, 0), nil
	}
	return t, nil
}

// innerError says that the inner maps of one map of maps are of several sizes:
// of each Maglev table the size is the same constant.
type innerError struct {
	id          uint32
	size, first int
}

func (e *innerError) Error() string {
	return fmt.Sprintf("inner map %d has a value of %d bytes, another has %d", e.id, e.size, e.first)
}

func (e *innerError) difference(name string) Difference {
	return Difference{name, fmt.Sprintf("value size of inner map %d", e.id), fmt.Sprint(e.first), fmt.Sprint(e.size)}
}

// errInnerGone says that an inner map was replaced between the read of its id and
// its own: the outer one has to be read again.
var errInnerGone = errors.New("it is gone: its table was replaced during the read")

// openInner opens an inner map by its id.
var openInner = ebpf.NewMapFromID

func innerValue(id ebpf.MapID) ([]byte, error) {
	inner, err := openInner(id)
	if errors.Is(err, os.ErrNotExist) {
		err = errInnerGone
	}
	if err != nil {
		return nil, fmt.Errorf("inner map %d: %w", id, err)
	}
	defer inner.Close()
	value, err := inner.LookupBytes(uint32(0))
	if err != nil {
		return nil, fmt.Errorf("inner map %d: %w", id, err)
	}
	return value, nil
}
