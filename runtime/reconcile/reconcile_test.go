// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/runtime/store"
	"plumbline.dev/plumbline/runtime/store/storetest"
	"plumbline.dev/plumbline/schema/state"
)

const one = `layout cilium/1.17
frontend 10.96.0.10:53/UDP type=ClusterIP flags=non-routable alg=random affinity=0 service=kube-system/kube-dns port=dns backends=10.244.0.2:53/UDP,10.244.0.3:53/UDP inactive=-
frontend 10.96.0.20:80/TCP type=ClusterIP flags=non-routable,affinity alg=random affinity=300 service=web/shop port=http backends=10.244.1.1:8080/TCP inactive=-
backend 10.244.0.2:53/UDP state=active zone=0
backend 10.244.0.3:53/UDP state=active zone=0
backend 10.244.1.1:8080/TCP state=active zone=0
affinity 10.96.0.20:80/TCP backend=10.244.1.1:8080/TCP
attachment plumb_connect4 attach=cgroup_inet4_connect target=/cg
`

const two = `layout cilium/1.17
frontend 10.96.0.10:53/UDP type=ClusterIP flags=non-routable alg=random affinity=0 service=kube-system/kube-dns port=dns backends=10.244.0.3:53/UDP,10.244.0.4:53/UDP inactive=-
frontend 10.96.0.30:443/TCP type=ClusterIP flags=non-routable alg=random affinity=0 service=web/api port=https backends=10.244.1.5:8443/TCP inactive=-
backend 10.244.0.3:53/UDP state=active zone=0
backend 10.244.0.4:53/UDP state=active zone=0
backend 10.244.1.5:8443/TCP state=active zone=0
attachment plumb_connect4 attach=cgroup_inet4_connect target=/cg
`

const empty = "layout cilium/1.17\n"

// fixed is a source that gives what it is set to.
type fixed struct {
	text string
	err  error
}

func (f *fixed) State(context.Context) (*state.State, error) {
	if f.err != nil {
		return nil, f.err
	}
	return state.Parse(f.text)
}

type setting struct {
	r      *Reconciler
	fake   *store.Fake
	source *fixed
}

func newSetting(t *testing.T, mode state.Mode, change func(*Config)) *setting {
	t.Helper()
	s := &setting{fake: store.NewFake(state.Cilium117, storetest.Maps()), source: &fixed{text: one}}
	cfg := Config{Store: s.fake, Source: s.source, Mode: mode, Interval: time.Minute, Grace: 10 * time.Second}
	if change != nil {
		change(&cfg)
	}
	var err error
	if s.r, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *setting) round(t *testing.T, status Status, reason Reason) Report {
	t.Helper()
	report := s.r.Round(context.Background())
	if report.Status != status || report.Reason != reason {
		t.Fatalf("the round came to %s (%s) %v, want %s (%s)", report.Status, report.Reason, report.Err, status, reason)
	}
	return report
}

// holds compares what the fake holds with a State, names and slot order aside.
func holds(t *testing.T, s store.Store, text string) {
	t.Helper()
	want, err := state.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	have, err := s.Read(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	result, err := plan.Diff(have, want, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Plan) > 0 {
		t.Errorf("the store is not as wanted:\n%s", result.Plan)
	}
}

func slotKey(t *testing.T, frontend string, slot uint16) []byte {
	t.Helper()
	k := layout.ServiceKey{Slot: slot}
	if err := k.FrontendName.UnmarshalText([]byte(frontend)); err != nil {
		t.Fatal(err)
	}
	return k.Bytes()
}

func TestOwnBringsTheKernelToWant(t *testing.T) {
	s := newSetting(t, state.Own, nil)
	first := s.round(t, InSync, ReasonApplied)
	if first.Applied == 0 || first.Applied != first.Planned || first.Digest.Want != first.Digest.Have {
		t.Errorf("report %+v", first)
	}
	holds(t, s.fake, one)
	if again := s.round(t, InSync, ReasonInSync); again.Planned != 0 {
		t.Errorf("a second round planned %d steps", again.Planned)
	}
	s.source.text = two
	s.round(t, InSync, ReasonApplied)
	holds(t, s.fake, two)
}

func TestObserveWritesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSetting(t, state.Observe, nil)
		s.round(t, OutOfSync, ReasonUnconfirmed)
		time.Sleep(10 * time.Second)
		report := s.round(t, Drifted, ReasonDriftDetected)
		if len(report.Drifts) == 0 || report.Applied != 0 {
			t.Errorf("report %+v", report)
		}
		holds(t, s.fake, empty)
	})
}

