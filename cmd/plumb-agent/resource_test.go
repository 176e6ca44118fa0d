// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"plumbline.dev/plumbline/runtime/reconcile"
	"plumbline.dev/plumbline/runtime/store"
	"plumbline.dev/plumbline/schema/state"
)

// Maps of other sizes than the settings want are known to be such, not unknown.
func TestNotBegun(t *testing.T) {
	for _, test := range []struct {
		err    error
		status reconcile.Status
		reason reconcile.Reason
	}{
		{fmt.Errorf("open: %w", store.ErrIncompatible), reconcile.Incompatible, reconcile.ReasonLayout},
		{fmt.Errorf("make map: %w", store.ErrNoMemory), reconcile.OutOfSync, reconcile.ReasonApplyFailed},
		{errors.New("no bpffs"), reconcile.Unknown, reconcile.ReasonReadFailed},
	} {
		if r := notBegun(state.Own, test.err); r.Status != test.status || r.Reason != test.reason || r.Mode != state.Own || !errors.Is(r.Err, test.err) {
			t.Errorf("%v: %s %s %s", test.err, r.Status, r.Reason, r.Mode)
		}
	}
}

// An agent that can't begin tells of it, and goes on trying where that may pass.
func TestPersist(t *testing.T) {
	f := runFlags{snapshot: []string{t.TempDir()}, node: "n1"}
	settings := &state.Settings{Layout: state.Cilium117, BPFRoot: t.TempDir(), Interval: state.Duration{Duration: time.Millisecond}} // no bpffs
	ctx, cancel := context.WithCancel(t.Context())
	var told []reconcile.Report
	hooks := agentHooks{log: slog.New(slog.DiscardHandler), report: func(r reconcile.Report) {
		if told = append(told, r); len(told) == 3 {
			cancel()
		}
	}}
	if err := f.persist(ctx, settings, hooks, func(error) bool { return true }); err != nil || len(told) != 3 || told[2].Err == nil {
		t.Errorf("%v after %d reports", err, len(told))
	}
	told = nil
	if err := f.persist(t.Context(), settings, hooks, func(error) bool { return false }); err == nil || len(told) > 0 {
		t.Errorf("%v after %d reports, want an error that ends the agent", err, len(told))
	}
}
