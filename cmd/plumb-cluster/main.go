// SPDX-License-Identifier: Apache-2.0

// Command plumb-cluster is the commands of plumb that ask an API server: status and
// reconcile. plumb starts it, with their arguments; it is not for use by hand. Apart
// from plumb it stands because its clients alone would cost each of plumb's other
// commands some milliseconds.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"plumbline.dev/plumbline/cmd/internal/cluster"
	"plumbline.dev/plumbline/runtime/fleet"
)

// Exit codes, as plumb has them.
const (
	exitOK       = 0
	exitFindings = 1
	exitFailed   = 2
)

// errFindings says that a command found something and has printed it.
var errFindings = errors.New("there are findings")

// env is the outside as a command sees it.
type env struct {
	ctx            context.Context
	stdout, stderr io.Writer
	now            func() time.Time
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(&env{ctx: ctx, stdout: os.Stdout, stderr: os.Stderr, now: time.Now}, os.Args[1:]))
}

func run(e *env, args []string) int {
	// It is called by plumb, and says so in its help.
	root := &cobra.Command{Use: "plumb", SilenceErrors: true, SilenceUsage: true, CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true}}
	root.AddCommand(
		cluster.NewStatus(func(_ *cobra.Command, f *cluster.Status, datapath string) error {
			s := statusFlags{f}
			return s.run(e, datapath)
		}),
		cluster.NewReconcile(func(_ *cobra.Command, f *cluster.Reconcile, datapath string) error {
			r := reconcileFlags{f}
			return r.run(e, datapath)
		}),
		newInstalledCommand(e),
		newSnapshotCommand(e),
	)
	root.SetArgs(args)
	root.SetOut(e.stdout)
	root.SetErr(e.stderr)
	err := root.ExecuteContext(e.ctx)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errFindings):
		return exitFindings
	}
	fmt.Fprintf(e.stderr, "plumb: %v\n", err)
	return exitFailed
}

// connect finds the API server.
func connect(f *cluster.Reach) (dynamic.Interface, *rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = f.Kubeconfig
	cfg, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: f.Context}).ClientConfig()
	if err != nil {
		return nil, nil, fmt.Errorf("API server: %w", err)
	}
	cfg.UserAgent = "plumb"
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return nil, nil, fmt.Errorf("API server: %w", err)
	}
	return client, cfg, nil
}

// viewer connects.
func viewer(e *env, f *cluster.Flags) (*fleet.Viewer, error) {
	client, cfg, err := connect(&f.Reach)
	if err != nil {
		return nil, err
	}
	v := &fleet.Viewer{Now: e.now, Client: client}
	if v.Metadata, err = metadata.NewForConfig(cfg); err != nil {
		return nil, fmt.Errorf("API server: %w", err)
	}
	return v, nil
}
