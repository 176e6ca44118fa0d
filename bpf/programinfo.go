// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
)

// ProgramInfos is what the kernel says of programs and maps by their ids, each
// asked for once. It is for one read: ids are given anew in time.
type ProgramInfos struct {
	programs map[uint32]*programInfo
	maps     map[uint32]*MapInfo
	calls    map[uint32][]uint32 // the programs in a map of programs
}

type programInfo struct {
	name string
	maps []uint32
}

// MapInfo is what the kernel says of a map.
type MapInfo struct {
	ID                 uint32
	Name               string // its first 15 bytes
	Type               ebpf.MapType
	KeySize, ValueSize uint32
}

// NewProgramInfos makes one that has asked for nothing yet.
func NewProgramInfos() *ProgramInfos {
	return &ProgramInfos{map[uint32]*programInfo{}, map[uint32]*MapInfo{}, map[uint32][]uint32{}}
}

// hooked gives those of the programs that are Cilium's, at a hook.
func (p *ProgramInfos) hooked(ids []uint32, at Hooked) ([]Hooked, error) {
	var list []Hooked
	var errs []error
	for _, id := range ids {
		info, err := p.program(id)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if strings.HasPrefix(info.name, ciliumPrefix) {
			at.Name, at.ProgID = fullName(info.name), id
			list = append(list, at)
		}
	}
	return list, errors.Join(errs...)
}

func (p *ProgramInfos) program(id uint32) (*programInfo, error) {
	if info := p.programs[id]; info != nil {
		return info, nil
	}
	program, err := ebpf.NewProgramFromID(ebpf.ProgramID(id))
	if err != nil {
		return nil, fmt.Errorf("program %d: %w", id, lacks(err, "CAP_SYS_ADMIN"))
	}
	defer program.Close()
	info, err := program.Info()
	if err != nil {
		return nil, fmt.Errorf("program %d: %w", id, err)
	}
	ids, ok := info.MapIDs()
	if !ok {
		return nil, fmt.Errorf("program %d: the kernel does not say which maps it holds", id)
	}
	known := &programInfo{name: info.Name}
	for _, m := range ids {
		known.maps = append(known.maps, uint32(m))
	}
	p.programs[id] = known
	return known, nil
}

// sharedCalls are the maps of the programs that judge every endpoint's policy
// (bpf/lib/policy.h and bpf/lib/maps.h, 1.17 to 1.20): what is in them belongs to
// no one device. The kernel has cut the names.
var sharedCalls = []string{"cilium_call_pol", "cilium_egressca"}

// Maps gives the maps that a program works on, itself or in the programs that it
// calls at its end, by id. A program that is replaced meanwhile is an error (I1).
func (p *ProgramInfos) Maps(program uint32) ([]*MapInfo, error) {
	seen := map[uint32]bool{program: true}
	found := map[uint32]*MapInfo{}
	for next := []uint32{program}; len(next) > 0; {
		id := next[0]
		next = next[1:]
		info, err := p.program(id)
		if err != nil {
			return nil, err
		}
		for _, m := range info.maps {
			held, err := p.mapInfo(m)
			if err != nil {
				return nil, fmt.Errorf("program %d: %w", id, err)
			}
			found[m] = held
			for _, called := range p.calls[m] {
				if !seen[called] {
					seen[called] = true
					next = append(next, called)
				}
			}
		}
	}
	list := make([]*MapInfo, 0, len(found))
	for _, m := range found {
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b *MapInfo) int { return int(a.ID) - int(b.ID) })
	return list, nil
}

func (p *ProgramInfos) mapInfo(id uint32) (*MapInfo, error) {
	if info := p.maps[id]; info != nil {
		return info, nil
	}
	m, err := ebpf.NewMapFromID(ebpf.MapID(id))
	if err != nil {
		return nil, fmt.Errorf("map %d: %w", id, lacks(err, "CAP_SYS_ADMIN"))
	}
	defer m.Close()
	info, err := m.Info()
	if err != nil {
		return nil, fmt.Errorf("map %d: %w", id, err)
	}
	known := &MapInfo{id, info.Name, info.Type, info.KeySize, info.ValueSize}
	if info.Type == ebpf.ProgramArray && !slices.Contains(sharedCalls, info.Name) {
		if p.calls[id], err = calls(m); err != nil {
			return nil, fmt.Errorf("map %d, %s: %w", id, info.Name, err)
		}
	}
	p.maps[id] = known
	return known, nil
}

// calls gives the ids of the programs in a map of programs.
func calls(m *ebpf.Map) ([]uint32, error) {
	var list []uint32
	for key := range m.MaxEntries() {
		var id uint32
		err := m.Lookup(key, &id)
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		list = append(list, id)
	}
	return list, nil
}
