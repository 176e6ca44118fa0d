// SPDX-License-Identifier: Apache-2.0

// Package reconcile holds the kernel to the wanted State: observe, plan, apply,
// report, round after round. It decides when something may be written; what and
// in which order is runtime/plan's, and how is runtime/store's.
//
// Invariants that this package holds, by their names in docs/ARCHITECTURE.md:
//
//	I1  a failed read is never an absence: a round whose read fails plans nothing
//	I2  nothing is pruned before the wanted State is complete, and an empty one
//	    needs an explicit opt-in
//	I5  drift is confirmed before it is reported
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/runtime/store"
	"plumbline.dev/plumbline/schema/state"
)

// ErrEmpty is reported where the wanted State has no frontend and that was not
// explicitly allowed (I2).
var ErrEmpty = errors.New("the wanted state has no frontend: allow an empty one explicitly if that is meant")

// Source gives the wanted State: complete, or an error (I2).
type Source interface {
	State(ctx context.Context) (*state.State, error)
}

// Config is what a Reconciler works with.
type Config struct {
	Store  store.Store
	Source Source
	Mode   state.Mode
	// Interval lies between two rounds, Grace at least between the two reads
	// that confirm a drift.
	Interval, Grace time.Duration
	// Jitter is the share of the Interval, from 0 to below 1, by which the time to
	// the next round is longer or shorter, so that the nodes of a cluster do not
	// audit at the same moment. Random gives numbers from 0 to below 1; nil is
	// rand.Float64.
	Jitter float64
	Random func() float64
	// AllowEmpty lets a wanted State without frontends empty the maps.
	AllowEmpty bool
	// Audit compares what is beside the services; nil is nothing. It is asked in
	// each round that has read the kernel. Nothing that it finds is ever mended
	// from here.
	Audit func(context.Context, *plan.Have) ([]plan.Drift, []state.Notice, error)
	// Heed leaves drifts out that are not to be reported; nil is none.
	Heed func([]plan.Drift) []plan.Drift
	// RepairEntries is how many entries one round of mode repair may write; 0 is
	// any number.
	RepairEntries int
	// Suspended is asked once a round whether nothing may be written; nil is that
	// it may.
	Suspended func() bool
	// Repaired is told of each write of mode repair; nil is nobody.
	Repaired func(plan.Step)
	// Report is called once a round, from the round's own goroutine.
	Report func(Report)
	// Span follows a round and its parts; nil is nobody, at no cost.
	Span Span
	Log  *slog.Logger
}

// Reconciler runs rounds, one at a time.
type Reconciler struct {
	cfg Config

	want    *state.State // the last complete one
	wantAt  time.Time
	digest  func() string // of want, made once
	applied string        // digest of the last want that the kernel was brought to
	last    *plan.Target  // of our last plan, which gave ids; nil until then
	target  *plan.Target  // what applied is as bytes; nil until then
	memory  *plan.Target  // what mode repair last found in sync; nil until then
	seen    map[string]sighting
	request chan struct{}
	news    chan struct{}
	counts  Counts // of the wanted State
	// behind: changes were followed that want and digest do not have yet, but
	// target and the kernel do.
	behind bool
	sound  bool // the last round came to InSync, and nothing was amiss
	full   full
}

