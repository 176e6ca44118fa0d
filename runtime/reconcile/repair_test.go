// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/runtime/store"
	"plumbline.dev/plumbline/schema/state"
)

// repairing is a node whose maps Cilium wrote and that an agent of mode repair
// has found in sync.
func repairing(t *testing.T, change func(*Config)) (*setting, *[]plan.Step) {
	t.Helper()
	own := newSetting(t, state.Own, nil)
	own.round(t, InSync, ReasonApplied)
	own.fake.Shared = true
	var wrote []plan.Step
	s := newSetting(t, state.Repair, func(c *Config) {
		c.Store, c.RepairEntries = own.fake, 64
		c.Repaired = func(s plan.Step) { wrote = append(wrote, s) }
		if change != nil {
			change(c)
		}
	})
	s.fake = own.fake
	s.round(t, InSync, ReasonInSync)
	return s, &wrote
}

type bytesOf map[layout.MapID]map[string]string

func contents(t *testing.T, f store.Store) bytesOf {
	t.Helper()
	have, err := f.Read(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	out := bytesOf{}
	for id, table := range have.Tables {
		out[id] = map[string]string{}
		for key, value := range table.All() {
			out[id][string(key)] = string(value)
		}
	}
	return out
}

func (b bytesOf) equal(o bytesOf) bool {
	return maps.EqualFunc(b, o, func(x, y map[string]string) bool { return maps.Equal(x, y) })
}

// I4, I5: an entry that is lost or damaged, whichever it is, is as it was once the
// grace is over, under the same ids, and no other entry is written.
func TestRepairOfEachEntry(t *testing.T) {
	s, _ := repairing(t, nil)
	sound := contents(t, s.fake)
	for id, entries := range sound {
		for key, value := range entries {
			for name, damaged := range map[string][]byte{"lost": nil, "changed": damage(id, []byte(value))} {
				t.Run(id.String()+"/"+name, func(t *testing.T) {
					if bytes.Equal(damaged, []byte(value)) {
						t.Skip("there is nothing to change in it")
					}
					synctest.Test(t, func(t *testing.T) {
						s, wrote := repairing(t, nil)
						s.fake.Tamper(id, []byte(key), damaged)
						s.round(t, OutOfSync, ReasonUnconfirmed)
						if len(*wrote) > 0 {
							t.Fatalf("written before it was confirmed: %v", *wrote)
						}
						time.Sleep(10 * time.Second)
						report := s.round(t, InSync, ReasonDriftCorrected)
						if !contents(t, s.fake).equal(sound) {
							t.Errorf("the maps are not as they were; written: %v", *wrote)
						}
						if report.Applied != 1 || len(*wrote) != 1 || (*wrote)[0].Map != id || string((*wrote)[0].Key) != key {
							t.Errorf("written: %v, want the damaged entry alone", *wrote)
						}
					})
				})
			}
		}
	}
}

// damage changes what an entry says: ids, and of a master the count.
func damage(id layout.MapID, value []byte) []byte {
	out := slices.Clone(value)
	switch id {
	case layout.AffinityMatch:
		return out // a value without meaning
	case layout.Services4, layout.Services6:
		if v, err := layout.DecodeService(value); err == nil && v.Count > 0 {
			out[4]++ // the count
			return out
		}
		out[0] ^= 0x40
	default:
		out[0] ^= 0x40
	}
	return out
}

// What a bound leaves over comes in the next cycles, and each of them keeps it.
func TestRepairIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, wrote := repairing(t, func(c *Config) { c.RepairEntries = 2 })
		sound := contents(t, s.fake)
		for key := range sound[layout.Services4] {
			s.fake.Tamper(layout.Services4, []byte(key), nil)
		}
		for n := range 20 {
			report := s.r.Round(context.Background())
			if report.Applied > 2 {
				t.Fatalf("%d entries in one cycle, want 2 at most", report.Applied)
			}
			if report.Status == InSync {
				if !contents(t, s.fake).equal(sound) || len(*wrote) != len(sound[layout.Services4]) {
					t.Errorf("in sync after %d rounds and %d writes, but not as it was", n, len(*wrote))
				}
				return
			}
			time.Sleep(10 * time.Second)
		}
		t.Errorf("never in sync; written: %v", *wrote)
	})
}

// A suspended agent says what it finds, and that it is suspended. Resumed, it
// writes at once: what it has seen is confirmed.
func TestSuspend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		suspended := true
		s, wrote := repairing(t, func(c *Config) { c.Suspended = func() bool { return suspended } })
		s.fake.Tamper(layout.Services4, slotKey(t, "10.96.0.10:53/UDP", 1), nil)
		s.round(t, OutOfSync, ReasonUnconfirmed)
		time.Sleep(10 * time.Second)
		report := s.round(t, Drifted, ReasonSuspended)
		if !report.Suspended || len(report.Drifts) != 1 || report.Planned != 1 || len(*wrote) > 0 {
			t.Errorf("report %+v, written %v", report, *wrote)
		}
		suspended = false
		s.round(t, InSync, ReasonDriftCorrected)
	})
	s := newSetting(t, state.Own, func(c *Config) { c.Suspended = func() bool { return true } })
	if report := s.round(t, OutOfSync, ReasonSuspended); report.Applied > 0 {
		t.Errorf("%d steps were applied", report.Applied)
	}
	holds(t, s.fake, empty)
}

