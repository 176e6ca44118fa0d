// SPDX-License-Identifier: Apache-2.0

// Package cluster is the command line of the commands that ask an API server: their
// flags and their help. plumb-cluster has what they do; plumb has but this package of
// them, and links no client.
package cluster

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// Reach says which cluster.
type Reach struct{ Kubeconfig, Context string }

// Add gives a command the flags.
func (r *Reach) Add(command *cobra.Command) {
	command.Flags().StringVar(&r.Kubeconfig, "kubeconfig", "", "reach the API server by this `file`; default: $KUBECONFIG, or ~/.kube/config")
	command.Flags().StringVar(&r.Context, "context", "", "`name` of the kubeconfig's context; default: the current one")
}

// Args are the flags again, for another command.
func (r *Reach) Args() []string {
	return []string{"--kubeconfig=" + r.Kubeconfig, "--context=" + r.Context}
}

// Installed is what plumb-cluster reads of Cilium for plumb: a rollout.Held on its way
// from the one to the other.
type Installed struct {
	Release   map[string]any   `json:"release"`
	Config    map[string]any   `json:"config"`
	DaemonSet map[string]any   `json:"daemonSet"`
	Revisions []map[string]any `json:"revisions"`
	Pods      []map[string]any `json:"pods"`
	Nodes     []string         `json:"nodes"`
}

// Flags say which cluster, and where in it.
type Flags struct {
	Reach
	Namespace string
	Output    string
}

func (f *Flags) add(command *cobra.Command, outputs ...string) {
	f.Reach.Add(command)
	flags := command.Flags()
	flags.StringVarP(&f.Namespace, "namespace", "n", "plumbline", "`namespace` of the Datapath")
	words := strings.Join(outputs, ", ")
	flags.StringVarP(&f.Output, "output", "o", outputs[0], "`format` of the report: "+words)
	command.Args = cobra.MaximumNArgs(1)
	command.PreRunE = func(*cobra.Command, []string) error {
		if !slices.Contains(outputs, f.Output) {
			return fmt.Errorf("-o %s: want %s", f.Output, words)
		}
		return nil
	}
}

// Status are the flags of `plumb status`.
type Status struct {
	Flags
	All, Watch bool
}

// NewStatus makes the command; run takes the Datapath's name, "" being all of them.
func NewStatus(run func(c *cobra.Command, f *Status, datapath string) error) *cobra.Command {
	var f Status
	command := &cobra.Command{
		Use:   "status [DATAPATH]",
		Short: "Show the fleet: a row for each node",
		Long: `status shows what the agents of a cluster report: each Datapath with its condition
Ready, and a row for each node with what its report comes to. A report that is older
than three intervals, or of other settings, is unknown, whatever it says.

-o json prints {ready, datapaths}: a datapath is {namespace, name, status, nodes}, its
status the resource's own, and a node {node, state, reason, message, drifts, worst,
layout, agent, reportedAt}; worst is the first drift.

Exit codes: 0 every Datapath is Ready, 1 one is not, or there is none, 2 the API server
could not be asked.`,
		Example: `  plumb status
  plumb status prod -o wide
  plumb status -A --context production -o json
  plumb status --watch`,
		RunE: func(c *cobra.Command, args []string) error {
			if f.Watch && f.Output == "json" {
				return fmt.Errorf("--watch prints rows: it goes with -o text or wide")
			}
			return run(c, &f, strings.Join(args, ""))
		},
	}
	f.add(command, "text", "wide", "json")
	command.Flags().BoolVarP(&f.All, "all-namespaces", "A", false, "show the Datapaths of all namespaces")
	command.Flags().BoolVarP(&f.Watch, "watch", "w", false, "go on, and print rows that change")
	return command
}

// Reconcile are the flags of `plumb reconcile`.
type Reconcile struct {
	Flags
	Wait    bool
	Timeout time.Duration
}

// NewReconcile makes the command; run takes the Datapath's name, "" being all of the
// namespace.
func NewReconcile(run func(c *cobra.Command, f *Reconcile, datapath string) error) *cobra.Command {
	var f Reconcile
	command := &cobra.Command{
		Use:   "reconcile [DATAPATH]",
		Short: "Have the agents look at their nodes at once",
		Long: `reconcile asks the Datapath of a namespace, or the one that is named, to be reconciled:
every agent audits its node at once, and not at its next interval. It waits until each
node that reports has looked since.

-o json prints {datapaths}: {namespace, name, request, handled, waiting}, where waiting
names the nodes that have not looked since.

Exit codes: 0 it is done, 1 not within --timeout, 2 the API server could not be asked.`,
		Example: `  plumb reconcile
  plumb reconcile prod --timeout 2m
  plumb reconcile prod --wait=false`,
		RunE: func(c *cobra.Command, args []string) error { return run(c, &f, strings.Join(args, "")) },
	}
	f.add(command, "text", "json")
	command.Flags().BoolVar(&f.Wait, "wait", true, "wait until every node that reports has looked")
	command.Flags().DurationVar(&f.Timeout, "timeout", time.Minute, "how `long` to wait")
	return command
}
