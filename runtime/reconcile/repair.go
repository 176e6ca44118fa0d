// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/runtime/store"
	"plumbline.dev/plumbline/schema/state"
)

// Reasons of rounds that would have written.
const (
	ReasonSuspended Reason = "Suspended"      // there was cause to write, and writing is switched off
	ReasonChanged   Reason = "Changed"        // an entry was no longer as it was read: its owner is writing, nothing more was
	ReasonUnmended  Reason = "RepairLeftOver" // what there was to write is written; the rest no write ends
)

// suspended tells whether nothing may be written.
func (r *Reconciler) suspended() bool { return r.cfg.Suspended != nil && r.cfg.Suspended() }

// suspend says that a round had cause to write, and did not.
func suspend(report *Report) {
	report.Status, report.Reason = OutOfSync, ReasonSuspended
	if len(report.Drifts) > 0 {
		report.Status = Drifted
	}
}

// unread says that programs were not looked at (I10).
func unread(have *plan.Have) []state.Notice {
	if have.AttachmentsUnread == nil {
		return nil
	}
	return []state.Notice{{
		Code: "audit/no-attachments", Severity: state.Info, Object: "attachments",
		Message: "programs and where they hang are not judged: " + firstLine(have.AttachmentsUnread),
		Hint:    "give the agent CAP_SYS_ADMIN: the kernel lets nobody else look programs up by id",
	}}
}

// learn remembers the ids of a reading that was in sync. Those that Cilium has
// given meanwhile take their place with the next one.
func (r *Reconciler) learn(result *plan.Result) {
	if r.cfg.Mode == state.Repair {
		r.memory = result.Target
	}
}

// repair plans what ends the confirmed drifts, writes as much of it as one cycle
// may, and says what it leaves. Where the source failed it writes nothing: what is
// wanted is not known then, and what its owner has changed would look like damage.
func (r *Reconciler) repair(ctx context.Context, have *plan.Have, result *plan.Result, sourceErr error, report *Report) {
	report.Status, report.Reason = Drifted, ReasonDriftDetected
	if sourceErr != nil {
		return
	}
	repair, err := plan.Mend(have, r.want, r.remembered(), confirmedOf(result, report.Drifts))
	if err != nil {
		report.Err = fmt.Errorf("plan the repair: %w", err)
		return
	}
	report.Left, report.Planned = repair.Left, len(repair.Plan)
	if len(repair.Plan) == 0 {
		report.Reason = ReasonUnmended
		return
	}
	if report.Suspended {
		suspend(report)
		return
	}
	steps := repair.Plan
	if limit := r.cfg.RepairEntries; limit > 0 && len(steps) > limit {
		steps = steps[:limit]
	}
	within, end := r.span(ctx, SpanApply)
	report.Applied, err = r.cfg.Store.Apply(within, steps)
	end(report, err)
	r.tell(steps[:report.Applied])
	switch {
	case errors.Is(err, store.ErrChanged):
		r.cfg.Log.Info("repair stopped: the owner of the maps is writing", "error", err.Error())
		clear(r.seen)
		report.Status, report.Reason = OutOfSync, ReasonChanged
	case err != nil:
		report.Status, report.Reason = OutOfSync, ReasonApplyFailed
		report.Err = fmt.Errorf("step %d of %d: %w", report.Applied+1, len(steps), err)
	default:
		r.inspect(ctx, repair, len(steps) < len(repair.Plan), report)
	}
}

func (r *Reconciler) remembered() *layout.Ledger {
	if r.memory == nil {
		return nil
	}
	return r.memory.Ledger()
}

// confirmedOf are the confirmed drifts of a Diff: what audits find is not for
// writing.
func confirmedOf(result *plan.Result, list []Drift) []plan.Drift {
	found := make(map[string]bool, len(result.Drifts))
	for _, d := range result.Drifts {
		found[d.Key()] = true
	}
	var out []plan.Drift
	for _, d := range list {
		if found[d.Key()] {
			out = append(out, d.Drift)
		}
	}
	return out
}

// tell logs each write with the bytes before and after and what they mean, and
// hands it on.
func (r *Reconciler) tell(steps []plan.Step) {
	for _, s := range steps {
		r.cfg.Log.LogAttrs(context.Background(), slog.LevelWarn, "repaired",
			slog.String("step", s.String()), slog.String("map", s.Map.String()), slog.String("key", fmt.Sprintf("%x", s.Key)),
			slog.String("before", hexOrAbsent(s.Old)), slog.String("after", hexOrAbsent(s.New)))
		r.cfg.Repaired(s)
	}
}

func hexOrAbsent(b []byte) string {
	if b == nil {
		return "absent"
	}
	return fmt.Sprintf("%x", b)
}

// inspect reads the kernel again after a repair. What is new is unconfirmed; what
// was confirmed before, and is there still, stays so.
func (r *Reconciler) inspect(ctx context.Context, repair *plan.Repair, more bool, report *Report) {
	have, result, fault := r.compare(ctx, report)
	if fault != nil {
		report.Status, report.Reason, report.Err = fault.Status, fault.Reason, fault.Err
		return
	}
	report.Digest.Have = r.digestHave(have, result)
	left := map[string]bool{}
	for _, u := range repair.Left {
		left[u.Key()] = true
	}
	unexplained, before := 0, r.seen
	r.seen = map[string]sighting{} // one that has ended, and comes again, is a new one
	for _, d := range result.Drifts {
		if since, ok := before[d.Key()]; ok {
			r.seen[d.Key()] = since
		}
		if !left[d.Key()] {
			unexplained++
		}
	}
	switch {
	case len(result.Drifts) == 0:
		report.Status, report.Reason, report.Counts.Unconfirmed = InSync, ReasonDriftCorrected, 0
		r.settle(result)
		r.learn(result)
	case more || unexplained > 0:
		report.Status, report.Reason = OutOfSync, ReasonUnconfirmed
		report.Counts.Unconfirmed = max(unexplained, 1)
	default:
		report.Status, report.Reason = Drifted, ReasonUnmended
	}
}

// firstLine is the first of several errors: each device gives the same one.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
