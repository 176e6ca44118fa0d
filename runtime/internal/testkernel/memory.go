// SPDX-License-Identifier: Apache-2.0

package testkernel

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"plumbline.dev/plumbline/bpf"
)

// Memory is a cgroup of the test's own that bounds memory. What its processes make
// in the kernel counts there for as long as it is there, whoever fills it.
type Memory struct {
	dir          string
	limit, usage string // names of the files
}

// NewMemory makes one without a bound, below cgroup1's memory hierarchy or cgroup2.
func NewMemory(t testing.TB) *Memory {
	t.Helper()
	Require(t)
	root, m := "/sys/fs/cgroup/memory", &Memory{limit: "memory.limit_in_bytes", usage: "memory.usage_in_bytes"}
	if _, err := os.Stat(filepath.Join(root, m.limit)); err != nil {
		m = &Memory{limit: "memory.max", usage: "memory.current"}
		if root, err = bpf.CgroupMount(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte("+memory"), 0); err != nil {
			t.Fatalf("no hierarchy bounds memory: %v", err)
		}
	}
	dir, err := os.MkdirTemp(root, "plumb-test-")
	if err != nil {
		t.Fatal(err)
	}
	m.dir = dir
	t.Cleanup(func() {
		if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Errorf("remove the cgroup: %v", err)
		}
	})
	return m
}

// Procs is the file to which a process writes its id to enter.
func (m *Memory) Procs() string { return filepath.Join(m.dir, "cgroup.procs") }

// Limit bounds what counts there, in bytes.
func (m *Memory) Limit(t testing.TB, bytes int) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(m.dir, m.limit), []byte(strconv.Itoa(bytes)), 0); err != nil {
		t.Fatal(err)
	}
}

// Usage is what counts there, in bytes.
func (m *Memory) Usage(t testing.TB) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(m.dir, m.usage))
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}
