// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/runtime/internal/testkernel"
	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/runtime/store"
	"plumbline.dev/plumbline/schema/state"
)

// The size that benchmarks speak of: services and backends of each. It makes
// 220,000 entries: a master, slots and a reverse-NAT row for each service, and a
// row for each backend.
const services, backends = 10000, 10

func largeState() *state.State {
	st := &state.State{Layout: state.Cilium117}
	for i := range services {
		f := state.Frontend{Type: state.ClusterIP, Flags: state.NonRoutable, Algorithm: state.Random, Service: "bench/s", PortName: "p"}
		f.Endpoint = state.Endpoint{Address: netip.AddrFrom4([4]byte{10, 96, byte(i >> 8), byte(i)}), Port: 80, Protocol: state.TCP}
		for b := range backends {
			n := i*backends + b
			e := state.Endpoint{Address: netip.AddrFrom4([4]byte{10, 128 + byte(n>>16), byte(n >> 8), byte(n)}), Port: 8080, Protocol: state.TCP}
			f.Backends = append(f.Backends, e)
			st.Backends = append(st.Backends, state.Backend{Endpoint: e})
		}
		st.Frontends = append(st.Frontends, f)
	}
	st.Sort()
	return st
}

// lessOne is a State without the first frontend's first backend.
func lessOne(st *state.State) state.State {
	less := *st
	less.Frontends, less.Backends = slices.Clone(st.Frontends), st.Backends[1:]
	less.Frontends[0].Backends = st.Frontends[0].Backends[1:]
	return less
}

// room is how many entries each map has room for.
const room = 262144

// emptyKernel is a kernel with room for it; the caller removes it.
func emptyKernel(b *testing.B, p store.Programs) (*store.Kernel, *state.Settings) {
	b.Helper()
	testkernel.Require(b)
	s := &state.Settings{Layout: state.Cilium117, BPFRoot: testkernel.BPFFS(b), CgroupRoot: testkernel.Cgroup(b)}
	k, err := store.CreateWith(s, roomy(room), store.Options{Programs: p})
	if err != nil {
		b.Fatal(err)
	}
	return k, s
}