// New makes a Reconciler. The error names every field that makes no sense.
func New(cfg Config) (*Reconciler, error) {
	var errs []error
	if cfg.Store == nil || cfg.Source == nil {
		errs = append(errs, errors.New("reconcile: a store and a source are needed"))
	}
	if cfg.Interval <= 0 || cfg.Grace < 0 {
		errs = append(errs, fmt.Errorf("reconcile: interval %s and grace %s: the interval must be above 0, the grace not below", cfg.Interval, cfg.Grace))
	}
	if cfg.Jitter < 0 || cfg.Jitter >= 1 {
		errs = append(errs, fmt.Errorf("reconcile: jitter %g: want a share of the interval, from 0 to below 1", cfg.Jitter))
	}
	if cfg.Random == nil {
		cfg.Random = rand.Float64
	}
	if cfg.RepairEntries < 0 {
		errs = append(errs, fmt.Errorf("reconcile: %d entries a repair: want 0, which is any number, or more", cfg.RepairEntries))
	}
	if cfg.Heed == nil {
		cfg.Heed = func(list []plan.Drift) []plan.Drift { return list }
	}
	if cfg.Repaired == nil {
		cfg.Repaired = func(plan.Step) {}
	}
	if cfg.Report == nil {
		cfg.Report = func(Report) {}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Reconciler{cfg: cfg, digest: func() string { return "" }, seen: map[string]sighting{}, request: make(chan struct{}, 1), news: make(chan struct{}, 1)}, errors.Join(errs...)
}

// Run runs rounds until ctx ends, which is no error. It leaves the kernel as it
// is (I8). A round with an unconfirmed difference is followed by the next one
// after the grace already.
func (r *Reconciler) Run(ctx context.Context) error {
	for {
		if r.wait(ctx, r.pause(r.Round(ctx))) {
			return nil
		}
	}
}

// pause is the time to the next round.
func (r *Reconciler) pause(report Report) time.Duration {
	pause := time.Duration(float64(r.cfg.Interval) * (1 + r.cfg.Jitter*(2*r.cfg.Random()-1)))
	if report.Counts.Unconfirmed > 0 {
		pause = min(pause, r.cfg.Grace)
	}
	return pause
}

// wait follows changes until the next round is due, or ctx has ended. Changes do
// not put the round off, nor draw its time anew: of many draws the least would win,
// and busy nodes audit all at once.
func (r *Reconciler) wait(ctx context.Context, pause time.Duration) (ended bool) {
	timer, due := time.NewTimer(pause), time.Now().Add(pause)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return true
		case <-r.request:
			return false
		case <-timer.C:
			return false
		case <-r.news:
			if r.Follow(ctx).Counts.Unconfirmed == 0 {
				continue
			}
			if confirm := time.Now().Add(r.cfg.Grace); confirm.Before(due) {
				due = confirm
				timer.Reset(time.Until(due))
			}
		}
	}
}

// Request asks for a round at once. It never blocks; requests that come while
// one is waiting are one.
func (r *Reconciler) Request() {
	select {
	case r.request <- struct{}{}:
	default:
	}
}

// Round observes, plans, applies what the mode allows, and reports.
func (r *Reconciler) Round(ctx context.Context) Report {
	ctx, end := r.span(ctx, SpanRound)
	report := r.round(ctx)
	if r.want != nil {
		report.Digest.Want = r.digest()
	}
	r.sound = report.Err == nil && (report.Status == InSync || report.Reason == ReasonUnconfirmed)
	report.Seconds = time.Since(report.Time).Seconds()
	end(&report, report.Err)
	r.log(report)
	r.cfg.Report(report)
	return report
}

func (r *Reconciler) round(ctx context.Context) Report {
	report := Report{Time: time.Now(), Mode: r.cfg.Mode, Suspended: r.suspended()}
	err := r.observeWant(ctx, &report)
	if r.want == nil {
		return fail(report, Uninitialized, reasonOf(err), err)
	}
	have, result, fault := r.compare(ctx, &report)
	if fault != nil {
		return *fault
	}
	report.Digest.Have = r.digestHave(have, result)
	audited, notices, auditErr := r.audit(ctx, have, &report)
	report.Notices = append(notices, unread(have)...)
	found := slices.Concat(result.Drifts, audited)
	report.Drifts = r.confirm(found, report.Time)
	report.Counts.Unconfirmed = len(found) - len(report.Drifts)
	r.act(ctx, have, result, err, &report)
	judge(&report, audited, auditErr)
	if err != nil { // the audit ran against the last complete State
		report.Err = errors.Join(err, report.Err)
		if report.Status == InSync {
			report.Reason = ReasonSourceFailed
		}
	}
	return report
}

// audit compares what is beside the services.
func (r *Reconciler) audit(ctx context.Context, have *plan.Have, report *Report) ([]plan.Drift, []state.Notice, error) {
	if r.cfg.Audit == nil {
		return nil, nil, nil
	}
	ctx, end := r.span(ctx, SpanAudit)
	drifts, notices, err := r.cfg.Audit(ctx, have)
	end(report, err)
	return drifts, notices, err
}

