// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"plumbline.dev/plumbline/bpf"
	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/schema/state"
)

// Kernel is this machine's kernel, by the maps that are pinned in a bpffs.
type Kernel struct {
	layout state.Layout
	pins   pinSet
	cgroup string // what programs should hang at
	skip   bool   // attachments, where they may not be looked at
	hooks  bool   // are asked beside the pinned links
	// owned is set in mode own: then maps are ours, open for writing, under a lock.
	owned map[string]*ebpf.Map
	lock  *os.File
	// links are those of our programs, held so that they outlive their pins.
	links    map[string]link.Link
	repinned func(name string)
	// tableBytes is the size of a Maglev table of ours.
	tableBytes int
	repairs    bool // set by OpenForRepair
	config     bpf.Config
	objects    *bpf.Objects // loaded with the first Attach
	// afterMap is called with each map's name once it has been read: tests change
	// the pins under a read by it.
	afterMap func(name string)

	programs Programs
	mu       sync.Mutex // held by Read and Apply; guards what follows
	known    map[layout.MapID]*known
	writer   *bpf.Writer       // loaded with the first write
	aside    *bpf.Writer       // a second one, loaded with the first write that is worth it
	readIDs  map[string]uint32 // the maps that were read last, by name
	// noCompare and noWrite are why the one or the other program is not used.
	noCompare, noWrite error
}

var _ Store = (*Kernel)(nil)

// Options say how Open opens pins.
type Options struct {
	// CgroupRoot is what programs should hang at: an attachment there has it as
	// its Target. Empty is unknown.
	CgroupRoot string
	// Hooks has Read ask the cgroup and every device of this network namespace
	// for Cilium's programs, beside the links that are pinned.
	Hooks bool
	// SkipAttachments has Read do without the programs' attachments where the
	// process may not look at them, and say so in what it gives.
	SkipAttachments bool
	// Programs is how maps are compared and written.
	Programs Programs
	// Repinned is told of each map or program of ours whose pin was put back; nil is
	// nobody. It must not call the Kernel.
	Repinned func(name string)
}

// Open opens pinned maps for reading, Cilium's or ours: dir is a bpffs, or the
// folder of the pins. Pins are looked up anew with each Read, as their owner may
// replace them. LayoutNone reads what is there as the layout that it fits; any
// other has to fit, or Read gives an IncompatibleError. It wraps ErrNoPins.
func Open(dir string, l state.Layout, o Options) (*Kernel, error) {
	if l != state.LayoutNone && !layout.Known(l) {
		return nil, fmt.Errorf("open %s: layout %q is not known", dir, l)
	}
	pins, err := findPins(dir)
	if err != nil {
		return nil, err
	}
	return &Kernel{layout: l, pins: pins, cgroup: o.CgroupRoot, hooks: o.Hooks, skip: o.SkipAttachments, programs: o.Programs, known: map[layout.MapID]*known{}, afterMap: func(string) {}}, nil
}

// unsized is the number of entries of a map whose size follows from a node's
// memory in Cilium (pkg/option/config.go, the default of bpf-sock-rev-map-max).
const unsized = 262144

// Create makes the wanted maps below settings.BPFRoot, or opens those that are
// there already, and becomes their owner. A map that is not as it is wanted is
// ErrIncompatible, and then none is made. Close leaves everything in place (I8).
func Create(settings *state.Settings, want []state.Map) (*Kernel, error) {
	return CreateWith(settings, want, Options{})
}

// CreateWith is Create with options; settings give the cgroup. Where a map can't be
// made, those that were made before it are gone again: once less is asked for they
// would be of the wrong size. That the kernel has no memory for one is ErrNoMemory.
func CreateWith(settings *state.Settings, want []state.Map, o Options) (*Kernel, error) {
	if _, err := bpf.CgroupID(settings.CgroupRoot); err != nil {
		return nil, err
	}
	if err := requireBPFFS(settings.BPFRoot); err != nil {
		return nil, err
	}
	dir := filepath.Join(settings.BPFRoot, OwnPins)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the pins: %w", err)
	}
	k := &Kernel{
		layout: settings.Layout, pins: pinSet{dir, filepath.Join(dir, ownLinks)}, cgroup: settings.CgroupRoot,
		owned: map[string]*ebpf.Map{}, links: map[string]link.Link{}, repinned: o.Repinned, tableBytes: 4 * int(settings.LoadBalancer.MaglevTableSize), programs: o.Programs, known: map[layout.MapID]*known{}, afterMap: func(string) {},
		config: bpf.Config{NodePortMin: settings.NodePortMin, NodePortMax: settings.NodePortMax, AnyProtocolFallback: settings.Layout <= state.Cilium118},
	}
	var err error
	if k.lock, err = lock(dir); err != nil {
		return nil, err
	}
	if err := k.openOwned(want); err != nil {
		return nil, errors.Join(err, k.Close())
	}
	if err := k.makeOwned(want); err != nil {
		return nil, errors.Join(err, k.Close())
	}
	k.prepare()
	return k, nil
}

