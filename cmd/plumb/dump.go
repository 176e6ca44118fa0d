// SPDX-License-Identifier: Apache-2.0

package main

import (
	"github.com/spf13/cobra"

	"plumbline.dev/plumbline/schema/state"
)

func newDumpCommand(e *env) *cobra.Command {
	var kernel kernelFlags
	command := &cobra.Command{
		Use:   "dump",
		Short: "Print what this node's kernel holds",
		Long: `dump reads the pinned load-balancer maps and links of this node, Cilium's or
Plumbline's own, and prints what they mean: an entry a line, sorted, or JSON, with
the ids that the kernel has. It writes nothing.

The four known layouts differ in what is written, not in how it is read, so any
of them decodes another's maps; --layout says which name is printed.`,
		Example: `  plumb dump
  plumb dump --bpffs /sys/fs/bpf --layout cilium/1.20 -o json`,
		Args: cobra.NoArgs,
	}
	kernel.add(command)
	output := outputFlag(command, "text", "json")
	command.RunE = func(*cobra.Command, []string) error {
		settings := &state.Settings{Layout: state.Cilium117, BPFRoot: "/sys/fs/bpf"}
		if err := kernel.resolve(settings); err != nil {
			return err
		}
		have, err := readKernel(e, settings)
		if err != nil {
			return err
		}
		st, err := heldState(e, have)
		if err != nil {
			return err
		}
		return printState(e, st, output.value)
	}
	return command
}
