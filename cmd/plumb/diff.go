// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"plumbline.dev/plumbline/runtime/audit"
	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/schema/state"
)

// liveReport is what `plumb diff --live -o json` prints.
type liveReport struct {
	InSync bool         `json:"inSync"`
	Layout state.Layout `json:"layout"`
	Digest struct {
		Want string `json:"want"`
		Have string `json:"have"`
	} `json:"digest"`
	Drifts []plan.Drift `json:"drifts"`
	// Notices say what was not judged, for want of facts.
	Notices []state.Notice `json:"notices"`
}

// comparison is what diff --live compares.
type comparison struct {
	settings *state.Settings
	snapshot *state.Snapshot
	want     *state.State
	only     string // "", maps, attachments or audits
}

func newDiffCommand(e *env) *cobra.Command {
	var f liveFlags
	var live, inCluster bool
	command := &cobra.Command{
		Use:   "diff A B | diff ENV --live -f FILE… | diff ENV --cluster",
		Short: "Compare two environments, or this node's kernel or a cluster with one",
		Long: diffLong + `

diff --live compiles what this node's kernel should hold, reads what it does hold,
and prints every difference with the service that it concerns. It writes nothing.

A difference counts when it is there in two reads, --grace apart: a live agent
may be writing. Exit codes: 0 in sync, 1 drifted, 2 the kernel could not be read
or is of another layout.

Programs are looked for at the cgroup and, where Cilium runs, at the node's
devices; it has to run in the node's network namespace for that.

Beside the services it audits what the environment's datapath.audits switch on: the
identity and tunnel endpoint of each address in the ipcache, the node's endpoints,
the agent's heartbeat, and how full maps are. The files have to hold the cluster's
CiliumEndpoints and CiliumNodes for that; what is not judged without them is said.

With --explain it follows one connection instead: each key that the datapath
looks up, in bytes and words, wanted and held side by side, and where the two part
an arrow and what traffic sees of it.

diff --cluster reads the HelmRelease, Cilium's ConfigMap and DaemonSet, and the pods of
its agents from an API server, and prints what is otherwise than the environment has
it: what Flux has not applied, what somebody has edited, and which nodes run something
older than that, such as an agent that began before its configuration was changed. What
the chart decides is compared where it can be rendered; else that is said.

diff --cluster -o json prints {inSync, findings, notJudged}: a finding is {kind, object,
node, path, want, have, message}, notJudged a list of texts. Exit codes: 0 in sync, 1 it
is not, 2 the cluster could not be read.`,
		Example: `  plumb diff dev prod
  plumb diff dev@main dev --only values
  plumb diff dev@v1.2.0 dev@HEAD -o json
  plumb diff dev --live -f cluster/ --node worker-1
  plumb diff dev --live --kubeconfig admin.conf --node worker-1
  plumb diff prod --cluster --context production
  plumb diff dev --live -f cluster/ --node worker-1 --explain 10.96.0.10:53/UDP
  plumb diff dev --live -f cluster/ --node worker-1 --only attachments -o json`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: e.completeEnvironments(2),
	}
	f.cluster.add(command)
	f.cluster.addReach(command)
	f.kernel.add(command)
	f.explain.add(command)
	command.Flags().BoolVar(&live, "live", false, "compare with the live kernel")
	command.Flags().BoolVar(&inCluster, "cluster", false, "compare with what the cluster has, and its nodes run")
	command.MarkFlagsMutuallyExclusive("live", "cluster")
	chartPath := chartFlag(command)
	command.Flags().DurationVar(&f.grace, "grace", time.Second, "between the two reads that confirm a difference; 0 reads once")
	only := choiceFlag(command, "only", "", "compare one part only: values, manifests or settings; with --live the load balancer's maps, attachments, or what the audits of the settings look at", "",
		"values", "manifests", "settings", "maps", "attachments", "audits")
	output := outputFlag(command, "text", "json")
	command.RunE = func(_ *cobra.Command, args []string) error {
		if err := diffArguments(len(args), live, inCluster, only.value); err != nil {
			return err
		}
		if *chartPath != "" && !inCluster {
			return errChartAlone("--cluster")
		}
		switch {
		case inCluster:
			return e.diffCluster(args[0], *chartPath, f.cluster.reach, output.value)
		case !live:
			return e.diff(args[0], args[1], only.value, output.value)
		}
		f.only, f.output = only.value, output.value
		return f.run(e, args[0])
	}
	return command
}

// liveFlags are those of diff --live.
type liveFlags struct {
	cluster      clusterFlags
	kernel       kernelFlags
	explain      explainFlags
	grace        time.Duration
	only, output string
}

