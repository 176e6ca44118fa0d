// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/compiler/datapath"
	"plumbline.dev/plumbline/runtime/internal/testkernel"
	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/runtime/source"
	"plumbline.dev/plumbline/runtime/source/sourcetest"
	"plumbline.dev/plumbline/runtime/store"
	"plumbline.dev/plumbline/schema/state"
)

// The size that benchmarks speak of: services, and endpoints of each. It makes
// 220,000 entries.
const benchServices, benchEndpoints = 10000, 10

// converted gives objects of that size as an agent has them: each comes out of the
// bytes that an API server sends and is converted by itself. The bytes are in a file,
// so that they are not the agent's memory.
type converted struct {
	bytes            *os.File
	services, slices []span
}

type span struct{ at, size int }

func benchObjects(b *testing.B) converted {
	b.Helper()
	defer debug.FreeOSMemory()
	file, err := os.Create(filepath.Join(b.TempDir(), "objects"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { file.Close() })
	c, at := converted{bytes: file}, 0
	write := func(object interface{ Marshal() ([]byte, error) }) span {
		data, err := object.Marshal()
		if err == nil {
			_, err = file.Write(data)
		}
		if err != nil {
			b.Fatal(err)
		}
		at += len(data)
		return span{at - len(data), len(data)}
	}
	objects := sourcetest.New(benchServices, benchEndpoints)
	for i := range benchServices {
		c.services = append(c.services, write(&objects.Services.Items[i]))
		c.slices = append(c.slices, write(&objects.Slices.Items[i]))
	}
	return c
}

// read decodes an object.
func (c converted) read(b *testing.B, from span, object interface{ Unmarshal([]byte) error }) {
	b.Helper()
	data := make([]byte, from.size)
	_, err := c.bytes.ReadAt(data, int64(from.at))
	if err == nil {
		err = object.Unmarshal(data)
	}
	if err != nil {
		b.Fatal(err)
	}
}

func (c converted) service(b *testing.B, i int) state.Service {
	b.Helper()
	var object corev1.Service
	c.read(b, c.services[i], &object)
	out, _ := source.Service(&object)
	return out
}

// slice gives the slice with so many of its endpoints.
func (c converted) slice(b *testing.B, i, endpoints int) state.EndpointSlice {
	b.Helper()
	var object discoveryv1.EndpointSlice
	c.read(b, c.slices[i], &object)
	object.Endpoints = object.Endpoints[:endpoints]
	out, _ := source.EndpointSlice(&object)
	return out
}

// delta gives all objects as what has changed.
func (c converted) delta(b *testing.B) *state.Delta {
	b.Helper()
	d := &state.Delta{Node: &state.Node{Name: "worker", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}}
	for i := range benchServices {
		service, slice := c.service(b, i), c.slice(b, i, benchEndpoints)
		d.SetService(state.Name{Namespace: service.Namespace, Name: service.Name}, &service)
		d.SetSlice(state.Name{Namespace: slice.Namespace, Name: slice.Name}, &slice)
	}
	return d
}

// snapshot gives all objects as a folder has them.
func (c converted) snapshot(b *testing.B) *state.Snapshot {
	b.Helper()
	s := &state.Snapshot{Node: state.Node{Name: "worker", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}}
	for i := range benchServices {
		s.Services, s.Slices = append(s.Services, c.service(b, i)), append(s.Slices, c.slice(b, i, benchEndpoints))
	}
	return s
}

// recorded keeps the steps of the last Apply.
type recorded struct {
	store.Store
	steps []plan.Step
}

func (r *recorded) Apply(ctx context.Context, steps []plan.Step) (int, error) {
	r.steps = steps
	return r.Store.Apply(ctx, steps)
}

// bench is an agent of that size, in sync, and what changes beside it.
type bench struct {
	*Reconciler
	objects  converted
	snapshot *state.Snapshot // nil where the source gives Deltas
	delta    *state.Delta
	settings *state.Settings
	recorded
	round  int
	remove func() error
}

// end ends the agent, and removes its maps.
func (n *bench) end(b *testing.B) {
	b.Helper()
	if err := n.remove(); err != nil {
		b.Error(err)
	}
}

// newBench makes it. The source gives Deltas as a watch of the API server does, or
// whole Snapshots, as files do.
func newBench(b *testing.B, objects converted, deltas bool) *bench {
	b.Helper()
	testkernel.Require(b)
	n := &bench{objects: objects, settings: newCluster(1).settings}
	n.settings.Maps = state.MapSettings{Services: 1 << 18, Backends: 1 << 18, ReverseNAT: 1 << 18, Affinity: 1024, SourceRanges: 1024, Maglev: 1024, SocketReverse: 1024}
	n.settings.BPFRoot, n.settings.CgroupRoot = testkernel.BPFFS(b), testkernel.Cgroup(b)
	want, _ := datapath.Compile(n.settings, &state.Snapshot{})
	kernel, err := store.Create(n.settings, want.Maps)
	if err != nil {
		b.Fatal(err)
	}
	n.recorded.Store, n.remove = kernel, kernel.Remove
	from := &Compiled{Settings: n.settings}
	if deltas {
		n.delta = objects.delta(b)
		from.Delta = func(context.Context) (*state.Delta, []state.Notice, error) { return n.delta, nil, nil }
	} else {
		n.snapshot = objects.snapshot(b)
		from.Snapshot = func(context.Context) (*state.Snapshot, []state.Notice, error) { return n.snapshot, nil, nil }
	}
	n.Reconciler, err = New(Config{Store: &n.recorded, Source: from, Mode: state.Own, Interval: time.Hour, Grace: time.Minute})
	if err != nil {
		b.Fatal(err)
	}
	for range 2 { // the second reads by programs
		if r := n.Round(context.Background()); r.Status != InSync || r.Err != nil {
			b.Fatal(r.Status, r.Err)
		}
		n.delta, n.steps = &state.Delta{}, nil
	}
	return n
}

// change takes an endpoint of a service away, and another time gives it back.
func (n *bench) change(b *testing.B) {
	b.Helper()
	i := (n.round / 2 * 7919) % benchServices
	slice := n.objects.slice(b, i, benchEndpoints-1+n.round%2)
	n.round++
	if n.snapshot == nil {
		n.delta = &state.Delta{}
		n.delta.SetSlice(state.Name{Namespace: slice.Namespace, Name: slice.Name}, &slice)
		return
	}
	s := *n.snapshot
	s.Slices = slices.Clone(s.Slices)
	s.Slices[i] = slice
	n.snapshot = &s
}

// BenchmarkPrivilegedFollow changes one endpoint of 100,000: from the change at the
// source to the last write into the kernel, against the same writes as plain
// system calls, in turn.
func BenchmarkPrivilegedFollow(b *testing.B) {
	for _, name := range []string{"delta", "snapshot"} {
		b.Run(name, func(b *testing.B) {
			n := newBench(b, benchObjects(b), name == "delta")
			defer n.end(b)
			maps := n.rawMaps(b)
			var followed, raw []time.Duration
			count := map[string]int{"delta": 2000, "snapshot": 20}[name]
			steps := 0
			for b.Loop() {
				for range count {
					n.change(b)
					begin := time.Now()
					report := n.Follow(context.Background())
					followed = append(followed, time.Since(begin))
					if report.Reason != ReasonApplied || report.Err != nil || report.Digest.Have != "" {
						b.Fatal(report.Status, report.Reason, report.Err, report.Digest)
					}
					steps += len(n.steps)
					raw = append(raw, maps.again(b, n.steps))
				}
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(steps)/float64(len(followed)), "steps")
			b.ReportMetric(micro(followed, 0.5), "p50-us")
			b.ReportMetric(micro(followed, 0.99), "p99-us")
			b.ReportMetric(micro(raw, 0.5), "raw-p50-us")
			b.ReportMetric(micro(followed, 0.5)/micro(raw, 0.5), "follow/raw")
		})
	}
}

func micro(list []time.Duration, q float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return float64(list[min(int(q*float64(len(list))), len(list)-1)]) / 1e3
}

type rawMaps map[layout.MapID]*ebpf.Map

// rawMaps are maps of the same kind, which hold the same.
func (n *bench) rawMaps(b *testing.B) rawMaps {
	b.Helper()
	have, err := n.recorded.Read(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	maps := rawMaps{}
	for _, id := range []layout.MapID{layout.Services4, layout.Backends4, layout.ReverseNAT4} {
		pinned, err := ebpf.LoadPinnedMap(filepath.Join(n.settings.BPFRoot, store.OwnPins, id.String()), nil)
		if err != nil {
			b.Fatal(err)
		}
		m, err := ebpf.NewMap(&ebpf.MapSpec{Type: pinned.Type(), KeySize: pinned.KeySize(), ValueSize: pinned.ValueSize(), MaxEntries: pinned.MaxEntries(), Flags: pinned.Flags()})
		pinned.Close()
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { m.Close() })
		for key, value := range have.Tables[id].All() {
			if err := m.Put(key, value); err != nil {
				b.Fatal(err)
			}
		}
		maps[id] = m
	}
	return maps
}

// again carries steps out by a system call each, and says how long that took.
func (maps rawMaps) again(b *testing.B, steps []plan.Step) time.Duration {
	b.Helper()
	begin := time.Now()
	for i := range steps {
		var err error
		if m := maps[steps[i].Map]; steps[i].Op == plan.Put {
			err = m.Put(steps[i].Key, steps[i].New)
		} else {
			err = m.Delete(steps[i].Key)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(begin)
}

// BenchmarkPrivilegedAgentMemory says what an agent of that size keeps: live heap
// with the compiler and all that it keeps of the objects, the State and the entries
// as they were read, at first, and after 20,000 changes and a round; and what the
// process has of memory then, what it had at most, and what it had without an agent.
func BenchmarkPrivilegedAgentMemory(b *testing.B) {
	const mebibyte = 1 << 20
	for b.Loop() {
		objects := benchObjects(b)
		before := liveHeap()
		b.ReportMetric(resident(b, "VmRSS"), "empty-RSS-MiB")
		if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil { // VmHWM starts anew
			b.Fatal(err)
		}
		n := newBench(b, objects, true)
		first := liveHeap() - before
		defer debug.SetGCPercent(debug.SetGCPercent(50)) // as plumb-agent does
		debug.FreeOSMemory()
		b.ReportMetric(resident(b, "VmRSS"), "RSS-MiB")
		for range 2 * benchServices {
			n.change(b)
			if r := n.Follow(context.Background()); r.Err != nil {
				b.Fatal(r.Err)
			}
		}
		n.delta, n.steps = &state.Delta{}, nil
		if r := n.Round(context.Background()); r.Status != InSync {
			b.Fatal(r.Status, r.Err)
		}
		b.ReportMetric(0, "ns/op")
		debug.FreeOSMemory() // as well, after a round that leaves much
		b.ReportMetric(resident(b, "VmRSS"), "churned-RSS-MiB")
		b.ReportMetric(resident(b, "VmHWM"), "peak-RSS-MiB")
		b.ReportMetric(float64(first)/mebibyte, "MiB")
		b.ReportMetric(float64(liveHeap()-before)/mebibyte, "churned-MiB")
		runtime.KeepAlive(n)
		n.end(b)
	}
}

func liveHeap() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// resident gives a size of the process in MiB, as the kernel counts it.
func resident(b *testing.B, what string) float64 {
	b.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n"+what+":")
	kib, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	n, err := strconv.Atoi(kib)
	if err != nil {
		b.Fatalf("%s: %v", what, err)
	}
	return float64(n) / 1024
}