// judge says what the audits mean for a round that is well otherwise. One that
// fails is no audit without drift (I1).
func judge(report *Report, found []plan.Drift, err error) {
	if err != nil {
		report.Err = errors.Join(report.Err, fmt.Errorf("audit: %w", err))
	}
	if report.Status != InSync {
		return
	}
	keys := map[string]bool{}
	for _, d := range found {
		keys[d.Key()] = true
	}
	confirmed := slices.ContainsFunc(report.Drifts, func(d Drift) bool { return keys[d.Key()] })
	switch {
	case errors.Is(err, store.ErrIncompatible):
		report.Status, report.Reason = Incompatible, ReasonLayout
	case err != nil:
		report.Status, report.Reason = Unknown, ReasonReadFailed
	case confirmed:
		report.Status, report.Reason = Drifted, ReasonDriftDetected
	case len(found) > 0:
		report.Status, report.Reason = OutOfSync, ReasonUnconfirmed
	}
}

// observeWant fetches the wanted State, and brings what has changed into the
// kernel already where that can be followed: what differs then is no change. Where
// it fails the last complete State stays in force; the first one has nothing before
// it.
func (r *Reconciler) observeWant(ctx context.Context, report *Report) error {
	var err error
	if f, ok := r.follower(); ok {
		_, err = r.follow(ctx, f, report)
		r.overtake()
	} else {
		r.overtake()
		err = r.fetch(ctx, report)
	}
	if err == nil {
		r.wantAt = report.Time
	}
	if r.want != nil {
		report.WantAgeSeconds = report.Time.Sub(r.wantAt).Seconds()
		r.counts = Counts{Frontends: len(r.want.Frontends), Backends: len(r.want.Backends)}
		report.Counts.Frontends, report.Counts.Backends = r.counts.Frontends, r.counts.Backends
	}
	return err
}

// fetch asks the source for the whole State.
func (r *Reconciler) fetch(ctx context.Context, report *Report) error {
	ctx, end := r.span(ctx, SpanWanted)
	want, err := r.cfg.Source.State(ctx)
	end(report, err)
	if err == nil && len(want.Frontends) == 0 && !r.cfg.AllowEmpty {
		err = ErrEmpty
	}
	if err != nil || want == r.want { // an unchanged one may be the very same
		return err
	}
	switch digest := digestOf(want); {
	case r.want == nil:
		r.digest = digest
		go digest() // nobody needs it before there is a plan
	case digest() != r.digest():
		r.forget(r.want, want)
		r.digest = digest
	}
	r.want = want
	return nil
}

func digestOf(want *state.State) func() string {
	return sync.OnceValue(func() string { return plan.Digest(want) })
}

// compare reads the kernel and diffs. A read that fails plans nothing (I1).
func (r *Reconciler) compare(ctx context.Context, report *Report) (*plan.Have, *plan.Result, *Report) {
	within, end := r.span(ctx, SpanRead)
	have, err := r.cfg.Store.Read(within)
	end(report, err)
	if err != nil {
		status, reason := Unknown, ReasonReadFailed
		if errors.Is(err, store.ErrIncompatible) {
			status, reason = Incompatible, ReasonLayout
		}
		failed := fail(*report, status, reason, err)
		return nil, nil, &failed
	}
	report.Maps = nil
	for _, m := range have.Maps {
		report.Maps = append(report.Maps, MapFill{m.Name, m.Entries, m.MaxEntries})
	}
	_, end = r.span(ctx, SpanDiff)
	result, err := r.differ(have)
	end(report, err)
	if err != nil {
		failed := fail(*report, Incompatible, ReasonLayout, err)
		return nil, nil, &failed
	}
	return have, result, nil
}

func (r *Reconciler) differ(have *plan.Have) (*plan.Result, error) {
	if result := r.known(have); result != nil {
		return result, nil
	}
	result, err := r.diff(have)
	if err == nil {
		err = r.tabulate(result)
	}
	if err != nil {
		return nil, err
	}
	result.Drifts = r.cfg.Heed(result.Drifts)
	return result, nil
}

// Tabler is a Source that can compute the Maglev tables of which a State has the
// digests.
type Tabler interface {
	// MaglevTable gives, for each of size positions, an index into backends.
	MaglevTable(backends []state.Endpoint, size uint32) []uint32
}

