// SPDX-License-Identifier: Apache-2.0

// Command plumb-agent runs on a node and holds its kernel's maps to the State
// that its environment and the cluster imply. It links neither CUE, nor Helm,
// nor kustomize: what it needs of an environment comes as Settings.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set by the linker.
var version = "devel"

// env is the outside as a command sees it.
type env struct {
	ctx            context.Context
	stdout, stderr io.Writer
	// audit is sent to where somebody asks for an audit at once.
	audit <-chan os.Signal
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	audit := make(chan os.Signal, 1)
	signal.Notify(audit, syscall.SIGUSR1)
	os.Exit(run(&env{ctx: ctx, stdout: os.Stdout, stderr: os.Stderr, audit: audit}, os.Args[1:]))
}

// run runs one command line and gives the exit code: 0, 1 where a single round
// found the kernel other than it should be, 2 where the agent could not do its
// work.
func run(e *env, args []string) int {
	root := &cobra.Command{
		Use:           "plumb-agent",
		Short:         "Hold a node's load-balancer maps to what its environment and cluster imply",
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetOut(e.stdout)
	root.SetErr(e.stderr)
	root.AddCommand(newRunCommand(e), newControllerCommand(e))
	root.SetArgs(args)
	if err := root.ExecuteContext(e.ctx); err != nil {
		fmt.Fprintf(e.stderr, "plumb-agent: %v\n", err)
		if errors.Is(err, errDiffers) {
			return 1
		}
		return 2
	}
	return 0
}
