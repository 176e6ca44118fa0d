// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"

	"plumbline.dev/plumbline/bpf"
	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/runtime/internal/testkernel"
	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/runtime/store"
	"plumbline.dev/plumbline/runtime/store/storetest"
	"plumbline.dev/plumbline/schema/state"
)

// TestMain fails a run that leaks file descriptors: each is a map, a program or
// a link that outlives its owner.
func TestMain(m *testing.M) {
	if version := os.Getenv(observeEnv); version != "" {
		os.Exit(observe(version))
	}
	if after := os.Getenv(crashEnv); after != "" {
		os.Exit(crash(after))
	}
	if procs := os.Getenv(boundedEnv); procs != "" {
		os.Exit(bounded(procs))
	}
	if os.Getenv(dialEnv) != "" {
		os.Exit(dial())
	}
	before := descriptors()
	code := m.Run()
	if after := descriptors(); code == 0 && len(after) > len(before) {
		fmt.Fprintf(os.Stderr, "leaked descriptors: %v, before %v\n", after, before)
		code = 99
	}
	os.Exit(code)
}

func descriptors() []string {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil
	}
	var list []string
	for _, e := range entries {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.Contains(to, "bpf") {
			list = append(list, to)
		}
	}
	return list
}

func TestFakeConforms(t *testing.T) {
	storetest.Run(t, func(*testing.T) store.Store { return store.NewFake(state.Cilium117, storetest.Maps()) })
}

// A Kernel does the same by system calls and by programs.
func TestPrivilegedKernelConforms(t *testing.T) {
	testkernel.Require(t)
	for name, programs := range map[string]store.Programs{"calls": store.Never, "programs": store.Always} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) store.Store {
				k := createWith(t, settings(t), storetest.Maps(), store.Options{Programs: programs})
				t.Cleanup(func() {
					if err := k.Refused(); err != nil {
						t.Errorf("programs were refused: %v", err)
					}
				})
				return k
			})
		})
	}
}

func settings(t *testing.T) *state.Settings {
	t.Helper()
	return &state.Settings{Layout: state.Cilium117, BPFRoot: testkernel.BPFFS(t), CgroupRoot: testkernel.Cgroup(t), NodePortMin: 30000, NodePortMax: 32767}
}

func create(t *testing.T, s *state.Settings, maps []state.Map) *store.Kernel {
	t.Helper()
	return createWith(t, s, maps, store.Options{})
}

