// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

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
}

func newDiffCommand(e *env) *cobra.Command {
	var cluster clusterFlags
	var kernel kernelFlags
	var explain explainFlags
	var live bool
	var grace time.Duration
	command := &cobra.Command{
		Use:   "diff ENV --live -f FILE…",
		Short: "Compare what this node's kernel holds with what it should hold",
		Long: `diff --live compiles what this node's kernel should hold, reads what it does hold,
and prints every difference with the service that it concerns. It writes nothing.

A difference counts when it is there in two reads, --grace apart: a live agent
may be writing. Exit codes: 0 in sync, 1 drifted, 2 the kernel could not be read
or is of another layout.

With --explain it follows one connection instead: each key that the datapath
looks up, in bytes and words, wanted and held side by side, and where the two part
an arrow and what traffic sees of it.`,
		Example: `  plumb diff dev --live -f cluster/ --node worker-1
  plumb diff dev --live -f cluster/ --node worker-1 --explain 10.96.0.10:53/UDP
  plumb diff dev --live -f cluster/ --node worker-1 --only attachments -o json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: e.completeEnvironments(1),
	}
	cluster.add(command)
	kernel.add(command)
	explain.add(command)
	command.Flags().BoolVar(&live, "live", false, "compare with the live kernel")
	command.Flags().DurationVar(&grace, "grace", time.Second, "between the two reads that confirm a difference; 0 reads once")
	only := choiceFlag(command, "only", "", "compare only maps, or only attachments", "", "maps", "attachments")
	output := outputFlag(command, "text", "json")
	command.RunE = func(_ *cobra.Command, args []string) error {
		if !live {
			return errors.New("comparing two environments is not there yet: --live compares one with this node's kernel")
		}
		artifact, err := e.compile(args[0])
		if err != nil {
			return err
		}
		if err := errors.Join(kernel.resolve(artifact.Settings), explain.check()); err != nil {
			return err
		}
		want, nodes, ok, err := cluster.want(e, artifact.Settings)
		if err != nil {
			return err
		}
		if !ok {
			return errUnread
		}
		if explain.set() {
			query, err := explain.query(nodes)
			if err != nil {
				return err
			}
			report, err := explainLive(e, query, artifact.Settings, want, grace)
			if err != nil {
				return err
			}
			return printExplained(e, report, output.value)
		}
		report, err := diffLive(e, artifact.Settings, selectPart(want, only.value), only.value, grace)
		if err != nil {
			return err
		}
		return printLive(e, report, output.value)
	}
	return command
}

// diffLive reads the kernel, and again where it differs (I5).
func diffLive(e *env, settings *state.Settings, want *state.State, only string, grace time.Duration) (*liveReport, error) {
	report, err := diffOnce(e, settings, want, only)
	if err != nil || len(report.Drifts) == 0 || grace == 0 {
		return report, err
	}
	select {
	case <-time.After(grace):
	case <-e.ctx.Done():
		return nil, e.ctx.Err()
	}
	again, err := diffOnce(e, settings, want, only)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, d := range report.Drifts {
		seen[d.Key()] = true
	}
	confirmed := []plan.Drift{}
	for _, d := range again.Drifts {
		if seen[d.Key()] {
			confirmed = append(confirmed, d)
		}
	}
	again.Drifts, again.InSync = confirmed, len(confirmed) == 0
	return again, nil
}

func diffOnce(e *env, settings *state.Settings, want *state.State, only string) (*liveReport, error) {
	have, err := readKernel(e, settings)
	if err != nil {
		return nil, err
	}
	if only == "attachments" {
		have.Tables, have.Maps = nil, nil
	}
	if only == "maps" {
		have.Attachments = nil
	}
	digest := plan.Digest(want)
	if plan.InSync(have, want) { // the common case, at a fraction of the cost
		report := &liveReport{InSync: true, Layout: settings.Layout, Drifts: []plan.Drift{}}
		report.Digest.Want, report.Digest.Have = digest, digest
		return report, nil
	}
	result, err := plan.Diff(have, want, nil)
	if err != nil {
		return nil, err
	}
	report := &liveReport{InSync: len(result.Drifts) == 0, Layout: settings.Layout, Drifts: result.Drifts}
	if report.Drifts == nil {
		report.Drifts = []plan.Drift{}
	}
	report.Digest.Want = digest
	report.Digest.Have, err = plan.DigestHave(have)
	return report, err
}

// selectPart leaves of the wanted State what --only asks for.
func selectPart(want *state.State, only string) *state.State {
	part := *want
	switch only {
	case "maps":
		part.Attachments = nil
	case "attachments":
		part = state.State{Layout: want.Layout, Attachments: want.Attachments}
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
