// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"plumbline.dev/plumbline/compiler/datapath"
	"plumbline.dev/plumbline/runtime/audit"
	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/runtime/reconcile"
	"plumbline.dev/plumbline/runtime/report"
	"plumbline.dev/plumbline/runtime/store"
	"plumbline.dev/plumbline/runtime/trace"
	"plumbline.dev/plumbline/schema/state"
)

// runFlags are the flags of `plumb-agent run`.
type runFlags struct {
	datapath, bpffs, cgroupRoot, mode string
	snapshot, apiServers              []string
	kubeconfig, context, namespace    string
	inCluster                         bool
	node, zone                        string
	addresses                         []string
	interval, grace                   time.Duration
	allowEmpty, once, watch, suspend  bool
	jitter                            float64
	output, listen, traces            string
	profiles                          bool
}

func newRunCommand(e *env) *cobra.Command {
	var f runFlags
	command := &cobra.Command{
		Use:   "run",
		Short: "Audit this node's maps, or own them",
		Long: `run compares this node's maps with what the settings and the cluster imply, and
goes on doing so. In mode observe it opens Cilium's own maps read-only. In mode
repair it writes confirmed drift back into them, a bounded number of entries a
round, under Cilium's own ids, and deletes nothing that Cilium may believe in. In
mode own it makes maps below BPFFS/plumbline, attaches its own programs to the cgroup,
and keeps both as they should be.

Ended by SIGTERM it leaves everything as it is: traffic flows, and the next agent
takes over. SIGUSR1 asks for an audit at once. suspend, in the settings' file or as
a flag, has it write nothing and go on auditing; the file is read again each round.`,
		Example: `  plumb build dev --only datapath >datapath.json
  plumb-agent run --datapath datapath.json --snapshot ./cluster --node worker-1
  plumb-agent run --datapath datapath.json --snapshot ./cluster --node worker-1 --mode own --once
  plumb-agent run --datapath datapath.json --kubeconfig agent.conf --node worker-1 --api-server 10.0.0.10:6443`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return runAgent(e, f) },
	}
	flags := command.Flags()
	flags.StringVar(&f.datapath, "datapath", "", "`file` with the settings, as `plumb build ENV --only datapath` prints them; with --namespace the name of a Datapath")
	flags.StringVar(&f.namespace, "namespace", "", "`namespace` of the Datapath to work by and of the reports to write, in a cluster")
	flags.StringArrayVar(&f.snapshot, "snapshot", nil, "`folder` or file with the cluster's YAML; may be repeated")
	flags.BoolVar(&f.inCluster, "in-cluster", false, "read the cluster from its API server, as the pod's service account")
	flags.StringVar(&f.kubeconfig, "kubeconfig", "", "read the cluster from its API server, by this `file`")
	flags.StringVar(&f.context, "context", "", "`name` of the kubeconfig's context; default: the current one")
	flags.StringArrayVar(&f.apiServers, "api-server", nil, "`HOST:PORT` where the API server is dialled instead; may be repeated: the first that answers is taken")
	flags.StringVar(&f.node, "node", "", "`name` of this node in the cluster")
	flags.StringArrayVar(&f.addresses, "node-address", nil, "`address` of this node; default: those of its Node object")
	flags.StringVar(&f.zone, "zone", "", "`zone` of this node; default: that of its Node object")
	flags.StringVar(&f.mode, "mode", "", "observe, repair or own; default: the settings'")
	flags.StringVar(&f.bpffs, "bpffs", "", "where the bpffs is `mounted`; default: the settings'")
	flags.StringVar(&f.cgroupRoot, "cgroup-root", "", "`cgroup` that programs hang at; default: the settings'")
	flags.DurationVar(&f.interval, "interval", 0, "between two audits; default: the settings'")
	flags.DurationVar(&f.grace, "grace", -1, "between the two reads that confirm a drift; default: the settings'")
	flags.Float64Var(&f.jitter, "jitter", 0.1, "`share` of the interval by which the time between two audits varies")
	flags.BoolVar(&f.watch, "watch", true, "follow changes of the snapshot's files at once in mode own; else the next audit sees them")
	flags.BoolVar(&f.allowEmpty, "allow-empty", false, "let a cluster without any service empty the maps")
	flags.BoolVar(&f.suspend, "suspend", false, "write nothing, whatever the mode; the settings' file can say so as well, at any time")
	flags.BoolVar(&f.once, "once", false, "run one round, and end with 1 where the kernel differs, 2 where that is not known")
	flags.StringVar(&f.listen, "listen", "", "`address` for /metrics, /healthz and /readyz, such as 127.0.0.1:9964; none by default")
	flags.BoolVar(&f.profiles, "pprof", false, "serve /debug/pprof at --listen as well")
	flags.StringVar(&f.traces, "traces", "", "`URL` of a collector that takes OTLP over HTTP, such as http://127.0.0.1:4318; default: OTEL_EXPORTER_OTLP_ENDPOINT, or none")
	flags.StringVarP(&f.output, "output", "o", "text", "text: a line a round on stderr; json: each round's report on stdout as well")
	command.MarkFlagsMutuallyExclusive("snapshot", "kubeconfig", "in-cluster")
	return command
}

