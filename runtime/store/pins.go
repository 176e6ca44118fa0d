// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"plumbline.dev/plumbline/bpf/layout"
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
			return nil, fmt.Errorf("%s: %w: another plumb-agent runs in mode own; end that one first", dir, ErrLocked)
		}
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return f, nil
}
