// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"plumbline.dev/plumbline/bpf"
)

// repin puts pins of ours back that are gone, or in whose place another map is
// pinned: the maps themselves are held, and their programs work on them, so that no
// entry and no connection is lost. A bpffs that is gone is an error, as it can't be
// told from one that is about to be mounted; once there is one the pins are made in
// it, and its folder is locked (I6). A pin that is no map is left to whoever put it
// there, and said by the read that follows.
func (k *Kernel) repin() error {
	if k.owned == nil {
		return nil
	}
	if err := k.relock(); err != nil {
		return fmt.Errorf("put the pins back: %w", err)
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(k.owned)) {
		done, err := repinMap(filepath.Join(k.pins.maps, name), k.owned[name])
		if err != nil {
			errs = append(errs, fmt.Errorf("put the pin of map %s back: %w", name, err))
		}
		k.tell(name, done)
	}
	for _, p := range bpf.Programs() {
		done, err := k.repinLink(p.Name)
		if err != nil {
			errs = append(errs, fmt.Errorf("put the pin of the link of %s back: %w", p.Name, err))
		}
		k.tell(p.Name, done)
	}
	return errors.Join(errs...)
}

func (k *Kernel) tell(name string, done bool) {
	if done && k.repinned != nil {
		k.repinned(name)
	}
}

// repinLink holds on to the link that is pinned, or pins the one that is held where
// there is no pin: a link without either is gone, and its program with it.
func (k *Kernel) repinLink(name string) (done bool, err error) {
	path, held := filepath.Join(k.pins.links, name), k.links[name]
	pinned, err := link.LoadPinnedLink(path, nil)
	if err == nil {
		k.links[name] = pinned
		if held != nil {
			err = held.Close()
		}
		return false, err
	}
	if held == nil || !errors.Is(err, os.ErrNotExist) {
		return false, nil // the read that follows says what is amiss
	}
	info, err := held.Info()
	if err != nil {
		return false, err
	}
	unpinned, err := link.NewFromID(info.ID) // which knows nothing of the pin that was
	if err != nil {
		return false, err
	}
	if err := os.MkdirAll(k.pins.links, 0o700); err != nil {
		return false, errors.Join(err, unpinned.Close())
	}
	return true, errors.Join(unpinned.Pin(path), unpinned.Close())
}

// release lets go of a link that is about to be replaced or detached.
func (k *Kernel) release(name string) error {
	held := k.links[name]
	delete(k.links, name)
	if held == nil {
		return nil
	}
	return held.Close()
}

// relock locks the folder of the pins where it is another than the one that was.
func (k *Kernel) relock() error {
	var held, there unix.Stat_t
	if err := unix.Fstat(int(k.lock.Fd()), &held); err != nil {
		return err
	}
	err := unix.Stat(k.pins.maps, &there)
	if err == nil && held.Dev == there.Dev && held.Ino == there.Ino {
		return nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := requireBPFFS(filepath.Dir(k.pins.maps)); err != nil {
		return fmt.Errorf("%w: %w", ErrNoPins, err)
	}
	if err := os.MkdirAll(k.pins.maps, 0o700); err != nil {
		return err
	}
	lock, err := lock(k.pins.maps)
	if err != nil {
		return err
	}
	old := k.lock
	k.lock = lock
	return old.Close()
}

// repinMap leaves a pin that is the map's as it is.
func repinMap(path string, m *ebpf.Map) (done bool, err error) {
	pinned, err := loadMap(path, &ebpf.LoadPinOptions{ReadOnly: true})
	var other *notMapError
	switch {
	case errors.As(err, &other):
		return false, nil
	case err == nil:
		defer pinned.Close()
		if same, err := sameMap(pinned, m); same || err != nil {
			return false, err
		}
		if err := os.Remove(path); err != nil {
			return false, err
		}
	case !errors.Is(err, errNoPin):
		return false, err
	}
	unpinned, err := m.Clone() // which knows nothing of the pin that m had
	if err != nil {
		return false, err
	}
	defer unpinned.Close()
	return true, unpinned.Pin(path)
}

func sameMap(a, b *ebpf.Map) (bool, error) {
	one, err := mapID("pinned", a)
	if err != nil {
		return false, err
	}
	other, err := mapID("held", b)
	return one == other, err
}