func runAgent(e *env, f runFlags) error {
	log := slog.New(slog.NewTextHandler(e.stderr, nil))
	if err := f.complete(); err != nil {
		return err
	}
	if f.namespace != "" {
		return runByResource(e, f, log)
	}
	settings, err := f.settings()
	if err != nil {
		return err
	}
	tracer, err := f.tracer(log)
	if err != nil {
		return err
	}
	defer tracer.Close()
	watch, err := f.serve(e.ctx, settings.Interval.Duration, log)
	if err != nil {
		return err
	}
	reporter := f.reporter(e)
	hooks := agentHooks{
		suspended: f.suspended(settings, log), log: log,
		report:  func(r reconcile.Report) { watch(r); reporter(r) },
		started: func(r *reconcile.Reconciler) (stop func()) { return requests(e, r) },
		span:    tracer.Span(),
	}
	if f.once {
		return f.agent(e.ctx, settings, hooks)
	}
	return f.persist(e.ctx, settings, hooks, func(err error) bool { return errors.Is(err, store.ErrNoMemory) })
}

// agentHooks are what an agent tells and asks beside the kernel and the cluster.
type agentHooks struct {
	suspended func() bool
	report    func(reconcile.Report)
	started   func(*reconcile.Reconciler) (stop func())
	span      reconcile.Span
	log       *slog.Logger
}

// agent works by settings until ctx ends, or once.
func (f *runFlags) agent(ctx context.Context, settings *state.Settings, h agentHooks) error {
	from, err := f.cluster(settings)
	if err != nil {
		return err
	}
	kernel, err := openStore(settings, h.log)
	if err != nil {
		return err
	}
	defer kernel.Close()
	notices := noticeLog(h.log)
	from.compiled.Notices = notices
	r, err := reconcile.New(reconcile.Config{
		Store: kernel, Source: from.compiled, Audit: auditOf(settings, kernel, from.audited, notices),
		Heed: func(list []plan.Drift) []plan.Drift { return audit.Heed(settings.Audits, list) },
		Mode: settings.Mode, Interval: settings.Interval.Duration, Grace: settings.Grace.Duration,
		RepairEntries: settings.Limits.RepairEntries, Suspended: h.suspended, Span: h.span,
		Jitter: f.jitter, AllowEmpty: f.allowEmpty, Report: rests(sayRefused(kernel.Refused, h.log, func(r reconcile.Report) { notices(r.Notices); h.report(r) })), Log: h.log,
	})
	if err != nil {
		return err
	}
	if err := from.start(ctx, r, h.log); err != nil {
		return err
	}
	if f.once {
		return onceErr(r.Round(ctx))
	}
	defer h.started(r)()
	return r.Run(ctx)
}

