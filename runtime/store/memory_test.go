// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"plumbline.dev/plumbline/runtime/internal/testkernel"
	"plumbline.dev/plumbline/runtime/reconcile"
	"plumbline.dev/plumbline/runtime/store"
	"plumbline.dev/plumbline/schema/state"
)

// boundedEnv has the test's own program enter the memory cgroup whose file it names,
// and make maps of boundedRoom entries there.
const boundedEnv, boundedRoom = "PLUMB_TEST_MEMORY", "PLUMB_TEST_ROOM"

func bounded(procs string) int {
	entries, err := strconv.Atoi(os.Getenv(boundedRoom))
	if err == nil {
		err = os.WriteFile(procs, []byte(strconv.Itoa(os.Getpid())), 0)
	}
	if err != nil {
		fmt.Println(err)
		return 3
	}
	s := &state.Settings{Layout: state.Cilium117, BPFRoot: os.Getenv(observeRoot), CgroupRoot: os.Getenv("PLUMB_TEST_CGROUP")}
	k, err := store.Create(s, roomy(uint32(entries)))
	if err != nil {
		fmt.Println(err)
		if errors.Is(err, store.ErrNoMemory) {
			return 4
		}
		return 5
	}
	if err := k.Close(); err != nil {
		fmt.Println(err)
		return 6
	}
	return 0
}

// makeBounded has maps made by a process whose memory is bounded.
func makeBounded(t *testing.T, m *testkernel.Memory, s *state.Settings, entries int) (code int, said string) {
	t.Helper()
	c := exec.Command("/proc/self/exe")
	c.Env = []string{boundedEnv + "=" + m.Procs(), boundedRoom + "=" + strconv.Itoa(entries), observeRoot + "=" + s.BPFRoot, "PLUMB_TEST_CGROUP=" + s.CgroupRoot}
	out, err := c.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), string(out)
}

// A map that the kernel has no memory for is said, and nothing is left of those made
// before it: with more memory maps of any size are made there.
func TestPrivilegedNoMemoryForMaps(t *testing.T) {
	// The buckets of one map alone are 32 MiB. Two fit beside the process itself, which
	// must not be what runs out of memory.
	const entries, bytes = 1 << 21, 112 << 20
	s, m := settings(t), testkernel.NewMemory(t)
	m.Limit(t, bytes)
	code, said := makeBounded(t, m, s, entries)
	if code != 4 || !strings.Contains(said, "make map cilium_") || !strings.Contains(said, "raise the memory limit of the cgroup") {
		t.Fatalf("exit code %d: %s", code, said)
	}
	left, err := os.ReadDir(filepath.Join(s.BPFRoot, store.OwnPins))
	if err != nil || len(left) > 0 {
		t.Errorf("%v (%v) are left", left, err)
	}
	m.Limit(t, 100*bytes) // also because the kernel takes its time to free what was made
	for _, n := range []int{1024, entries} {
		if code, said := makeBounded(t, m, s, n); code != 0 {
			t.Errorf("%d entries with more memory: exit code %d: %s", n, code, said)
		}
		if err := os.RemoveAll(filepath.Join(s.BPFRoot, store.OwnPins)); err != nil {
			t.Fatal(err)
		}
	}
}

// Where the memory for entries ends, what has been written stays and is right as far
// as it goes, the round says so, and a later one goes on from there.
func TestPrivilegedNoMemoryForEntries(t *testing.T) {
	for name, programs := range choices {
		t.Run(name, func(t *testing.T) {
			s, m := settings(t), testkernel.NewMemory(t)
			if code, said := makeBounded(t, m, s, room); code != 0 {
				t.Fatalf("exit code %d: %s", code, said)
			}
			k := createWith(t, s, roomy(room), store.Options{Programs: programs})
			r, err := reconcile.New(reconcile.Config{Store: k, Source: wanted{largeState()}, Mode: state.Own, Interval: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			m.Limit(t, m.Usage(t)+4<<20)
			for range 2 {
				report := r.Round(context.Background())
				if report.Reason != reconcile.ReasonApplyFailed || !errors.Is(report.Err, store.ErrNoMemory) || report.Applied == report.Planned {
					t.Fatalf("%s (%s), %d of %d writes, %v", report.Status, report.Reason, report.Applied, report.Planned, report.Err)
				}
				if _, err := k.Read(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
			m.Limit(t, 1<<30)
			if report := r.Round(context.Background()); report.Status != reconcile.InSync {
				t.Errorf("with more memory: %s (%s), %v", report.Status, report.Reason, report.Err)
			}
		})
	}
}
