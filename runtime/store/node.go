// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/runtime/audit"
	"plumbline.dev/plumbline/runtime/plan"
)

// nodeReaders are by layout's sizes, as readers are.
var nodeReaders = map[[2]int]reader{
	{24, 12}: readBatch[[24]byte, [12]byte],
	{24, 24}: readBatch[[24]byte, [24]byte],
	{20, 48}: readBatch[[20]byte, [48]byte],
	{4, 8}:   readBatch[[4]byte, [8]byte],
}

// ReadNode reads what Cilium's maps of the node hold, read-only: all that is
// pinned, or an error (I1). A map that is not pinned is not among the result; one
// that is not of the layout is an IncompatibleError (I7). The layout is the one
// that the Kernel was opened with, or that have was read as.
func (k *Kernel) ReadNode(ctx context.Context, have *plan.Have) (*audit.Held, error) {
	held := &audit.Held{Layout: have.Layout, Tables: map[layout.NodeMap]*layout.Table{}}
	var errs []error
	var differing []Difference
	for _, d := range layout.NodeMaps(have.Layout) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		table, parameters, differences, err := k.readNodeMap(d)
		differing = append(differing, differences...)
		switch {
		case errors.Is(err, errNoPin), err == nil && table == nil:
		case err != nil:
			errs = append(errs, err)
		default:
			held.Tables[d.ID] = table
			held.Maps = append(held.Maps, parameters)
		}
	}
	// The clock is read last: a heartbeat that was read is never of the future.
	now, err := monotonic()
	held.Now = now
	if err := errors.Join(append(errs, err, incompatible(have.Layout, differing, nil, ""))...); err != nil {
		return nil, fmt.Errorf("read %s: %w", k.pins.maps, err)
	}
	return held, nil
}

func (k *Kernel) readNodeMap(d layout.NodeDesc) (*layout.Table, plan.HeldMap, []Difference, error) {
	var held plan.HeldMap
	m, err := loadMap(filepath.Join(k.pins.maps, d.Name), &ebpf.LoadPinOptions{ReadOnly: true})
	var other *notMapError
	if errors.As(err, &other) {
		return nil, held, []Difference{other.difference(d.Name)}, nil
	}
	if err != nil {
		return nil, held, nil, fmt.Errorf("map %s: %w", d.Name, err)
	}
	defer m.Close()
	if held.Map, err = parameters(d.Name, m); err != nil {
		return nil, held, nil, err
	}
	sizes := layout.Desc{Name: d.Name, Type: d.Type, KeySize: d.KeySize, ValueSize: d.ValueSize}
	if differing := readable(held.Map, sizes); differing != nil {
		return nil, held, differing, nil
	}
	table, err := readSettled(m, sizes, nodeReaders[[2]int{d.KeySize, d.ValueSize}])
	if err != nil {
		return nil, held, nil, fmt.Errorf("map %s: %w", d.Name, err)
	}
	held.Entries = uint32(table.Rows())
	return table, held, nil, nil
}

// monotonic is the clock by which programs and the agent measure.
func monotonic() (time.Duration, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return 0, fmt.Errorf("monotonic clock: %w", err)
	}
	return time.Duration(t.Nano()), nil
}