func (f *liveFlags) run(e *env, environment string) error {
	artifact, err := e.compile(environment)
	if err != nil {
		return err
	}
	settings := artifact.Settings
	if err := errors.Join(f.kernel.resolve(settings), f.explain.check()); err != nil {
		return err
	}
	f.cluster.live = true
	want, snapshot, ok, err := f.cluster.want(e, settings)
	if err != nil {
		return err
	}
	if !ok {
		return errUnread
	}
	if f.explain.set() {
		query, err := f.explain.query(snapshot.Node.Addresses)
		if err != nil {
			return err
		}
		report, err := explainLive(e, query, settings, want, f.grace)
		if err != nil {
			return err
		}
		return printExplained(e, report, f.output)
	}
	c := &comparison{settings: settings, snapshot: snapshot, want: selectPart(want, f.only), only: f.only}
	report, err := c.live(e, f.grace)
	if err != nil {
		return err
	}
	return printLive(e, report, f.output)
}

// live reads the kernel, and again where it differs (I5).
func (c *comparison) live(e *env, grace time.Duration) (*liveReport, error) {
	report, err := c.once(e)
	if err != nil || len(report.Drifts) == 0 || grace == 0 {
		return report, err
	}
	select {
	case <-time.After(grace):
	case <-e.ctx.Done():
		return nil, e.ctx.Err()
	}
	again, err := c.once(e)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, d := range report.Drifts {
		seen[d.Key()] = true
	}
	again.Drifts = slices.DeleteFunc(again.Drifts, func(d plan.Drift) bool { return !seen[d.Key()] })
	again.InSync = len(again.Drifts) == 0
	return again, nil
}

// once reads once. An audit's drifts stand behind those of the services.
func (c *comparison) once(e *env) (*liveReport, error) {
	have, node, err := c.read(e)
	if err != nil {
		return nil, err
	}
	report := &liveReport{Layout: c.settings.Layout, Drifts: []plan.Drift{}, Notices: []state.Notice{}}
	if err := c.services(have, report); err != nil {
		return nil, err
	}
	if node != nil {
		drifts, notices := audit.Compare(c.settings, c.snapshot, node)
		report.Drifts, report.Notices = append(report.Drifts, drifts...), append(report.Notices, notices...)
	}
	report.InSync = len(report.Drifts) == 0
	return report, nil
}

// read reads what is compared; the node's maps are nil where no audit is.
func (c *comparison) read(e *env) (*plan.Have, *audit.Held, error) {
	k, err := openKernel(c.settings, c.only == "" || c.only == "attachments")
	if err != nil {
		return nil, nil, err
	}
	defer k.Close()
	have, err := k.Read(e.ctx)
	if err != nil {
		return nil, nil, err
	}
	var node *audit.Held
	if c.only == "" || c.only == "audits" {
		node, err = k.ReadNode(e.ctx, have)
	}
	switch c.only {
	case "attachments":
		have.Tables, have.Maps = nil, nil
	case "maps":
		have.Attachments = nil
	case "audits":
		have.Tables, have.Maps, have.Attachments = nil, nil, nil
	}
	return have, node, err
}

// services compares services, maps and attachments.
func (c *comparison) services(have *plan.Have, report *liveReport) error {
	report.Digest.Want = plan.Digest(c.want)
	if plan.InSync(have, c.want) { // the common case, at a fraction of the cost
		report.Digest.Have = report.Digest.Want
		return nil
	}
	result, err := plan.Diff(have, c.want, nil)
	if err != nil {
		return err
	}
	report.Drifts = append(report.Drifts, audit.Heed(c.settings.Audits, result.Drifts)...)
	report.Digest.Have, err = plan.DigestHave(have)
	return err
}

// selectPart leaves of the wanted State what --only asks for.
func selectPart(want *state.State, only string) *state.State {
	part := *want
	switch only {
	case "maps":
		part.Attachments = nil
	case "attachments":
		part = state.State{Layout: want.Layout, Attachments: want.Attachments}
	case "audits":
		part = state.State{Layout: want.Layout}
	}
	return &part
}

func printLive(e *env, report *liveReport, form string) error {
	if form == "json" {
		encoder := json.NewEncoder(e.stdout)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(report); err != nil {
			return err
		}
	} else {
		for _, d := range report.Drifts {
			fmt.Fprintln(e.stdout, d)
		}
		for _, n := range report.Notices {
			fmt.Fprintf(e.stdout, "%s: %s [%s]\n", n.Severity, n, n.Code)
		}
		if report.InSync {
			fmt.Fprintf(e.stdout, "in sync: layout %s, digest %.12s\n", report.Layout, report.Digest.Have)
		} else {
			fmt.Fprintf(e.stdout, "%d differences\n", len(report.Drifts))
		}
	}
	if !report.InSync {
		return errFindings
	}
	return nil
}
