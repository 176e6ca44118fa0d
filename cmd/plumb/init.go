// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"plumbline.dev/plumbline/compiler/emit"
	"plumbline.dev/plumbline/compiler/scaffold"
	"plumbline.dev/plumbline/compiler/values"
)

// initFlags are the flags of `plumb init`.
type initFlags struct {
	names, platforms, hosts, ports []string
	chart                          string
	dryRun                         bool
}

// initReport is what `plumb init -o json` prints.
type initReport struct {
	Written []string `json:"written"` // with --dry-run, what would be
	Kept    []string `json:"kept"`    // was there, and serves
	Next    []string `json:"next"`    // commands to go on with
	CI      string   `json:"ci"`      // the command for a CI
}

func newInitCommand(e *env) *cobra.Command {
	var flags initFlags
	command := &cobra.Command{
		Use:   "init [DIR]",
		Short: "Write a first folder of environments, which passes vet",
		Long: `init writes a CUE module and a folder of environments below DIR (or here): what
is common to them, and a folder for each. They pass vet as they are. It never
writes over a file: where one is in the way it writes nothing, lists them, and
ends with 2. A CUE module that is there already is kept.

Where a flag takes [NAME=], it is for one environment; without, for all. Without
an address of the API server, given or known by the platform, kube-proxy stays.

With -o json it prints {"written": […], "kept": […], "next": […], "ci": "…"}.`,
		Example: `  plumb init
  plumb init clusters --name edge --platform k3s --api-host 10.0.0.10
  plumb init --platform dev=kind --platform prod=talos --chart-version 1.18.6
  plumb init --dry-run`,
		Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
	}
	output := outputFlag(command, "text", "json")
	flags.add(command)
	command.RunE = func(_ *cobra.Command, args []string) error {
		dir := e.dir
		if len(args) > 0 {
			dir = e.path(args[0])
		}
		options, err := flags.options(e.environments)
		if err != nil {
			return err
		}
		return e.initialise(dir, options, flags.dryRun, output.value)
	}
	return command
}

func (f *initFlags) add(command *cobra.Command) {
	command.Flags().StringSliceVar(&f.names, "name", []string{"dev", "prod"}, "`name` of an environment; may be repeated")
	command.Flags().StringSliceVar(&f.platforms, "platform", nil, "what a cluster runs on, `[NAME=]KIND`; dev has kind, all others kubeadm")
	command.Flags().StringSliceVar(&f.hosts, "api-host", nil, "where nodes reach the API server, `[NAME=]HOST`")
	command.Flags().StringSliceVar(&f.ports, "api-port", nil, "the API server's port there, `[NAME=]PORT`; 443 on EKS, AKS and GKE, or else 6443")
	command.Flags().StringVar(&f.chart, "chart-version", values.Newest(), "`version` of Cilium's chart")
	command.Flags().BoolVar(&f.dryRun, "dry-run", false, "print the files instead of writing them")
	complete := cobra.FixedCompletions(scaffold.Platforms(), cobra.ShellCompDirectiveNoFileComp)
	if err := command.RegisterFlagCompletionFunc("platform", complete); err != nil {
		panic(err) // the flag was made a few lines above
	}
}

// options puts the flags together. All that is wrong with them is told at once.
func (f *initFlags) options(folder string) (scaffold.Options, error) {
	options := scaffold.Options{Folder: filepath.ToSlash(filepath.Clean(folder)), ChartVersion: strings.TrimPrefix(f.chart, "v")}
	platforms, err := byName("platform", f.platforms, f.names)
	hosts, err2 := byName("api-host", f.hosts, f.names)
	ports, err3 := byName("api-port", f.ports, f.names)
	errs := []error{err, err2, err3}
	if !filepath.IsLocal(folder) {
		errs = append(errs, fmt.Errorf("--environments %s: init writes below DIR, so it has to be a path below it", folder))
	}
	for _, name := range f.names {
		env := scaffold.Environment{Name: name, Platform: "kubeadm", APIHost: hosts[name]}
		if name == "dev" {
			env.Platform = "kind"
		}
		if platforms[name] != "" {
			env.Platform = platforms[name]
		}
		if ports[name] != "" {
			port, err := strconv.ParseUint(ports[name], 10, 16)
			if err != nil || port == 0 {
				errs = append(errs, fmt.Errorf("--api-port %s: want a port, 1 to 65535", ports[name]))
			}
			env.APIPort = uint16(port)
		}
		options.Environments = append(options.Environments, env)
	}
	return options, errors.Join(errs...)
}

