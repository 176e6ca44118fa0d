// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"

	"github.com/spf13/cobra"

	"plumbline.dev/plumbline/runtime/lookup"
	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/schema/state"
)

func newDumpCommand(e *env) *cobra.Command {
	var kernel kernelFlags
	var explain explainFlags
	command := &cobra.Command{
		Use:   "dump",
		Short: "Print what this node's kernel holds",
		Long: `dump reads the pinned load-balancer maps and links of this node, Cilium's or
Plumbline's own, and prints what they mean: an entry a line, sorted, or JSON, with
the ids that the kernel has. It writes nothing.

The layout is told by what is pinned and how it is written. Where that fits several
of them, the oldest is taken and the others are said on stderr; --layout names one,
and maps that are not of it are refused with every difference.`,
		Example: `  plumb dump
  plumb dump --explain 10.96.0.10:53/UDP
  plumb dump --bpffs /sys/fs/bpf --layout cilium/1.20 -o json`,
		Args: cobra.NoArgs,
	}
	kernel.add(command)
	explain.add(command)
	output := outputFlag(command, "text", "json")
	command.RunE = func(*cobra.Command, []string) error {
		settings := &state.Settings{BPFRoot: "/sys/fs/bpf"}
		if err := errors.Join(kernel.resolve(settings), explain.check()); err != nil {
			return err
		}
		have, err := readKernel(e, settings, !explain.set())
		if err != nil {
			return err
		}
		if settings.Layout == state.LayoutNone {
			settings.Layout = have.Layout
			sayLayout(e, have)
		}
		if explain.set() {
			return explainHeld(e, &explain, settings, have, output.value)
		}
		st, err := heldState(e, have)
		if err != nil {
			return err
		}
		return printState(e, st, output.value)
	}
	return command
}

// explainHeld follows one connection through what is held.
func explainHeld(e *env, explain *explainFlags, settings *state.Settings, have *plan.Have, form string) error {
	query, err := explain.query(nil)
	if err != nil {
		return err
	}
	maps, err := held(have)
	if err != nil {
		return err
	}
	return printExplained(e, lookup.Explain(query, settings, nil, maps), form)
}
