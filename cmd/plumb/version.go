// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the linker; a build without it takes the module's.
var version string

// versionReport is what `plumb version -o json` prints.
type versionReport struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"` // "linux/amd64"
}

func newVersionCommand(e *env) *cobra.Command {
	command := &cobra.Command{
		Use:     "version",
		Short:   "Print the version of plumb",
		Example: "  plumb version -o json",
		Args:    cobra.NoArgs,
	}
	output := outputFlag(command, "text", "json")
	command.RunE = func(*cobra.Command, []string) error {
		report := versionReport{buildVersion(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
		if output.value == "json" {
			return json.NewEncoder(e.stdout).Encode(report)
		}
		_, err := fmt.Fprintf(e.stdout, "plumb %s (%s, %s)\n", report.Version, report.Go, report.Platform)
		return err
	}
	return command
}

func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "devel"
}
