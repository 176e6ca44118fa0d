// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/schema/state"
)

// Fake is a kernel in memory. It refuses what the kernel refuses: entries of
// the wrong size, and more of them than the map has room for.
type Fake struct {
	layout state.Layout
	maps   []state.Map
	// Shared has a step fail with ErrChanged whose entry is not what it was when
	// the plan was made, as on maps that are open for repair.
	Shared bool

	mu          sync.Mutex
	entries     map[layout.MapID]map[string]string
	attachments map[string]state.Attachment
}

var _ Store = (*Fake)(nil)

// NewFake makes an empty one with the given maps.
func NewFake(l state.Layout, maps []state.Map) *Fake {
	return &Fake{layout: l, maps: slices.Clone(maps), entries: map[layout.MapID]map[string]string{}, attachments: map[string]state.Attachment{}}
}

// Read gives a copy of all that is held.
func (f *Fake) Read(ctx context.Context) (*plan.Have, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	have := &plan.Have{Layout: f.layout, Tables: layout.Tables{}}
	for _, m := range f.maps {
		held := plan.HeldMap{Map: m}
		if d, ok := layout.ByName(m.Name); ok && d.Content() {
			held.Entries = uint32(len(f.entries[d.ID]))
			have.Tables[d.ID] = f.table(d)
		}
		have.Maps = append(have.Maps, held)
	}
	for _, name := range slices.Sorted(maps.Keys(f.attachments)) {
		have.Attachments = append(have.Attachments, f.attachments[name])
	}
	return have, nil
}

func (f *Fake) table(d layout.Desc) *layout.Table {
	size := d.ValueSize
	for _, value := range f.entries[d.ID] {
		size = len(value) // of a Maglev table another one
	}
	t := layout.NewTable(d.KeySize, size, len(f.entries[d.ID]))
	for key, value := range f.entries[d.ID] {
		t.Append([]byte(key), []byte(value))
	}
	t.Sort()
	return t
}

// Apply carries the steps out.
func (f *Fake) Apply(ctx context.Context, steps []plan.Step) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, s := range steps {
		if err := ctx.Err(); err != nil {
			return i, err
		}
		if err := f.apply(s); err != nil {
			return i, fmt.Errorf("%s: %w", s, err)
		}
	}
	return len(steps), nil
}

func (f *Fake) apply(s plan.Step) error {
	switch s.Op {
	case plan.Attach:
		f.attachments[s.Attachment.Program] = *s.Attachment
		return nil
	case plan.Detach:
		delete(f.attachments, s.Attachment.Program)
		return nil
	}
	m, err := f.mapOf(s.Map)
	if err != nil {
		return err
	}
	d := s.Map.Desc()
	if len(s.Key) != d.KeySize || s.Op == plan.Put && len(s.New) != d.ValueSize && m.Type != mapTypes[ebpf.HashOfMaps] {
		return fmt.Errorf("an entry of %d+%d bytes, want %d+%d: %w", len(s.Key), len(s.New), d.KeySize, d.ValueSize, unix.EINVAL)
	}
	entries := f.entries[s.Map]
	if now, there := entries[string(s.Key)]; f.Shared && (there != (s.Old != nil) || now != string(s.Old)) {
		return ErrChanged
	}
	if entries == nil {
		entries = map[string]string{}
		f.entries[s.Map] = entries
	}
	if s.Op == plan.Delete {
		delete(entries, string(s.Key))
		return nil
	}
	if _, there := entries[string(s.Key)]; !there && len(entries) >= int(m.MaxEntries) {
		return fmt.Errorf("map %s holds %d of %d entries: %w", d.Name, len(entries), m.MaxEntries, unix.E2BIG)
	}
	entries[string(s.Key)] = string(s.New)
	return nil
}

func (f *Fake) mapOf(id layout.MapID) (state.Map, error) {
	for _, m := range f.maps {
		if m.Name == id.String() {
			return m, nil
		}
	}
	return state.Map{}, fmt.Errorf("map %s: %w", id, unix.ENOENT)
}

// Tamper changes what is held behind the back of whoever owns it.
func (f *Fake) Tamper(id layout.MapID, key, value []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if value == nil {
		delete(f.entries[id], string(key))
		return
	}
	if f.entries[id] == nil {
		f.entries[id] = map[string]string{}
	}
	f.entries[id][string(key)] = string(value)
}
