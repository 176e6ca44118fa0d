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

	"plumbline.dev/plumbline/cmd/internal/cluster"
	"plumbline.dev/plumbline/compiler/datapath"
	"plumbline.dev/plumbline/runtime/source"
	"plumbline.dev/plumbline/schema/state"
)

// clusterFlags say which cluster, and which node of it, a State is for.
type clusterFlags struct {
	files     []string
	reach     cluster.Reach
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

// addReach adds those by which an API server is asked, where no files are given.
func (f *clusterFlags) addReach(command *cobra.Command) {
	f.reach.Add(command)
	command.Flags().Lookup("kubeconfig").Usage = "read the cluster from its API server, by this `file`, and not from files"
	command.Flags().Lookup("context").Usage = "read it from its API server, by the context of this `name`"
}

// addFiles adds the flag that names the files alone.
func (f *clusterFlags) addFiles(command *cobra.Command) {
	command.Flags().StringArrayVarP(&f.files, "filename", "f", nil, "`file` or folder with the cluster's Services and EndpointSlices; may be repeated")
}

// errUnread says that no State could be made of the files: the notices say why.
var errUnread = errors.New("the files were not understood")

// snapshot reads the cluster from the files, or from its API server. Only what can't be
// read at all is an error; the rest is in the notices.
func (f *clusterFlags) snapshot(e *env) (*state.Snapshot, []state.Notice, error) {
	asked := f.reach != cluster.Reach{}
	switch {
	case len(f.files) == 0 && !asked:
		return nil, nil, errors.New("no cluster: -f names the files or folders with its Services and EndpointSlices, --kubeconfig or --context an API server to ask")
	case len(f.files) > 0 && asked:
		return nil, nil, errors.New("-f reads the cluster from files, --kubeconfig and --context from its API server: want one of them")
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
	if !asked {
		return source.Files(f.files, node)
	}
	data, err := e.ask("reading a cluster", append([]string{"snapshot", node.Name}, f.reach.Args()...)...)
	if err != nil {
		return nil, nil, err
	}
	snapshot, notices := source.Read(data, node)
	return snapshot, notices, nil
}

// want compiles the State of the node, and gives the Snapshot that it is of.
// Notices are printed to stderr; ok tells whether none of them is an Error.
func (f *clusterFlags) want(e *env, settings *state.Settings) (st *state.State, snapshot *state.Snapshot, ok bool, err error) {
	snapshot, notices, err := f.snapshot(e)
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
