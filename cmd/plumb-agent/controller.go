// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"os"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"plumbline.dev/plumbline/runtime/fleet"
	"plumbline.dev/plumbline/runtime/report"
	"plumbline.dev/plumbline/runtime/source/apiserver"
)

// controllerFlags are the flags of `plumb-agent controller`.
type controllerFlags struct {
	namespace, datapath string
	kubeconfig, context string
	apiServers          []string
	listen              string
	events              string
	elect, profiles     bool
}

// controllerEvery is after how long all is summed up again, though nothing has
// happened and no report has grown old.
const controllerEvery = time.Minute

func newControllerCommand(e *env) *cobra.Command {
	var f controllerFlags
	command := &cobra.Command{
		Use:   "controller",
		Short: "Sum up what the agents of a cluster report",
		Long: `controller sums up the DatapathNodes of a cluster in its Datapath's status: Ready
where each node has reported lately that its maps are as they should be, Drifted
where one has found otherwise. When that changes it tells Flux to look at the
Kustomization that holds the Datapath, and makes an Event.`,
		Example: `  plumb-agent controller --namespace plumbline --datapath prod --leader-elect
  plumb-agent controller --namespace plumbline --datapath prod --kubeconfig admin.conf --listen 127.0.0.1:9965`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return runController(e, f) },
	}
	flags := command.Flags()
	flags.StringVar(&f.namespace, "namespace", "", "`namespace` of the Datapath and the reports")
	flags.StringVar(&f.datapath, "datapath", "", "`name` of the Datapath")
	flags.StringVar(&f.kubeconfig, "kubeconfig", "", "reach the API server by this `file`; default: as the pod's service account")
	flags.StringVar(&f.context, "context", "", "`name` of the kubeconfig's context; default: the current one")
	flags.StringArrayVar(&f.apiServers, "api-server", nil, "`HOST:PORT` where the API server is dialled instead; may be repeated: the first that answers is taken")
	flags.StringVar(&f.listen, "listen", "", "`address` for /metrics, /healthz and /readyz; none by default")
	flags.BoolVar(&f.profiles, "pprof", false, "serve /debug/pprof at --listen as well")
	flags.StringVar(&f.events, "events-addr", "", "`address` of Flux's notification-controller, such as http://10.96.0.40; none by default")
	flags.BoolVar(&f.elect, "leader-elect", false, "work only while no other replica does")
	for _, name := range []string{"namespace", "datapath"} {
		if err := command.MarkFlagRequired(name); err != nil {
			panic(err) // the flag was made above
		}
	}
	return command
}

func runController(e *env, f controllerFlags) error {
	log := slog.New(slog.NewTextHandler(e.stderr, nil))
	klog.SetSlogLogger(log.With("from", "client-go"))
	cfg, err := apiserver.ClientConfig(f.kubeconfig, f.context, f.apiServers)
	if err != nil {
		return err
	}
	cfg.ContentType = "application/json"
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("API server: %w", err)
	}
	said, err := fleet.NewEvents(e.ctx, client, f.events, log)
	if err != nil {
		return fmt.Errorf("--events-addr: %w", err)
	}
	config, err := f.fleet(cfg, log)
	if err != nil {
		return err
	}
	var last atomic.Pointer[error]
	metrics := fleet.NewMetrics()
	if err := f.serve(e.ctx, metrics, &last, log); err != nil {
		return err
	}
	config.Say = said.Say
	config.Done = func(r fleet.Round) { last.Store(&r.Err); metrics.Observe(r) }
	work := func(ctx context.Context) error {
		metrics.Lead(true)
		defer metrics.Lead(false)
		return fleet.New(config).Run(ctx)
	}
	if !f.elect {
		return work(e.ctx)
	}
	return lead(e.ctx, client, f, log, work)
}

// fleet is what a Controller works with.
func (f controllerFlags) fleet(cfg *rest.Config, log *slog.Logger) (fleet.Config, error) {
	config := fleet.Config{Namespace: f.namespace, Datapath: f.datapath, Log: log, Now: time.Now, Every: controllerEvery}
	var err error
	if config.Client, err = dynamic.NewForConfig(cfg); err != nil {
		return config, fmt.Errorf("API server: %w", err)
	}
	if config.Metadata, err = metadata.NewForConfig(cfg); err != nil {
		return config, fmt.Errorf("API server: %w", err)
	}
	return config, nil
}

// errLeader is that another replica has taken the lead: this one begins anew.
var errLeader = errors.New("another replica leads now")

// lead works while this replica leads.
func lead(ctx context.Context, client kubernetes.Interface, f controllerFlags, log *slog.Logger, work func(context.Context) error) error {
	id := os.Getenv("POD_NAME")
	if id == "" {
		name, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("name of this replica: %w", err)
		}
		id = fmt.Sprintf("%s-%d", name, os.Getpid())
	}
	var result error
	leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta: metav1.ObjectMeta{Name: "plumb-controller-" + f.datapath, Namespace: f.namespace},
			Client:    client.CoordinationV1(), LockConfig: resourcelock.ResourceLockConfig{Identity: id},
		},
		LeaseDuration: 15 * time.Second, RenewDeadline: 10 * time.Second, RetryPeriod: 2 * time.Second, ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) {
				log.Info("leading", "replica", id)
				result = work(ctx)
			},
			OnStoppedLeading: func() { log.Info("no longer leading", "replica", id) },
		},
	})
	if ctx.Err() == nil && result == nil {
		return errLeader
	}
	return result
}

// serve serves metrics and health: alive is who answers, ready who has summed up
// without an error or is waiting for the lead.
func (f controllerFlags) serve(ctx context.Context, m *fleet.Metrics, last *atomic.Pointer[error], log *slog.Logger) error {
	if f.listen == "" {
		if f.profiles {
			return errors.New("--pprof needs --listen")
		}
		return nil
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", m.Handler())
	if f.profiles {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := last.Load(); err != nil && *err != nil {
			http.Error(w, (*err).Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	at, done, err := report.Serve(ctx, f.listen, mux)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	log.Info("serving metrics and health", "address", at.String())
	go func() {
		if err := <-done; err != nil {
			log.Error("metrics and health are no longer served", "error", err)
		}
	}()
	return nil
}
