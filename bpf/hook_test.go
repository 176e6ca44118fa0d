// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
)

// Every long name is found again by what the kernel keeps of it, and by no other's.
func TestFullName(t *testing.T) {
	for _, long := range longNames {
		cut := long[:min(len(long), objName)]
		if name := fullName(cut); name != long {
			t.Errorf("%s is taken for %s, want %s", cut, name, long)
		}
	}
	for _, name := range []string{"cil_from_netdev", "cil_to_netdev", "cil_from_host", "cil_xdp_entry", "cil_sock4", "cil_unheard_of_n"} {
		if got := fullName(name); got != name {
			t.Errorf("%s is taken for %s", name, got)
		}
	}
}

// Every hook of a cgroup has a name of its own.
func TestAttachNamesAreUnique(t *testing.T) {
	var names []string
	for _, name := range attachNames {
		names = append(names, name)
	}
	slices.Sort(names)
	if n := len(slices.Compact(slices.Clone(names))); n != len(names) {
		t.Errorf("%d names of %d hooks: %v", n, len(names), names)
	}
}

// A device that went away is told from one that can't be read.
func TestGone(t *testing.T) {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Skipf("no loopback: %v", err)
	}
	if gone(lo) {
		t.Error("the loopback is said to be gone")
	}
	if !gone(&netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Name: "gone0", Index: 1 << 30}}) {
		t.Error("a device that is not there is said to be there")
	}
}

// I1: a cgroup that is not there, or is none, is an error that names it.
func TestPrivilegedInvariantI1CgroupHooksOfNoCgroup(t *testing.T) {
	requireKernel(t)
	missing := filepath.Join(t.TempDir(), "none")
	if _, err := CgroupHooks(missing, NewProgramInfos()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("have %v, want %v", err, os.ErrNotExist)
	}
	none := t.TempDir()
	if list, err := CgroupHooks(none, NewProgramInfos()); err == nil || !strings.Contains(err.Error(), none) {
		t.Errorf("have %v, %v; want an error that names %s", list, err, none)
	}
}
