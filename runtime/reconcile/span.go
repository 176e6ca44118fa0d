// SPDX-License-Identifier: Apache-2.0

package reconcile

import "context"

// The spans of a round. SpanRound and SpanChange are whole ones; what Follow can't
// follow is a round within a change. The others are their parts.
const (
	SpanRound  = "round"
	SpanChange = "change"

	SpanWanted = "wanted" // the source is asked, and what it has is compiled
	SpanRead   = "read"   // the kernel is read
	SpanDiff   = "diff"   // both are compared, and the writes planned
	SpanAudit  = "audit"  // Config.Audit compares what is beside the services
	SpanApply  = "apply"  // the writes of a plan, or of a repair
)

// Span is called where one of the spans begins. It gives the context of what is asked
// and written within, and what is called as the span ends: with the report as it is by
// then, which must not be changed, and with the error that ended the span.
type Span func(ctx context.Context, name string) (context.Context, func(*Report, error))

func (r *Reconciler) span(ctx context.Context, name string) (context.Context, func(*Report, error)) {
	if r.cfg.Span == nil {
		return ctx, unseen
	}
	return r.cfg.Span(ctx, name)
}

func unseen(*Report, error) {}
