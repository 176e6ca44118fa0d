// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"plumbline.dev/plumbline/compiler/datapath"
	"plumbline.dev/plumbline/runtime/source"
	"plumbline.dev/plumbline/schema/state"
)

// clusterFlags say which cluster, and which node of it, a State is for.
type clusterFlags struct {
	files     []string
	live      bool // the node is this machine: its devices are asked for
	node      string
	addresses []string
	zone      string
}

func (f *clusterFlags) add(command *cobra.Command) {
	f.addFiles(command)
	flags := command.Flags()
	flags.StringVar(&f.node, "node", "", "`name` of the node; default: the only Node of the files, else this host's name")
	flags.StringArrayVar(&f.addresses, "node-address", nil, "`address` of the node; may be repeated; default: those of its Node object")
	flags.StringVar(&f.zone, "zone", "", "`zone` of the node; default: that of its Node object")
}

// addFiles adds the flag that names the files alone.
func (f *clusterFlags) addFiles(command *cobra.Command) {
	command.Flags().StringArrayVarP(&f.files, "filename", "f", nil, "`file` or folder with the cluster's Services and EndpointSlices; may be repeated")
}

// errUnread says that no State could be made of the files: the notices say why.
var errUnread = errors.New("the files were not understood")

// snapshot reads the cluster from the files. Only what can't be read at all is
// an error; the rest is in the notices.
func (f *clusterFlags) snapshot() (*state.Snapshot, []state.Notice, error) {
	if len(f.files) == 0 {
		return nil, nil, errors.New("no cluster: -f names the files or folders with its Services and EndpointSlices")
	}
	node := state.Node{Name: f.node, Zone: f.zone}
	for _, text := range f.addresses {
		address, err := netip.ParseAddr(text)
		if err != nil {
			return nil, nil, fmt.Errorf("--node-address: %w", err)
		}
		node.Addresses = append(node.Addresses, address)
	}
	if node.Name == "" {
		host, err := os.Hostname()
		if err != nil {
			return nil, nil, fmt.Errorf("--node is not given, and this host's name is not known: %w", err)
		}
		node.Name = host
	}
	return source.Files(f.files, node)
}

// want compiles the State of the node, and gives the Snapshot that it is of.
// Notices are printed to stderr; ok tells whether none of them is an Error.
func (f *clusterFlags) want(e *env, settings *state.Settings) (st *state.State, snapshot *state.Snapshot, ok bool, err error) {
	snapshot, notices, err := f.snapshot()
	if err != nil {
		return nil, nil, false, err
	}
	if f.live && settings.Devices != nil && settings.Mode != state.Own {
		if snapshot.Node.Devices, err = source.Devices(); err != nil {
			return nil, nil, false, err
		}
	}
	st, more := datapath.Compile(settings, snapshot)
	return st, snapshot, printNotices(e, append(notices, more...)), nil
}

// printNotices prints to stderr, in the files' order, and tells whether none is
// an Error.
func printNotices(e *env, notices []state.Notice) (ok bool) {
	ok = true
	slices.SortStableFunc(notices, func(a, b state.Notice) int {
		return cmp.Or(cmp.Compare(a.Pos.File, b.Pos.File), cmp.Compare(a.Pos.Line, b.Pos.Line))
	})
	for _, n := range notices {
		if n.Severity == state.Error {
			ok = false
		}
		fmt.Fprintf(e.stderr, "%s: %s [%s]\n", n.Severity, n, n.Code)
	}
	return ok
}