// I5: drift is reported once it has been there for the grace, with the wanted
// State unchanged, and is mended then; its age counts from when it was first seen.
func TestInvariantI5DriftIsConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSetting(t, state.Own, nil)
		s.round(t, InSync, ReasonApplied)
		s.fake.Tamper(layout.Services4, slotKey(t, "10.96.0.10:53/UDP", 1), nil)
		if report := s.round(t, OutOfSync, ReasonUnconfirmed); len(report.Drifts) != 0 || report.Counts.Unconfirmed != 1 {
			t.Errorf("first sight: %+v", report)
		}
		time.Sleep(4 * time.Second)
		s.round(t, OutOfSync, ReasonUnconfirmed)
		time.Sleep(6 * time.Second)
		report := s.round(t, InSync, ReasonDriftCorrected)
		if len(report.Drifts) != 1 || report.Drifts[0].Kind != plan.SlotGap || report.Drifts[0].Service != "kube-system/kube-dns" || report.Drifts[0].AgeSeconds != 10 {
			t.Errorf("drifts %+v, want one slot-gap of kube-dns, 10 s old", report.Drifts)
		}
		holds(t, s.fake, one)
	})
}

// I5: what differs while the wanted State changes is no drift, however often it
// is seen: here Cilium is one change behind all the time.
func TestInvariantI5RollingUpdateIsNotDrift(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSetting(t, state.Observe, nil)
		cilium := newSetting(t, state.Own, func(c *Config) { c.Store = s.fake })
		for i := range 20 {
			cilium.source.text, s.source.text = []string{one, two}[i%2], []string{two, one}[i%2]
			cilium.r.Round(context.Background())
			time.Sleep(15 * time.Second)
			if report := s.round(t, OutOfSync, ReasonUnconfirmed); len(report.Drifts) > 0 {
				t.Fatalf("round %d reported drift: %v", i, report.Drifts)
			}
		}
	})
}

// I5: what differs where nothing is changing is drift, whatever changes elsewhere.
func TestInvariantI5DriftIsConfirmedWhileOthersChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSetting(t, state.Observe, nil)
		cilium := newSetting(t, state.Own, func(c *Config) { c.Store = s.fake })
		cilium.round(t, InSync, ReasonApplied)
		s.fake.Tamper(layout.Services4, slotKey(t, "10.96.0.20:80/TCP", 1), nil)
		s.round(t, OutOfSync, ReasonUnconfirmed)
		time.Sleep(15 * time.Second)
		s.source.text = strings.ReplaceAll(one, "10.244.0.2:53", "10.244.0.9:53")
		report := s.round(t, Drifted, ReasonDriftDetected)
		if len(report.Drifts) != 1 || report.Drifts[0].Frontend != "10.96.0.20:80/TCP" || report.Counts.Unconfirmed == 0 {
			t.Errorf("drifts %+v, %d unconfirmed, want that of the shop, and the others unconfirmed", report.Drifts, report.Counts.Unconfirmed)
		}
	})
}

// A difference that goes away and comes back starts anew.
func TestDriftThatComesAndGoesIsNotConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSetting(t, state.Own, nil)
		s.round(t, InSync, ReasonApplied)
		key := slotKey(t, "10.96.0.10:53/UDP", 1)
		have, _ := s.fake.Read(context.Background())
		value, _ := have.Tables[layout.Services4].Find(key)
		for range 3 {
			s.fake.Tamper(layout.Services4, key, nil)
			s.round(t, OutOfSync, ReasonUnconfirmed)
			time.Sleep(9 * time.Second)
			s.fake.Tamper(layout.Services4, key, value)
			s.round(t, InSync, ReasonInSync)
			time.Sleep(9 * time.Second)
		}
	})
}

