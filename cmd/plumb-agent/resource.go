// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/klog/v2"

	"plumbline.dev/plumbline/runtime/reconcile"
	"plumbline.dev/plumbline/runtime/report"
	"plumbline.dev/plumbline/runtime/source/apiserver"
	"plumbline.dev/plumbline/schema/state"
)

// beforeSettings is how long a round may take to come while there are no settings
// that say so.
const beforeSettings = time.Minute

// runByResource works by a Datapath of the cluster, and reports into the node's
// DatapathNode. Other settings begin anew; an agent that can't begin, since Cilium
// has no maps yet, reports that and tries again.
func runByResource(e *env, f runFlags, log *slog.Logger) error {
	klog.SetSlogLogger(log.With("from", "client-go"))
	cfg, err := apiserver.ClientConfig(f.kubeconfig, f.context, f.apiServers)
	if err != nil {
		return err
	}
	cfg.ContentType = "application/json"
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("API server: %w", err)
	}
	tracer, err := f.tracer(log)
	if err != nil {
		return err
	}
	defer tracer.Close()
	watch, err := f.serve(e.ctx, beforeSettings, log)
	if err != nil {
		return err
	}
	reporter := f.reporter(e)
	a := &byResource{flags: f, log: log, told: func(r reconcile.Report) { watch(r); reporter(r) }, env: e, span: tracer.Span(),
		node: report.Node{Client: client, Namespace: f.namespace, Name: f.node, Version: version, Now: time.Now}}
	return a.run(e.ctx, apiserver.WatchDatapath(e.ctx, client, f.namespace, f.datapath))
}

type byResource struct {
	flags runFlags
	env   *env
	log   *slog.Logger
	told  func(reconcile.Report)
	span  reconcile.Span
	node  report.Node // as a new agent's begins
	now   atomic.Pointer[reconcile.Reconciler]
	asked atomic.Pointer[request]
}

// request is one to reconcile, and when it was heard.
type request struct {
	text string
	at   time.Time
}

// run has an agent work by the newest settings until ctx ends.
func (a *byResource) run(ctx context.Context, changes <-chan apiserver.Datapath) error {
	stop := func() {}
	defer func() { stop() }()
	var have apiserver.Datapath
	for {
		select {
		case <-ctx.Done():
			return nil
		case d := <-changes:
			if d.Requested != have.Requested || a.asked.Load() == nil {
				a.asked.Store(&request{d.Requested, time.Now()})
			}
			if d.Generation == have.Generation && d.UID == have.UID {
				if r := a.now.Load(); r != nil && d.Requested != have.Requested {
					r.Request()
				}
				have.Requested = d.Requested
				continue
			}
			stop()
			have = d
			stop = a.start(ctx, d)
		}
	}
}

// start starts an agent. The function that it gives ends it, and waits for that.
func (a *byResource) start(ctx context.Context, d apiserver.Datapath) (stop func()) {
	settings, err := parseSettings(d.Spec)
	if err == nil {
		err = a.flags.override(settings)
	}
	if err != nil {
		a.log.Error("the Datapath can't be understood; what was there before is not worked by any more", "error", err, "generation", d.Generation)
		return func() {}
	}
	a.log.Info("settings", "generation", d.Generation, "mode", settings.Mode.String(), "layout", settings.Layout.String())
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.work(ctx, d.Generation, settings)
	}()
	return func() { cancel(); <-done }
}

func (a *byResource) work(ctx context.Context, generation int64, settings *state.Settings) {
	f := a.flags
	node := a.node
	node.Settings, node.Layout, node.Interval, node.Limit = generation, settings.Layout.String(), settings.Interval.Duration, settings.Limits.ReportDrifts
	hooks := agentHooks{
		suspended: func() bool { return settings.Suspend || f.suspend }, log: a.log, span: a.span,
		report: func(r reconcile.Report) {
			a.told(r)
			if q := a.asked.Load(); q != nil && !r.Time.Before(q.at) {
				node.Handled = q.text
			}
			if err := node.Write(ctx, r); err != nil && ctx.Err() == nil {
				a.log.Error("the report is not written", "error", err)
			}
		},
		started: func(r *reconcile.Reconciler) func() {
			a.now.Store(r)
			stop := requests(a.env, r)
			return func() { stop(); a.now.Store(nil) }
		},
	}
	_ = f.persist(ctx, settings, hooks, func(error) bool { return true })
}
