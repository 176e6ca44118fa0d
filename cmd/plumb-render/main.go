// SPDX-License-Identifier: Apache-2.0

// Command plumb-render finds and renders Helm charts for plumb, which starts it
// where a command asks for a rendered chart. It reads one request from standard
// input and writes the answer to standard output; it is not for use by hand.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"plumbline.dev/plumbline/compiler/chart/archive"
	"plumbline.dev/plumbline/compiler/chart/render"
)

func main() { os.Exit(run(os.Stdin, os.Stdout, os.Stderr, os.Getenv)) }

func run(in io.Reader, out, progress io.Writer, getenv func(string) string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log.SetFlags(0) // what Helm warns of
	if getenv("GOGC") == "" {
		debug.SetGCPercent(800) // it lives for one request
	}
	finder := &archive.Finder{Cache: archive.CacheDir(getenv), Client: archive.NewClient(), Progress: progress}
	if err := render.Serve(ctx, finder, in, out); err != nil {
		fmt.Fprintf(progress, "plumb-render: %v\n", err)
		return 2
	}
	return 0
}