// persist works by settings until ctx ends. An agent that can't begin reports that, and
// tries again after an interval where the error may pass.
func (f *runFlags) persist(ctx context.Context, settings *state.Settings, h agentHooks, mayPass func(error) bool) error {
	for {
		err := f.agent(ctx, settings, h)
		if err == nil || ctx.Err() != nil {
			return nil
		}
		if !mayPass(err) {
			return err
		}
		h.log.Error("the agent can't begin", "error", err, "again", settings.Interval.String())
		h.report(notBegun(settings.Mode, err))
		select {
		case <-ctx.Done():
		case <-time.After(settings.Interval.Duration):
		}
	}
}

// notBegun is the report of an agent that can't begin: of maps that are not what the
// settings want it is known that they are not.
func notBegun(mode state.Mode, err error) reconcile.Report {
	r := reconcile.Report{Time: time.Now(), Mode: mode, Status: reconcile.Unknown, Reason: reconcile.ReasonReadFailed, Err: err}
	switch {
	case errors.Is(err, store.ErrIncompatible):
		r.Status, r.Reason = reconcile.Incompatible, reconcile.ReasonLayout
	case errors.Is(err, store.ErrNoMemory):
		r.Status, r.Reason = reconcile.OutOfSync, reconcile.ReasonApplyFailed
	}
	return r
}

