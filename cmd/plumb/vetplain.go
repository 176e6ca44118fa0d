// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"plumbline.dev/plumbline/compiler"
	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/load"
	"plumbline.dev/plumbline/compiler/release"
	"plumbline.dev/plumbline/compiler/values"
)

// stdinName names the standard input on the command line, stdinShown in findings.
const (
	stdinName  = "-"
	stdinShown = "<stdin>"
)

// plainFlags are those of vet for a team without CUE.
type plainFlags struct {
	values       []string
	chartVersion string
	platform     string
	facts        string
	helmRelease  string
	envFiles     []string
	allowUnknown []string
}

func newPlainFlags(command *cobra.Command) *plainFlags {
	f := &plainFlags{}
	flags := command.Flags()
	flags.StringSliceVar(&f.values, "values", nil, "Helm values in a `file`, - for standard input; later ones go over earlier ones")
	flags.StringVar(&f.helmRelease, "helmrelease", "", "`file` with a HelmRelease of Flux's")
	flags.StringSliceVar(&f.envFiles, "env-file", nil, "`file` of variables that Flux puts into the HelmRelease: NAME=VALUE lines, or ConfigMaps and Secrets in YAML")
	flags.StringVar(&f.chartVersion, "chart-version", "", "`version` of the Cilium chart, such as 1.17.2")
	flags.StringVar(&f.platform, "platform", "", "what the cluster runs on, such as kind")
	flags.StringVar(&f.facts, "facts", "", "YAML or JSON `file` with facts of the cluster, as environment.cluster has them")
	flags.StringSliceVar(&f.allowUnknown, "allow-unknown", nil, "`path` of a value that the chart need not know, as environment.allowUnknown has them")
	completePlatforms(command)
	return f
}

// completePlatforms completes --platform.
func completePlatforms(command *cobra.Command) {
	complete := func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return load.Platforms(), cobra.ShellCompDirectiveNoFileComp
	}
	if err := command.RegisterFlagCompletionFunc("platform", complete); err != nil {
		panic(err) // the caller has made the flag
	}
}

// given tells whether plain values are to be vetted, and no environment.
func (f *plainFlags) given() bool { return len(f.values) > 0 || f.helmRelease != "" }

// check refuses command lines that say too little or two things.
func (f *plainFlags) check(args []string, withSnapshot bool) error {
	if !f.given() {
		return f.alone()
	}
	flag := "--values"
	if f.helmRelease != "" {
		flag = "--helmrelease"
	}
	switch {
	case len(args) > 0:
		return fmt.Errorf("%s is for a team without CUE, %q is an environment: give one of them", flag, args[0])
	case withSnapshot:
		return fmt.Errorf("-f counts Services against the maps of an environment: %s states none", flag)
	case len(f.values) > 0 && f.helmRelease != "":
		return fmt.Errorf("--values and --helmrelease both hold values: give one of them")
	case len(f.values) > 0 && len(f.envFiles) > 0:
		return fmt.Errorf("--env-file goes with --helmrelease: Helm puts no variables into --values")
	case f.helmRelease == "" && f.chartVersion == "":
		return fmt.Errorf("--values needs --chart-version: which values there are depends on the chart's minor, and there are tables of %s",
			strings.Join(values.Minors(), ", "))
	}
	if err := checkPlatform(f.platform); err != nil {
		return err
	}
	return f.stdinOnce()
}

// alone refuses flags that mean nothing beside environments.
func (f *plainFlags) alone() error {
	if len(f.envFiles) > 0 {
		return fmt.Errorf("--env-file goes with --helmrelease")
	}
	if len(f.allowUnknown) > 0 {
		return fmt.Errorf("--allow-unknown goes with --values or --helmrelease: an environment has the field allowUnknown")
	}
	for _, flag := range []struct{ name, value string }{
		{"--chart-version", f.chartVersion}, {"--platform", f.platform}, {"--facts", f.facts},
	} {
		if flag.value != "" {
			return fmt.Errorf("%s goes with --values or --helmrelease", flag.name)
		}
	}
	return nil
}

// checkPlatform takes the names that the schema has, and none at all.
func checkPlatform(name string) error {
	if name == "" {
		return nil
	}
	known := load.Platforms()
	if slices.Contains(known, name) {
		return nil
	}
	hint := ""
	if near, ok := diag.Nearest(name, known); ok {
		hint = fmt.Sprintf("; did you mean %q?", near)
	}
	return fmt.Errorf("--platform %q: want one of %s%s", name, strings.Join(known, ", "), hint)
}

func (f *plainFlags) stdinOnce() error {
	used := ""
	for _, flag := range []struct {
		name  string
		files []string
	}{{"--values", f.values}, {"--helmrelease", []string{f.helmRelease}}, {"--env-file", f.envFiles}, {"--facts", []string{f.facts}}} {
		for _, file := range flag.files {
			switch {
			case file != stdinName:
			case used != "":
				return fmt.Errorf("%s - is given twice: standard input can be read once", flag.name)
			default:
				used = flag.name
			}
		}
	}
	return nil
}

