// SPDX-License-Identifier: Apache-2.0

package datapath_test

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"plumbline.dev/plumbline/compiler/datapath"
	"plumbline.dev/plumbline/schema/state"
)

// BenchmarkCompilerApply changes one slice of many services: an endpoint more,
// then one less. full/apply says how many times as long compiling all takes.
func BenchmarkCompilerApply(b *testing.B) {
	for _, n := range []int{100, 1000, 10000} {
		for _, version := range []string{"1.17.2", "1.20.2"} {
			b.Run(fmt.Sprintf("%s/services=%d", version, n), func(b *testing.B) {
				settings, snapshot := settingsOf(version), manyServices(n, 10)
				settings.Maps = state.MapSettings{}
				c := datapath.New(settings)
				c.Apply(state.Whole(snapshot))
				c.State()
				full := fullCompile(settings, snapshot)
				b.ReportAllocs()
				took := make([]time.Duration, 0, 1<<16)
				for i := 0; b.Loop(); i++ {
					begin := time.Now()
					change, _ := c.Apply(nextDelta(snapshot, i))
					if took = append(took, time.Since(begin)); change.Empty() {
						b.Fatal("nothing has changed")
					}
				}
				slices.Sort(took)
				p50 := took[len(took)/2]
				b.ReportMetric(float64(p50.Nanoseconds()), "p50-ns")
				b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "p99-ns")
				b.ReportMetric(float64(full)/float64(p50), "full/apply")
			})
		}
	}
}

// fullCompile is how long compiling everything takes, at best.
func fullCompile(settings *state.Settings, snapshot *state.Snapshot) time.Duration {
	best := time.Hour
	for range 5 {
		begin := time.Now()
		datapath.Compile(settings, snapshot)
		best = min(best, time.Since(begin))
	}
	return best
}

// nextDelta takes an endpoint of a slice away, and another time gives it back.
func nextDelta(s *state.Snapshot, i int) *state.Delta {
	slice := s.Slices[(i/2*7919)%len(s.Slices)]
	if i%2 == 0 {
		slice.Endpoints = slice.Endpoints[:len(slice.Endpoints)-1]
	}
	d := &state.Delta{}
	d.SetSlice(state.Name{Namespace: slice.Namespace, Name: slice.Name}, &slice)
	return d
}

// BenchmarkCompilerState makes the whole State after one change, against
// compiling it.
func BenchmarkCompilerState(b *testing.B) {
	const n = 10000
	settings, snapshot := settingsOf("1.17.2"), manyServices(n, 10)
	settings.Maps = state.MapSettings{}
	c := datapath.New(settings)
	c.Apply(state.Whole(snapshot))
	c.State()
	full := fullCompile(settings, snapshot)
	for i := 0; b.Loop(); i++ {
		c.Apply(nextDelta(snapshot, i))
		c.State()
	}
	b.ReportMetric(float64(full)/(float64(b.Elapsed())/float64(b.N)), "full/state")
}

// BenchmarkCompilerMemory says what a Compiler of 10,000 services with ten
// endpoints keeps for each entry of the maps, beyond the Snapshot and the State
// that it works with: after the first compilation, and after each slice has
// changed twice.
func BenchmarkCompilerMemory(b *testing.B) {
	const n = 10000
	settings, snapshot := settingsOf("1.17.2"), manyServices(n, 10)
	settings.Maps = state.MapSettings{}
	entries := 0
	want, _ := datapath.Compile(settings, snapshot)
	for _, f := range datapath.Fills(settings, want) {
		entries += f.Entries
	}
	var first, churned float64
	for b.Loop() {
		want = nil
		before := liveHeap()
		want, _ = datapath.Compile(settings, snapshot)
		entriesOnly := liveHeap() - before
		runtime.KeepAlive(want)
		want = nil
		before = liveHeap()
		c := datapath.New(settings)
		c.Apply(state.Whole(snapshot))
		c.State()
		first = (liveHeap() - before - entriesOnly) / float64(entries)
		for i := range 2 * n {
			c.Apply(nextDelta(snapshot, i))
		}
		c.State()
		churned = (liveHeap() - before - entriesOnly) / float64(entries)
		runtime.KeepAlive(c)
	}
	b.ReportMetric(first, "bytes/entry")
	b.ReportMetric(churned, "churned-bytes/entry")
	runtime.KeepAlive(want)
	runtime.KeepAlive(snapshot)
}

func liveHeap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}
