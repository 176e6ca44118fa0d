// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/runtime/store"
	"plumbline.dev/plumbline/runtime/store/storetest"
	"plumbline.dev/plumbline/schema/state"
)

// many gives a State of n services of two entries each, beside DNS, which needs three.
func many(from, n int) string {
	var frontends, backends strings.Builder
	for i := from; i < from+n; i++ {
		fmt.Fprintf(&frontends, "frontend 10.96.1.%d:80/TCP type=ClusterIP flags=non-routable alg=random affinity=0 service=web/shop-%02d port=http backends=10.244.2.%d:80/TCP inactive=-\n", i, i, i)
		fmt.Fprintf(&backends, "backend 10.244.2.%d:80/TCP state=active zone=0\n", i)
	}
	dns := "frontend 10.96.2.10:53/UDP type=ClusterIP flags=non-routable alg=random affinity=0 service=kube-system/kube-dns port=dns backends=10.244.0.2:53/UDP,10.244.0.3:53/UDP inactive=-\n"
	rows := "backend 10.244.0.2:53/UDP state=active zone=0\nbackend 10.244.0.3:53/UDP state=active zone=0\n"
	return "layout cilium/1.17\n" + frontends.String() + dns + rows + backends.String()
}

// crowd is a setting whose map of services has room for few.
func crowd(t *testing.T, room uint32, log *bytes.Buffer) *setting {
	t.Helper()
	s := &setting{source: &fixed{text: many(0, 3)}}
	maps := storetest.Maps()
	for i := range maps {
		if maps[i].Name == layout.Services4.String() {
			maps[i].MaxEntries = room
		}
	}
	s.fake = store.NewFake(state.Cilium117, maps)
	var err error
	s.r, err = New(Config{Store: s.fake, Source: s.source, Mode: state.Own, Interval: time.Minute, Grace: 10 * time.Second, Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What there is room for is there, and whatever is not is said until it is.
func TestMapsThatAreTooSmall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := crowd(t, 13, &log)
		s.round(t, InSync, ReasonApplied)
		s.source.text = many(0, 9) // of which five have room beside DNS
		report := s.round(t, OutOfSync, ReasonUnconfirmed)
		if report.Err != nil || report.Applied == 0 {
			t.Errorf("%d steps were applied: %v", report.Applied, report.Err)
		}
		holds(t, s.fake, many(0, 5))
		for range 3 {
			time.Sleep(15 * time.Second)
			report = s.r.Round(t.Context())
		}
		if report.Status != Drifted || report.Applied > 0 || report.Planned > 0 {
			t.Errorf("at rest: %s (%s), %d of %d steps", report.Status, report.Reason, report.Applied, report.Planned)
		}
		left := map[string]bool{}
		for _, d := range report.Drifts {
			if d.Kind == plan.MapFull && d.Severity == state.Error && d.Service != "" {
				left[d.Service] = true
			}
		}
		if len(left) != 4 || !left["web/shop-05"] || !left["web/shop-08"] {
			t.Errorf("what is left out is said as %v", left)
		}
		if n := strings.Count(log.String(), "have no room for all services"); n != 1 || !strings.Contains(log.String(), "web/shop-08") {
			t.Errorf("the log says it %d times:\n%s", n, &log)
		}
		// All others take the place of all that were there: room is made first.
		s.source.text = many(20, 4)
		s.round(t, InSync, ReasonApplied)
		holds(t, s.fake, many(20, 4))
		if !strings.Contains(log.String(), "there is room for every service again") {
			t.Errorf("the log does not say that there is room:\n%s", &log)
		}
	})
}

// No single failure on the way has it stay elsewhere.
func TestMapsThatAreTooSmallSurviveEachFault(t *testing.T) {
	for at := 1; ; at++ {
		fired := false
		synctest.Test(t, func(t *testing.T) {
			s := crowd(t, 13, &bytes.Buffer{})
			faulty := &store.Faulty{Store: s.fake, At: at, TookEffect: at%2 == 0}
			s.r.cfg.Store = faulty
			for _, text := range []string{many(0, 9), many(20, 9)} {
				s.source.text = text
				for range 4 {
					if report := s.r.Round(t.Context()); report.Err != nil && !errors.Is(report.Err, store.ErrInjected) {
						t.Errorf("fault %d: %v", at, report.Err)
					}
					time.Sleep(15 * time.Second)
				}
			}
			holdsSize(t, s, 13)
			fired = faulty.Fired()
		})
		if !fired {
			return
		}
	}
}

// holdsSize tells whether the map of services has as many entries.
func holdsSize(t *testing.T, s *setting, n int) {
	t.Helper()
	have, err := s.fake.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if rows := have.Tables[layout.Services4].Rows(); rows != n {
		t.Errorf("%d entries are held, want %d", rows, n)
	}
	dec, err := layout.Decode(have.Layout, have.Tables)
	if err != nil || dec.State.Frontends[len(dec.State.Frontends)-1].Port != 53 {
		t.Errorf("DNS is not there: %v", err)
	}
}