// I2: before there is a complete wanted State nothing is compared or written;
// once there was one it stays in force while the source fails.
func TestInvariantI2SourceFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSetting(t, state.Own, nil)
		s.source.err = errors.New("no such folder")
		s.round(t, Uninitialized, ReasonSourceFailed)
		holds(t, s.fake, empty)
		s.source.err = nil
		s.round(t, InSync, ReasonApplied)
		s.source.err = errors.New("half a file")
		time.Sleep(30 * time.Second)
		report := s.round(t, InSync, ReasonSourceFailed)
		if report.WantAgeSeconds != 30 || report.Err == nil {
			t.Errorf("report %+v, want a wanted state 30 s old and the error", report)
		}
		holds(t, s.fake, one)
	})
}

// I2: an empty wanted State wipes nothing, unless it is allowed to.
func TestInvariantI2EmptyNeedsOptIn(t *testing.T) {
	s := newSetting(t, state.Own, nil)
	s.source.text = empty
	if report := s.round(t, Uninitialized, ReasonEmpty); !errors.Is(report.Err, ErrEmpty) {
		t.Errorf("error %v, want ErrEmpty", report.Err)
	}
	s.source.text = one
	s.round(t, InSync, ReasonApplied)
	s.source.text = empty
	s.r.Round(context.Background())
	holds(t, s.fake, one)

	allowed := newSetting(t, state.Own, func(c *Config) { c.AllowEmpty = true })
	allowed.round(t, InSync, ReasonApplied)
	allowed.source.text = empty
	allowed.round(t, InSync, ReasonApplied)
	holds(t, allowed.fake, empty)
}

// I1: a read that fails plans nothing and writes nothing.
func TestInvariantI1ReadFails(t *testing.T) {
	var faulty *store.Faulty
	s := newSetting(t, state.Own, func(c *Config) {
		faulty = &store.Faulty{Store: c.Store, At: 1}
		c.Store = faulty
	})
	if report := s.round(t, Unknown, ReasonReadFailed); report.Planned != 0 || report.Applied != 0 {
		t.Errorf("report %+v", report)
	}
	holds(t, s.fake, empty)
	s.round(t, InSync, ReasonApplied)
}

// incompatible is a store whose maps are of another layout.
type incompatible struct{ store.Store }

func (incompatible) Read(context.Context) (*plan.Have, error) {
	return nil, fmt.Errorf("map x: %w", store.ErrIncompatible)
}

func TestIncompatibleMaps(t *testing.T) {
	s := newSetting(t, state.Own, func(c *Config) { c.Store = incompatible{c.Store} })
	s.round(t, Incompatible, ReasonLayout)
}

// The fault sweep: whichever read or step fails, once, before or after it took
// effect, the rounds after it bring the kernel to the wanted State.
func TestFaultSweepConverges(t *testing.T) {
	for _, effect := range []bool{false, true} {
		at, operations := 1, 1
		for ; at <= operations; at++ {
			operations = sweep(t, at, effect)
		}
		if at < 20 {
			t.Errorf("only %d operations were swept", at)
		}
	}
}

// sweep runs a change from one to two with a fault, and gives the number of
// operations that a run without one has.
func sweep(t *testing.T, at int, effect bool) int {
	t.Helper()
	var faulty *store.Faulty
	s := newSetting(t, state.Own, func(c *Config) {
		faulty = &store.Faulty{Store: c.Store, At: at, TookEffect: effect}
		c.Store = faulty
	})
	for _, text := range []string{one, two, one} {
		s.source.text = text
		converge(t, s, at)
		holds(t, s.fake, text)
	}
	if !faulty.Fired() {
		return at - 1
	}
	return faulty.Operations()
}

func converge(t *testing.T, s *setting, at int) {
	t.Helper()
	for range 3 {
		if s.r.Round(context.Background()).Status == InSync {
			return
		}
	}
	t.Fatalf("a fault at operation %d: not in sync after three rounds", at)
}

