// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"plumbline.dev/plumbline/compiler"
	"plumbline.dev/plumbline/compiler/chart"
	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/emit"
	"plumbline.dev/plumbline/compiler/load"
)

// chartFlag gives a command --chart.
func chartFlag(command *cobra.Command) *string {
	return command.Flags().String("chart", "", "folder or archive (.tgz) of the chart, instead of chart.source: `path`")
}

// errChartAlone refuses --chart where nothing is rendered.
func errChartAlone(flag string) error {
	return fmt.Errorf("--chart goes with %s: nothing else looks at the chart", flag)
}

// rendered is an environment and what its chart made of it.
type rendered struct {
	source    load.Source
	rendering *compiler.Rendering
	result    chart.Result
}

// startRenderer starts the process that renders, while environments are still
// to be read.
func (e *env) startRenderer() (*chart.Process, error) {
	renderer, err := chart.Find()
	if err != nil {
		return nil, err
	}
	renderer.Progress = e.stderr
	return renderer.Start(e.ctx)
}

// render renders the charts of environments, all in one process, which it ends.
// It gives their findings. A chart that could not be looked at is an error,
// beside the findings of the others.
func (e *env) render(process *chart.Process, list []*rendered, path string, judgeOnly bool) (diag.List, error) {
	if path != "" {
		path = e.path(path)
	}
	var requests []chart.Request
	for _, r := range list {
		request, err := r.rendering.Request(e.chartRoots(r.source), path)
		if err != nil {
			process.Stop()
			return nil, err
		}
		request.JudgeOnly = judgeOnly
		requests = append(requests, request)
	}
	if len(requests) == 0 {
		process.Stop()
		return nil, nil
	}
	results, err := process.Render(requests)
	if err != nil {
		return nil, err
	}
	var found diag.List
	failed := map[string]bool{}
	for i, r := range list {
		r.result = results[i]
		found = append(found, r.rendering.Findings(r.result)...)
		if r.result.Error != "" {
			failed[r.result.Error] = true
		}
	}
	var errs []error
	for _, text := range slices.Sorted(maps.Keys(failed)) {
		errs = append(errs, errors.New(text))
	}
	return found, errors.Join(errs...)
}

// chartRoots are the folders that a chart's folder counts from: Flux counts from
// the root of the repository, which is the nearest folder with .git; without one
// it is that of the CUE module, or the working directory.
func (e *env) chartRoots(source load.Source) []string {
	var roots []string
	for _, mark := range []string{".git", "cue.mod"} {
		for dir := source.Dir; ; dir = filepath.Dir(dir) {
			if _, err := os.Stat(filepath.Join(dir, mark)); err == nil {
				roots = append(roots, dir)
				break
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	roots = append(roots, e.dir)
	return slices.Compact(roots)
}

// buildRendered gives the objects that an environment's chart renders to, a file
// each.
func (e *env) buildRendered(arg, path string) ([]emit.File, error) {
	source, err := e.folder().Find(arg)
	if err != nil {
		return nil, err
	}
	team, list, err := e.teamRules()
	if err != nil {
		return nil, err
	}
	process, err := e.startRenderer()
	if err != nil {
		return nil, err
	}
	found, toRender := vet([]load.Source{source}, []compiler.Option{compiler.WithRules(team)})
	more, err := e.render(process, toRender, path, false)
	if err != nil {
		return nil, err
	}
	list = slices.Concat(list, found, more).Sort()
	list = slices.DeleteFunc(list, func(d diag.Diagnostic) bool { return d.Severity == diag.Info })
	if err := list.WriteText(e.stderr, false); err != nil {
		return nil, err
	}
	if list.Count(diag.Error) > 0 {
		return nil, errFindings
	}
	objects := toRender[0].result.Objects // without an Error there is one
	e.warnOfStandIns(objects)
	return objectFiles(objects), nil
}

// warnOfStandIns names the objects that are not to be applied.
func (e *env) warnOfStandIns(objects []chart.Object) {
	var names []string
	for _, o := range objects {
		if o.StandIn {
			names = append(names, o.Kind+" "+o.Name)
		}
	}
	if len(names) == 0 {
		return
	}
	fmt.Fprintf(e.stderr, `plumb: not to be applied: %s
    Helm makes up their data anew at each install; here are stand-ins, labelled plumbline.dev/stand-in=true.
    To apply the others: kubectl apply -l '!plumbline.dev/stand-in'.
`, strings.Join(names, ", "))
}

// objectFiles names a file for each object, [NAMESPACE/]KIND-NAME.yaml, in the
// order in which Helm installs them.
func objectFiles(objects []chart.Object) []emit.File {
	var files []emit.File
	taken := map[string]int{}
	for _, o := range objects {
		name := fileName(strings.ToLower(o.Kind) + "-" + o.Name)
		if o.Namespace != "" {
			name = fileName("_" + o.Namespace)[1:] + "/" + name
		}
		if taken[name]++; taken[name] > 1 {
			name = fmt.Sprintf("%s-%d", name, taken[name])
		}
		files = append(files, emit.File{Path: name + ".yaml", Data: []byte("# Source: " + o.Template + "\n" + o.Text)})
	}
	return files
}

// fileName keeps of a name what is safe in a file's: no slash, no colon.
func fileName(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '.', r == '_':
			return r
		}
		return '_'
	}, name)
}