// byName gives what a flag says of each environment: "NAME=WORD" of one, "WORD"
// of all.
func byName(flag string, words, names []string) (map[string]string, error) {
	out := map[string]string{}
	var errs []error
	for _, word := range words {
		name, value, one := strings.Cut(word, "=")
		if !one {
			name, value = "", word
		}
		if one && !slices.Contains(names, name) {
			errs = append(errs, fmt.Errorf("--%s %s: no environment is named %q: there are %s", flag, word, name, strings.Join(names, ", ")))
		}
		for _, each := range names {
			if one && each == name || !one && out[each] == "" {
				out[each] = value
			}
		}
	}
	return out, errors.Join(errs...)
}

// initialise writes a scaffold below dir.
func (e *env) initialise(dir string, options scaffold.Options, dryRun bool, form string) error {
	files, err := scaffold.Files(options)
	if err != nil {
		return err
	}
	report := initReport{Written: []string{}, Kept: []string{}, Next: next(e.show(dir), options), CI: "plumb vet -o github"}
	module := filepath.Join(dir, filepath.FromSlash(scaffold.ModuleFile))
	if _, err := os.Lstat(module); err == nil {
		files = slices.DeleteFunc(files, func(f emit.File) bool { return f.Path == scaffold.ModuleFile })
		report.Kept = append(report.Kept, e.show(module))
	}
	if err := e.inTheWay(dir, files); err != nil {
		return err
	}
	for _, f := range files {
		report.Written = append(report.Written, e.show(filepath.Join(dir, filepath.FromSlash(f.Path))))
	}
	if !dryRun {
		if err := writeFiles(dir, files); err != nil {
			return err
		}
	}
	if form == "json" {
		return printJSON(e.stdout, report)
	}
	if dryRun {
		return printTo(e.stdout, dry(report.Written, files))
	}
	return printTo(e.stdout, report.text())
}

// inTheWay lists every file that is there already, and everything else that a
// file can't be written through.
func (e *env) inTheWay(dir string, files []emit.File) error {
	var names []string
	for _, f := range files {
		path := filepath.Join(dir, filepath.FromSlash(f.Path))
		if _, err := os.Lstat(path); err == nil {
			names = append(names, e.show(path))
		} else if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("init can't tell whether %s is there: %w", e.show(path), err)
		}
		if f.Path == scaffold.ModuleFile {
			continue
		}
		others, err := filepath.Glob(filepath.Join(escapeGlob(filepath.Dir(path)), "*.cue"))
		if err != nil {
			return fmt.Errorf("init can't tell what is in %s: %w", e.show(filepath.Dir(path)), err)
		}
		for _, other := range others { // CUE would unify them with what init writes
			names = append(names, e.show(other))
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) > 0 {
		return fmt.Errorf("nothing was written, for init writes over no file; in the way are\n  %s\nmove them away, or name another DIR", strings.Join(names, "\n  "))
	}
	return nil
}

// next are the commands to go on with, run in the folder that init wrote to.
func next(dir string, options scaffold.Options) []string {
	name := options.Environments[0].Name
	list := []string{"plumb vet", "plumb build " + name + " -o clusters/" + name, "plumb state " + name + " -f SERVICES.yaml --node NODE"}
	if options.Folder != "environments" {
		for i, command := range list {
			list[i] = strings.Replace(command, "plumb ", "plumb --environments "+shellWord(options.Folder)+" ", 1)
		}
	}
	if dir != "." {
		list[0] = "cd " + shellWord(dir) + " && " + list[0]
	}
	return list
}

// plain is what a shell takes for one word as it stands.
var plain = regexp.MustCompile(`^[A-Za-z0-9_./:@%+=,-]+$`)

// shellWord writes a path so that a shell takes it for one word.
func shellWord(path string) string {
	if plain.MatchString(path) {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

func (r *initReport) text() string {
	var b strings.Builder
	for _, name := range r.Written {
		fmt.Fprintf(&b, "wrote %s\n", name)
	}
	for _, name := range r.Kept {
		fmt.Fprintf(&b, "kept %s\n", name)
	}
	fmt.Fprintf(&b, "\nNext:\n  %s\n\nIn CI:\n  %s\n", strings.Join(r.Next, "\n  "), r.CI)
	return b.String()
}

// dry shows files with their names above them.
func dry(names []string, files []emit.File) string {
	var b strings.Builder
	for i, f := range files {
		fmt.Fprintf(&b, "-- %s --\n%s", names[i], f.Data)
	}
	return b.String()
}
