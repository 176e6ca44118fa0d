// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"net/netip"

	"github.com/spf13/cobra"

	"plumbline.dev/plumbline/runtime/lookup"
	"plumbline.dev/plumbline/schema/state"
)

func newStateCommand(e *env) *cobra.Command {
	var cluster clusterFlags
	var explain explainFlags
	command := &cobra.Command{
		Use:   "state ENV -f FILE…",
		Short: "Print what a node's kernel should hold",
		Long: `state compiles an environment and a cluster's Services and EndpointSlices into
what the load-balancer maps of one node should hold: an entry a line, sorted, or
JSON. It reads no kernel. What is wrong with the files is said on stderr, and
then the exit code is 1; what was understood is printed all the same.

With --explain it follows one connection through those maps instead, key by key.
Ids are then those that an empty kernel would get.`,
		Example: `  plumb state dev -f fixtures/clusters/platform --node dev-worker
  plumb state dev -f fixtures/clusters/platform --node dev-worker --explain 10.96.0.10:53/UDP
  plumb state prod --context production --node worker-1
  plumb state dev -f services.yaml -f slices.yaml --node n1 --node-address 192.168.1.10 -o json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: e.completeEnvironments(1),
	}
	cluster.add(command)
	cluster.addReach(command)
	explain.add(command)
	output := outputFlag(command, "text", "json")
	command.RunE = func(_ *cobra.Command, args []string) error {
		if err := explain.check(); err != nil {
			return err
		}
		artifact, err := e.compile(args[0])
		if err != nil {
			return err
		}
		want, snapshot, ok, err := cluster.want(e, artifact.Settings)
		if err != nil {
			return err
		}
		if explain.set() {
			err = explainWanted(e, &explain, artifact.Settings, want, snapshot.Node.Addresses, output.value)
		} else {
			err = printState(e, want, output.value)
		}
		if err != nil {
			return err
		}
		if !ok {
			return errFindings
		}
		return nil
	}
	return command
}

// explainWanted follows one connection through what should be held.
func explainWanted(e *env, explain *explainFlags, settings *state.Settings, want *state.State, nodes []netip.Addr, form string) error {
	query, err := explain.query(nodes)
	if err != nil {
		return err
	}
	maps, err := wanted(want, nil)
	if err != nil {
		return err
	}
	report := lookup.Explain(query, settings, maps, nil)
	report.Service = serviceOf(want, query.Frontend)
	return printExplained(e, report, form)
}

func printState(e *env, st *state.State, form string) error {
	if form == "json" {
		encoder := json.NewEncoder(e.stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(st)
	}
	_, err := fmt.Fprint(e.stdout, st)
	return err
}
