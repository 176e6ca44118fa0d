// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"plumbline.dev/plumbline/runtime/internal/testvector"
	"plumbline.dev/plumbline/runtime/reconcile"
	"plumbline.dev/plumbline/runtime/store"
	"plumbline.dev/plumbline/schema/state"
)

// observeEnv has the test's own program be an agent of mode observe: it names the
// vector, and observeRoot the bpffs.
const observeEnv, observeRoot = "PLUMB_TEST_OBSERVE", "PLUMB_TEST_BPFFS"

// observe runs one round and prints its report.
func observe(version string) int {
	snapshot := os.Getenv("PLUMB_TEST_WANT")
	text, err := os.ReadFile(snapshot)
	if err != nil {
		return 3
	}
	want, err := state.Parse(string(text))
	if err != nil {
		return 4
	}
	report := reconcile.Report{}
	k, err := store.Open(os.Getenv(observeRoot), testvector.Versions[version], store.Options{SkipAttachments: true, Hooks: true})
	if err == nil {
		defer k.Close()
		r, newErr := reconcile.New(reconcile.Config{Store: k, Source: wanted{want}, Mode: state.Observe, Interval: time.Hour})
		if newErr != nil {
			return 5
		}
		report = r.Round(context.Background())
	} else {
		report.Err = err
	}
	if err := json.NewEncoder(os.Stdout).Encode(report); err != nil {
		return 6
	}
	return 0
}

// nobody is a user without any right of its own.
const nobody = 65534

// An agent that observes needs CAP_BPF, and nothing else: neither root nor
// CAP_SYS_ADMIN. What it can't look at without is said, and no drift is made of it.
func TestPrivilegedObserveWithCapBPFAlone(t *testing.T) {
	const version = "1.20.2"
	root, _ := vectors(t, version)
	own(t, root)
	dir := shared(t)
	program := filepath.Join(dir, "agent")
	copyFile(t, "/proc/self/exe", program, 0o755)
	want := testvector.Want(t, version)
	want.Attachments = []state.Attachment{{Program: "cil_sock4_connect", Attach: "cgroup_inet4_connect", Target: "/sys/fs/cgroup"}}
	file := filepath.Join(dir, "want")
	if err := os.WriteFile(file, []byte(want.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	child := func(caps ...uintptr) reconcile.Report {
		t.Helper()
		c := exec.Command(program)
		c.Env = []string{observeEnv + "=" + version, observeRoot + "=" + root, "PLUMB_TEST_WANT=" + file}
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}, AmbientCaps: caps}
		out, err := c.CombinedOutput()
		var report reconcile.Report
		if err != nil || json.Unmarshal(out, &report) != nil {
			t.Fatalf("the agent ended with %v: %s", err, out)
		}
		return report
	}
	report := child(unix.CAP_BPF)
	if report.Status != reconcile.InSync || len(report.Notices) != 1 || !strings.Contains(report.Notices[0].Message, "CAP_") {
		t.Errorf("with CAP_BPF it came to %s (%s) %s, %v, notices %v; want InSync, and one notice that names a capability", report.Status, report.Reason, report.Error, report.Drifts, report.Notices)
	}
	// A kernel since 5.19 lets whoever may read a pin look at its map.
	if report = child(); report.Status != reconcile.InSync && !strings.Contains(report.Error, "the process lacks CAP_BPF") {
		t.Errorf("without it came to %s: %s; want an error that names CAP_BPF", report.Status, report.Error)
	}
	if err := os.Chown(filepath.Join(root, store.CiliumPins, "cilium_lb4_services_v2"), 0, 0); err != nil {
		t.Fatal(err)
	}
	if report = child(unix.CAP_BPF); report.Status != reconcile.Unknown || !strings.Contains(report.Error, "its user, 65534, needs leave to read it") {
		t.Errorf("with a pin of root's it came to %s: %s; want an error that says so", report.Status, report.Error)
	}
	if report = child(); report.Status != reconcile.Unknown || !strings.Contains(report.Error, "the process lacks CAP_BPF") {
		t.Errorf("with neither it came to %s: %s; want an error that names CAP_BPF", report.Status, report.Error)
	}
}

// shared is a folder that every user may look into.
func shared(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "plumb-observe-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// own gives what is below a folder, and the way there, to nobody.
func own(t *testing.T, root string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(path, nobody, nobody)
	})
	if err == nil {
		err = os.Chmod(filepath.Dir(root), 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func copyFile(t *testing.T, from, to string, mode os.FileMode) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, mode)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}
