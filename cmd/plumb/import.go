// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"plumbline.dev/plumbline/compiler/adopt"
	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/emit"
	"plumbline.dev/plumbline/compiler/release"
	"plumbline.dev/plumbline/compiler/values"
)

// importFlags are those of import.
type importFlags struct {
	name, chartVersion, platform, output string
	envFiles, without, envs              []string
	force                                bool
}

func newImportCommand(e *env) *cobra.Command {
	f := &importFlags{}
	command := &cobra.Command{
		Use:   "import FILE...",
		Short: "Turn Helm values or a HelmRelease into an environment",
		Long: `import writes the CUE of an environment that compiles to the values of its files:

  values.yaml        Helm values; of several, later ones go over earlier ones
  helmrelease.yaml   a HelmRelease of Flux's, with the files of the variables that
                     Flux puts into it, and of the objects that it refers to
  environment.env    variables alone, by the names that plumb build writes

With --env there are several environments: what they have in common stands in
base.cue, and what else each has in NAME/NAME.cue.

What an environment can't say is an error, and nothing is written then. What is
wrong with the environment itself is told too, on stderr, and ends it with 1.`,
		Example: `  plumb import values.yaml --chart-version 1.17.2 --name dev
  helm get values cilium -n kube-system -o yaml | plumb import - --chart-version 1.17.2 --name dev
  plumb import cilium.yaml base.env dev.env --name dev -o environments
  plumb import base.env dev.env -o environments
  plumb import cilium.yaml base.env --env dev=dev.env --env prod=prod.env -o environments`,
		Args: func(command *cobra.Command, args []string) error {
			if len(f.envs) > 0 {
				return nil // they have files of their own
			}
			return cobra.MinimumNArgs(1)(command, args)
		},
	}
	flags := command.Flags()
	flags.StringVar(&f.name, "name", "", "`name` of the environment; otherwise that of the variable ENVIRONMENT")
	flags.StringVar(&f.chartVersion, "chart-version", "", "`version` of the Cilium chart, such as 1.17.2")
	flags.StringVar(&f.platform, "platform", "", "what the cluster runs on, such as kind")
	flags.StringSliceVar(&f.envFiles, "env-file", nil, "`file` of variables, as an argument would be")
	flags.StringArrayVar(&f.envs, "env", nil, "`NAME=FILE`: an environment, and a file that it has over those that all have; may be repeated")
	flags.StringSliceVar(&f.without, "without", nil, "`path` of what to leave out on purpose, such as spec.install")
	flags.StringVarP(&f.output, "output", "o", "", "write NAME/NAME.cue below this `folder` instead of printing it")
	flags.BoolVar(&f.force, "force", false, "overwrite a file that is there already")
	completePlatforms(command)
	command.RunE = func(_ *cobra.Command, args []string) error { return e.runImport(f, append(args, f.envFiles...)) }
	return command
}

func (e *env) runImport(f *importFlags, args []string) error {
	if len(f.envs) > 0 {
		return e.importFamily(f, args)
	}
	in, list, err := e.importInput(f, args)
	if err != nil {
		return err
	}
	var text []byte
	if list.Count(diag.Error) == 0 {
		var found diag.List
		text, found = adopt.Environment(in)
		list = append(list, found...).Sort()
	}
	if err := list.WriteExcerpts(e.stderr, false, func(file string) ([]byte, error) { return os.ReadFile(e.path(file)) }); err != nil {
		return err
	}
	if text == nil {
		return errFindings
	}
	if err := e.putEnvironment(f, in.Name, text); err != nil {
		return err
	}
	if list.Count(diag.Error) > 0 {
		return errFindings
	}
	return nil
}

// importFamily imports several environments.
func (e *env) importFamily(f *importFlags, args []string) error {
	switch {
	case f.name != "":
		return errors.New("--name is for one environment: --env names each")
	case f.output == "":
		return errors.New("several environments are several files: give the folder to write them below, such as -o environments")
	}
	var inputs []adopt.Input
	var list diag.List
	files := map[string][]string{}
	var names []string
	for _, text := range f.envs {
		name, file, ok := strings.Cut(text, "=")
		if !ok || name == "" || file == "" {
			return fmt.Errorf("--env %s: want NAME=FILE", text)
		}
		if files[name] == nil {
			names = append(names, name)
		}
		files[name] = append(files[name], file)
	}
	for _, name := range names {
		own := *f
		own.name = name
		in, found, err := e.importInput(&own, slices.Concat(args, files[name]))
		if err != nil {
			return fmt.Errorf("environment %s: %w", name, err)
		}
		inputs, list = append(inputs, in), append(list, found...)
	}
	var written map[string][]byte
	if list.Count(diag.Error) == 0 {
		var found diag.List
		written, found = adopt.Family(inputs)
		list = append(list, found...)
	}
	if err := list.Sort().WriteExcerpts(e.stderr, false, func(file string) ([]byte, error) { return os.ReadFile(e.path(file)) }); err != nil {
		return err
	}
	if written == nil {
		return errFindings
	}
	if err := e.putFamily(f, written); err != nil {
		return err
	}
	if list.Count(diag.Error) > 0 {
		return errFindings
	}
	return nil
}

