// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/runtime/internal/testkernel"
	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/runtime/store"
	"plumbline.dev/plumbline/runtime/store/storetest"
	"plumbline.dev/plumbline/schema/state"
)

// pair opens the same pins twice: by programs and by system calls.
func pair(t *testing.T, s *state.Settings) (programs, calls *store.Kernel) {
	t.Helper()
	open := func(p store.Programs) *store.Kernel {
		k, err := store.Open(s.BPFRoot, s.Layout, store.Options{CgroupRoot: s.CgroupRoot, Programs: p})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { k.Close() })
		return k
	}
	return open(store.Always), open(store.Never)
}

// entries gives all that is held, as text.
func entries(t *testing.T, k *store.Kernel) map[string]string {
	t.Helper()
	have, err := k.Read(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for id, table := range have.Tables {
		for key, value := range table.All() {
			all[fmt.Sprintf("%s %x", id, key)] = fmt.Sprintf("%x", value)
		}
	}
	for _, m := range have.Maps {
		all[m.Name] = fmt.Sprintf("%+v", m)
	}
	return all
}

// Random changes behind a reader's back: by programs it reads the same as by
// system calls, read after read.
func TestPrivilegedProgramsReadWhatCallsRead(t *testing.T) {
	s := settings(t)
	owner := create(t, s, roomy(4096))
	programs, calls := pair(t, s)
	r := rand.New(rand.NewPCG(7, 7))
	for round := range 60 {
		changes := r.IntN(12)
		if round%20 == 0 {
			changes = 3000 // more than a comparison names
		}
		if _, err := owner.Apply(context.Background(), randomSteps(r, changes)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(entries(t, calls), entries(t, programs)); diff != "" {
			t.Fatalf("round %d (-calls +programs):\n%s", round, diff)
		}
	}
	if err := programs.Refused(); err != nil {
		t.Error(err)
	}
}

// roomy are the maps with room for so many entries.
func roomy(n uint32) []state.Map {
	maps := storetest.Maps()
	for i := range maps {
		maps[i].MaxEntries = n
	}
	return maps
}

// randomSteps puts and deletes entries of all maps but tries, which don't take any bytes.
func randomSteps(r *rand.Rand, n int) []plan.Step {
	var ids []layout.MapID
	for _, d := range layout.Content() {
		if d.Type == "hash" {
			ids = append(ids, d.ID)
		}
	}
	var steps []plan.Step
	for range n {
		id := ids[r.IntN(len(ids))]
		d := id.Desc()
		step := plan.Step{Map: id, Op: plan.Delete, Key: make([]byte, d.KeySize)}
		step.Key[0], step.Key[d.KeySize-1] = byte(r.Uint32()), byte(r.IntN(4))
		if id == layout.Services4 || id == layout.Services6 {
			likeService(step.Key, r)
		}
		if r.IntN(4) > 0 {
			step.Op, step.New = plan.Put, make([]byte, d.ValueSize)
			step.New[0] = byte(r.Uint32())
		}
		steps = append(steps, step)
	}
	return steps
}

// likeService makes the key of a slot: what wildcards and masters hold tells of
// one layout or another.
func likeService(key []byte, r *rand.Rand) {
	rest := key[len(key)-8:] // port, slot, protocol, scope, padding
	copy(rest, []byte{0, 80, byte(1 + r.IntN(4)), 0, 6, 0, 0, 0})
}

// Beside a writer, reads by programs give no error; and once it rests, they give
// what is there: nothing that was seen on the way is left over.
func TestPrivilegedProgramsBesideAWriter(t *testing.T) {
	s := settings(t)
	owner := create(t, s, roomy(4096))
	programs, calls := pair(t, s)
	var wg sync.WaitGroup
	for phase := range 4 {
		stop := make(chan struct{})
		wg.Go(func() {
			r := rand.New(rand.NewPCG(8, uint64(phase)))
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := owner.Apply(context.Background(), randomSteps(r, 200)); err != nil {
					t.Error(err)
					return
				}
			}
		})
		for range 40 {
			entries(t, programs)
		}
		close(stop)
		wg.Wait()
		if diff := cmp.Diff(entries(t, calls), entries(t, programs)); diff != "" {
			t.Fatalf("phase %d (-calls +programs):\n%s", phase, diff)
		}
	}
}

// A map that its owner replaces is read anew, not compared with the old one's entries.
func TestPrivilegedProgramsFollowAReplacedPin(t *testing.T) {
	s := settings(t)
	owner := create(t, s, storetest.Maps())
	programs, calls := pair(t, s)
	put := func(n byte) plan.Step {
		return plan.Step{Op: plan.Put, Map: layout.Backends4, Key: []byte{n, 0, 0, 0}, New: make([]byte, 12)}
	}
	if _, err := owner.Apply(context.Background(), []plan.Step{put(1), put(2)}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		entries(t, programs)
	}
	if err := owner.Remove(); err != nil {
		t.Fatal(err)
	}
	owner = create(t, s, storetest.Maps())
	if _, err := owner.Apply(context.Background(), []plan.Step{put(3)}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if diff := cmp.Diff(entries(t, calls), entries(t, programs)); diff != "" {
			t.Fatalf("(-calls +programs):\n%s", diff)
		}
	}
}

// Maps that programs may not write (as Cilium 1.20 makes them), or not read, are
// written and read by system calls, and why is said.
func TestPrivilegedProgramsRefused(t *testing.T) {
	testkernel.Require(t)
	for _, test := range []struct {
		name          string
		layout        state.Layout // the one whose flags these could be
		flag          uint32
		reason, works string
	}{
		{"BPF_F_RDONLY_PROG", state.Cilium120, 0x80, "written by system calls alone", "read by system calls alone"},
		{"BPF_F_WRONLY_PROG", state.Cilium117, 0x100, "read by system calls alone", "written by system calls alone"},
	} {
		t.Run(test.name, func(t *testing.T) {
			maps := storetest.Maps()
			for i := range maps {
				if maps[i].Type == "hash" {
					maps[i].Flags |= test.flag
				}
			}
			s := settings(t)
			s.Layout = test.layout
			k := createWith(t, s, maps, store.Options{Programs: store.Always})
			programs, calls := pair(t, s)
			r := rand.New(rand.NewPCG(9, uint64(test.flag)))
			for range 4 {
				if _, err := k.Apply(context.Background(), randomSteps(r, 30)); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(entries(t, calls), entries(t, programs)); diff != "" {
					t.Errorf("(-calls +programs):\n%s", diff)
				}
			}
			err := errors.Join(k.Refused(), programs.Refused())
			if err == nil || !strings.Contains(err.Error(), test.reason) || strings.Contains(err.Error(), test.works) {
				t.Errorf("refused is %v, want that maps are %s, and no more", err, test.reason)
			}
		})
	}
}

// What no program can write stands between what one can: the order is kept, and
// a failure ends the prefix wherever it is.
func TestPrivilegedProgramsMixedSteps(t *testing.T) {
	for _, programs := range []store.Programs{store.Never, store.Always} {
		s := settings(t)
		k := createWith(t, s, roomy(3), store.Options{Programs: programs})
		backend := func(n byte) plan.Step {
			return plan.Step{Op: plan.Put, Map: layout.Backends4, Key: []byte{n, 0, 0, 0}, New: make([]byte, 12)}
		}
		ranges := func(n byte) plan.Step {
			return plan.Step{Op: plan.Put, Map: layout.SourceRange4, Key: []byte{64, 0, 0, 0, 0, 1, 0, 0, n, 0, 0, 0}, New: []byte{0}}
		}
		steps := []plan.Step{backend(1), ranges(1), backend(2), backend(3), ranges(2), backend(4), ranges(3)}
		n, err := k.Apply(context.Background(), steps)
		if n != 5 || err == nil {
			t.Errorf("%d steps were applied (%v), want 5 and an error", n, err)
		}
		m, err := ebpf.LoadPinnedMap(pin(s, "cilium_lb4_source_range"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Lookup(ranges(3).Key, new([1]byte)); err == nil {
			t.Error("a step behind the failing one took effect")
		}
		m.Close()
	}
}

// A long run of steps of one rank is written by two programs, or two calls: all of it.
// Where there is no room what is said to have taken effect has.
func TestPrivilegedManySteps(t *testing.T) {
	const rows, room = 30000, 28000
	var steps []plan.Step
	for i := range uint32(rows) {
		row := layout.Backend{Endpoint: state.Endpoint{Address: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), Port: 80, Protocol: state.TCP}}
		steps = append(steps, plan.Step{Op: plan.Put, Map: layout.Backends4, Key: layout.BackendID(i + 1), New: row.Bytes()})
	}
	for _, c := range []struct {
		name     string
		entries  uint32
		programs store.Programs
	}{
		{"enough room", rows, store.WhereUseful}, {"too little room", room, store.WhereUseful},
		{"enough room for calls", rows, store.Never}, {"too little room for calls", room, store.Never},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := createWith(t, settings(t), roomy(c.entries), store.Options{Programs: c.programs})
			n, err := k.Apply(context.Background(), steps)
			if fits := c.entries >= rows; fits != (err == nil) || fits != (n == rows) {
				t.Errorf("%d steps applied: %v", n, err)
			}
			have, err := k.Read(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			held := have.Tables[layout.Backends4]
			for _, s := range steps[:n] {
				if value, found := held.Find(s.Key); !found || !bytes.Equal(value, s.New) {
					t.Fatalf("%s is said to have been done", s)
				}
			}
			if err := k.Refused(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A context that has ended stops a long run between two of its parts.
func TestPrivilegedManyStepsEnd(t *testing.T) {
	k := create(t, settings(t), roomy(65536))
	var steps []plan.Step
	for i := range uint32(60000) {
		row := layout.Backend{Endpoint: state.Endpoint{Address: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), Port: 80, Protocol: state.TCP}}
		steps = append(steps, plan.Step{Op: plan.Put, Map: layout.Backends4, Key: layout.BackendID(i + 1), New: row.Bytes()})
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if n, err := k.Apply(ctx, steps); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("%d steps, %v", n, err)
	}
}