// read reads a file of the command line, and gives the name to show.
func (e *env) read(arg string) (name string, data []byte, err error) {
	if arg == stdinName {
		if data, err = io.ReadAll(e.stdin); err == nil {
			err = checkText(stdinShown, data)
		}
		return stdinShown, data, err
	}
	if info, err := os.Stat(e.path(arg)); err == nil && info.IsDir() {
		return "", nil, fmt.Errorf("%s is a folder: give a file in it", arg)
	}
	data, err = os.ReadFile(e.path(arg))
	if err != nil {
		return "", nil, err
	}
	return filepath.ToSlash(filepath.Clean(arg)), data, checkText(arg, data)
}

// checkText refuses what is no text, where it begins to be none. UTF-16 says by
// its first bytes that it is some, and YAML may be written in it.
func checkText(name string, data []byte) error {
	if bytes.HasPrefix(data, []byte{0xff, 0xfe}) || bytes.HasPrefix(data, []byte{0xfe, 0xff}) {
		return nil
	}
	line, start := 1, 0
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			return fmt.Errorf("%s:%d:%d: the byte 0x%02x is no UTF-8: save the file as UTF-8 text", name, line, i-start+1, data[i])
		}
		i += size
		if r == '\n' {
			line, start = line+1, i
		}
	}
	return nil
}

// runPlain vets plain values and reports. With render the chart is looked at too,
// that of chartPath if there is one; where it could not be, the other findings are
// told nevertheless.
func (e *env) runPlain(f *plainFlags, form string, render bool, chartPath string) error {
	list, checked, toRender, err := e.vetPlain(f)
	if err != nil {
		return err
	}
	var unseen error
	if render && toRender != nil {
		var more diag.List
		more, unseen = e.renderPlain(toRender, chartPath)
		list = append(list, more...)
	}
	list = release.Relevant(list.Sort())
	if err := errors.Join(e.report(list, form, checked), unseen); err != nil {
		return err
	}
	if list.Count(diag.Error) > 0 {
		return errFindings
	}
	return nil
}

// renderPlain renders the chart with plain values. A chart's folder counts from
// where an environment's would: the repository of the working directory.
func (e *env) renderPlain(rendering *compiler.Rendering, chartPath string) (diag.List, error) {
	process, err := e.startRenderer()
	if err != nil {
		return nil, err
	}
	return e.render(process, []*rendered{{source: load.Source{Dir: e.dir}, rendering: rendering}}, chartPath, true)
}

// vetPlain finds what is wrong with plain values, says what it looked at, and
// gives what can be rendered, if anything.
func (e *env) vetPlain(f *plainFlags) (list diag.List, checked []string, toRender *compiler.Rendering, err error) {
	p := compiler.Plain{Version: f.chartVersion, Platform: f.platform, AllowUnknown: f.allowUnknown}
	if list, err = e.readFacts(f.facts, &p); err != nil {
		return nil, nil, nil, err
	}
	read, checked := e.plainValues, f.values
	if f.helmRelease != "" {
		read, checked = e.plainRelease, []string{f.helmRelease}
	}
	more, err := read(f, &p)
	if err != nil {
		return nil, nil, nil, err
	}
	list = append(list, more...)
	team, found, err := e.teamRules()
	if err != nil {
		return nil, nil, nil, err
	}
	list = append(list, found...)
	if p.Version != "" { // there is a finding about it
		toRender, found = compiler.PreparePlain(p, compiler.WithRules(team))
		list = append(list, found...)
	}
	return list, checked, toRender, nil
}

// readFacts reads --facts.
func (e *env) readFacts(arg string, p *compiler.Plain) (diag.List, error) {
	if arg == "" {
		return nil, nil
	}
	name, data, err := e.read(arg)
	if err != nil {
		return nil, err
	}
	facts, list := load.ReadFacts(name, data)
	if facts != nil {
		p.Facts, p.FactsAt = facts.Data, facts.Positions
	}
	return list, nil
}

// plainValues reads --values, one over the other.
func (e *env) plainValues(f *plainFlags, p *compiler.Plain) (diag.List, error) {
	p.Root, p.Values = "values", values.Node{Kind: values.Object}
	var list diag.List
	for _, arg := range f.values {
		name, data, err := e.read(arg)
		if err != nil {
			return nil, err
		}
		node, found := values.FileFromYAML(name, data)
		list = append(list, found...)
		p.Values = values.Overlay(p.Values, node)
	}
	return list, nil
}

// plainRelease reads --helmrelease with its --env-files.
func (e *env) plainRelease(f *plainFlags, p *compiler.Plain) (diag.List, error) {
	files, err := e.readFiles(append([]string{f.helmRelease}, f.envFiles...))
	if err != nil {
		return nil, err
	}
	p.Version = ""
	r, list := release.Read(files[0], files[1:])
	if r == nil {
		return list, nil
	}
	version, found := r.ChartVersion(f.chartVersion)
	p.Version, p.VersionAt, p.ChartSource = version, r.VersionAt, r.ChartSource
	p.Root, p.Values = release.Root, r.Values
	p.Release, p.ReleaseAt = r.Facts(), r.FactsAt
	return append(list, found...), nil
}

// readFiles reads files of the command line.
func (e *env) readFiles(args []string) ([]release.File, error) {
	var files []release.File
	var errs []error
	for _, arg := range args {
		name, data, err := e.read(arg)
		files, errs = append(files, release.File{Name: name, Data: data}), append(errs, err)
	}
	return files, errors.Join(errs...)
}