// prepare loads what the first plan will need, while the wanted State is still on its
// way: the program that writes, and where no program hangs yet those that serve.
// What can't be loaded is tried again, and said, when it is needed.
func (k *Kernel) prepare() {
	k.loadWriter()
	if links, err := os.ReadDir(k.pins.links); errors.Is(err, os.ErrNotExist) || err == nil && len(links) == 0 {
		_ = k.load()
	}
}

// openOwned opens the wanted maps that are pinned, and compares them all before
// anything is made.
func (k *Kernel) openOwned(want []state.Map) error {
	var errs []error
	var differing []Difference
	for _, w := range want {
		m, err := loadMap(filepath.Join(k.pins.maps, w.Name), nil)
		var other *notMapError
		switch {
		case errors.Is(err, errNoPin):
			continue
		case errors.As(err, &other):
			differing = append(differing, other.difference(w.Name))
			continue
		case err != nil:
			errs = append(errs, fmt.Errorf("open map %s: %w", w.Name, err))
			continue
		}
		k.owned[w.Name] = m
		have, err := parameters(w.Name, m)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		list := writable(have, w)
		if len(list) == 0 {
			list, err = tableDifference(w.Name, m, k.tableBytes)
		}
		differing, errs = append(differing, list...), append(errs, err)
	}
	hint := fmt.Sprintf("nothing was written; remove %s to start anew, which drops its programs", k.pins.maps)
	return errors.Join(append(errs, incompatible(k.layout, differing, nil, hint))...)
}

func (k *Kernel) makeOwned(want []state.Map) error {
	var made []*ebpf.Map
	for _, w := range want {
		if k.owned[w.Name] != nil {
			continue
		}
		m, err := k.makeMap(w)
		if err != nil {
			errs := []error{err}
			for _, m := range made {
				errs = append(errs, m.Unpin())
			}
			return errors.Join(errs...)
		}
		k.owned[w.Name] = m
		made = append(made, m)
	}
	return nil
}

func (k *Kernel) makeMap(w state.Map) (*ebpf.Map, error) {
	spec, err := k.mapSpec(w)
	if err != nil {
		return nil, err
	}
	m, err := ebpf.NewMap(spec)
	if err != nil {
		return nil, fmt.Errorf("make map %s of %d entries: %w", w.Name, spec.MaxEntries, outOfMemory(err))
	}
	if err := m.Pin(filepath.Join(k.pins.maps, w.Name)); err != nil {
		return nil, errors.Join(fmt.Errorf("pin map %s: %w", w.Name, err), m.Close())
	}
	return m, nil
}

func (k *Kernel) mapSpec(w state.Map) (*ebpf.MapSpec, error) {
	kind, err := mapTypeNamed(w.Type)
	if err != nil {
		return nil, fmt.Errorf("make map %s: %w", w.Name, err)
	}
	spec := &ebpf.MapSpec{Name: w.Name, Type: kind, KeySize: w.KeySize, ValueSize: w.ValueSize, MaxEntries: w.MaxEntries, Flags: w.Flags}
	if spec.MaxEntries == 0 {
		spec.MaxEntries = unsized
	}
	if kind == ebpf.HashOfMaps {
		spec.InnerMap = innerSpec(k.tableBytes)
	}
	return spec, nil
}

// Close releases the maps and the lock. Pins, links and entries stay (I8).
func (k *Kernel) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock() // what reads or writes is waited for: it uses what is closed here
	var errs []error
	for _, m := range k.owned {
		errs = append(errs, m.Close())
	}
	for name := range k.links {
		errs = append(errs, k.release(name))
	}
	if k.objects != nil {
		errs = append(errs, k.objects.Close())
	}
	if k.writer != nil {
		errs = append(errs, k.writer.Close())
		k.writer = nil
	}
	if k.aside != nil {
		errs = append(errs, k.aside.Close())
		k.aside = nil
	}
	for _, last := range k.known {
		errs = append(errs, last.close())
	}
	clear(k.known)
	if k.lock != nil {
		errs = append(errs, k.lock.Close())
	}
	return errors.Join(errs...)
}

// Remove detaches the programs and removes the pins of a Kernel that owns them:
// its maps are gone with the last program. It closes the Kernel.
func (k *Kernel) Remove() error {
	if k.owned == nil {
		return fmt.Errorf("remove %s: %w", k.pins.maps, ErrReadOnly)
	}
	return errors.Join(os.RemoveAll(k.pins.maps), k.Close())
}