// putFamily writes files below --output: all of them, or none where one is there.
func (e *env) putFamily(f *importFlags, written map[string][]byte) error {
	dir := e.path(f.output)
	var files []emit.File
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(written)) {
		files = append(files, emit.File{Path: name, Data: written[name]})
		_, err := os.Stat(filepath.Join(dir, name))
		switch {
		case err == nil && !f.force:
			errs = append(errs, fmt.Errorf("%s is there already: --force overwrites it", path.Join(filepath.ToSlash(f.output), name)))
		case err != nil && !errors.Is(err, os.ErrNotExist):
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := writeFiles(dir, files); err != nil {
		return err
	}
	for _, file := range files {
		fmt.Fprintf(e.stderr, "wrote %s\n", path.Join(filepath.ToSlash(f.output), file.Path))
	}
	return nil
}

// importInput reads the files of a command line.
func (e *env) importInput(f *importFlags, args []string) (adopt.Input, diag.List, error) {
	in := adopt.Input{Name: f.name, Platform: f.platform, Version: f.chartVersion, Without: f.without, Root: "values", Values: values.Node{Kind: values.Object}}
	if err := checkPlatform(f.platform); err != nil {
		return in, nil, err
	}
	files, err := e.readFiles(args)
	if err != nil {
		return in, nil, err
	}
	sorted, err := sortFiles(files)
	if err != nil {
		return in, nil, err
	}
	list := readInput(&in, sorted)
	if in.Version == "" && list.Count(diag.Error) == 0 {
		return in, list, fmt.Errorf("import needs --chart-version: an environment states its chart, and the files do not")
	}
	if in.Name == "" {
		return in, list, fmt.Errorf("import needs --name: no variable ENVIRONMENT names the environment")
	}
	if !environmentName.MatchString(in.Name) {
		return in, list, fmt.Errorf("the name %q is none for an environment: want lower-case letters, digits and dashes", in.Name)
	}
	return in, list, nil
}

// environmentName is what the schema takes for one.
var environmentName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// inputFiles are files by what they hold.
type inputFiles struct {
	release *release.File
	values  []release.File
	sources []release.File // of variables, and of what a HelmRelease refers to
}

func sortFiles(files []release.File) (inputFiles, error) {
	var out inputFiles
	for i, f := range files {
		kind := f.Contents()
		if f.Name == stdinShown { // it has no name that could tell
			kind = release.File{Name: "stdin.yaml", Data: f.Data}.Contents()
		}
		switch kind {
		case release.OfValues:
			out.values = append(out.values, f)
		case release.OfRelease:
			if out.release != nil {
				return out, fmt.Errorf("%s and %s both hold a HelmRelease: give one of them", out.release.Name, f.Name)
			}
			out.release = &files[i]
		default:
			out.sources = append(out.sources, f)
		}
	}
	switch {
	case out.release != nil && len(out.values) > 0:
		return out, fmt.Errorf("%s holds a HelmRelease and %s values: give one of them", out.release.Name, out.values[0].Name)
	case out.release == nil && len(out.values) > 0 && len(out.sources) > 0:
		return out, fmt.Errorf("%s holds values and %s variables: Helm puts none into values, give the HelmRelease", out.values[0].Name, out.sources[0].Name)
	}
	return out, nil
}

// readInput reads what there is to import.
func readInput(in *adopt.Input, files inputFiles) diag.List {
	if len(files.values) > 0 {
		var list diag.List
		for _, f := range files.values {
			node, found := values.FileFromYAML(f.Name, f.Data)
			list = append(list, found...)
			in.Values = values.Overlay(in.Values, node)
		}
		return list
	}
	vars, list := release.ReadVariables(files.sources)
	for _, v := range vars {
		switch v.Name {
		case "ENVIRONMENT":
			in.Name = cmp.Or(in.Name, v.Value)
		case "CILIUM_CHART_VERSION":
			if files.release == nil && in.Version == "" {
				in.Version, in.VersionAt = v.Value, v.Positions
			}
		}
	}
	if files.release == nil {
		in.Variables = vars
		return list
	}
	r, list := release.Read(*files.release, files.sources)
	if r == nil {
		return list
	}
	version, found := r.ChartVersion(in.Version)
	in.Version, in.VersionAt, in.Release = version, r.VersionAt, r
	in.Values, in.Root = r.Values, release.Root
	return slices.DeleteFunc(append(list, found...), func(d diag.Diagnostic) bool {
		if d.Code == release.CodeValuesFrom {
			in.Missing = append(in.Missing, d)
		}
		return d.Code == release.CodeValuesFrom || d.Code == release.CodeQuoted
	})
}

// putEnvironment prints the text, or writes it below --output.
func (e *env) putEnvironment(f *importFlags, name string, text []byte) error {
	if f.output == "" {
		_, err := e.stdout.Write(text)
		return err
	}
	dir := e.path(f.output)
	file := path.Join(name, name+".cue")
	shown := path.Join(filepath.ToSlash(f.output), file)
	_, err := os.Stat(filepath.Join(dir, file))
	switch {
	case err == nil && !f.force:
		return fmt.Errorf("%s is there already: --force overwrites it", shown)
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return err
	}
	if err := writeFiles(dir, []emit.File{{Path: file, Data: text}}); err != nil {
		return err
	}
	fmt.Fprintf(e.stderr, "wrote %s\n", shown)
	if !hasModule(dir) {
		fmt.Fprintf(e.stderr, "no cue.mod stands above it: plumb needs none; for cue and editors run: cue mod init example.com/clusters@v0\n")
	}
	return nil
}

// hasModule tells whether a folder is part of a CUE module.
func hasModule(dir string) bool {
	for {
		if info, err := os.Stat(filepath.Join(dir, "cue.mod")); err == nil && info.IsDir() {
			return true
		}
		if dir == filepath.Dir(dir) {
			return false
		}
		dir = filepath.Dir(dir)
	}
}
