// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/runtime/store"
	"plumbline.dev/plumbline/schema/state"
)

// audited is an audit that gives what it is set to.
type audited struct {
	drifts []plan.Drift
	err    error
}

func (a *audited) audit(context.Context, *plan.Have) ([]plan.Drift, []state.Notice, error) {
	return a.drifts, []state.Notice{{Code: "audit/no-nodes", Severity: state.Info}}, a.err
}

// observed is a node whose services are in sync, with an audit beside them.
func observed(t *testing.T, a *audited, heed func([]plan.Drift) []plan.Drift) *setting {
	t.Helper()
	own := newSetting(t, state.Own, nil)
	own.round(t, InSync, ReasonApplied)
	s := newSetting(t, state.Observe, func(c *Config) { c.Store, c.Audit, c.Heed = own.fake, a.audit, heed })
	s.fake = own.fake
	return s
}

// I5 holds for what audits find, too: it is confirmed before it is drift, and a
// node whose services are in sync is not in sync with it.
func TestInvariantI5AuditsAreConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &audited{}
		s := observed(t, a, nil)
		if report := s.round(t, InSync, ReasonInSync); len(report.Notices) != 1 {
			t.Errorf("notices %v, want what was not judged", report.Notices)
		}
		a.drifts = []plan.Drift{{Kind: "agent-not-live", Want: "a heartbeat", Have: "none"}}
		if report := s.round(t, OutOfSync, ReasonUnconfirmed); report.Counts.Unconfirmed != 1 || len(report.Drifts) != 0 {
			t.Errorf("%+v: want it unconfirmed", report)
		}
		time.Sleep(11 * time.Second)
		report := s.round(t, Drifted, ReasonDriftDetected)
		if len(report.Drifts) != 1 || report.Drifts[0].Kind != "agent-not-live" || report.Planned != 0 {
			t.Errorf("%+v: want the audit's drift, and nothing planned", report)
		}
		a.drifts = nil
		s.round(t, InSync, ReasonInSync)
	})
}

// I1: an audit that could not read is no audit without drift.
func TestInvariantI1AuditFails(t *testing.T) {
	a := &audited{err: errors.New("no")}
	s := observed(t, a, nil)
	if report := s.round(t, Unknown, ReasonReadFailed); !errors.Is(report.Err, a.err) {
		t.Errorf("error %v, want the audit's", report.Err)
	}
	a.err = fmt.Errorf("lxc: %w", store.ErrIncompatible)
	s.round(t, Incompatible, ReasonLayout)
}

// What is switched off is not reported, and does not keep a node from being in
// sync.
func TestHeed(t *testing.T) {
	a := &audited{}
	s := observed(t, a, func([]plan.Drift) []plan.Drift { return nil })
	if _, err := s.fake.Apply(context.Background(), []plan.Step{{Op: plan.Delete, Map: 0, Key: slotKey(t, "10.96.0.10:53/UDP", 1)}}); err != nil {
		t.Fatal(err)
	}
	s.round(t, InSync, ReasonInSync)
}
