// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"strings"

	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/schema/state"
)

// full is how what is wanted goes into maps that have no room for all of it.
type full struct {
	left    string // the services that are left out, as they were logged
	partway bool   // the last plan only makes room for the next one
}

// namedServices is how many of the services that are left out a line of the log names.
const namedServices = 10

// diff compares. Maps of our own get what there is room for, in the order of its
// importance; the rest is drift. Where room has to be made first, the plan is that,
// and the drifts are those of the whole way.
func (r *Reconciler) diff(have *plan.Have) (*plan.Result, error) {
	r.full.partway = false
	if r.cfg.Mode != state.Own {
		return plan.Diff(have, r.want, r.ids())
	}
	fitting, err := plan.Fit(have, r.want)
	if err != nil {
		return nil, err
	}
	r.leave(fitting.Left)
	result, err := plan.Diff(have, fitting.Want, r.ids())
	if err != nil {
		return nil, err
	}
	result.Drifts = append(result.Drifts, fitting.Left...)
	if fitting.First == nil {
		return result, nil
	}
	first, err := plan.Diff(have, fitting.First, r.ids())
	if err != nil || len(first.Plan) == 0 {
		return result, nil // what is damaged is mended in place
	}
	r.full.partway, first.Drifts = true, result.Drifts
	return first, nil
}

// leave says which services there is no room for, when that has changed.
func (r *Reconciler) leave(left []plan.Drift) {
	var names []string
	for _, d := range left {
		names = append(names, d.Service)
	}
	said := strings.Join(names, " ")
	if said == r.full.left {
		return
	}
	if r.full.left = said; said == "" {
		r.cfg.Log.Info("there is room for every service again")
		return
	}
	r.cfg.Log.Error("the maps have no room for all services", "left", len(names), "services", names[:min(len(names), namedServices)])
}

// second plans what room was made for.
func (r *Reconciler) second(ctx context.Context, first *plan.Result, report *Report) (*plan.Result, *Report) {
	r.last, r.target = first.Target, nil
	_, result, fault := r.compare(ctx, report)
	if fault == nil {
		report.Planned += len(result.Plan)
	}
	return result, fault
}
