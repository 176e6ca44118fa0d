// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"

	"github.com/spf13/cobra"

	"plumbline.dev/plumbline/compiler"
	"plumbline.dev/plumbline/compiler/emit"
)

func newBuildCommand(e *env) *cobra.Command {
	command := &cobra.Command{
		Use:   "build ENV",
		Short: "Compile an environment to manifests",
		Long: `build compiles an environment. It prints the manifests, or writes them below a
folder, which flux.path of the environment names in its source. Equal input gives
equal bytes. Where something is wrong it writes nothing, and ends with 1.
docs/MANIFESTS.md says what is written, and how to turn parts of it off.

With --rendered it gives the objects that the chart renders to instead, in the
order in which Helm installs them: what Helm would install, for reviews, diffs
and policy checks. An object whose data Helm makes up at each install (a
certificate) has stand-ins in it, a label that says so, and is not to be applied.
The chart is downloaded once; docs/CHART.md says from where and to where.`,
		Example: `  plumb build dev
  plumb build prod -o clusters/prod
  plumb build prod --rendered | kubeconform -strict
  plumb build prod --rendered --chart ./charts/cilium-1.17.2.tgz -o rendered
  plumb build dev --only values | helm template cilium cilium/cilium --version 1.17.2 -f -`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: e.completeEnvironments(1),
	}
	output := command.Flags().StringP("output", "o", "", "write files below this `folder` instead of printing them")
	only := choiceFlag(command, "only", "", "part to build", "manifests", "manifests", "values", "env", "datapath")
	asRendered := command.Flags().Bool("rendered", false, "give the objects that the chart renders to")
	chartPath := chartFlag(command)
	command.MarkFlagsMutuallyExclusive("only", "rendered")
	command.RunE = func(_ *cobra.Command, args []string) error {
		if *chartPath != "" && !*asRendered {
			return errChartAlone("--rendered")
		}
		files, err := e.build(args[0], only.value, *asRendered, *chartPath)
		if err != nil {
			return err
		}
		if *output != "" {
			return writeFiles(e.path(*output), files)
		}
		_, err = e.stdout.Write(emit.Documents(files))
		return err
	}
	return command
}

// build gives the files of an environment, or of a part of it.
func (e *env) build(arg, part string, rendered bool, chartPath string) ([]emit.File, error) {
	if rendered {
		return e.buildRendered(arg, chartPath)
	}
	artifact, err := e.compile(arg)
	if err != nil {
		return nil, err
	}
	return partOf(artifact, part)
}

// partOf gives the files of one part of an artifact.
func partOf(a *compiler.Artifact, part string) ([]emit.File, error) {
	switch part {
	case "values":
		data, err := emit.YAML(a.Values)
		return []emit.File{{Path: "values.yaml", Data: data}}, err
	case "env":
		return []emit.File{{Path: "environment.env", Data: emit.EnvFile(a.Variables)}}, nil
	case "datapath":
		data, err := json.MarshalIndent(a.Settings, "", "  ")
		return []emit.File{{Path: "datapath.json", Data: append(data, '\n')}}, err
	}
	return a.Files, nil
}
