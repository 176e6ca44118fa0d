// SPDX-License-Identifier: Apache-2.0

// Package tamper damages pinned load-balancer maps and links on purpose: for
// the demonstration and for tests, which need a hand that is not the agent's.
// It therefore shares no code with runtime/store nor with bpf/layout: it
// spells keys and values out byte by byte. Nothing else may import it.
package tamper

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// Target is a frontend in the maps below a pin directory.
type Target struct {
	Pins     string // the folder of the maps' pins; links lie in Pins/links
	Frontend netip.AddrPort
	Protocol uint8 // 6 TCP, 17 UDP
}

// StaleBackend makes slot 1 lead to a backend that no pod has: a new row under
// an id of its own, as an update that was missed leaves it.
func StaleBackend(t Target, backend netip.AddrPort) error {
	const strangeID = 60001
	return t.open(func(m maps) error {
		row := append(backend.Addr().AsSlice(), byte(backend.Port()>>8), byte(backend.Port()), t.Protocol, 0, 0, 0, 0, 0)
		row = append(row, make([]byte, int(m.backends.ValueSize())-len(row))...)
		if err := m.backends.Put(uint32(strangeID), row); err != nil {
			return fmt.Errorf("write a stale backend: %w", err)
		}
		slot, err := m.slot(t, 1)
		if err != nil {
			return err
		}
		binary.LittleEndian.PutUint32(slot, strangeID)
		return m.services.Put(t.key(1), slot)
	})
}

// DeleteSlot removes slot 1, which the master goes on counting.
func DeleteSlot(t Target) error {
	return t.open(func(m maps) error { return m.services.Delete(t.key(1)) })
}

// WrongPort overwrites the port in the row of the backend that slot 1 leads to.
func WrongPort(t Target, port uint16) error {
	return t.open(func(m maps) error {
		slot, err := m.slot(t, 1)
		if err != nil {
			return err
		}
		id := binary.LittleEndian.Uint32(slot)
		row, err := m.backends.LookupBytes(id)
		if err != nil || row == nil {
			return fmt.Errorf("read backend %d: %w", id, errors.Join(err, ebpf.ErrKeyNotExist))
		}
		binary.BigEndian.PutUint16(row[len(t.Frontend.Addr().AsSlice()):], port)
		return m.backends.Put(id, row)
	})
}

// Detach detaches a program's link; its pin stays, as a removed cgroup leaves it.
func Detach(pins, program string) error {
	pinned, err := link.LoadPinnedLink(filepath.Join(pins, "links", program), nil)
	if err != nil {
		return fmt.Errorf("open the link of %s: %w", program, err)
	}
	defer pinned.Close()
	return pinned.Detach()
}

type maps struct{ services, backends *ebpf.Map }

func (m maps) slot(t Target, n uint16) ([]byte, error) {
	value, err := m.services.LookupBytes(t.key(n))
	if err == nil && value == nil {
		err = ebpf.ErrKeyNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("read slot %d of %s: %w", n, t.Frontend, err)
	}
	return value, nil
}

func (t Target) open(do func(maps) error) error {
	family := "4"
	if t.Frontend.Addr().Is6() {
		family = "6"
	}
	services, err := ebpf.LoadPinnedMap(filepath.Join(t.Pins, "cilium_lb"+family+"_services_v2"), nil)
	if err != nil {
		return err
	}
	defer services.Close()
	backends, err := ebpf.LoadPinnedMap(filepath.Join(t.Pins, "cilium_lb"+family+"_backends_v3"), nil)
	if err != nil {
		return err
	}
	defer backends.Close()
	return do(maps{services, backends})
}

func (t Target) key(slot uint16) []byte {
	key := t.Frontend.Addr().AsSlice()
	key = binary.BigEndian.AppendUint16(key, t.Frontend.Port())
	key = binary.LittleEndian.AppendUint16(key, slot)
	return append(key, t.Protocol, 0, 0, 0)
}
