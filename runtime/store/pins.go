// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/runtime/plan"
)

// Folders of pins below a bpffs: Cilium's (pkg/defaults TCGlobalsPath) and ours.
const (
	CiliumPins = "tc/globals"
	OwnPins    = "plumbline"

	ciliumLinks = "cilium/socketlb/links/cgroup"
	ownLinks    = "links"
)

// bpffsMagic is what statfs says of a bpffs (linux/magic.h).
const bpffsMagic = 0xcafe4a11

// pinSet is a folder of map pins and the folder of the links that belong to it.
type pinSet struct{ maps, links string }

// findPins finds where load-balancer maps are pinned: in dir itself, or in
// Cilium's or our folder below it. None, or several, is an error that says where
// was looked.
func findPins(dir string) (pinSet, error) {
	if err := requireBPFFS(dir); err != nil {
		return pinSet{}, err
	}
	candidates := []pinSet{
		{filepath.Join(dir, CiliumPins), filepath.Join(dir, ciliumLinks)},
		{filepath.Join(dir, OwnPins), filepath.Join(dir, OwnPins, ownLinks)},
		{dir, filepath.Join(dir, ownLinks)},
	}
	var found []pinSet
	var looked []string
	for _, c := range candidates {
		has, err := hasPins(c.maps)
		if err != nil {
			return pinSet{}, err
		}
		if has {
			found = append(found, c)
		}
		looked = append(looked, c.maps)
	}
	switch len(found) {
	case 0:
		return pinSet{}, fmt.Errorf("%s: %w: looked in %s; --bpffs names another place", dir, ErrNoPins, strings.Join(looked, ", "))
	case 1:
		return found[0], nil
	}
	return pinSet{}, fmt.Errorf("%s has pins in %s and in %s: name one of the folders by --bpffs", dir, found[0].maps, found[1].maps)
}

func hasPins(dir string) (bool, error) {
	for _, d := range layout.Maps() {
		_, err := os.Lstat(filepath.Join(dir, d.Name))
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			return false, fmt.Errorf("look for pins: %w", err)
		}
	}
	return false, nil
}

// requireBPFFS refuses a folder that is on no bpffs: pins can't be there.
func requireBPFFS(dir string) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return fmt.Errorf("bpffs %s: %w", dir, err)
	}
	if uint32(fs.Type) != bpffsMagic {
		return fmt.Errorf("%s is on no bpffs (its file system is 0x%x): `mount -t bpf bpf DIR` mounts one, --bpffs names it", dir, uint32(fs.Type))
	}
	return nil
}

// lock makes this process the owner of a folder of pins, until the file is
// closed or the process ends, however it ends.
func lock(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("lock the pins: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s: %w: another plumb-agent writes there; end that one first, or have one of the two observe", dir, ErrLocked)
		}
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return f, nil
}

// notMapError says what is pinned where a map should be.
type notMapError struct{ what string }

func (e *notMapError) Error() string { return "the pin is " + e.what + ", no map" }

func (e *notMapError) difference(name string) Difference {
	return Difference{name, "pin", "a map", e.what}
}

// errNoPin says that nothing is pinned at a path. It is no other absence: what is
// not there once a map has been opened is a failed read (I1).
var errNoPin = errors.New("no pin")

// loadMap opens a pinned map. A pin of something else is a notMapError.
func loadMap(path string, o *ebpf.LoadPinOptions) (*ebpf.Map, error) {
	m, err := ebpf.LoadPinnedMap(path, o)
	switch {
	case err == nil:
		return m, nil
	case errors.Is(err, os.ErrNotExist):
		return nil, errNoPin
	}
	if info, statErr := os.Lstat(path); statErr == nil && !info.Mode().IsRegular() {
		return nil, &notMapError{"a " + kindOf(info.Mode())}
	}
	if p, other := ebpf.LoadPinnedProgram(path, nil); other == nil {
		p.Close()
		return nil, &notMapError{"a program"}
	}
	if l, other := link.LoadPinnedLink(path, nil); other == nil {
		l.Close()
		return nil, &notMapError{"a link"}
	}
	return nil, withoutLeave(err)
}

// withoutLeave names the capability that the process lacks, where that is why.
func withoutLeave(err error) error {
	if !errors.Is(err, os.ErrPermission) {
		return err
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&header, &data[0]) == nil && data[unix.CAP_BPF/32].Effective&(1<<(unix.CAP_BPF%32)) == 0 {
		return fmt.Errorf("%w: the process lacks CAP_BPF", err)
	}
	return fmt.Errorf("%w: the process has CAP_BPF, but may not open the pin: its user, %d, needs leave to read it", err, os.Geteuid())
}

func kindOf(m os.FileMode) string {
	switch {
	case m.IsDir():
		return "folder"
	case m&os.ModeSymlink != 0:
		return "symbolic link"
	}
	return "file of another kind"
}

// pinned gives the inode of each pin, which is another one after the pin has been
// replaced. A folder that is not there has none.
func (k *Kernel) pinned() (map[string]uint64, error) {
	list := map[string]uint64{}
	for _, d := range layout.Maps() {
		var stat unix.Stat_t
		err := unix.Lstat(filepath.Join(k.pins.maps, d.Name), &stat)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look for pins: %s: %w", d.Name, err)
		}
		list[d.Name] = stat.Ino
	}
	return list, nil
}

// pinChanges says what came, went or was replaced, in order.
func pinChanges(before, after map[string]uint64) []string {
	var list []string
	for name, inode := range before {
		switch now, still := after[name]; {
		case !still:
			list = append(list, name+" has gone")
		case now != inode:
			list = append(list, name+" was replaced")
		}
	}
	for name := range after {
		if _, was := before[name]; !was {
			list = append(list, name+" has come")
		}
	}
	slices.Sort(list)
	return list
}

// maxPolicyMaps bounds how many endpoints' policy maps are looked at: one would
// do, the others confirm it.
const maxPolicyMaps = 32

// evidence collects what tells layouts from each other: other pins of the
// folder, and the entries' own ways.
func (k *Kernel) evidence(have *plan.Have) ([]layout.Evidence, error) {
	entries, err := os.ReadDir(k.pins.maps)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("look for pins: %w", err)
	}
	var pins []layout.Pin
	for _, m := range have.Maps {
		pins = append(pins, layout.Pin{Name: m.Name, ValueSize: m.ValueSize, Flags: m.Flags})
	}
	policies := 0
	for _, e := range entries {
		policy := strings.HasPrefix(e.Name(), "cilium_policy_v")
		if !policy && !strings.HasPrefix(e.Name(), "cilium_ipcache") {
			continue
		}
		if policies++; policy && policies > maxPolicyMaps {
			continue
		}
		pin, err := k.pin(e.Name())
		if errors.Is(err, errNoPin) {
			continue
		}
		if err != nil {
			return nil, err
		}
		pins = append(pins, pin)
	}
	return append(layout.PinEvidence(pins), layout.ContentEvidence(have.Tables)...), nil
}

// pin reads a pinned map's parameters. What is no map has none: its name says
// nothing either, and it is another's affair.
func (k *Kernel) pin(name string) (layout.Pin, error) {
	m, err := loadMap(filepath.Join(k.pins.maps, name), &ebpf.LoadPinOptions{ReadOnly: true})
	var other *notMapError
	if errors.As(err, &other) {
		return layout.Pin{}, nil
	}
	if err != nil {
		return layout.Pin{}, fmt.Errorf("map %s: %w", name, err)
	}
	defer m.Close()
	p, err := parameters(name, m)
	return layout.Pin{Name: name, ValueSize: p.ValueSize, Flags: p.Flags}, err
}
