// SPDX-License-Identifier: Apache-2.0

// Command plumb-image lays out the image of plumb-agent, as `make image` has it,
// from binaries that are built already. It needs no container engine, pushes to no
// registry and takes nothing from one: the image holds the binary alone.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

func main() { os.Exit(run(os.Stdout, os.Stderr, os.Args[1:])) }

// run gives the exit code: 0, or 2 where there is no image.
func run(stdout, stderr io.Writer, args []string) int {
	flags := flag.NewFlagSet("plumb-image", flag.ContinueOnError)
	flags.SetOutput(stderr)
	output := flags.String("o", "", "`folder` to make, an OCI image layout")
	version := flags.String("version", "devel", "`version` of the binaries, the image's tag too")
	flags.Usage = func() {
		fmt.Fprintln(stderr, "usage: plumb-image -o FOLDER [-version V] ARCHITECTURE=BINARY…")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return 2
	}
	digest, err := write(*output, *version, flags.Args())
	if err != nil {
		fmt.Fprintf(stderr, "plumb-image: %v\n", err)
		return 2
	}
	fmt.Fprintf(stdout, "%s %s\n", *output, digest)
	return 0
}
