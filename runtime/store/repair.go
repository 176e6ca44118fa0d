// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/cilium/ebpf"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/schema/state"
)

// ErrChanged is wrapped by Apply on maps that another agent writes, where an entry
// is no longer what the plan was made from: its owner has written it.
var ErrChanged = errors.New("the entry has changed since it was read")

// OpenForRepair opens pinned maps as Open does, for writing as well: what is
// written are single entries, each only if it still is what the step says it was.
// There is one repairing agent for a folder of pins at a time: it wraps ErrLocked
// for a second one. Pins of ours are refused, as mode own is for those.
func OpenForRepair(dir string, l state.Layout, o Options) (*Kernel, error) {
	k, err := Open(dir, l, o)
	if err != nil {
		return nil, err
	}
	if filepath.Base(k.pins.maps) == OwnPins {
		return nil, fmt.Errorf("repair %s: the pins are an agent's of mode own, which mends them itself", k.pins.maps)
	}
	if k.lock, err = lock(k.pins.maps); err != nil {
		return nil, err
	}
	k.repairs = true
	return k, nil
}

// repair writes steps one by one. Nothing is written where any of their maps is
// not the one that was read last, or not of the layout any more (I7).
func (k *Kernel) repair(ctx context.Context, steps []plan.Step) (int, error) {
	maps := map[layout.MapID]*ebpf.Map{}
	defer func() {
		for _, m := range maps {
			m.Close()
		}
	}()
	for _, s := range steps {
		if s.Op != plan.Put && s.Op != plan.Delete {
			return 0, fmt.Errorf("%s: programs are their owner's to attach: %w", s, ErrReadOnly)
		}
		if maps[s.Map] != nil {
			continue
		}
		m, err := k.openRead(s.Map.Desc())
		if err != nil {
			return 0, err
		}
		maps[s.Map] = m
	}
	for i, s := range steps {
		err := ctx.Err()
		if err == nil {
			err = exchange(maps[s.Map], s)
		}
		if err != nil {
			return i, fmt.Errorf("%s: %w", s, outOfMemory(err))
		}
	}
	return len(steps), nil
}

// openRead opens for writing the map that the last Read has read.
func (k *Kernel) openRead(d layout.Desc) (*ebpf.Map, error) {
	m, err := loadMap(filepath.Join(k.pins.maps, d.Name), nil)
	if err != nil {
		return nil, fmt.Errorf("open map %s: %w", d.Name, err)
	}
	id, err := mapID(d.Name, m)
	if err == nil && k.readIDs[d.Name] != id {
		err = fmt.Errorf("map %s: the pin was replaced: %w", d.Name, ErrChanged)
	}
	var have state.Map
	if err == nil {
		have, err = parameters(d.Name, m)
	}
	if err == nil {
		err = incompatible(k.layout, readable(have, d), nil, "nothing was written")
	}
	if err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// exchange writes an entry that still is as the step says it was. Whether it is
// there at all the kernel itself looks at in the same moment; so an entry that
// the owner deletes meanwhile is not brought back, and one that it adds is kept.
func exchange(m *ebpf.Map, s plan.Step) error {
	if m.Type() != ebpf.LPMTrie { // which finds the nearest key, not this one
		now, err := m.LookupBytes(s.Key)
		if err != nil {
			return err
		}
		if !bytes.Equal(now, s.Old) {
			return ErrChanged
		}
	}
	var err error
	switch {
	case s.Op == plan.Delete:
		err = m.Delete(s.Key)
	case s.Old == nil:
		err = m.Update(s.Key, s.New, ebpf.UpdateNoExist)
	default:
		err = m.Update(s.Key, s.New, ebpf.UpdateExist)
	}
	if errors.Is(err, ebpf.ErrKeyExist) || errors.Is(err, ebpf.ErrKeyNotExist) {
		return ErrChanged
	}
	return err
}
