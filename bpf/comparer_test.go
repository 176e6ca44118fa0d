// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"plumbline.dev/plumbline/bpf/layout"
)

// What agent and programs share lies where the compiler put it.
func TestAreaAgreesWithBTF(t *testing.T) {
	spec, err := loadEntries()
	if err != nil {
		t.Fatal(err)
	}
	for name, shared := range map[string]any{"header": header{}, "operation": operation{}} {
		var s *btf.Struct
		if err := spec.Types.TypeByName(name, &s); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		kind := reflect.TypeOf(shared)
		if uintptr(s.Size) != kind.Size() {
			t.Errorf("%s has %d bytes, want %d", name, s.Size, kind.Size())
		}
		for i, m := range s.Members {
			f := kind.Field(i)
			if same := strings.ReplaceAll(m.Name, "_", ""); f.Name != "_" && !strings.EqualFold(same, f.Name) || uintptr(m.Offset.Bytes()) != f.Offset {
				t.Errorf("%s: %s stands at %d, want %s at %d", name, m.Name, m.Offset.Bytes(), f.Name, f.Offset)
			}
		}
	}
	if size := reflect.TypeOf(header{}).Size(); size > headerSize {
		t.Errorf("the header has %d bytes, %d are kept for it", size, headerSize)
	}
}

// Keys as maps have them, counted up in a few bytes, spread over the slots:
// whichever bytes those are, the programs find every key in time.
func TestComparerSpreadsKeys(t *testing.T) {
	const rows = 4096
	for _, id := range writable() {
		d := id.Desc()
		for at := range d.KeySize - 1 {
			taken := make([]bool, slotsFor(rows))
			for i := range rows {
				key := make([]byte, d.KeySize)
				binary.BigEndian.PutUint16(key[at:], uint16(i))
				n := place(taken, key)
				if n >= probes {
					t.Fatalf("%s: key %x needs more than %d probes", d.Name, key, probes)
				}
			}
		}
	}
}

// place takes a slot for a key as Comparer.index does, and gives how many were taken already.
func place(taken []bool, key []byte) int {
	var words []uint64
	for rest := key; len(rest) > 0; {
		var w uint64
		w, rest = layout.Word(rest)
		words = append(words, w)
	}
	sum := hashWords(words)
	step, mask := sum>>32|1, uint64(len(taken)-1)
	for n := range probes {
		if !taken[sum&mask] {
			taken[sum&mask] = true
			return n
		}
		sum += step
	}
	return probes
}

// CAP_BPF is all that a comparison takes, over a map that is open for reading;
// and the verifier is stricter with it than with root.
func TestPrivilegedComparerNeedsOnlyCapBPF(t *testing.T) {
	dir := testBPFFS(t)
	for _, id := range writable() {
		d := id.Desc()
		m := entryMap(t, id, 64, 1)
		if err := m.Pin(filepath.Join(dir, d.Name)); err != nil {
			t.Fatal(err)
		}
		entries := map[string]string{strings.Repeat("k", d.KeySize): strings.Repeat("v", d.ValueSize)}
		fill(t, m, entries)
		err := withCapabilities(1<<unix.CAP_BPF, func() error { return compareAt(filepath.Join(dir, d.Name), d, entries) })
		if err != nil {
			t.Errorf("%s: %v", d.Name, err)
		}
	}
}

// compareAt compares a pinned map with entries; a difference is an error too.
func compareAt(path string, d layout.Desc, entries map[string]string) error {
	reader, err := ebpf.LoadPinnedMap(path, &ebpf.LoadPinOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer reader.Close()
	c, err := NewComparer(d, reader, 1)
	if err != nil {
		return err
	}
	defer c.Close()
	found, err := c.Compare(tableOf(d, entries))
	if err == nil && !found.Equal() {
		err = fmt.Errorf("the map differs: %+v", found)
	}
	return err
}

// withCapabilities runs f on a thread that has these capabilities alone, and
// which ends with it.
func withCapabilities(bits uint64, f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		data := [2]unix.CapUserData{{Effective: uint32(bits), Permitted: uint32(bits)}, {Effective: uint32(bits >> 32), Permitted: uint32(bits >> 32)}}
		if err := unix.Capset(&head, &data[0]); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	return <-done
}
