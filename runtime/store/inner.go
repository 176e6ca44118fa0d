// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/runtime/plan"
)

// tablesAtOnce is how many tables one call hands over: each is an open file until
// then. The kernel waits for its readers once a call.
const tablesAtOnce = 256

// innerSpec is that of a map which holds one table, under the name that Cilium has
// for it (pkg/maps/lbmap, "cilium_maglev_inner").
func innerSpec(bytes int) *ebpf.MapSpec {
	return &ebpf.MapSpec{Name: "cilium_maglev_inner"[:kernelName], Type: ebpf.Array, KeySize: 4, ValueSize: uint32(bytes), MaxEntries: 1}
}

// newTable makes an inner map that holds a table already: it is nobody's until it
// is put into an outer one, so that no reader sees it half written.
func newTable(table []byte) (*ebpf.Map, error) {
	inner, err := ebpf.NewMap(innerSpec(len(table)))
	if err != nil {
		return nil, fmt.Errorf("make an inner map of %d bytes: %w", len(table), err)
	}
	if err := inner.Put(uint32(0), table); err != nil {
		return nil, errors.Join(fmt.Errorf("fill an inner map of %d bytes: %w", len(table), err), inner.Close())
	}
	return inner, nil
}

// swapTable puts a table into an outer map, by one write. The table that was there
// is the kernel's to free, once the last program that reads it has returned.
func swapTable(outer *ebpf.Map, key, table []byte) error {
	inner, err := newTable(table)
	if err != nil {
		return err
	}
	return errors.Join(outer.Put(key, inner), inner.Close())
}

// writeTables writes tables, or removes them. Those that several keys have in
// common are still a map each: one is replaced without the other.
func writeTables(outer *ebpf.Map, steps []plan.Step) (int, error) {
	done := 0
	for done < len(steps) {
		part := steps[done:min(len(steps), done+tablesAtOnce)]
		n, err := writeTablesAtOnce(outer, part)
		if done += n; err != nil {
			return done, err
		}
	}
	return done, nil
}

func writeTablesAtOnce(outer *ebpf.Map, steps []plan.Step) (n int, err error) {
	keys, inner := make([][2]byte, len(steps)), make([]*ebpf.Map, 0, len(steps))
	defer func() {
		for _, m := range inner {
			err = errors.Join(err, m.Close())
		}
	}()
	files := make([]uint32, len(steps))
	for i, s := range steps {
		if copy(keys[i][:], s.Key) != len(keys[i]) {
			return 0, fmt.Errorf("key %x: want %d bytes", s.Key, len(keys[i]))
		}
		if s.Op == plan.Delete {
			continue
		}
		m, err := newTable(s.New)
		if err != nil {
			return 0, err
		}
		inner, files[i] = append(inner, m), uint32(m.FD())
	}
	if steps[0].Op == plan.Delete {
		return outer.BatchDelete(keys, nil)
	}
	return outer.BatchUpdate(keys, files, nil)
}

// takesTables tells whether the tables of an outer map are of the wanted size. The
// kernel says that of no map: it is tried, under an id that no frontend ever has.
func takesTables(outer *ebpf.Map, bytes int) (bool, error) {
	var none [2]byte
	err := swapTable(outer, none[:], make([]byte, bytes))
	if errors.Is(err, unix.EINVAL) {
		return false, nil
	}
	if err == nil {
		err = outer.Delete(none[:])
	}
	return true, err
}

// tableDifference compares the size of a pinned map's tables with the wanted one.
func tableDifference(name string, outer *ebpf.Map, bytes int) ([]Difference, error) {
	id, known := layout.ByName(name)
	if !known || id.Type != mapTypes[ebpf.HashOfMaps] {
		return nil, nil
	}
	switch takes, err := takesTables(outer, bytes); {
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("map %s: %w", name, err)
	case err != nil || takes: // one that is full takes no table, and says nothing of its size
		return nil, nil
	}
	return []Difference{{name, "value size of inner maps", fmt.Sprint(bytes), "another"}}, nil
}