// complete names every flag that is missing.
func (f *runFlags) complete() error {
	var missing []string
	for _, flag := range []struct {
		name string
		set  bool
	}{
		{"--datapath", f.datapath != ""},
		{"--node", f.node != ""},
		{"one of --snapshot, --kubeconfig and --in-cluster", len(f.snapshot) > 0 || f.kubeconfig != "" || f.inCluster || f.namespace != ""},
	} {
		if !flag.set {
			missing = append(missing, flag.name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("missing: %s", strings.Join(missing, ", "))
	}
	return nil
}

// settings reads the settings' file and applies the flags.
func (f *runFlags) settings() (*state.Settings, error) {
	data, err := os.ReadFile(f.datapath)
	if err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	settings, err := parseSettings(data)
	if err != nil {
		return nil, fmt.Errorf("settings %s: %w", f.datapath, err)
	}
	return settings, f.override(settings)
}

// override applies the flags.
func (f *runFlags) override(settings *state.Settings) error {
	if f.mode != "" {
		if err := settings.Mode.UnmarshalText([]byte(f.mode)); err != nil {
			return fmt.Errorf("--mode: %w", err)
		}
	}
	if f.bpffs != "" {
		settings.BPFRoot = f.bpffs
	}
	if f.cgroupRoot != "" {
		settings.CgroupRoot = f.cgroupRoot
	}
	if f.interval != 0 {
		settings.Interval.Duration = f.interval
	}
	if f.grace >= 0 {
		settings.Grace.Duration = f.grace
	}
	return nil
}

// parseSettings reads Settings, or a Datapath resource whose spec they are.
func parseSettings(data []byte) (*state.Settings, error) {
	var resource struct {
		Kind string          `json:"kind"`
		Spec json.RawMessage `json:"spec"`
	}
	if err := yaml.Unmarshal(data, &resource); err != nil {
		return nil, err
	}
	if resource.Kind == "Datapath" {
		data = resource.Spec
	}
	var settings state.Settings
	if err := yaml.UnmarshalStrict(data, &settings); err != nil {
		return nil, err
	}
	if settings.Layout == state.LayoutNone {
		return nil, errors.New("no layout: want what `plumb build ENV --only datapath` prints")
	}
	return &settings, nil
}

// openStore opens the maps: those of Cilium for reading, or for single writes as
// well, or our own. Which maps
// there are to be depends on the settings alone.
func openStore(settings *state.Settings, log *slog.Logger) (*store.Kernel, error) {
	o := store.Options{CgroupRoot: settings.CgroupRoot, Hooks: true, SkipAttachments: true}
	switch settings.Mode {
	case state.Repair:
		return store.OpenForRepair(settings.BPFRoot, settings.Layout, o)
	case state.Observe:
		return store.Open(settings.BPFRoot, settings.Layout, o)
	}
	want, _ := datapath.Compile(settings, &state.Snapshot{})
	return store.CreateWith(settings, want.Maps, store.Options{Repinned: func(name string) {
		log.Warn("a pin was gone, or another's, and was put back", "pin", name)
	}})
}

// auditOf gives what compares the maps beside the load balancer's. In mode own no
// Cilium runs, and there is nothing to audit.
func auditOf(settings *state.Settings, kernel *store.Kernel, snapshot func() *state.Snapshot, notices func([]state.Notice)) func(context.Context, *plan.Have) ([]plan.Drift, []state.Notice, error) {
	if settings.Mode == state.Own || settings.Audits == (state.Audits{}) {
		return nil
	}
	return func(ctx context.Context, have *plan.Have) ([]plan.Drift, []state.Notice, error) {
		held, err := kernel.ReadNode(ctx, have)
		if err != nil {
			return nil, nil, err
		}
		drifts, said := audit.Compare(settings, snapshot(), held)
		notices(said)
		return drifts, said, nil
	}
}

// noticeLog logs each Notice once, not once a round.
func noticeLog(log *slog.Logger) func([]state.Notice) {
	var mu sync.Mutex
	seen := map[string]bool{}
	return func(notices []state.Notice) {
		mu.Lock()
		defer mu.Unlock()
		for _, n := range notices {
			if text := n.String(); !seen[text] {
				seen[text] = true
				log.Warn(text, "code", n.Code, "severity", n.Severity.String())
			}
		}
	}
}

func (f *runFlags) reporter(e *env) func(reconcile.Report) {
	if f.output != "json" {
		return func(reconcile.Report) {}
	}
	encoder := json.NewEncoder(e.stdout)
	return func(r reconcile.Report) {
		if err := encoder.Encode(r); err != nil {
			fmt.Fprintf(e.stderr, "plumb-agent: report: %v\n", err)
		}
	}
}

func (f *runFlags) tracer(log *slog.Logger) (*trace.Tracer, error) {
	return trace.New(trace.Config{Endpoint: f.traces, Version: version, Node: f.node, Log: log})
}

// serve serves metrics and health if it is asked to, and gives what they are told
// of rounds by. That they can't be served any more ends no agent.
func (f *runFlags) serve(ctx context.Context, interval time.Duration, log *slog.Logger) (func(reconcile.Report), error) {
	if f.listen == "" {
		if f.profiles {
			return nil, errors.New("--pprof needs --listen")
		}
		return func(reconcile.Report) {}, nil
	}
	metrics, health := report.NewMetrics(version), report.NewHealth(interval, time.Now)
	at, done, err := report.Serve(ctx, f.listen, report.Handler(metrics, health, f.profiles))
	if err != nil {
		return nil, fmt.Errorf("--listen: %w", err)
	}
	log.Info("serving metrics and health", "address", at.String())
	go func() {
		if err := <-done; err != nil {
			log.Error("metrics and health are no longer served", "error", err)
		}
	}()
	return func(r reconcile.Report) {
		metrics.Observe(r)
		health.Observe(r)
	}, nil
}

// sayRefused logs, once, why rounds do without programs in the kernel: they find
// and write the same, at a higher cost.
func sayRefused(refused func() error, log *slog.Logger, next func(reconcile.Report)) func(reconcile.Report) {
	said := false
	return func(r reconcile.Report) {
		if err := refused(); err != nil && !said {
			said = true
			log.Warn("programs refused", "error", err.Error())
		}
		next(r)
	}
}

func onceErr(r reconcile.Report) error {
	if r.Status == reconcile.InSync {
		return nil
	}
	if r.Err != nil {
		return fmt.Errorf("%s (%s): %w", r.Status, r.Reason, r.Err)
	}
	return fmt.Errorf("%w: %s (%s): %d drifts, %d unconfirmed", errDiffers, r.Status, r.Reason, len(r.Drifts), r.Counts.Unconfirmed)
}

// errDiffers is that a single round found the kernel other than it should be.
var errDiffers = errors.New("the kernel differs")

// requests passes each SIGUSR1 on, until stop is called.
func requests(e *env, r *reconcile.Reconciler) (stop func()) {
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-e.audit:
				r.Request()
			case <-done:
				return
			}
		}
	}()
	return func() { close(done) }
}
