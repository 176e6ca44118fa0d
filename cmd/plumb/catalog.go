// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"plumbline.dev/plumbline/compiler"
	"plumbline.dev/plumbline/compiler/catalog"
	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/emit"
	"plumbline.dev/plumbline/compiler/load"
)

func newCatalogCommand(e *env) *cobra.Command {
	var all bool
	var output string
	command := &cobra.Command{
		Use:   "catalog ENV",
		Short: "Describe an environment in a page of Markdown",
		Long: `catalog writes an environment's page: what it is for, what depends on what, which
features are on and where they are written, how it differs from the other
environments of its folder, and what to run when something is wrong. Equal
environments give equal bytes, so the page can be kept in Git. What looks like a
secret is masked.

It compiles every environment of the folder; one that does not compile is named
and left out, unless it is the one that is asked for. --all writes one page of all.

With -o json it prints {"pages": […], "comparison": {…}, "left": […]}.`,
		Example: `  plumb catalog dev
  plumb catalog prod -o docs/prod.md
  plumb catalog --all -o ENVIRONMENTS.md
  plumb catalog dev -o json`,
		Args: func(command *cobra.Command, args []string) error {
			if all {
				return cobra.NoArgs(command, args)
			}
			return cobra.ExactArgs(1)(command, args)
		},
		ValidArgsFunction: e.completeEnvironments(1),
	}
	command.Flags().StringVarP(&output, "output", "o", "", "`FILE|json`: the file to write instead of printing; json prints JSON")
	command.Flags().BoolVar(&all, "all", false, "one page of all environments")
	command.RunE = func(_ *cobra.Command, args []string) error {
		report, err := e.describe(args)
		if err != nil {
			return err
		}
		switch output {
		case "json":
			return printJSON(e.stdout, report)
		case "":
			return printTo(e.stdout, report.Markdown())
		}
		file := e.path(output)
		return writeFiles(filepath.Dir(file), []emit.File{{Path: filepath.Base(file), Data: []byte(report.Markdown())}})
	}
	return command
}

// describe compiles the folder's environments and those that are named, and
// describes the latter; all without a name.
func (e *env) describe(args []string) (*catalog.Report, error) {
	sources, asked, err := e.described(args)
	if err != nil {
		return nil, err
	}
	report := &catalog.Report{Pages: []*catalog.Page{}, Left: []string{}}
	var compiled []catalog.Compiled
	for i, source := range sources {
		c, err := e.compileQuietly(source, asked[i])
		if err != nil {
			return nil, err
		}
		if c.Artifact == nil {
			report.Left = append(report.Left, e.show(source.Dir))
			fmt.Fprintf(e.stderr, "plumb: %s does not compile and is left out; plumb vet tells why\n", e.show(source.Dir))
			continue
		}
		compiled = append(compiled, c)
		if !asked[i] && len(args) > 0 {
			continue
		}
		page, err := catalog.Describe(c)
		if err != nil {
			return nil, err
		}
		report.Pages = append(report.Pages, page)
	}
	slices.SortStableFunc(report.Pages, func(a, b *catalog.Page) int { return strings.Compare(a.Name, b.Name) })
	report.Comparison = catalog.Compare(compiled)
	if len(compiled) == 0 {
		return nil, errors.New("no environment compiles: there is nothing to describe; plumb vet tells why")
	}
	return report, nil
}

// described gives the environments to compile, those of the folder first, and
// which of them were named.
func (e *env) described(args []string) (sources []load.Source, asked []bool, err error) {
	named, err := e.sources(args)
	if err != nil {
		return nil, nil, err
	}
	if names, err := e.folder().Names(); err == nil && len(names) > 0 { // a path may lead to an environment without a folder of them
		if sources, err = e.sources(nil); err != nil {
			return nil, nil, err
		}
	}
	for _, source := range named {
		if !slices.ContainsFunc(sources, func(s load.Source) bool { return s.Dir == source.Dir }) {
			sources = append(sources, source)
		}
	}
	for _, source := range sources {
		asked = append(asked, len(args) > 0 && slices.ContainsFunc(named, func(s load.Source) bool { return s.Dir == source.Dir }))
	}
	return sources, asked, nil
}

// compileQuietly compiles an environment. Of one that was asked for it tells what
// is wrong, and an Error is errFindings; any other has no Artifact then.
func (e *env) compileQuietly(source load.Source, asked bool) (catalog.Compiled, error) {
	team, broken, err := e.teamRules()
	if err != nil {
		return catalog.Compiled{}, err
	}
	environment, list := load.Load(source)
	artifact, more := compiler.Compile(environment, compiler.WithRules(team))
	if list = slices.Concat(broken, list, more).Sort(); list.Count(diag.Error) == 0 {
		return catalog.Compiled{Environment: environment, Artifact: artifact}, nil
	}
	if !asked {
		return catalog.Compiled{}, nil
	}
	var b bytes.Buffer
	if err := list.WriteText(&b, false); err != nil {
		return catalog.Compiled{}, err
	}
	if err := printTo(e.stderr, b.String()); err != nil {
		return catalog.Compiled{}, err
	}
	return catalog.Compiled{}, errFindings
}
