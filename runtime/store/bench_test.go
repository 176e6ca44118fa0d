// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/runtime/internal/testkernel"
	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/runtime/store"
	"plumbline.dev/plumbline/runtime/store/storetest"
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

// largeKernel is a kernel that holds it.
func largeKernel(b *testing.B, want *state.State) (*store.Kernel, *state.Settings) {
	b.Helper()
	testkernel.Require(b)
	s := &state.Settings{Layout: state.Cilium117, BPFRoot: testkernel.BPFFS(b), CgroupRoot: testkernel.Cgroup(b)}
	maps := storetest.Maps()
	for i := range maps {
		maps[i].MaxEntries = 262144
	}
	k, err := store.Create(s, maps)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { k.Remove() })
	have, err := k.Read(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	result, err := plan.Diff(have, want, nil)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := k.Apply(context.Background(), result.Plan); err != nil {
		b.Fatal(err)
	}
	return k, s
}

// rawRead reads the same maps by batches and does nothing with them: the floor.
func rawRead(b *testing.B, s *state.Settings) time.Duration {
	b.Helper()
	begin := time.Now()
	rawMap[[12]byte, [12]byte](b, s, layout.Services4)
	rawMap[[4]byte, [12]byte](b, s, layout.Backends4)
	rawMap[[2]byte, [6]byte](b, s, layout.ReverseNAT4)
	return time.Since(begin)
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

// An audit that finds nothing, against reading the same entries and doing
// nothing with them, in one run.
func BenchmarkPrivilegedAudit(b *testing.B) {
	want := largeState()
	k, s := largeKernel(b, want)
	target := targetOf(b, k, want)
	var floor, read, audit time.Duration
	for b.Loop() {
		floor += rawRead(b, s)
		begin := time.Now()
		have, err := k.Read(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		read += time.Since(begin)
		if !target.Holds(have) {
			b.Fatal("the kernel does not hold what was written")
		}
		audit += time.Since(begin)
	}
	b.ReportMetric(float64(read)/float64(floor), "read/raw")
	b.ReportMetric(float64(audit)/float64(floor), "audit/raw")
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

// The first audit of a process: it knows no ids but the kernel's.
func BenchmarkPrivilegedFirstAudit(b *testing.B) {
	want := largeState()
	k, s := largeKernel(b, want)
	var floor, audit, exact time.Duration
	for b.Loop() {
		floor += rawRead(b, s)
		begin := time.Now()
		have, err := k.Read(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		if !plan.InSync(have, want) {
			b.Fatal("the kernel does not hold what was written")
		}
		audit += time.Since(begin)
		begin = time.Now()
		targetOf(b, k, want)
		exact += time.Since(begin)
	}
	b.ReportMetric(float64(audit)/float64(floor), "first/raw")
	b.ReportMetric(float64(exact)/float64(floor), "diff/raw")
}
