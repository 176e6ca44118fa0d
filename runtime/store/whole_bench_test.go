// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"plumbline.dev/plumbline/compiler/datapath"
	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/runtime/source/sourcetest"
	"plumbline.dev/plumbline/runtime/store"
	"plumbline.dev/plumbline/schema/state"
)

// compiled makes the State of a Snapshot, of as many entries as largeState has. It
// leaves the programs out, whose loading costs the same whatever the maps hold.
func compiled(b *testing.B, snapshot *state.Snapshot) *state.State {
	b.Helper()
	want, notices := datapath.Compile(sourcetest.Settings(), snapshot)
	if len(want.Frontends) != services || len(want.Backends) != services*backends {
		b.Fatalf("%d frontends and %d backends, want %d and %d; %v", len(want.Frontends), len(want.Backends), services, services*backends, notices)
	}
	want.Attachments = nil
	return want
}

// All of a first start, from decoded objects to full maps: converting, compiling,
// reading the empty maps, planning and writing, against three batch calls with the
// same entries, in turn. The parts are given as well.
func BenchmarkPrivilegedFirstStart(b *testing.B) {
	objects := sourcetest.New(services, backends)
	for _, name := range slices.Sorted(maps.Keys(choices)) {
		b.Run(name, func(b *testing.B) {
			t := times{}
			for b.Loop() {
				k, s := emptyKernel(b, choices[name])
				begin := time.Now()
				snapshot := objects.Snapshot(b)
				t.add("convert", begin)
				compile := time.Now()
				want := compiled(b, snapshot)
				t.add("compile", compile)
				read := time.Now()
				steps := planOf(b, k, want)
				t.add("plan", read)
				write := time.Now()
				if n, err := k.Apply(context.Background(), steps); err != nil || n != len(steps) {
					b.Fatal(n, err)
				}
				t.add("write", write)
				t.add("compile-to-write", compile)
				t.add("start", begin)
				if err := errors.Join(k.Refused(), k.Remove()); err != nil {
					b.Fatal(err)
				}
				t["raw"] = append(t["raw"], rawWrite(b, s, steps))
			}
			t.report(b, "raw", "start", "compile-to-write", "convert", "compile", "plan", "write")
		})
	}
}

// All of a start on maps that are right already, from decoded objects to the
// verdict that nothing is to be written, against reading the same entries.
func BenchmarkPrivilegedRestartOfObjects(b *testing.B) {
	objects := sourcetest.New(services, backends)
	_, s := largeKernel(b, compiled(b, objects.Snapshot(b)))
	t := times{}
	for b.Loop() {
		begin := time.Now()
		rawRead(b, s)
		t.add("raw", begin)
		k := reader(b, s, store.WhereUseful)
		begin = time.Now()
		want := compiled(b, objects.Snapshot(b))
		t.add("compile", begin)
		held := time.Now()
		have, err := k.Read(context.Background())
		if err != nil {
			b.Fatal(err)
		}
		if result, err := plan.Diff(have, want, nil); err != nil || len(result.Plan) > 0 {
			b.Fatalf("steps to take where none are: %v", err)
		}
		t.add("read-and-diff", held)
		t.add("restart", begin)
	}
	t.report(b, "raw", "restart", "compile", "read-and-diff")
}
