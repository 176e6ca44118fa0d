// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"plumbline.dev/plumbline/compiler"
	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/load"
)

func newVetCommand(e *env) *cobra.Command {
	command := &cobra.Command{
		Use:   "vet [ENV...]",
		Short: "Find every mistake in environments",
		Long: `vet checks environments: their types, the Helm values against those that the
chart's minor has, and what the agent would refuse. It finds all there is in one
run, each with the author's file, line and column. Without ENV it checks every
environment there is.

It needs no network and no cluster. Errors end it with 1; warnings do not.`,
		Example: `  plumb vet
  plumb vet dev prod
  plumb vet ./clusters/edge -o json
  plumb vet -o github`,
		ValidArgsFunction: e.completeEnvironments(0),
	}
	output := outputFlag(command, "text", "json", "github")
	command.RunE = func(_ *cobra.Command, args []string) error {
		sources, err := e.sources(args)
		if err != nil {
			return err
		}
		list := vet(sources)
		if err := e.report(list, output.value); err != nil {
			return err
		}
		if list.Count(diag.Error) > 0 {
			return errFindings
		}
		return nil
	}
	return command
}

// vet finds what is wrong with environments, each and together.
func vet(sources []load.Source) diag.List {
	var list diag.List
	var all []*load.Environment
	for _, source := range sources {
		environment, found := load.Load(source)
		all = append(all, environment)
		list = append(list, found...)
		list = append(list, compiler.Vet(environment)...)
	}
	return append(list, compiler.Duplicates(all)...).Sort()
}

// report prints findings on stdout.
func (e *env) report(list diag.List, form string) error {
	switch form {
	case "json":
		return list.WriteJSON(e.stdout)
	case "github":
		return list.WriteGitHub(e.stdout)
	case "text":
		return list.WriteExcerpts(e.stdout, e.colour, func(file string) ([]byte, error) { return os.ReadFile(e.path(file)) })
	}
	return fmt.Errorf("findings have no form %q", form)
}
