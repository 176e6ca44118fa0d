// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"plumbline.dev/plumbline/compiler"
	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/explain"
	"plumbline.dev/plumbline/compiler/load"
	"plumbline.dev/plumbline/compiler/rules"
	"plumbline.dev/plumbline/schema/state"
)

func newVetCommand(e *env) *cobra.Command {
	command := &cobra.Command{
		Use:   "vet [ENV...]",
		Short: "Find every mistake in environments",
		Long: `vet checks environments: their types, the Helm values against those that the
chart's minor has, and what the agent would refuse. It finds all there is in one
run, each with the author's file, line and column. Without ENV it checks every
environment there is.

Rules relate the values to one another and to the facts of the cluster that the
environment states; a fact that they lack is told for information. A folder rules
beside that of the environments holds a team's own. With -f the Services of a
cluster are counted against the maps.

It needs no network and no cluster. Errors end it with 1; warnings do not.`,
		Example: `  plumb vet
  plumb vet dev prod
  plumb vet prod -f cluster.yaml
  plumb vet ./clusters/edge -o json
  plumb vet -o github
  plumb vet -o sarif > plumb.sarif`,
		ValidArgsFunction: e.completeEnvironments(0),
	}
	output := outputFlag(command, "text", "json", "sarif", "junit", "github")
	var cluster clusterFlags
	cluster.addFiles(command)
	command.RunE = func(_ *cobra.Command, args []string) error {
		sources, err := e.sources(args)
		if err != nil {
			return err
		}
		options, list, err := e.given(&cluster)
		if err != nil {
			return err
		}
		list = append(list, vet(sources, options)...).Sort()
		var folders []string
		for _, source := range sources {
			folders = append(folders, e.show(source.Dir))
		}
		if err := e.report(list, output.value, folders); err != nil {
			return err
		}
		if list.Count(diag.Error) > 0 {
			return errFindings
		}
		return nil
	}
	return command
}

// vet finds what is wrong with environments, each and together. They are read side
// by side, and beside Plumbline's rules.
func vet(sources []load.Source, options []compiler.Option) diag.List {
	all, found := make([]*load.Environment, len(sources)), make([]diag.List, len(sources))
	var wait sync.WaitGroup
	wait.Go(func() { compiler.Rules() })
	for i, source := range sources {
		wait.Go(func() {
			all[i], found[i] = load.Load(source)
			found[i] = append(found[i], compiler.Vet(all[i], options...)...)
		})
	}
	wait.Wait()
	return append(slices.Concat(found...), compiler.Duplicates(all)...).Sort()
}

// given is what environments are judged by beside themselves: a team's rules, and
// a snapshot if there is one.
func (e *env) given(cluster *clusterFlags) ([]compiler.Option, diag.List, error) {
	team, list, err := e.teamRules()
	if err != nil {
		return nil, nil, err
	}
	options := []compiler.Option{compiler.WithRules(team)}
	if len(cluster.files) == 0 {
		return options, list, nil
	}
	snapshot, notices, err := cluster.snapshot()
	if err != nil {
		return nil, nil, err
	}
	for _, n := range notices {
		list = append(list, fromNotice(n))
	}
	return append(options, compiler.WithSnapshot(snapshot)), list, nil
}

// fromNotice turns what is said of a cluster's objects into a finding.
func fromNotice(n state.Notice) diag.Diagnostic {
	d := diag.Diagnostic{Code: n.Code, Path: n.Object, Message: n.Message, Hint: n.Hint}
	if n.Field != "" {
		d.Path += " " + n.Field
	}
	switch n.Severity {
	case state.Warning:
		d.Severity = diag.Warning
	case state.Info:
		d.Severity = diag.Info
	}
	if n.Pos.File != "" {
		d.Positions = []diag.Position{{File: n.Pos.File, Line: n.Pos.Line}}
	}
	return d
}

// teamRules reads the rules beside the environments; nil where there are none.
func (e *env) teamRules() (*rules.Set, diag.List, error) {
	folder := filepath.Join(filepath.Dir(e.path(e.environments)), "rules")
	if e.rules != "" {
		folder = e.path(e.rules)
	}
	files, err := filepath.Glob(filepath.Join(escapeGlob(folder), "*.cue"))
	if err != nil {
		return nil, nil, err
	}
	if len(files) == 0 {
		if e.rules != "" {
			return nil, nil, fmt.Errorf("--rules %s: there are no CUE files", e.rules)
		}
		return nil, nil, nil
	}
	var sources []rules.Source
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, nil, err
		}
		sources = append(sources, rules.Source{Name: e.show(file), Text: text})
	}
	team, list := rules.Parse(sources)
	return team, append(list, compiler.Clashes(team)...), nil
}

// show gives a path as findings show it: relative to the working directory if it
// lies below.
func (e *env) show(path string) string {
	if below, err := filepath.Rel(e.dir, path); err == nil && filepath.IsLocal(below) {
		return filepath.ToSlash(below)
	}
	return filepath.ToSlash(path)
}

// escapeGlob makes a path one that stands for itself alone.
func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// report prints findings on stdout; checked is what was looked at.
func (e *env) report(list diag.List, form string, checked []string) error {
	read := func(file string) ([]byte, error) { return os.ReadFile(e.path(file)) }
	switch form {
	case "sarif":
		team, _, err := e.teamRules()
		if err != nil {
			return err
		}
		return list.WriteSARIF(e.stdout, buildVersion(), checked[0], explain.Pages(team), read)
	case "junit":
		return list.WriteJUnit(e.stdout, checked)
	case "json":
		return list.WriteJSON(e.stdout)
	case "github":
		return list.WriteGitHub(e.stdout)
	case "text":
		return list.WriteExcerpts(e.stdout, e.colour, read)
	}
	return fmt.Errorf("findings have no form %q", form)
}
