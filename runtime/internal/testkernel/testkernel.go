// SPDX-License-Identifier: Apache-2.0

// Package testkernel gives tests pieces of this machine's kernel that are their
// own: a bpffs, a cgroup. It is for tests alone.
package testkernel

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"plumbline.dev/plumbline/bpf"
)

// Require skips a test that needs the kernel where it may not have it. With
// PLUMB_REQUIRE_KERNEL=1 it fails the test instead: a skipped test is no test.
func Require(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("PLUMB_REQUIRE_KERNEL") == "1" {
		t.Fatal("this test needs root, and PLUMB_REQUIRE_KERNEL=1 forbids to skip it")
	}
	t.Skip("needs root: it makes maps, programs, a bpffs and a cgroup")
}

// BPFFS mounts a bpffs of the test's own and gives its folder.
func BPFFS(t testing.TB) string {
	t.Helper()
	Require(t)
	dir := t.TempDir()
	if err := unix.Mount("bpf", dir, "bpf", 0, "mode=0700"); err != nil {
		t.Fatalf("mount a bpffs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			t.Errorf("unmount the bpffs: %v", err)
		}
	})
	return dir
}

// Cgroup makes a cgroup of the test's own, wherever this machine mounts cgroup2.
func Cgroup(t testing.TB) string {
	t.Helper()
	Require(t)
	root, err := bpf.CgroupMount()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(root, "plumb-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Errorf("remove the cgroup: %v", err)
		}
	})
	return dir
}
