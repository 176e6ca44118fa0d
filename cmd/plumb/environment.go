// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"plumbline.dev/plumbline/compiler"
	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/load"
)

// folder is the folder of the environments.
func (e *env) folder() load.Folder { return load.Folder{Dir: e.path(e.environments), WorkDir: e.dir} }

// sources finds the environments that arguments name; all there are without one.
func (e *env) sources(args []string) ([]load.Source, error) {
	folder := e.folder()
	if len(args) == 0 {
		names, err := folder.Names()
		if err != nil {
			return nil, err
		}
		if len(names) == 0 {
			return nil, fmt.Errorf("%s holds no environment: an environment is a folder of it with CUE files", e.environments)
		}
		args = names
	}
	var list []load.Source
	var errs []error
	for _, arg := range args {
		source, err := folder.Find(arg)
		list, errs = append(list, source), append(errs, err)
	}
	return list, errors.Join(errs...)
}

// compile compiles the environment that an argument names. Warnings and errors go
// to stderr; an Error among them is errFindings. What is for information only is
// for vet.
func (e *env) compile(arg string) (*compiler.Artifact, error) {
	source, err := e.folder().Find(arg)
	if err != nil {
		return nil, err
	}
	team, list, err := e.teamRules()
	if err != nil {
		return nil, err
	}
	environment, found := load.Load(source)
	artifact, more := compiler.Compile(environment, compiler.WithRules(team))
	list = append(append(list, found...), more...).Sort()
	if err := e.tell(list); err != nil {
		return nil, err
	}
	if list.Count(diag.Error) > 0 {
		return nil, errFindings
	}
	return artifact, nil
}

// tell prints what was found on the way on stderr, but for information.
func (e *env) tell(list diag.List) error {
	list = slices.DeleteFunc(slices.Clone(list), func(d diag.Diagnostic) bool { return d.Severity == diag.Info })
	return list.WriteText(e.stderr, false)
}

// completeEnvironments completes ENV, as often as a command takes one.
func (e *env) completeEnvironments(most int) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		names, err := e.folder().Names()
		if err != nil || most > 0 && len(args) >= most {
			return nil, cobra.ShellCompDirectiveFilterDirs
		}
		return names, cobra.ShellCompDirectiveDefault
	}
}