// tabulate has a plan write Maglev tables, where they are ours to write.
func (r *Reconciler) tabulate(result *plan.Result) error {
	t, ok := r.cfg.Source.(Tabler)
	if !ok || r.cfg.Mode != state.Own {
		return nil
	}
	return result.Tabulate(t.MaglevTable)
}

// ids are those that our last plan gave or kept. Where they are another's to give,
// the kernel alone tells them: a restarted agent may have given others.
func (r *Reconciler) ids() *layout.Ledger {
	if r.last == nil || r.cfg.Mode != state.Own {
		return nil
	}
	return r.last.Ledger()
}

// known compares with what the kernel was brought to, by bytes; nil where that can't
// tell.
func (r *Reconciler) known(have *plan.Have) *plan.Result {
	if r.target == nil || r.applied != r.digest() {
		return nil
	}
	if r.target.Holds(have) {
		r.target.Rebase(r.want)
		return r.target.Result()
	}
	if r.cfg.Mode != state.Own { // which takes the ids for the target's
		return nil
	}
	result, ok := r.target.Diff(have, r.want)
	if !ok {
		return nil
	}
	result.Drifts = r.cfg.Heed(result.Drifts)
	return result
}

// sighting is a difference, and when it was seen first.
type sighting struct {
	since             time.Time
	frontend, backend string
}

// confirm keeps the drifts that were there at least the grace ago as well, with
// what is wanted there unchanged since (I5).
func (r *Reconciler) confirm(found []plan.Drift, now time.Time) []Drift {
	before := r.seen
	r.seen = make(map[string]sighting, len(found))
	var confirmed []Drift
	for _, d := range found {
		key := d.Key()
		s, again := before[key]
		if !again {
			r.seen[key] = sighting{now, d.Frontend, d.Backend}
			continue
		}
		r.seen[key] = s
		if age := now.Sub(s.since); age >= r.cfg.Grace {
			confirmed = append(confirmed, Drift{Drift: d, Since: s.since, AgeSeconds: age.Seconds()})
		}
	}
	return confirmed
}

// forget starts the count of differences anew where the wanted State has changed:
// what differs there is a change under way, not drift. Elsewhere the count goes on,
// or nothing would ever be confirmed in a cluster that never rests.
func (r *Reconciler) forget(before, after *state.State) {
	switch {
	case len(r.seen) == 0:
	case before == nil || before.Layout != after.Layout:
		clear(r.seen)
	default:
		r.forgetChanged(state.Between(before, after))
	}
}

func (r *Reconciler) forgetChanged(c *state.Change) {
	if len(r.seen) == 0 {
		return
	}
	changed := map[string]bool{}
	for _, part := range []*state.State{c.Before, c.After} {
		for i := range part.Frontends {
			changed[part.Frontends[i].FrontendName.String()] = true
		}
		for i := range part.Backends {
			changed[part.Backends[i].Endpoint.String()] = true
		}
	}
	for key, s := range r.seen {
		if changed[s.frontend] || changed[s.backend] {
			delete(r.seen, key)
		}
	}
}

// act writes, if the mode may and there is cause: a wanted State that the
// kernel was never brought to, or a confirmed drift.
func (r *Reconciler) act(ctx context.Context, have *plan.Have, result *plan.Result, sourceErr error, report *Report) {
	report.Planned += len(result.Plan)
	if r.cfg.Mode == state.Own && len(result.Plan) == 0 {
		r.applied = r.digest() // as far as it can be: the rest is no step's to mend
	}
	rollout := r.cfg.Mode == state.Own && r.applied != r.digest()
	mend := r.cfg.Mode == state.Own && len(report.Drifts) > 0
	switch {
	case len(result.Drifts) == 0:
		report.Status, report.Reason = InSync, ReasonInSync
		if report.Applied > 0 {
			report.Reason = ReasonApplied
		}
		r.settle(result)
		r.learn(result)
	case r.cfg.Mode == state.Repair && len(confirmedOf(result, report.Drifts)) > 0:
		r.repair(ctx, have, result, sourceErr, report)
	case report.Suspended && (rollout || mend && len(result.Plan) > 0):
		suspend(report)
	case rollout || mend && len(result.Plan) > 0:
		r.apply(ctx, result, rollout, report)
	case len(report.Drifts) > 0:
		report.Status, report.Reason = Drifted, ReasonDriftDetected
	default:
		report.Status, report.Reason = OutOfSync, ReasonUnconfirmed
		r.last, r.target = result.Target, result.Target // as far as is known
		if r.full.left != "" {
			r.target = nil // it is not what is wanted
		}
	}
}