// planOf is what brings a kernel to a State.
func planOf(b *testing.B, k *store.Kernel, want *state.State) []plan.Step {
	b.Helper()
	have, err := k.Read(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	result, err := plan.Diff(have, want, nil)
	if err != nil {
		b.Fatal(err)
	}
	return result.Plan
}

// largeKernel is a kernel that holds it.
func largeKernel(b *testing.B, want *state.State) (*store.Kernel, *state.Settings) {
	b.Helper()
	k, s := emptyKernel(b, store.WhereUseful)
	b.Cleanup(func() { k.Remove() })
	if _, err := k.Apply(context.Background(), planOf(b, k, want)); err != nil {
		b.Fatal(err)
	}
	return k, s
}

// rawRead reads the same maps by batches and does nothing with them: the floor.
func rawRead(b *testing.B, s *state.Settings) {
	b.Helper()
	rawMap[[12]byte, [12]byte](b, s, layout.Services4)
	rawMap[[4]byte, [12]byte](b, s, layout.Backends4)
	rawMap[[2]byte, [6]byte](b, s, layout.ReverseNAT4)
}

func rawMap[K, V any](b *testing.B, s *state.Settings, id layout.MapID) {
	b.Helper()
	m, err := ebpf.LoadPinnedMap(pin(s, id.String()), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	var cursor ebpf.MapBatchCursor
	keys, values := make([]K, 4096), make([]V, 4096)
	for {
		if _, err := m.BatchLookup(&cursor, keys, values, nil); errors.Is(err, ebpf.ErrKeyNotExist) {
			return
		} else if err != nil {
			b.Fatal(err)
		}
	}
}

// choices are the two ways of a Kernel; each benchmark runs both.
var choices = map[string]store.Programs{"programs": store.WhereUseful, "calls": store.Never}

// times are what the parts of a benchmark took, round by round.
type times map[string][]time.Duration

func (t times) add(name string, begin time.Time) { t[name] = append(t[name], time.Since(begin)) }

// quantile gives the time that a part q of the rounds do not exceed.
func (t times) quantile(name string, q float64) time.Duration {
	list := slices.Sorted(slices.Values(t[name]))
	return list[min(int(q*float64(len(list))), len(list)-1)]
}

// report gives medians as multiples of the floor's.
func (t times) report(b *testing.B, floor string, names ...string) {
	b.Helper()
	b.ReportMetric(0, "ns/op") // of a round with all of its parts: it says nothing
	for _, name := range names {
		b.ReportMetric(float64(t.quantile(name, 0.5))/float64(t.quantile(floor, 0.5)), name+"/"+floor)
	}
}

// An audit that finds nothing, against reading the same entries and doing
// nothing with them, in turn.
func BenchmarkPrivilegedAudit(b *testing.B) {
	want := largeState()
	for _, name := range slices.Sorted(maps.Keys(choices)) {
		b.Run(name, func(b *testing.B) {
			owner, s := largeKernel(b, want)
			target := targetOf(b, owner, want)
			k := reader(b, s, choices[name])
			auditOnce(b, k, target)
			t := times{}
			for b.Loop() {
				begin := time.Now()
				rawRead(b, s)
				t.add("raw", begin)
				begin = time.Now()
				auditOnce(b, k, target)
				t.add("audit", begin)
			}
			t.report(b, "raw", "audit")
		})
	}
}

// An audit that finds a hundred slots which lead to a backend that is not there.
func BenchmarkPrivilegedAuditOfDrift(b *testing.B) {
	want := largeState()
	const drifts = 100
	for _, name := range slices.Sorted(maps.Keys(choices)) {
		b.Run(name, func(b *testing.B) {
			owner, s := largeKernel(b, want)
			target := targetOf(b, owner, want)
			k := reader(b, s, choices[name])
			auditOnce(b, k, target)
			if _, err := owner.Apply(context.Background(), dangling(b, owner, want, drifts)); err != nil {
				b.Fatal(err)
			}
			t := times{}
			for b.Loop() {
				begin := time.Now()
				rawRead(b, s)
				t.add("raw", begin)
				begin = time.Now()
				have, err := k.Read(context.Background())
				if err != nil {
					b.Fatal(err)
				}
				if result, ok := target.Diff(have, want); !ok || len(result.Drifts) != drifts {
					b.Fatalf("%v, %d drifts, want %d", ok, len(result.Drifts), drifts)
				}
				t.add("audit", begin)
			}
			t.report(b, "raw", "audit")
		})
	}
}

// dangling is what makes the first slots of some frontends lead nowhere.
func dangling(b *testing.B, k *store.Kernel, want *state.State, n int) []plan.Step {
	b.Helper()
	have, err := k.Read(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	var steps []plan.Step
	for i := range n {
		key := layout.ServiceKey{FrontendName: want.Frontends[i*len(want.Frontends)/n].FrontendName, Slot: 1}.Bytes()
		old, ok := have.Tables[layout.Services4].Find(key)
		if !ok {
			b.Fatal("the kernel does not hold what was written")
		}
		next := slices.Clone(old)
		next[3] = 0x7f // the backend id's highest byte
		steps = append(steps, plan.Step{Op: plan.Put, Map: layout.Services4, Key: key, Old: old, New: next})
	}
	return steps
}

func reader(b *testing.B, s *state.Settings, p store.Programs) *store.Kernel {
	b.Helper()
	k, err := store.Open(s.BPFRoot, s.Layout, store.Options{CgroupRoot: s.CgroupRoot, Programs: p})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := k.Refused(); err != nil {
			b.Error(err)
		}
		k.Close()
	})
	return k
}

func auditOnce(b *testing.B, k *store.Kernel, target *plan.Target) {
	b.Helper()
	have, err := k.Read(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	if !target.Holds(have) {
		b.Fatal("the kernel does not hold what was written")
	}
}

// targetOf is what a process knows that has been in sync once.
func targetOf(b *testing.B, k *store.Kernel, want *state.State) *plan.Target {
	b.Helper()
	have, err := k.Read(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	result, err := plan.Diff(have, want, nil)
	if err != nil {
		b.Fatal(err)
	}
	if len(result.Plan) > 0 {
		b.Fatalf("%d steps, want none", len(result.Plan))
	}
	return result.Target
}

// A process that starts and finds all as it should be: it knows no ids but the
// kernel's. It writes nothing. And the Diff alone where one backend is too many.
func BenchmarkPrivilegedRestart(b *testing.B) {
	want := largeState()
	less := lessOne(want)
	_, s := largeKernel(b, want)
	t := times{}
	for b.Loop() {
		begin := time.Now()
		rawRead(b, s)
		t.add("raw", begin)
		k := reader(b, s, store.WhereUseful)
		begin = time.Now()
		have, err := k.Read(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		t.add("read", begin)
		result, err := plan.Diff(have, want, nil)
		if err != nil || len(result.Drifts) > 0 {
			b.Fatal(len(result.Drifts), err)
		}
		t.add("restart", begin)
		begin = time.Now()
		if result, err = plan.Diff(have, &less, nil); err != nil || len(result.Plan) == 0 {
			b.Fatal(len(result.Plan), err)
		}
		t.add("drift", begin)
	}
	t.report(b, "raw", "read", "restart", "drift")
}

// Empty maps become full, against three batch calls with the same entries.
func BenchmarkPrivilegedInitialSync(b *testing.B) {
	want := largeState()
	for _, name := range slices.Sorted(maps.Keys(choices)) {
		b.Run(name, func(b *testing.B) {
			t := times{}
			for b.Loop() {
				k, s := emptyKernel(b, choices[name])
				steps := planOf(b, k, want)
				begin := time.Now()
				if n, err := k.Apply(context.Background(), steps); err != nil || n != len(steps) {
					b.Fatal(n, err)
				}
				t.add("sync", begin)
				if err := errors.Join(k.Refused(), k.Remove()); err != nil {
					b.Fatal(err)
				}
				raw := rawWrite(b, s, steps)
				t["raw"] = append(t["raw"], raw)
			}
			t.report(b, "raw", "sync")
		})
	}
}

// rawWrite writes the same entries into maps of the same kind by three batch calls.
func rawWrite(b *testing.B, s *state.Settings, steps []plan.Step) time.Duration {
	b.Helper()
	return rawPut[[2]byte, [6]byte](b, s, layout.ReverseNAT4, steps) + rawPut[[4]byte, [12]byte](b, s, layout.Backends4, steps) +
		rawPut[[12]byte, [12]byte](b, s, layout.Services4, steps)
}

func rawPut[K, V any](b *testing.B, s *state.Settings, id layout.MapID, steps []plan.Step) time.Duration {
	b.Helper()
	d := id.Desc()
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Hash, KeySize: uint32(d.KeySize), ValueSize: uint32(d.ValueSize), MaxEntries: room, Flags: 1})
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	var keys []K
	var values []V
	for _, step := range steps {
		if step.Map == id {
			var key K
			var value V
			copy(unsafe.Slice((*byte)(unsafe.Pointer(&key)), unsafe.Sizeof(key)), step.Key)
			copy(unsafe.Slice((*byte)(unsafe.Pointer(&value)), unsafe.Sizeof(value)), step.New)
			keys, values = append(keys, key), append(values, value)
		}
	}
	begin := time.Now()
	if n, err := m.BatchUpdate(keys, values, nil); err != nil || n != len(keys) {
		b.Fatal(n, err)
	}
	return time.Since(begin)
}

// changes is how often a backend leaves and joins in one round.
const changes = 1000

// One backend leaves a service, and joins it: steps over three maps.
func BenchmarkPrivilegedEndpointChange(b *testing.B) {
	want := largeState()
	for _, name := range slices.Sorted(maps.Keys(choices)) {
		b.Run(name, func(b *testing.B) {
			k, _ := emptyKernel(b, choices[name])
			defer k.Remove()
			if _, err := k.Apply(context.Background(), planOf(b, k, want)); err != nil {
				b.Fatal(err)
			}
			less := lessOne(want)
			leave := planOf(b, k, &less)
			if _, err := k.Apply(context.Background(), leave); err != nil {
				b.Fatal(err)
			}
			join := planOf(b, k, want)
			if _, err := k.Apply(context.Background(), join); err != nil {
				b.Fatal(err)
			}
			t := times{}
			for b.Loop() {
				for i := range 2 * changes {
					begin := time.Now()
					if _, err := k.Apply(context.Background(), [][]plan.Step{leave, join}[i%2]); err != nil {
						b.Fatal(err)
					}
					t.add("change", begin)
				}
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(len(leave)+len(join))/2, "steps")
			b.ReportMetric(float64(t.quantile("change", 0.5))/1e3, "p50-us")
			b.ReportMetric(float64(t.quantile("change", 0.99))/1e3, "p99-us")
		})
	}
}

// What a process keeps that audits round after round: live heap per entry of the
// maps, beside the wanted State and beside the entries' own bytes, once.
func BenchmarkPrivilegedMemory(b *testing.B) {
	want := largeState()
	_, s := largeKernel(b, want)
	for _, name := range slices.Sorted(maps.Keys(choices)) {
		b.Run(name, func(b *testing.B) {
			before := live()
			k := reader(b, s, choices[name])
			target := targetOf(b, k, want)
			for b.Loop() {
				auditOnce(b, k, target)
			}
			used := live() - before
			entries, bytes := 0, 0
			have, err := k.Read(context.Background())
			if err != nil {
				b.Fatal(err)
			}
			for id, table := range have.Tables {
				d := id.Desc()
				entries += table.Rows()
				bytes += table.Rows() * (d.KeySize + d.ValueSize)
			}
			runtime.KeepAlive(target)
			runtime.KeepAlive(want)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(used-bytes)/float64(entries), "B/entry")
			b.ReportMetric(float64(bytes)/float64(entries), "B/entry-itself")
		})
	}
}

// live is the heap that is in use.
func live() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