func createWith(t *testing.T, s *state.Settings, maps []state.Map, o store.Options) *store.Kernel {
	t.Helper()
	k, err := store.CreateWith(s, maps, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k
}

func pin(s *state.Settings, name string) string {
	return filepath.Join(s.BPFRoot, store.OwnPins, name)
}

// I7: every property of every pin that differs is said, and no map is made.
func TestPrivilegedInvariantI7WrongPins(t *testing.T) {
	s := settings(t)
	if err := os.MkdirAll(filepath.Join(s.BPFRoot, store.OwnPins), 0o700); err != nil {
		t.Fatal(err)
	}
	pinMap(t, pin(s, "cilium_lb4_services_v2"), &ebpf.MapSpec{Type: ebpf.Hash, KeySize: 12, ValueSize: 16, MaxEntries: 7, Flags: 1})
	pinMap(t, pin(s, "cilium_lb4_reverse_nat"), &ebpf.MapSpec{Type: ebpf.LRUHash, KeySize: 4, ValueSize: 6, MaxEntries: storetest.Room})
	_, err := store.Create(s, storetest.Maps())
	if !errors.Is(err, store.ErrIncompatible) {
		t.Fatalf("have %v, want ErrIncompatible", err)
	}
	for _, want := range []string{
		"cilium_lb4_services_v2: value size 16, want 12", "cilium_lb4_services_v2: max entries 7, want 64",
		"cilium_lb4_reverse_nat: type lru-hash, want hash", "cilium_lb4_reverse_nat: key size 4, want 2", "cilium_lb4_reverse_nat: flags 0, want 1",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	entries, err := os.ReadDir(filepath.Join(s.BPFRoot, store.OwnPins))
	if err != nil || len(entries) != 2 {
		t.Errorf("%d pins (%v), want the two that were there", len(entries), err)
	}
	_, err = openRead(t, s)
	if !errors.Is(err, store.ErrIncompatible) || !strings.Contains(err.Error(), "cilium_lb4_services_v2") || !strings.Contains(err.Error(), "cilium_lb4_reverse_nat") {
		t.Errorf("reading gives %v, want ErrIncompatible that names both maps", err)
	}
}

func pinMap(t *testing.T, path string, spec *ebpf.MapSpec) {
	t.Helper()
	m, err := ebpf.NewMap(spec)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Pin(path); err != nil {
		t.Fatal(err)
	}
}

func openRead(t *testing.T, s *state.Settings) (*plan.Have, error) {
	t.Helper()
	k, err := store.Open(s.BPFRoot, s.Layout, store.Options{CgroupRoot: s.CgroupRoot})
	if err != nil {
		return nil, err
	}
	defer k.Close()
	return k.Read(context.Background())
}

// I6: pins have one owner.
func TestPrivilegedInvariantI6OneOwner(t *testing.T) {
	s := settings(t)
	first := create(t, s, storetest.Maps())
	if _, err := store.Create(s, storetest.Maps()); !errors.Is(err, store.ErrLocked) {
		t.Fatalf("a second owner got %v, want ErrLocked", err)
	}
	if _, err := openRead(t, s); err != nil {
		t.Errorf("a reader beside the owner got %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	create(t, s, storetest.Maps())
}

// I6: what was opened for reading writes nothing.
func TestPrivilegedReaderDoesNotWrite(t *testing.T) {
	s := settings(t)
	create(t, s, storetest.Maps())
	k, err := store.Open(s.BPFRoot, s.Layout, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	step := plan.Step{Op: plan.Put, Map: layout.Backends4, Key: make([]byte, 4), New: make([]byte, 12)}
	if n, err := k.Apply(context.Background(), []plan.Step{step}); n != 0 || !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("applied %d: %v; want ErrReadOnly", n, err)
	}
}

// I8: an owner that closes leaves maps, entries and programs; the next one
// finds them, and there is nothing to do.
func TestPrivilegedInvariantI8CloseChangesNothing(t *testing.T) {
	s := settings(t)
	first := create(t, s, storetest.Maps())
	steps := []plan.Step{{Op: plan.Put, Map: layout.Backends4, Key: []byte{1, 0, 0, 0}, New: make([]byte, 12)}}
	for _, p := range bpf.Programs() {
		steps = append(steps, plan.Step{Op: plan.Attach, Attachment: &state.Attachment{Program: p.Name, Attach: bpf.AttachName(p.Attach), Target: s.CgroupRoot}})
	}
	if _, err := first.Apply(context.Background(), steps); err != nil {
		t.Fatal(err)
	}
	before, err := first.Read(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	after, err := create(t, s, storetest.Maps()).Read(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range after.Attachments {
		if a.Target != s.CgroupRoot {
			t.Errorf("%s hangs at %q, want %s", a.Program, a.Target, s.CgroupRoot)
		}
	}
	if len(after.Attachments) != len(bpf.Programs()) {
		t.Errorf("%d programs are attached, want %d", len(after.Attachments), len(bpf.Programs()))
	}
	if diff := cmp.Diff(before.Attachments, after.Attachments); diff != "" {
		t.Errorf("attachments (-before +after):\n%s", diff)
	}
	for _, d := range layout.Content() {
		if !before.Tables[d.ID].Equal(after.Tables[d.ID]) {
			t.Errorf("%s has changed", d.Name)
		}
	}
}

// I1: a pin that vanishes is a map that is not there; anything else is an error.
func TestPrivilegedInvariantI1VanishedPins(t *testing.T) {
	s := settings(t)
	create(t, s, storetest.Maps())
	k, err := store.Open(s.BPFRoot, state.Cilium117, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(pin(s, "cilium_lb4_reverse_nat")); err != nil {
		t.Fatal(err)
	}
	have, err := k.Read(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range have.Maps {
		if m.Name == "cilium_lb4_reverse_nat" {
			t.Error("a map without a pin is said to be there")
		}
	}
	if err := os.RemoveAll(filepath.Join(s.BPFRoot, store.OwnPins)); err != nil {
		t.Fatal(err)
	}
	if have, err := k.Read(context.Background()); !errors.Is(err, store.ErrNoPins) {
		t.Errorf("all pins gone gives %v, %v; want ErrNoPins", have, err)
	}
}

func TestPrivilegedOpenLooksInTheKnownPlaces(t *testing.T) {
	root := testkernel.BPFFS(t)
	if _, err := store.Open(root, state.Cilium117, store.Options{}); !errors.Is(err, store.ErrNoPins) || !strings.Contains(err.Error(), store.CiliumPins) {
		t.Errorf("no pins give %v, want ErrNoPins that says where was looked", err)
	}
	spec := &ebpf.MapSpec{Type: ebpf.Hash, KeySize: 2, ValueSize: 6, MaxEntries: 8, Flags: 1}
	for _, dir := range []string{store.CiliumPins, store.OwnPins} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
		pinMap(t, filepath.Join(root, dir, "cilium_lb4_reverse_nat"), spec)
		if _, err := store.Open(filepath.Join(root, dir), state.Cilium117, store.Options{}); err != nil {
			t.Errorf("%s: %v", dir, err)
		}
	}
	if _, err := store.Open(root, state.Cilium117, store.Options{}); err == nil || !strings.Contains(err.Error(), store.OwnPins) {
		t.Errorf("two folders of pins give %v, want an error that names both", err)
	}
}

func TestOpenOfNoBPFFS(t *testing.T) {
	if _, err := store.Open(t.TempDir(), state.Cilium117, store.Options{}); err == nil || !strings.Contains(err.Error(), "bpffs") {
		t.Errorf("have %v, want an error that says it is no bpffs", err)
	}
}

func TestPrivilegedCreateWantsACgroup(t *testing.T) {
	s := settings(t)
	s.CgroupRoot = t.TempDir()
	if _, err := store.Create(s, storetest.Maps()); !errors.Is(err, bpf.ErrNotCgroup2) {
		t.Errorf("have %v, want ErrNotCgroup2", err)
	}
	if _, err := os.Stat(filepath.Join(s.BPFRoot, store.OwnPins)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder of pins was made: %v", err)
	}
}

// A map that changes while it is read is read whole, or the read fails; entries
// that stay are never missing.
func TestPrivilegedReadUnderChange(t *testing.T) {
	s := settings(t)
	maps := storetest.Maps()
	for i := range maps {
		maps[i].MaxEntries = 20000
	}
	k := create(t, s, maps)
	m, err := ebpf.LoadPinnedMap(pin(s, "cilium_lb4_backends_v3"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	const stay = 5000
	for i := range uint32(stay) {
		if err := m.Put(i, make([]byte, 12)); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error, 1)
	stop := make(chan struct{})
	go func() {
		for i := uint32(0); ; i++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			id := stay + i%1000
			err := m.Put(id, make([]byte, 12))
			if err == nil && i%2 == 0 {
				err = m.Delete(id)
			}
			if err != nil {
				done <- err
				return
			}
		}
	}()
	for range 20 {
		have, err := k.Read(context.Background())
		if err != nil {
			continue
		}
		for i := range uint32(stay) {
			if _, ok := have.Tables[layout.Backends4].Find(layout.BackendID(i)); !ok {
				t.Fatalf("backend %d was there all the time and is missing", i)
			}
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// A Faulty store fails once, at its turn, before or after the effect.
func TestFaulty(t *testing.T) {
	d := layout.Backends4.Desc()
	steps := []plan.Step{
		{Op: plan.Put, Map: d.ID, Key: []byte{1, 0, 0, 0}, New: make([]byte, 12)},
		{Op: plan.Put, Map: d.ID, Key: []byte{2, 0, 0, 0}, New: make([]byte, 12)},
	}
	for _, effect := range []bool{false, true} {
		fake := store.NewFake(state.Cilium117, storetest.Maps())
		f := &store.Faulty{Store: fake, At: 2, TookEffect: effect}
		n, err := f.Apply(context.Background(), steps)
		if n != 1 || !errors.Is(err, store.ErrInjected) {
			t.Errorf("applied %d: %v; want 1 and the injected fault", n, err)
		}
		have, err := f.Read(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		want := 1
		if effect {
			want = 2
		}
		if have.Tables[d.ID].Len() != want {
			t.Errorf("took effect %v: %d entries, want %d", effect, have.Tables[d.ID].Len(), want)
		}
	}
}
