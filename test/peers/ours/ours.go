// SPDX-License-Identifier: Apache-2.0

// Package ours runs Plumbline's own way from objects to the kernel's maps, for
// comparisons with other programs that do the same. It is no such comparison.
package ours

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"

	"golang.org/x/sys/unix"

	"plumbline.dev/plumbline/bpf"
	"plumbline.dev/plumbline/compiler/datapath"
	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/runtime/reconcile"
	"plumbline.dev/plumbline/runtime/source"
	"plumbline.dev/plumbline/runtime/source/sourcetest"
	"plumbline.dev/plumbline/runtime/store"
	"plumbline.dev/plumbline/schema/state"
)

// Endpoints is how many endpoints each service has.
const Endpoints = 10

// Services is how many services a comparison is of: PLUMB_PEERS_SERVICES, or a
// number that CI has the time for.
func Services(t testing.TB) int {
	t.Helper()
	text := cmp.Or(os.Getenv("PLUMB_PEERS_SERVICES"), "1000")
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 60000 {
		t.Fatalf("PLUMB_PEERS_SERVICES=%q: want a number from 1 to 60000", text)
	}
	return n
}

// Require skips without root, or where nobody asked for peers: building them takes
// minutes.
func Require(t testing.TB) {
	t.Helper()
	if os.Getenv("PLUMB_PEERS") != "1" {
		t.Skip("PLUMB_PEERS=1 compares with other programs")
	}
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("PLUMB_REQUIRE_KERNEL") == "1" {
		t.Fatal("this needs root, and PLUMB_REQUIRE_KERNEL=1 forbids to skip it")
	}
	t.Skip("needs root: it makes maps, programs, a bpffs and a cgroup")
}

// Node is what an agent in mode own runs on: maps and programs of its own, in a
// bpffs and for a cgroup of their own.
type Node struct {
	settings *state.Settings
	kernel   *store.Kernel
	next     *state.Delta
	agent    *reconcile.Reconciler
	objects  sourcetest.Objects
	written  time.Time // when the last write had returned
}

// noting is the kernel, and notes when a write has returned.
type noting struct {
	store.Store
	node *Node
}

// Apply writes as the kernel does.
func (s noting) Apply(ctx context.Context, steps []plan.Step) (int, error) {
	n, err := s.Store.Apply(ctx, steps)
	s.node.written = time.Now()
	return n, err
}

// New makes a Node with empty maps, which have room for the objects. Close removes
// it.
func New(t testing.TB, objects sourcetest.Objects) *Node {
	t.Helper()
	n := &Node{settings: sourcetest.Settings(), objects: objects}
	n.settings.BPFRoot, n.settings.CgroupRoot = BPFFS(t), cgroup(t)
	room := uint32(len(objects.Services.Items) * (Endpoints + 2) * 2)
	n.settings.Maps = state.MapSettings{Services: room, Backends: room, ReverseNAT: room, Affinity: room, SourceRanges: room, Maglev: room, SocketReverse: room}
	var err error
	if n.kernel, err = store.Create(n.settings, datapath.Maps(n.settings)); err != nil {
		t.Fatal(err)
	}
	from := &reconcile.Compiled{Settings: n.settings, Delta: func(context.Context) (*state.Delta, []state.Notice, error) { return n.next, nil, nil }}
	if n.agent, err = reconcile.New(reconcile.Config{Store: noting{n.kernel, n}, Source: from, Mode: state.Own, Interval: time.Hour, Grace: time.Minute}); err != nil {
		t.Fatal(errors.Join(err, n.kernel.Remove()))
	}
	return n
}

// Close removes the maps and programs.
func (n *Node) Close(t testing.TB) {
	t.Helper()
	if err := n.kernel.Remove(); err != nil {
		t.Error(err)
	}
}

// First brings all objects into the maps and programs to their hooks, and tells how
// long that took until the last was written: converting, compiling, reading,
// planning, writing. The whole round also reads the maps once more, and compares.
func (n *Node) First(t testing.TB) (written, round time.Duration) {
	t.Helper()
	begin := time.Now()
	n.next = state.Whole(n.objects.Snapshot(t))
	report := n.agent.Round(context.Background())
	written, round = n.written.Sub(begin), time.Since(begin)
	if report.Err != nil || report.Status != reconcile.InSync || report.Applied < len(n.objects.Services.Items)*(2*Endpoints+2) {
		t.Fatalf("first round: %s, %d steps: %v", report.Status, report.Applied, report.Err)
	}
	return written, round
}

// Change brings one slice into the maps, as it is now, and tells how long that took.
func (n *Node) Change(t testing.TB, slice *discoveryv1.EndpointSlice) time.Duration {
	t.Helper()
	begin := time.Now()
	converted, _ := source.EndpointSlice(slice)
	n.next = &state.Delta{}
	n.next.SetSlice(state.Name{Namespace: slice.Namespace, Name: slice.Name}, &converted)
	report := n.agent.Follow(context.Background())
	took := time.Since(begin)
	if report.Err != nil || report.Status != reconcile.InSync || report.Applied == 0 || report.Applied > 8 {
		t.Fatalf("change: %s, %d steps: %v", report.Status, report.Applied, report.Err)
	}
	return took
}

// Changed gives a slice of the objects without its last endpoint where i is even, and
// whole where it is odd: the same slice twice, then another one.
func Changed(objects sourcetest.Objects, i int) *discoveryv1.EndpointSlice {
	items := objects.Slices.Items
	slice := items[i/2*7919%len(items)].DeepCopy()
	if i%2 == 0 {
		slice.Endpoints = slice.Endpoints[:len(slice.Endpoints)-1]
	}
	return slice
}

// BPFFS mounts a bpffs for as long as a comparison runs, and gives its folder.
func BPFFS(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("bpf", dir, "bpf", 0, "mode=0700"); err != nil {
		t.Fatalf("mount a bpffs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount the bpffs: %v", err)
		}
	})
	return dir
}

// cgroup makes one of the comparison's own, without a process in it.
func cgroup(t testing.TB) string {
	t.Helper()
	root, err := bpf.CgroupMount()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(root, "plumb-peers-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(dir); err != nil {
			t.Errorf("remove the cgroup %s: %v", filepath.Base(dir), err)
		}
	})
	return dir
}

// Times are what the parts of a comparison took, round by round.
type Times map[string][]time.Duration

// Add notes a round's time.
func (t Times) Add(name string, d time.Duration) { t[name] = append(t[name], d) }

// Median gives the time that half of the rounds do not exceed.
func (t Times) Median(name string) time.Duration {
	list := slices.Sorted(slices.Values(t[name]))
	return list[(len(list)-1)/2]
}

// Report gives each name's median, and as a multiple of ours; then what machine it
// was, and what is to be read with the ratios.
func (t Times) Report(b *testing.B, fairness string, names ...string) {
	b.Helper()
	b.ReportMetric(0, "ns/op") // of a round with all of its parts: it says nothing
	for _, name := range append(names, "ours") {
		b.ReportMetric(float64(t.Median(name))/1e6, name+"-ms")
	}
	for _, name := range names {
		b.ReportMetric(float64(t.Median(name))/float64(t.Median("ours")), name+"/ours")
	}
	b.Logf("%d services x %d endpoints; %s\n%s", Services(b), Endpoints, machine(), fairness)
}

func machine() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%s %s %s, %d processors", unix.ByteSliceToString(u.Sysname[:]), unix.ByteSliceToString(u.Release[:]), unix.ByteSliceToString(u.Machine[:]), runtime.NumCPU())
}