// settle notes that the kernel holds the wanted State.
func (r *Reconciler) settle(result *plan.Result) {
	r.applied, r.last, r.target = r.digest(), result.Target, result.Target
}

// digestHave is the wanted State's where nothing differs: digests are made so
// that they are equal then.
func (r *Reconciler) digestHave(have *plan.Have, result *plan.Result) string {
	if len(result.Drifts) == 0 {
		return r.digest()
	}
	digest, _ := plan.DigestHave(have) // compare has decoded it already
	return digest
}

func (r *Reconciler) apply(ctx context.Context, result *plan.Result, rollout bool, report *Report) {
	err := r.write(ctx, result, report)
	if err == nil && r.full.partway {
		var fault *Report
		if result, fault = r.second(ctx, result, report); fault != nil {
			report.Status, report.Reason, report.Err = fault.Status, fault.Reason, fault.Err
			return
		}
		err = r.write(ctx, result, report)
	}
	if err != nil {
		report.Status, report.Reason, report.Err = OutOfSync, ReasonApplyFailed, err
		return
	}
	reason := ReasonDriftCorrected
	if rollout {
		reason = ReasonApplied
	}
	r.verify(ctx, result, reason, report)
}

// write carries a plan out, and counts the steps that took effect.
func (r *Reconciler) write(ctx context.Context, result *plan.Result, report *Report) error {
	ctx, end := r.span(ctx, SpanApply)
	n, err := r.cfg.Store.Apply(ctx, result.Plan)
	report.Applied += n
	end(report, err)
	if err != nil {
		return fmt.Errorf("step %d of %d: %w", n+1, len(result.Plan), err)
	}
	return nil
}

// verify reads the kernel again: only what is there has been applied.
func (r *Reconciler) verify(ctx context.Context, applied *plan.Result, reason Reason, report *Report) {
	r.last = applied.Target
	before := r.applied
	r.target, r.applied = applied.Target, r.digest() // which the kernel should hold to the byte
	if r.full.left != "" {
		r.target = nil // what it is to hold is not all that is wanted
	}
	have, result, fault := r.compare(ctx, report)
	if fault != nil || len(result.Drifts) > 0 {
		r.applied = before
	}
	if fault != nil {
		report.Status, report.Reason, report.Err = fault.Status, fault.Reason, fault.Err
		return
	}
	report.Digest.Have = r.digestHave(have, result)
	clear(r.seen)
	report.Counts.Unconfirmed = len(result.Drifts)
	if len(result.Drifts) > 0 {
		report.Status, report.Reason = OutOfSync, ReasonUnconfirmed
		return
	}
	report.Status, report.Reason = InSync, reason
	r.settle(result)
}

func fail(report Report, status Status, reason Reason, err error) Report {
	report.Status, report.Reason, report.Err = status, reason, err
	return report
}

func reasonOf(err error) Reason {
	if errors.Is(err, ErrEmpty) {
		return ReasonEmpty
	}
	return ReasonSourceFailed
}

// log writes a line a round: brief counts; the drifts are in the report.
func (r *Reconciler) log(report Report) {
	level := slog.LevelInfo
	attrs := []slog.Attr{
		slog.String("status", report.Status.String()), slog.String("reason", string(report.Reason)),
		slog.Int("frontends", report.Counts.Frontends), slog.Int("backends", report.Counts.Backends),
		slog.Int("drifts", len(report.Drifts)), slog.Int("unconfirmed", report.Counts.Unconfirmed),
		slog.Int("planned", report.Planned), slog.Int("applied", report.Applied),
	}
	if report.Err != nil {
		level = slog.LevelError
		attrs = append(attrs, slog.String("error", report.Err.Error()))
	}
	r.cfg.Log.LogAttrs(context.Background(), level, "round", attrs...)
}
