// SPDX-License-Identifier: Apache-2.0

// Package trace sends rounds and their parts to a collector, as OpenTelemetry traces
// over OTLP/HTTP. It decides nothing, and no round waits for it.
package trace

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"plumbline.dev/plumbline/runtime/reconcile"
)

// lastWords is how long Close lets the last spans take.
const lastWords = 2 * time.Second

// maxDrifts is how many of a round's drifts are told, each as an event.
const maxDrifts = 16

// Config says where traces go and who sends them.
type Config struct {
	// Endpoint is the collector's URL; one without a path gets /v1/traces. Where it is
	// empty, OpenTelemetry's own variables of the environment have the word, as they have
	// on headers, resource and sampling in any case.
	Endpoint string
	// Version and Node are told with every span.
	Version, Node string
	Log           *slog.Logger
}

// Tracer sends spans. The zero Tracer sends none.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
}

// New makes a Tracer that sends to the collector that is configured, or none at all.
// It connects to nobody: a collector that is not there, then or later, is logged when
// spans are lost for it, once, and again when it is back.
func New(cfg Config) (*Tracer, error) {
	endpoint, err := endpointOf(cfg.Endpoint)
	if endpoint == "" || err != nil {
		return &Tracer{}, err
	}
	c, err := newClient(endpoint, os.Getenv(envHeaders))
	if err != nil {
		return &Tracer{}, err
	}
	exporter := otlptrace.NewUnstarted(c)
	about, err := resource.New(context.Background(), resource.WithTelemetrySDK(), resource.WithFromEnv(), resource.WithAttributes(
		attribute.String("service.name", "plumb-agent"), attribute.String("service.version", cfg.Version), attribute.String("k8s.node.name", cfg.Node)))
	if err != nil {
		return &Tracer{}, fmt.Errorf("%s: %w", envResource, err)
	}
	provider := sdk.NewTracerProvider(sdk.WithResource(about), sdk.WithBatcher(&telling{SpanExporter: exporter, log: cfg.Log}))
	return &Tracer{provider: provider, tracer: provider.Tracer("plumbline.dev/plumbline/runtime/reconcile", trace.WithInstrumentationVersion(cfg.Version))}, nil
}

// Span is what a Reconciler is to call; nil where no traces are asked for.
func (t *Tracer) Span() reconcile.Span {
	if t.tracer == nil {
		return nil
	}
	return func(ctx context.Context, name string) (context.Context, func(*reconcile.Report, error)) {
		ctx, span := t.tracer.Start(ctx, name)
		return ctx, func(r *reconcile.Report, err error) {
			if span.IsRecording() {
				tell(span, name, r)
			}
			if err != nil {
				span.RecordError(err)
				span.SetStatus(codes.Error, err.Error())
			}
			span.End()
		}
	}
}

// tell gives a span what is known of a round as it ends.
func tell(span trace.Span, name string, r *reconcile.Report) {
	writes := []attribute.KeyValue{attribute.Int("plumbline.planned", r.Planned), attribute.Int("plumbline.applied", r.Applied)}
	switch name {
	case reconcile.SpanApply:
		span.SetAttributes(writes...)
	case reconcile.SpanRound, reconcile.SpanChange:
		span.SetAttributes(writes...)
		span.SetAttributes(
			attribute.String("plumbline.mode", r.Mode.String()), attribute.Bool("plumbline.suspended", r.Suspended),
			attribute.String("plumbline.status", r.Status.String()), attribute.String("plumbline.reason", string(r.Reason)),
			attribute.Int("plumbline.frontends", r.Counts.Frontends), attribute.Int("plumbline.backends", r.Counts.Backends),
			attribute.Int("plumbline.entries", entries(r)),
			attribute.Int("plumbline.drifts", len(r.Drifts)), attribute.Int("plumbline.unconfirmed", r.Counts.Unconfirmed),
		)
		for i := range min(len(r.Drifts), maxDrifts) {
			d := &r.Drifts[i]
			span.AddEvent("drift", trace.WithAttributes(attribute.String("plumbline.kind", string(d.Kind)),
				attribute.String("plumbline.service", d.Service), attribute.String("plumbline.frontend", d.Frontend), attribute.String("plumbline.message", d.Message)))
		}
	}
}

func entries(r *reconcile.Report) (n int) {
	for _, m := range r.Maps {
		n += int(m.Entries)
	}
	return n
}

// Close sends what has not been sent, for two seconds at most.
func (t *Tracer) Close() {
	if t.provider == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	_ = t.provider.Shutdown(ctx) // what is lost has been logged
}

// telling logs that spans can't be sent, and that they can be again.
type telling struct {
	sdk.SpanExporter
	log *slog.Logger

	mu   sync.Mutex
	lost int
}

func (e *telling) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case err == nil && e.lost > 0:
		e.log.Info("traces are sent again", "lost", e.lost)
		e.lost = 0
	case err != nil && e.lost == 0:
		e.log.Warn("traces are lost until their collector takes them", "error", err.Error())
	}
	if err != nil {
		e.lost += len(spans)
	}
	return nil // it has been told
}
