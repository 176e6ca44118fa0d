// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/runtime/store"
	"plumbline.dev/plumbline/schema/state"
)

// kernelFlags say which pins are read.
type kernelFlags struct {
	bpffs, layout, cgroupRoot string
}

func (f *kernelFlags) add(command *cobra.Command) {
	flags := command.Flags()
	flags.StringVar(&f.bpffs, "bpffs", "", "`folder` where the bpffs is mounted, or that of the pins itself; default: /sys/fs/bpf, or the environment's")
	flags.StringVar(&f.layout, "layout", "", "`layout` of the maps, such as cilium/1.17; default: the environment's, or the one that the maps fit")
	flags.StringVar(&f.cgroupRoot, "cgroup-root", "", "`cgroup` that programs should hang at; default: the environment's")
}

// resolve fills in what no flag says. --layout wins over the environment's.
func (f *kernelFlags) resolve(settings *state.Settings) error {
	if f.layout != "" {
		if err := settings.Layout.UnmarshalText([]byte(f.layout)); err != nil {
			return fmt.Errorf("--layout: %w", err)
		}
		settings.ChartVersion = latest[settings.Layout]
	}
	if f.bpffs != "" {
		settings.BPFRoot = f.bpffs
	}
	if f.cgroupRoot != "" {
		settings.CgroupRoot = f.cgroupRoot
	}
	return nil
}

// latest is the release that a layout stands for where no environment says one.
var latest = map[state.Layout]string{state.Cilium117: "1.17.2", state.Cilium118: "1.18.6", state.Cilium119: "1.19.0", state.Cilium120: "1.20.2"}

// openKernel opens the pins for reading; with hooks the cgroup and the devices are
// asked for Cilium's programs as well.
func openKernel(settings *state.Settings, hooks bool) (*store.Kernel, error) {
	return store.Open(settings.BPFRoot, settings.Layout, store.Options{CgroupRoot: settings.CgroupRoot, Hooks: hooks && settings.Mode != state.Own})
}

// readKernel reads the pins once.
func readKernel(e *env, settings *state.Settings, hooks bool) (*plan.Have, error) {
	k, err := openKernel(settings, hooks)
	if err != nil {
		return nil, err
	}
	defer k.Close()
	return k.Read(e.ctx)
}

// sayLayout says on stderr where the layout was not to be told for certain.
func sayLayout(e *env, have *plan.Have) {
	if len(have.Fits) > 1 {
		var names []string
		for _, l := range have.Fits {
			names = append(names, l.String())
		}
		fmt.Fprintf(e.stderr, "the maps could be of %s: read as %s; --layout names another\n", strings.Join(names, ", "), have.Layout)
	}
}

// heldState decodes what was read. Entries that belong to nothing are no part
// of a State; they are said on stderr.
func heldState(e *env, have *plan.Have) (*state.State, error) {
	dec, err := layout.Decode(have.Layout, have.Tables)
	if err != nil {
		return nil, err
	}
	for _, s := range dec.Stray {
		fmt.Fprintf(e.stderr, "stray entry: %s: %s\n", s.Map, s.Why)
	}
	dec.State.Attachments = have.Attachments
	for _, m := range have.Maps {
		dec.State.Maps = append(dec.State.Maps, m.Map)
	}
	dec.State.Sort()
	return dec.State, nil
}
