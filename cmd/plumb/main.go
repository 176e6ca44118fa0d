// SPDX-License-Identifier: Apache-2.0

// Command plumb compiles typed environments into Cilium's Helm values and the
// kernel state that they imply, and compares the two. It is flags and wiring:
// what it says is worked out in compiler and runtime.
//
// A command is a file of its own: newXCommand(e *env) *cobra.Command, listed in
// commands. It parses, calls, prints; all that it touches of the outside comes
// from its env, so that a test can hand it another. It returns
//
//   - nil: exit code 0, nothing to say;
//   - errFindings, after it has printed them: exit code 1;
//   - any other error: exit code 2, the tool itself could not do it. The error is
//     printed here, so that a command never prints its own.
//
// Only the report goes to stdout. Progress, warnings and errors go to stderr.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes, as `kubectl diff` has them.
const (
	exitOK       = 0
	exitFindings = 1
	exitFailed   = 2
)

// errFindings says that a command found something and has printed it.
var errFindings = errors.New("there are findings")

// commands makes every command of the root, in the order of its help.
var commands = []func(*env) *cobra.Command{
	newInitCommand,
	newVetCommand,
	newExplainCommand,
	newCatalogCommand,
	newBuildCommand,
	newImportCommand,
	newVersionCommand,
	newCompletionCommand,
	newStateCommand,
	newDumpCommand,
	newDiffCommand,
	newUpgradeCommand,
	newPublishCommand,
	newStatusCommand,
	newReconcileCommand,
	newDemoCommand,
	newDemoRoleCommand,
	newDemoTamperCommand,
}

// env is the outside as a command sees it.
type env struct {
	ctx            context.Context
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	// dir is the working directory, absolute: relative arguments count from it,
	// and positions are printed relative to it.
	dir string
	// colour is whether stdout is a terminal that wants colours.
	colour bool
	// environments is the folder of the environments, as --environments has it.
	environments string
	// rules is the folder of a team's own rules, as --rules has it; "" is rules
	// beside the environments, if there is such a folder.
	rules string
}

// path makes an argument absolute.
func (e *env) path(arg string) string {
	if filepath.IsAbs(arg) {
		return filepath.Clean(arg)
	}
	return filepath.Join(e.dir, arg)
}

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(800) // most runs are over before there is garbage worth looking for
	}
	os.Exit(run(defaultEnv, os.Args[1:]))
}

// defaultEnv is this process' own outside. The context ends with the first
// interrupt; a second one ends the process.
func defaultEnv() (*env, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("working directory: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return &env{
		ctx: ctx, stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		getenv: os.Getenv, dir: dir, colour: wantsColour(os.Stdout, os.Getenv),
	}, nil
}

// wantsColour holds for a terminal, unless NO_COLOR or TERM=dumb says otherwise.
func wantsColour(out *os.File, getenv func(string) string) bool {
	info, err := out.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
}

// run runs one command line and gives the exit code.
func run(outside func() (*env, error), args []string) int {
	e, err := outside()
	if err != nil {
		fmt.Fprintf(os.Stderr, "plumb: %v\n", err)
		return exitFailed
	}
	root := newRootCommand(e)
	nameAsPlugin(root, os.Args[0])
	root.SetArgs(args)
	err = root.ExecuteContext(e.ctx)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errFindings):
		return exitFindings
	case errors.Is(err, errSaid):
		return exitFailed
	}
	fmt.Fprintf(e.stderr, "plumb: %v\n", err)
	return exitFailed
}

func newRootCommand(e *env) *cobra.Command {
	root := &cobra.Command{
		Use:   "plumb",
		Short: "Compile Cilium environments, and hold the kernel's maps against them",
		Long: `plumb compiles typed CUE environments into the Cilium Helm values and the BPF
map state that they imply, and compares the kernel with that state.

ENV is a folder of ./environments (see --environments), or a path.

Exit codes: 0 nothing to say, 1 findings or differences, 2 plumb itself failed.`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetIn(e.stdin)
	root.SetOut(e.stdout)
	root.SetErr(e.stderr)
	root.PersistentFlags().StringVar(&e.environments, "environments", "environments", "`folder` of the environments")
	root.PersistentFlags().StringVar(&e.rules, "rules", "", "`folder` of a team's own rules; default: rules beside the environments, if it is there")
	for _, command := range commands {
		root.AddCommand(command(e))
	}
	return root
}
