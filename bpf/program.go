// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/cilium/ebpf"
)

// Errors returned by this package.
var (
	// ErrIncompatible is wrapped where a given map is not as the programs need it (I7).
	ErrIncompatible = errors.New("map is incompatible with the programs")
	// ErrNotCgroup2 is wrapped where a directory is no cgroup of the unified hierarchy.
	ErrNotCgroup2 = errors.New("not a cgroup2 directory")
)

// Config are the constants that programs are loaded with.
type Config struct {
	// NodePortMin and NodePortMax bound the node-port range, both included.
	NodePortMin, NodePortMax uint16
	// AnyProtocolFallback has an entry for any protocol answer where there is
	// none for the protocol itself (Cilium 1.17 and 1.18, bpf/lib/lb.h).
	AnyProtocolFallback bool
}

// Program is one of the socket programs.
type Program struct {
	Name   string // of the function, and of the link's pin
	Attach ebpf.AttachType
}

// programs in the order in which they are attached: what shows answers as the
// service's stands before what sends requests to backends, else the first
// answers would come from strangers.
var programs = []Program{
	{"plumb_recvmsg4", ebpf.AttachCGroupUDP4Recvmsg},
	{"plumb_recvmsg6", ebpf.AttachCGroupUDP6Recvmsg},
	{"plumb_getpeername4", ebpf.AttachCgroupInet4GetPeername},
	{"plumb_getpeername6", ebpf.AttachCgroupInet6GetPeername},
	{"plumb_sendmsg4", ebpf.AttachCGroupUDP4Sendmsg},
	{"plumb_sendmsg6", ebpf.AttachCGroupUDP6Sendmsg},
	{"plumb_connect4", ebpf.AttachCGroupInet4Connect},
	{"plumb_connect6", ebpf.AttachCGroupInet6Connect},
}

// Programs lists the programs in the order in which they are to be attached.
func Programs() []Program { return slices.Clone(programs) }

// ProgramNamed finds a program by its name.
func ProgramNamed(name string) (Program, bool) {
	i := slices.IndexFunc(programs, func(p Program) bool { return p.Name == name })
	if i < 0 {
		return Program{}, false
	}
	return programs[i], true
}

// MapSpecs gives the maps as the programs declare them, by name. Entries and
// flags are placeholders; types and sizes are not.
func MapSpecs() (map[string]*ebpf.MapSpec, error) {
	spec, err := loadSock()
	if err != nil {
		return nil, fmt.Errorf("embedded programs: %w", err)
	}
	specs := map[string]*ebpf.MapSpec{}
	for name, m := range spec.Maps {
		if m.Type != ebpf.Array { // .rodata is the programs' own
			specs[name] = m
		}
	}
	return specs, nil
}

// Objects are the loaded programs. They live until Close; one that is attached
// lives as long as its link.
type Objects struct{ programs map[string]*ebpf.Program }

// Load loads the programs over the given maps, by name. It fails with every map
// that is missing or incompatible, and then has loaded nothing.
func Load(cfg Config, maps map[string]*ebpf.Map) (*Objects, error) {
	spec, err := loadSock()
	if err != nil {
		return nil, fmt.Errorf("embedded programs: %w", err)
	}
	if err := configure(spec, cfg); err != nil {
		return nil, err
	}
	replacements, err := replace(spec, maps)
	if err != nil {
		return nil, err
	}
	collection, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: replacements})
	if err != nil {
		return nil, fmt.Errorf("load programs: %w", err)
	}
	defer collection.Close()
	objects := &Objects{programs: map[string]*ebpf.Program{}}
	for _, p := range programs {
		objects.programs[p.Name] = collection.DetachProgram(p.Name)
	}
	return objects, nil
}

func configure(spec *ebpf.CollectionSpec, cfg Config) error {
	var fallback uint8
	if cfg.AnyProtocolFallback {
		fallback = 1
	}
	for name, value := range map[string]any{"node_port_min": cfg.NodePortMin, "node_port_max": cfg.NodePortMax, "any_protocol": fallback} {
		variable, ok := spec.Variables[name]
		if !ok {
			return fmt.Errorf("embedded programs: no variable %s", name)
		}
		if err := variable.Set(value); err != nil {
			return fmt.Errorf("embedded programs: variable %s: %w", name, err)
		}
	}
	return nil
}

// replace pairs every declared map with the given one and takes its entries and
// flags for granted: they are the environment's to choose.
func replace(spec *ebpf.CollectionSpec, maps map[string]*ebpf.Map) (map[string]*ebpf.Map, error) {
	replacements := map[string]*ebpf.Map{}
	var errs []error
	for name, declared := range spec.Maps {
		if declared.Type == ebpf.Array {
			continue
		}
		given, ok := maps[name]
		if !ok {
			errs = append(errs, fmt.Errorf("map %s is not there", name))
			continue
		}
		info, err := given.Info()
		if err != nil {
			errs = append(errs, fmt.Errorf("map %s: %w", name, err))
			continue
		}
		declared.MaxEntries, declared.Flags = info.MaxEntries, info.Flags
		if err := declared.Compatible(given); err != nil {
			errs = append(errs, fmt.Errorf("map %s: %w", name, err))
			continue
		}
		replacements[name] = given
	}
	sort.Slice(errs, func(i, j int) bool { return errs[i].Error() < errs[j].Error() })
	if len(errs) > 0 {
		return nil, fmt.Errorf("%w: %w", ErrIncompatible, errors.Join(errs...))
	}
	return replacements, nil
}

// Close releases the programs. Attached ones go on running (I8).
func (o *Objects) Close() error {
	var errs []error
	for _, p := range o.programs {
		errs = append(errs, p.Close())
	}
	return errors.Join(errs...)
}