// While what is wanted is not known, what differs may be what Cilium knows and
// this agent does not.
func TestRepairWritesNothingWithoutASource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, wrote := repairing(t, nil)
		s.fake.Tamper(layout.Services4, slotKey(t, "10.96.0.10:53/UDP", 1), nil)
		s.round(t, OutOfSync, ReasonUnconfirmed)
		time.Sleep(10 * time.Second)
		s.source.err = errors.New("gone")
		s.round(t, Drifted, ReasonDriftDetected)
		if len(*wrote) > 0 {
			t.Errorf("written: %v", *wrote)
		}
	})
}

// racing is a store whose maps Cilium writes between the read and the write.
type racing struct {
	store.Store
	meanwhile func()
}

func (r *racing) Apply(ctx context.Context, steps []plan.Step) (int, error) {
	r.meanwhile()
	return r.Store.Apply(ctx, steps)
}

// Whatever Cilium writes to the very entries between the read and the write stays:
// a rewritten entry, a new one, one that it deletes.
func TestRepairGivesWayToTheOwner(t *testing.T) {
	for name, value := range map[string][]byte{"rewritten": bytes.Repeat([]byte{7}, 12), "deleted": nil} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				race := &racing{meanwhile: func() {}}
				s, wrote := repairing(t, func(c *Config) { race.Store, c.Store = c.Store, race })
				master := slotKey(t, "10.96.0.10:53/UDP", 0)
				sound := []byte(contents(t, s.fake)[layout.Services4][string(master)])
				s.fake.Tamper(layout.Services4, master, damage(layout.Services4, sound))
				s.round(t, OutOfSync, ReasonUnconfirmed)
				time.Sleep(10 * time.Second)
				race.meanwhile = func() { s.fake.Tamper(layout.Services4, master, value) }
				s.round(t, OutOfSync, ReasonChanged)
				if now := contents(t, s.fake)[layout.Services4][string(master)]; now != string(value) || len(*wrote) > 0 {
					t.Errorf("the master is %x, written %v, want what its owner wrote", now, *wrote)
				}
				s.round(t, OutOfSync, ReasonUnconfirmed) // and it has to be confirmed anew
			})
		})
	}
}

// A restarted Cilium may have given other ids: those that were remembered are not
// written over them.
func TestRepairForgetsIDsThatChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, wrote := repairing(t, nil)
		want, err := state.Parse(one)
		if err != nil {
			t.Fatal(err)
		}
		ids := layout.NewLedger()
		for i, f := range want.Frontends {
			ids.Frontends[f.FrontendName] = uint16(900 + i)
		}
		for i, b := range want.Backends {
			ids.Backends.Set(b.Endpoint, uint32(900+i))
		}
		tables, err := layout.Encode(want, ids)
		if err != nil {
			t.Fatal(err)
		}
		for id, entries := range contents(t, s.fake) {
			for key := range entries {
				s.fake.Tamper(id, []byte(key), nil)
			}
			for key, value := range tables[id].All() {
				s.fake.Tamper(id, key, value)
			}
		}
		s.fake.Tamper(layout.Services4, slotKey(t, "10.96.0.10:53/UDP", 1), nil)
		s.round(t, OutOfSync, ReasonUnconfirmed)
		time.Sleep(10 * time.Second)
		s.round(t, InSync, ReasonDriftCorrected)
		if len(*wrote) != 1 || !bytes.Equal((*wrote)[0].New[:2], []byte{0x84, 0x03}) {
			t.Errorf("written %v, want the slot with backend 900", *wrote)
		}
	})
}

// A repair that fails, or dies, at any operation is taken up by the next agent,
// which knows nothing of it: the maps come to what they were.
func TestRepairSurvivesEveryFault(t *testing.T) {
	for _, tookEffect := range []bool{false, true} {
		for at := 1; ; at++ {
			fired := false
			synctest.Test(t, func(t *testing.T) { fired = repairWithFault(t, at, tookEffect) })
			if !fired {
				if at < 8 {
					t.Errorf("%d operations are too few to show anything", at)
				}
				break
			}
		}
	}
}

func repairWithFault(t *testing.T, at int, tookEffect bool) (fired bool) {
	t.Helper()
	s, _ := repairing(t, nil)
	sound := contents(t, s.fake)
	for _, slot := range []uint16{0, 1, 2} {
		s.fake.Tamper(layout.Services4, slotKey(t, "10.96.0.10:53/UDP", slot), nil)
	}
	for key := range sound[layout.AffinityMatch] {
		s.fake.Tamper(layout.AffinityMatch, []byte(key), nil)
	}
	faulty := &store.Faulty{Store: s.fake, At: at, TookEffect: tookEffect}
	for range 2 { // the second agent starts after the fault
		next := newSetting(t, state.Repair, func(c *Config) { c.Store = faulty })
		for range 4 {
			next.r.Round(context.Background())
			time.Sleep(10 * time.Second)
		}
	}
	if !contents(t, s.fake).equal(sound) {
		t.Errorf("after a fault at operation %d the maps are not as they were", at)
	}
	return faulty.Fired()
}

// The grace is measured by a clock that nobody sets: a jump of the wall clock
// confirms nothing, and puts nothing off.
func TestGraceIsMonotonic(t *testing.T) {
	s := newSetting(t, state.Observe, nil)
	s.round(t, OutOfSync, ReasonUnconfirmed)
	for key, seen := range s.r.seen {
		if !strings.Contains(seen.since.String(), " m=") {
			t.Errorf("%s was seen at %s, which the wall clock alone tells", key, seen.since)
		}
	}
}
