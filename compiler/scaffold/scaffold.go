// SPDX-License-Identifier: Apache-2.0

// Package scaffold writes the first files of a folder of environments: a CUE
// module, what is common to all environments, and each of them. What it writes
// passes `plumb vet`. It touches no disk and knows no cluster: facts that it can't
// know are left for the author, and say so.
package scaffold

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"plumbline.dev/plumbline/compiler/emit"
	"plumbline.dev/plumbline/compiler/values"
)

// Environment is one environment to begin with.
type Environment struct {
	Name     string // a DNS label; its folder is named like it
	Platform string // one of Platforms
	// APIHost is where nodes reach the API server; "" is the platform's own address
	// if it has one. Without either kube-proxy stays.
	APIHost string
	// APIPort is the port there; 0 is the platform's own: 443 where the cloud runs
	// the control plane, or else 6443.
	APIPort uint16
}

// Options are what to write.
type Options struct {
	Folder       string // of the environments, slashed and relative: "environments"
	ChartVersion string
	Environments []Environment
}

// ModuleFile is the path of the CUE module's file.
const ModuleFile = "cue.mod/module.cue"

//go:embed *.cue.tmpl
var texts embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{"quote": quote}).ParseFS(texts, "*.cue.tmpl"))

// quote writes a text as CUE does.
func quote(text string) string { return fmt.Sprintf("%q", text) }

// Files gives the files of a scaffold, the module's first. The error names
// everything that is wrong with the options.
func Files(o Options) ([]emit.File, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	files := []emit.File{
		{Path: ModuleFile, Data: write("module.cue.tmpl", o)},
		{Path: path.Join(o.Folder, "base.cue"), Data: write("base.cue.tmpl", o)},
	}
	for _, env := range o.Environments {
		p := platforms[env.Platform]
		if env.APIHost != "" {
			p.Host, p.Port = env.APIHost, 6443
			if p.Managed {
				p.Port = 443
			}
		}
		if env.APIPort != 0 {
			p.Port = int(env.APIPort)
		}
		p.Host = strings.ReplaceAll(p.Host, "NAME", env.Name)
		files = append(files, emit.File{
			Path: path.Join(o.Folder, env.Name, env.Name+".cue"),
			Data: write("environment.cue.tmpl", page{env, p}),
		})
	}
	return files, nil
}

func write(name string, data any) []byte {
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, name, data); err != nil {
		panic(err) // the templates are part of the program; their tests write every platform
	}
	return b.Bytes()
}

// page is what the template of an environment reads.
type page struct {
	Environment
	platform
}

// Lines are lines of CUE below values.
func (p page) Lines() []string {
	if p.Host != "" {
		return p.Values
	}
	return slices.Concat(p.Values, p.Beside)
}

var label = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

func (o Options) check() error {
	var errs []error
	if _, err := values.For(o.ChartVersion); err != nil {
		errs = append(errs, err)
	} else if strings.Count(o.ChartVersion, ".") != 2 {
		errs = append(errs, fmt.Errorf("chart version %q: want it in full, such as %q", o.ChartVersion, values.Newest()))
	}
	if len(o.Environments) == 0 {
		errs = append(errs, errors.New("no environment: name at least one"))
	}
	seen := map[string]bool{}
	for _, env := range o.Environments {
		if !label.MatchString(env.Name) {
			errs = append(errs, fmt.Errorf("name %q: want lower-case letters, digits and dashes, such as \"dev\"", env.Name))
		}
		if seen[env.Name] {
			errs = append(errs, fmt.Errorf("name %q: two environments can't share it", env.Name))
		}
		seen[env.Name] = true
		if _, ok := platforms[env.Platform]; !ok {
			errs = append(errs, fmt.Errorf("platform %q: want one of %s", env.Platform, strings.Join(Platforms(), ", ")))
		}
		if strings.ContainsAny(env.APIHost, "/: \t\"\\") && strings.Count(env.APIHost, ":") < 2 || strings.Contains(env.APIHost, "://") {
			errs = append(errs, fmt.Errorf("API host %q of %s: want a host name or an address, without scheme and port", env.APIHost, env.Name))
		}
	}
	for _, env := range o.Environments {
		if env.APIPort != 0 && env.APIHost == "" && platforms[env.Platform].Host == "" {
			errs = append(errs, fmt.Errorf("API port %d of %s: no host is known that has it: give one too", env.APIPort, env.Name))
		}
	}
	return errors.Join(errs...)
}

// Platforms lists what a cluster may run on, in order.
func Platforms() []string {
	var list []string
	for name := range platforms {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}
