// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"time"

	"plumbline.dev/plumbline/schema/state"
)

// Follower is a Source that can say what has changed for less than it costs to
// give the whole State.
type Follower interface {
	Source
	// Change gives what Current has otherwise than after the last call of State or
	// Change that was no error, or an error. An error leaves Current as it was.
	Change(context.Context) (*state.Change, error)
	// Current gives the last complete State. It asks nobody.
	Current() *state.State
}

// Changed says that the source has something new, which Run then follows. It never
// blocks; what comes while one is waiting is one. In mode observe the next round is
// soon enough: whoever owns the maps is about to change them.
func (r *Reconciler) Changed() {
	if r.cfg.Mode != state.Own {
		return
	}
	select {
	case r.news <- struct{}{}:
	default:
	}
}

// Follow brings what has changed at the source into a kernel that is as the last
// round left it. It costs what has changed: the kernel is not read, so that what
// Follow relies on and what it writes is looked at by the next Round. Where that
// is not possible, since the mode is not own, the source is no Follower, the last
// round could not tell or could not write, or the change fails or is not one to be
// followed, it is a Round.
func (r *Reconciler) Follow(ctx context.Context) Report {
	f, ok := r.follower()
	if !ok {
		return r.Round(ctx)
	}
	report := Report{Time: time.Now(), Mode: r.cfg.Mode, Status: InSync, Reason: ReasonInSync}
	ctx, end := r.span(ctx, SpanChange)
	if followed, err := r.follow(ctx, f, &report); err != nil || !followed {
		r.sound = false
		report = r.Round(ctx) // which tells, and holds to what there was
		end(&report, err)
		return report
	}
	r.wantAt, report.Counts = report.Time, r.counts
	report.Counts.Unconfirmed = len(r.seen)
	switch {
	case len(r.seen) > 0:
		report.Status, report.Reason = OutOfSync, ReasonUnconfirmed
	case report.Applied > 0:
		report.Reason = ReasonApplied
	}
	report.Seconds = time.Since(report.Time).Seconds()
	end(&report, nil)
	r.log(report)
	r.cfg.Report(report)
	return report
}

// follower gives the source if changes of it can be followed now.
func (r *Reconciler) follower() (Follower, bool) {
	f, ok := r.cfg.Source.(Follower)
	return f, ok && r.cfg.Mode == state.Own && r.sound && r.target != nil && !r.suspended()
}

// follow writes what has changed. False is that it has yet to be written: the
// wanted State is that of the change then, and the kernel was not brought to it. An
// error is of the source.
func (r *Reconciler) follow(ctx context.Context, f Follower, report *Report) (bool, error) {
	within, end := r.span(ctx, SpanWanted)
	change, err := f.Change(within)
	end(report, err)
	if err != nil {
		return false, err
	}
	if change.Empty() {
		return true, nil // also where none could be followed, as with Maglev tables
	}
	counts := Counts{
		Frontends: r.counts.Frontends + len(change.After.Frontends) - len(change.Before.Frontends),
		Backends:  r.counts.Backends + len(change.After.Backends) - len(change.Before.Backends),
	}
	if counts.Frontends == 0 && !r.cfg.AllowEmpty {
		r.revert(change.Undo(f.Current()))
		return false, ErrEmpty
	}
	r.forgetChanged(change)
	result, ok := r.target.Follow(change)
	if !ok {
		r.restart(f.Current())
		return false, nil
	}
	report.Planned = len(result.Plan)
	if len(result.Plan) > 0 && r.write(ctx, result, report) != nil {
		r.restart(f.Current()) // what is left of the plan is part of the next one
		return false, nil
	}
	r.counts, r.behind = counts, true
	return true, nil
}

// overtake makes the wanted State that of the changes that were followed, so that
// a round starts from there.
func (r *Reconciler) overtake() {
	if f, ok := r.cfg.Source.(Follower); ok && r.behind {
		r.revert(f.Current())
	}
}

// revert takes a State for the one that the kernel was brought to.
func (r *Reconciler) revert(want *state.State) {
	r.behind = false
	r.want, r.digest = want, digestOf(want)
	r.applied = r.digest()
}

// restart takes a State for one that the kernel has yet to be brought to.
func (r *Reconciler) restart(want *state.State) {
	r.revert(want)
	r.applied, r.target = "", nil
}
