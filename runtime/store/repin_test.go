// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"plumbline.dev/plumbline/bpf"
	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/runtime/internal/testkernel"
	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/runtime/store"
	"plumbline.dev/plumbline/runtime/store/storetest"
	"plumbline.dev/plumbline/schema/state"
)

// Pins of ours that are gone or others' are put back with the maps and links that
// they were of: nothing is lost, and no program is away for a moment.
func TestPrivilegedPinsArePutBack(t *testing.T) {
	testkernel.Require(t)
	for name, damage := range map[string]func(*testing.T, *state.Settings){
		"a map's pin removed": func(t *testing.T, s *state.Settings) { remove(t, pin(s, "cilium_lb4_reverse_nat")) },
		"a map's pin replaced": func(t *testing.T, s *state.Settings) {
			remove(t, pin(s, "cilium_lb4_reverse_nat"))
			pinMap(t, pin(s, "cilium_lb4_reverse_nat"), &ebpf.MapSpec{Type: ebpf.Hash, KeySize: 2, ValueSize: 6, MaxEntries: storetest.Room, Flags: 1})
		},
		"links' pins removed": func(t *testing.T, s *state.Settings) { remove(t, pin(s, "links")) },
		"the folder removed":  func(t *testing.T, s *state.Settings) { remove(t, pin(s, "")) },
		"the bpffs remounted": remount,
	} {
		t.Run(name, func(t *testing.T) {
			s := settings(t)
			var told []string
			k := createWith(t, s, storetest.Maps(), store.Options{Repinned: func(name string) { told = append(told, name) }})
			steps := []plan.Step{{Op: plan.Put, Map: layout.ReverseNAT4, Key: layout.ReverseNATID(7), New: make([]byte, 6)}}
			for _, p := range bpf.Programs() {
				steps = append(steps, plan.Step{Op: plan.Attach, Attachment: &state.Attachment{Program: p.Name, Attach: bpf.AttachName(p.Attach), Target: s.CgroupRoot}})
			}
			if _, err := k.Apply(t.Context(), steps); err != nil {
				t.Fatal(err)
			}
			before, err := k.Read(t.Context())
			if err != nil || len(before.Attachments) == 0 || len(told) > 0 {
				t.Fatalf("%d programs are attached, told %v: %v", len(before.Attachments), told, err)
			}
			running := hooked(t, s)
			damage(t, s)
			if diff := cmp.Diff(running, hooked(t, s)); diff != "" {
				t.Errorf("programs were away (-before +after):\n%s", diff)
			}
			after, err := k.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(told) == 0 {
				t.Error("nobody was told")
			}
			if diff := cmp.Diff(before.Attachments, after.Attachments); diff != "" {
				t.Errorf("attachments (-before +after):\n%s", diff)
			}
			if diff := cmp.Diff(before.Maps, after.Maps); diff != "" {
				t.Errorf("maps (-before +after):\n%s", diff)
			}
			if diff := cmp.Diff(running, hooked(t, s)); diff != "" {
				t.Errorf("other programs hang there than did (-before +after):\n%s", diff)
			}
			if _, err := store.Create(s, storetest.Maps()); !errors.Is(err, store.ErrLocked) {
				t.Errorf("a second owner gets %v, want ErrLocked", err)
			}
		})
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

func remount(t *testing.T, s *state.Settings) {
	t.Helper()
	if err := unix.Unmount(s.BPFRoot, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("bpf", s.BPFRoot, "bpf", 0, "mode=0700"); err != nil {
		t.Fatal(err)
	}
}

// hooked are the ids of the programs at the cgroup.
func hooked(t *testing.T, s *state.Settings) []uint32 {
	t.Helper()
	list, err := bpf.CgroupHooks(s.CgroupRoot, bpf.NewProgramInfos())
	if err != nil {
		t.Fatal(err)
	}
	var ids []uint32
	for _, h := range list {
		ids = append(ids, h.ProgID)
	}
	slices.Sort(ids)
	return ids
}

// A bpffs that is gone is a failed read, not maps that are not there (I1), and is
// well once it is mounted again.
func TestPrivilegedInvariantI1OwnBPFFSUnmounted(t *testing.T) {
	testkernel.Require(t)
	s := settings(t)
	k := create(t, s, storetest.Maps())
	if err := unix.Unmount(s.BPFRoot, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	if have, err := k.Read(t.Context()); err == nil {
		t.Errorf("without a bpffs %d maps are read", len(have.Maps))
	}
	if _, err := os.Stat(filepath.Join(s.BPFRoot, store.OwnPins)); err == nil {
		t.Error("a folder was made beside the bpffs")
	}
	if err := unix.Mount("bpf", s.BPFRoot, "bpf", 0, "mode=0700"); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Read(t.Context()); err != nil {
		t.Error(err)
	}
}
