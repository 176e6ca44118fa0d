// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"slices"
	"testing"
	"time"

	"plumbline.dev/plumbline/runtime/internal/testkernel"
	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/runtime/reconcile"
	"plumbline.dev/plumbline/runtime/store"
	"plumbline.dev/plumbline/runtime/store/storetest"
	"plumbline.dev/plumbline/schema/state"
)

// converge runs rounds of mode own until one is in sync, and gives the kinds of drift
// that were found on the way.
func converge(t *testing.T, k *store.Kernel, want *state.State) (kinds []plan.Kind) {
	t.Helper()
	r, err := reconcile.New(reconcile.Config{Store: k, Source: wanted{want}, Mode: state.Own, Interval: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		report := r.Round(t.Context())
		for _, d := range report.Drifts {
			kinds = append(kinds, d.Kind)
		}
		if report.Status == reconcile.InSync {
			return kinds
		}
	}
	t.Fatal("not in sync after four rounds")
	return nil
}

// Maps whose pins went while no agent ran are others than those that the programs work
// on: the next agent fills new ones, and has the programs work on them, while those that
// hang there serve until then.
func TestPrivilegedProgramsComeToNewMaps(t *testing.T) {
	n := newStage(t)
	ports := listeners(t, 2)
	before, after := n.served(t, ports[0]), n.served(t, ports[1])
	k := create(t, n.s, storetest.Maps())
	converge(t, k, before)
	n.connects(t, "10.96.0.10:80", "at first")
	running := hooked(t, n.s)
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"cilium_lb4_services_v2", "cilium_lb4_backends_v3", "cilium_lb4_reverse_nat"} {
		remove(t, pin(n.s, name))
	}
	n.connects(t, "10.96.0.10:80", "without pins")

	k = create(t, n.s, storetest.Maps())
	converge(t, k, after)
	if now := hooked(t, n.s); slices.ContainsFunc(running, func(id uint32) bool { return slices.Contains(now, id) }) || len(now) != len(running) {
		t.Errorf("programs %v hang there, and those over the old maps were %v", now, running)
	}
	have, err := k.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range have.Attachments {
		if a.StaleMaps != "" {
			t.Errorf("%s works on %s", a.Program, a.StaleMaps)
		}
	}
	n.connects(t, "10.96.0.10:80", "over new maps")
}

// A map that is too small holds what matters most, and the rest is drift that no write
// ends: nothing fails, and what is there serves.
func TestPrivilegedMapsTooSmall(t *testing.T) {
	testkernel.Require(t)
	s := settings(t)
	k := create(t, s, roomy(64))
	want := largeState()
	r, err := reconcile.New(reconcile.Config{Store: k, Source: wanted{want}, Mode: state.Own, Interval: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		report := r.Round(t.Context())
		if report.Err != nil || report.Status == reconcile.InSync {
			t.Fatalf("%s (%s): %v %+v %+v", report.Status, report.Reason, report.Err, report.Maps, report.Counts)
		}
	}
	report := r.Round(t.Context())
	if report.Status != reconcile.Drifted || report.Planned != 0 {
		t.Errorf("%s (%s), %d steps planned", report.Status, report.Reason, report.Planned)
	}
	for _, d := range report.Drifts {
		if d.Kind != plan.MapFull {
			t.Errorf("a drift is %s", d.Kind)
		}
	}
	if left := len(want.Frontends) - len(report.Drifts); left < 1 {
		t.Errorf("%d drifts for %d services: nothing was written", len(report.Drifts), len(want.Frontends))
	}
	for _, m := range report.Maps {
		if m.Entries > m.MaxEntries || m.Name == "cilium_lb4_backends_v3" && m.Entries < 50 {
			t.Errorf("%s holds %d of %d", m.Name, m.Entries, m.MaxEntries)
		}
	}
}