// A new process takes over what an old one left midway: it knows no ids but
// those that the kernel holds.
func TestTakeoverMidway(t *testing.T) {
	for at := 1; ; at++ {
		fake := store.NewFake(state.Cilium117, storetest.Maps())
		dies := &store.Faulty{Store: fake, At: at}
		before := newSetting(t, state.Own, func(c *Config) { c.Store = dies })
		before.source.text = two
		before.r.Round(context.Background())
		if !dies.Fired() {
			return
		}
		next := newSetting(t, state.Own, func(c *Config) { c.Store = fake })
		next.round(t, InSync, ReasonApplied)
		holds(t, fake, one)
	}
}

// I4: ids of what stays are the same through changes, repairs and restarts.
func TestInvariantI4IDsSurviveARestart(t *testing.T) {
	s := newSetting(t, state.Own, nil)
	s.round(t, InSync, ReasonApplied)
	before := ids(t, s.fake)
	next := newSetting(t, state.Own, func(c *Config) { c.Store = s.fake })
	next.source.text = two
	next.round(t, InSync, ReasonApplied)
	after := ids(t, s.fake)
	for name, id := range before {
		if now, stays := after[name]; stays && now != id {
			t.Errorf("%s had id %d, now %d", name, id, now)
		}
	}
	for name, id := range after {
		for other, had := range before {
			if id == had && name != other && strings.HasPrefix(name, "backend") == strings.HasPrefix(other, "backend") {
				t.Errorf("id %d was of %s and is of %s", id, other, name)
			}
		}
	}
}

func ids(t *testing.T, fake *store.Fake) map[string]uint32 {
	t.Helper()
	have, err := fake.Read(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	dec, err := layout.Decode(have.Layout, have.Tables)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]uint32{}
	for b, id := range dec.Ledger.Backends.All() {
		out["backend "+b.String()] = id
	}
	for f, id := range dec.Ledger.Frontends {
		out["frontend "+f.String()] = uint32(id)
	}
	return out
}

// Run audits on its interval, and after the grace where something is
// unconfirmed, and at once on request.
func TestRunPaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var times []time.Duration
		start := time.Now()
		s := newSetting(t, state.Own, func(c *Config) {
			c.Report = func(r Report) { times = append(times, r.Time.Sub(start)) }
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.r.Run(ctx) }()
		synctest.Wait()              // round at 0
		time.Sleep(70 * time.Second) // round at 60 s
		s.fake.Tamper(layout.Services4, slotKey(t, "10.96.0.10:53/UDP", 1), nil)
		s.r.Request() // round at 70 s: unconfirmed
		synctest.Wait()
		time.Sleep(11 * time.Second) // round at 80 s: confirmed and mended
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run gave %v", err)
		}
		want := []time.Duration{0, time.Minute, 70 * time.Second, 80 * time.Second}
		if diff := cmp.Diff(want, times); diff != "" {
			t.Errorf("rounds (-want +got):\n%s", diff)
		}
		holds(t, s.fake, one)
	})
}

func TestNewNamesEveryMistake(t *testing.T) {
	_, err := New(Config{Mode: state.Repair, Interval: -1, RepairEntries: -2})
	for _, want := range []string{"store", "-2 entries", "interval"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %q", err, want)
		}
	}
}

func TestReportJSON(t *testing.T) {
	data, err := Report{Status: Drifted, Err: errors.New("why")}.MarshalJSON()
	if err != nil || !strings.Contains(string(data), `"drifts":[]`) || !strings.Contains(string(data), `"error":"why"`) || !strings.Contains(string(data), `"status":"Drifted"`) {
		t.Errorf("have %s, %v", data, err)
	}
}

// A clock that somebody sets confirms nothing, and puts nothing off: what ages are
// reckoned from has the monotonic clock's reading, by which Sub goes then.
func TestAgesGoByTheMonotonicClock(t *testing.T) {
	s := newSetting(t, state.Observe, nil)
	report := s.r.Round(t.Context())
	stamps := map[string]time.Time{"the report's time": report.Time, "the wanted state's": s.r.wantAt}
	for key, seen := range s.r.seen {
		stamps[key] = seen.since
	}
	if len(stamps) < 3 {
		t.Error("no difference was seen")
	}
	for what, stamp := range stamps {
		if !strings.Contains(stamp.String(), " m=") {
			t.Errorf("%s is of the wall clock alone: %s", what, stamp)
		}
	}
}
