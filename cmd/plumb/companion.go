// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"plumbline.dev/plumbline/cmd/internal/cluster"
	"plumbline.dev/plumbline/compiler/companion"
)

// clusterCommand is the program that has the commands which ask an API server. Linked
// into plumb its clients would cost each of the other commands some milliseconds.
const clusterCommand = "plumb-cluster"

// errSaid is that another program failed, and said why.
var errSaid = errors.New("another program has said why")

func newStatusCommand(e *env) *cobra.Command {
	return cluster.NewStatus(func(c *cobra.Command, _ *cluster.Status, datapath string) error { return handOn(e, c, datapath) })
}

func newReconcileCommand(e *env) *cobra.Command {
	return cluster.NewReconcile(func(c *cobra.Command, _ *cluster.Reconcile, datapath string) error { return handOn(e, c, datapath) })
}

// handOn has a command done by plumb-cluster, with the flags that were given.
func handOn(e *env, c *cobra.Command, datapath string) error {
	args := []string{c.Name()}
	c.Flags().Visit(func(f *pflag.Flag) {
		if c.LocalNonPersistentFlags().Lookup(f.Name) != nil { // those of plumb itself are none of its
			args = append(args, "--"+f.Name+"="+f.Value.String())
		}
	})
	if datapath != "" {
		args = append(args, "--", datapath)
	}
	process, err := e.companion("plumb "+c.Name(), args)
	if err != nil {
		return err
	}
	process.Stdin, process.Stdout = e.stdin, e.stdout
	return outcome(process.Run())
}

// ask has plumb-cluster read something from an API server. What can't be read is an
// error (I1), and has been said.
func (e *env) ask(what string, args ...string) ([]byte, error) {
	process, err := e.companion(what, args)
	if err != nil {
		return nil, err
	}
	out, err := process.Output()
	return out, outcome(err)
}

func (e *env) companion(what string, args []string) (*exec.Cmd, error) {
	path, err := companion.Find(clusterCommand, what)
	if err != nil {
		return nil, err
	}
	process := exec.CommandContext(e.ctx, path, args...)
	process.Stderr, process.Dir = e.stderr, e.dir
	process.Cancel = func() error { return process.Process.Signal(os.Interrupt) }
	return process, nil
}

// outcome is what another program's end means here.
func outcome(err error) error {
	exit, ended := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil:
		return nil
	case !ended:
		return fmt.Errorf("%s: %w", clusterCommand, err)
	case exit.ExitCode() == exitFindings:
		return errFindings
	}
	return errSaid
}
