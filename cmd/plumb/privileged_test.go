// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"plumbline.dev/plumbline/bpf"
)

// TestPrivilegedScript runs command lines that read and write a kernel: each
// script has a bpffs ($BPFFS) and a cgroup ($CGROUP) of its own, and the agent.
func TestPrivilegedScript(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("PLUMB_REQUIRE_KERNEL") == "1" {
			t.Fatal("this test needs root, and PLUMB_REQUIRE_KERNEL=1 forbids to skip it")
		}
		t.Skip("needs root: it makes maps, programs, a bpffs and a cgroup")
	}
	bin := buildAgent(t)
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/privileged",
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"vector": vectorCommand},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("PLUMB_UPDATE") != "",
		Setup: func(s *testscript.Env) error {
			s.Setenv("HOME", s.WorkDir)
			s.Setenv("PATH", bin+string(filepath.ListSeparator)+s.Getenv("PATH"))
			s.Setenv("AGENT", filepath.Join(bin, "plumb-agent"))
			s.Setenv("ROOT", root)
			return makeKernel(s)
		},
	})
}

// buildAgent builds the agent: it is another program than this test's.
func buildAgent(t *testing.T) string {
	t.Helper()
	bin := t.TempDir()
	out, err := exec.Command("go", "build", "-o", bin, "plumbline.dev/plumbline/cmd/plumb-agent").CombinedOutput()
	if err != nil {
		t.Fatalf("build the agent: %v\n%s", err, out)
	}
	return bin
}

// makeKernel gives a script a bpffs and a cgroup, and takes them away again.
func makeKernel(s *testscript.Env) error {
	bpffs := filepath.Join(s.WorkDir, "bpffs")
	if err := os.Mkdir(bpffs, 0o700); err != nil {
		return err
	}
	if err := unix.Mount("bpf", bpffs, "bpf", 0, "mode=0700"); err != nil {
		return err
	}
	s.Defer(func() { unix.Unmount(bpffs, unix.MNT_DETACH) })
	root, err := bpf.CgroupMount()
	if err != nil {
		return err
	}
	cgroup, err := os.MkdirTemp(root, "plumb-script-")
	if err != nil {
		return err
	}
	s.Defer(func() { os.Remove(cgroup) })
	s.Setenv("BPFFS", bpffs)
	s.Setenv("CGROUP", cgroup)
	return nil
}
