// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"strings"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// entryMaps are the maps that the entries' programs work on, in the order in
// which an operation counts them. Tries and maps of maps are not among them:
// programs can't walk those.
var entryMaps = []string{
	"cilium_lb4_services_v2", "cilium_lb6_services_v2", "cilium_lb4_backends_v3", "cilium_lb6_backends_v3",
	"cilium_lb4_reverse_nat", "cilium_lb6_reverse_nat", "cilium_lb_affinity_match",
}

const (
	comparePrefix       = "compare_"
	writeEntries        = "write_entries"
	areaMap, lastOffset = "area", "last_offset"
)

// header is struct header of entries.bpf.c.
type header struct {
	rows, slotMask                              uint64
	rowsAt, slotsAt, seenAt, reportsAt          uint64
	maxReports, next                            uint64
	visited, matched, repeated, reports, failed uint64
}

const (
	headerSize = 256 // bytes kept free for the header, at the front of the area
	record     = 64  // RECORD of entries.bpf.c
	// maxArea is a little less than the verifier lets an offset be (BPF_MAX_VAR_OFF).
	maxArea = 1<<29 - 1<<16
)

// entries are loaded programs and the memory that they share with the agent.
type entries struct {
	programs map[string]*ebpf.Program
	area     *ebpf.Map
	memory   []byte
}

// openEntries loads the named programs over the given maps, with an area of at
// least size bytes behind the header. It needs CAP_BPF and a kernel that knows
// what the programs use: bpf_loop is of 5.17.
func openEntries(maps map[string]*ebpf.Map, size int, names ...string) (*entries, error) {
	if size > maxArea {
		return nil, fmt.Errorf("load %s: %d bytes of entries are more than programs can address, which is %d", strings.Join(names, ", "), size, maxArea)
	}
	spec, err := entriesSpec(names, headerSize+size)
	if err != nil {
		return nil, err
	}
	replacements, err := replace(spec, maps)
	if err != nil {
		return nil, err
	}
	collection, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: replacements})
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", strings.Join(names, ", "), err)
	}
	defer collection.Close()
	e := &entries{programs: map[string]*ebpf.Program{}, area: collection.DetachMap(areaMap)}
	for _, name := range names {
		e.programs[name] = collection.DetachProgram(name)
	}
	e.memory, err = unix.Mmap(e.area.FD(), 0, int(e.area.ValueSize()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("map the area of the entries' programs: %w", err), e.Close())
	}
	return e, nil
}

// entriesSpec leaves only the named programs, and the maps that they refer to.
func entriesSpec(names []string, size int) (*ebpf.CollectionSpec, error) {
	spec, err := loadEntries()
	if err != nil {
		return nil, fmt.Errorf("embedded programs: %w", err)
	}
	programs := map[string]*ebpf.ProgramSpec{}
	used := map[string]bool{areaMap: true, ".rodata": true}
	for _, name := range names {
		p := spec.Programs[name]
		if p == nil {
			return nil, fmt.Errorf("embedded programs: no program %s", name)
		}
		programs[name] = p
		for _, i := range p.Instructions {
			used[i.Reference()] = true
		}
	}
	spec.Programs = programs
	for name := range spec.Maps {
		if !used[name] {
			delete(spec.Maps, name)
		}
	}
	page := unix.Getpagesize()
	size = (size + record + page - 1) / page * page
	spec.Maps[areaMap].ValueSize = uint32(size)
	if err := spec.Variables[lastOffset].Set(uint32(size - record)); err != nil {
		return nil, fmt.Errorf("embedded programs: variable %s: %w", lastOffset, err)
	}
	spec.Variables = map[string]*ebpf.VariableSpec{lastOffset: spec.Variables[lastOffset]} // others are of maps that are left out
	return spec, nil
}

// header is the front of the area.
func (e *entries) header() *header { return (*header)(unsafe.Pointer(&e.memory[0])) }

// words is a part of the area as numbers; at and n are bytes and numbers.
func (e *entries) words(at uint64, n int) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Pointer(&e.memory[at])), n)
}

// run runs a program once, to its end.
func (e *entries) run(name string) error {
	code, err := e.programs[name].Run(&ebpf.RunOptions{})
	if err != nil {
		return fmt.Errorf("run %s: %w", name, err)
	}
	if code != 0 {
		return fmt.Errorf("run %s: it gave %d, which says that this kernel can't walk the map", name, code)
	}
	return nil
}

// Close releases the programs and the area; no map's entry changes.
func (e *entries) Close() error {
	var errs []error
	for _, p := range e.programs {
		errs = append(errs, p.Close())
	}
	if e.memory != nil {
		errs = append(errs, unix.Munmap(e.memory))
	}
	return errors.Join(append(errs, e.area.Close())...)
}
