// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
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

It needs no network and no cluster. Errors end it with 1; warnings do not.

With --render it renders the chart too, and tells what the chart's own schema and
templates refuse. That needs the chart: from the network once, or by --chart.

A team that writes no CUE gives it Helm values, or a HelmRelease of Flux's with
the variables that Flux puts into it. Of the environments it then reads none.
--render works there alike, by the chart that the HelmRelease's source names, or
Cilium's own repository.`,
		Example: `  plumb vet
  plumb vet dev prod
  plumb vet prod -f cluster.yaml
  plumb vet ./clusters/edge -o json
  plumb vet -o github
  plumb vet --render
  plumb vet prod --render --chart ./charts/cilium-1.17.2.tgz
  plumb vet -o sarif > plumb.sarif
  plumb vet --values values.yaml --values prod.yaml --chart-version 1.17.2
  plumb vet --values values.yaml --chart-version 1.17.2 --render
  plumb vet --helmrelease cilium.yaml --env-file base.env --env-file dev.env`,
		ValidArgsFunction: e.completeEnvironments(0),
	}
	output := outputFlag(command, "text", "json", "sarif", "junit", "github")
	var cluster clusterFlags
	cluster.addFiles(command)
	render := command.Flags().Bool("render", false, "render the chart too")
	chartPath := chartFlag(command)
	plain := newPlainFlags(command)
	command.RunE = func(_ *cobra.Command, args []string) error {
		if err := plain.check(args, len(cluster.files) > 0); err != nil {
			return err
		}
		if *chartPath != "" && !*render {
			return errChartAlone("--render")
		}
		if plain.given() {
			return e.runPlain(plain, output.value, *render, *chartPath)
		}
		sources, err := e.sources(args)
		if err != nil {
			return err
		}
		options, list, err := e.given(&cluster)
		if err != nil {
			return err
		}
		found, unseen := e.vet(sources, options, *render, *chartPath)
		list = append(list, found...).Sort()
		var folders []string
		for _, source := range sources {
			folders = append(folders, e.show(source.Dir))
		}
		if err := errors.Join(e.report(list, output.value, folders), unseen); err != nil {
			return err
		}
		if list.Count(diag.Error) > 0 {
			return errFindings
		}
		return nil
	}
	return command
}

// vet finds what is wrong with environments, with their charts if they are to be
// rendered. Beside an error there are findings nevertheless.
func (e *env) vet(sources []load.Source, options []compiler.Option, render bool, chartPath string) (diag.List, error) {
	if !render {
		list, _ := vet(sources, options)
		return list, nil
	}
	process, err := e.startRenderer()
	list, toRender := vet(sources, options)
	if err != nil {
		return list, err
	}
	more, err := e.render(process, toRender, chartPath, true)
	return append(list, more...).Sort(), err
}

// vet finds what is wrong with environments, each and together, all at the same
// time: what they share is safe for that. It gives those that can be rendered too.
func vet(sources []load.Source, options []compiler.Option) (diag.List, []*rendered) {
	lists := make([]diag.List, len(sources))
	all := make([]*load.Environment, len(sources))
	renderings := make([]*compiler.Rendering, len(sources))
	var each sync.WaitGroup
	each.Go(func() { compiler.Rules() }) // they are read once, and needed last
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i, source := range sources {
		each.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			var found diag.List
			all[i], lists[i] = load.Load(source)
			renderings[i], found = compiler.Prepare(all[i], options...)
			lists[i] = append(lists[i], found...)
		})
	}
	each.Wait()
	var toRender []*rendered
	for i, source := range sources {
		if renderings[i] != nil {
			toRender = append(toRender, &rendered{source: source, rendering: renderings[i]})
		}
	}
	return append(slices.Concat(lists...), compiler.Together(all)...).Sort(), toRender
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
	snapshot, notices, err := cluster.snapshot(e)
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
