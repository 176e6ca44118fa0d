// SPDX-License-Identifier: Apache-2.0

// Package compiler compiles a loaded Environment into an Artifact: the Helm
// values, the manifests around them and the Settings of the datapath. It is
// pure (I9): it opens nothing, asks for no time and no environment variable.
package compiler

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/emit"
	"plumbline.dev/plumbline/compiler/load"
	"plumbline.dev/plumbline/compiler/lower"
	"plumbline.dev/plumbline/compiler/rules"
	"plumbline.dev/plumbline/compiler/values"
	"plumbline.dev/plumbline/schema/state"
)

// Artifact is what one environment compiles to.
type Artifact struct {
	Name     string
	Files    []emit.File // the manifests, by path
	Values   map[string]any
	Settings *state.Settings
	// Variables are for manifests that substitute them.
	Variables []emit.Variable
}

// Compile compiles an environment. The Artifact is nil exactly where the
// environment is not complete or a finding is an Error; of an incomplete
// environment it finds what can be found of the values alone. The findings are
// sorted, and do not repeat Load's.
func Compile(env *load.Environment, options ...Option) (*Artifact, diag.List) {
	c := newCompilation(env, options)
	c.lower()
	list := c.findings()
	if c.settings == nil || list.Count(diag.Error) > 0 {
		return nil, list
	}
	files, err := emit.Manifests(env, c.values, emit.Options{SkipChartSchema: c.skipSchema, Settings: c.settings})
	if err != nil {
		c.add(codeEmit, "", err.Error(), "", nil)
		return nil, c.findings()
	}
	return &Artifact{Name: env.Name, Files: files, Values: c.values, Settings: c.settings, Variables: emit.Variables(env)}, list
}

// Vet finds what Compile finds, and writes no manifests.
func Vet(env *load.Environment, options ...Option) diag.List {
	c := newCompilation(env, options)
	c.lower()
	return c.findings()
}

// compilation is one run of Compile.
type compilation struct {
	env  *load.Environment
	list diag.List

	values     map[string]any
	node       values.Node     // the free Helm values, with their places
	skipSchema bool            // the chart's schema refuses values that are right
	settings   *state.Settings // nil where something is in the way
	rules      []*rules.Set
	snapshot   *state.Snapshot
}

func newCompilation(env *load.Environment, options []Option) *compilation {
	c := &compilation{env: env, rules: []*rules.Set{ownRules()}}
	for _, option := range options {
		option(c)
	}
	return c
}

func (c *compilation) add(code, path, message, hint string, at []diag.Position) {
	c.list = append(c.list, diag.Diagnostic{Code: code, Path: path, Message: message, Hint: hint, Positions: at})
}

// findings are those so far, as the environment's rules weigh them.
func (c *compilation) findings() diag.List {
	if c.env == nil {
		return nil
	}
	return ruled(c.list, c.env.Rules).Sort()
}

// lower goes through the passes that judge. One whose input is not right does
// not run.
func (c *compilation) lower() {
	if c.env == nil || c.env.Chart.Version == "" {
		return // Load has a finding
	}
	table, err := values.For(c.env.Chart.Version)
	if err != nil {
		c.add(codeChartVersion, "environment.chart.version", err.Error(), "", c.env.Positions("chart", "version"))
		return
	}
	c.unknownRules()
	c.node = values.FromCUE(c.env.Values, load.Author)
	c.check(table, c.node)
	free, ok := c.node.Data().(map[string]any)
	if !ok || !c.env.Complete {
		return
	}
	c.chartSource()
	c.order()
	var found diag.List
	c.values, found = lower.Values(c.env, free)
	c.list = append(c.list, found...)
	c.settings, found = lower.Settings(c.env, table.Merge(c.values))
	c.list = append(c.list, c.untold(found)...)
	c.judge(table)
}

// check judges the free Helm values by the chart's table. What has no value at
// all is Load's to tell.
func (c *compilation) check(table *values.Table, node values.Node) {
	options := values.Options{Root: "environment.values"}
	for _, allowed := range c.env.AllowUnknown {
		options.Allow = append(options.Allow, values.Allow{Pattern: allowed.Path, Reason: allowed.Reason, Positions: c.env.Positions("allowUnknown")})
	}
	for _, d := range table.Check(node, options) {
		if d.Code == values.CodeNullOnly {
			c.skipSchema, d.Hint = true, "the HelmRelease that plumb builds sets disableSchemaValidation for it"
		}
		if d.Code != values.CodeIncomplete {
			c.list = append(c.list, d)
		}
	}
}

// untold leaves out what the check of the values has told of already.
func (c *compilation) untold(list diag.List) diag.List {
	return slices.DeleteFunc(list, func(d diag.Diagnostic) bool {
		return slices.ContainsFunc(c.list, func(told diag.Diagnostic) bool {
			return told.Path == d.Path && told.Severity == diag.Error && d.Code == lower.CodeBadOption
		})
	})
}

// chartSource refuses a chart in a folder of a source that Flux takes no chart
// from.
func (c *compilation) chartSource() {
	kind := c.env.Flux.Source.Kind
	if !strings.HasPrefix(c.env.Chart.Source, "./") || kind == "GitRepository" || kind == "Bucket" {
		return
	}
	c.add(codeChartSource, "environment.chart.source", "Flux takes a chart from a folder of a GitRepository or Bucket, not of an "+kind,
		"set chart: source to an oci:// or https:// address", append(c.env.Positions("chart", "source"), c.env.Positions("flux", "source", "kind")...))
}

// Together finds what is amiss with environments beside one another.
func Together(envs []*load.Environment) diag.List {
	envs = slices.DeleteFunc(slices.Clone(envs), func(env *load.Environment) bool { return env == nil || !env.Complete })
	return append(duplicates(envs), shared(envs)...).Sort()
}

// duplicates finds environments that have one name.
func duplicates(envs []*load.Environment) (list diag.List) {
	first := map[string]*load.Environment{}
	for _, env := range envs {
		other, twice := first[env.Name]
		if !twice {
			first[env.Name] = env
			continue
		}
		list = append(list, diag.Diagnostic{Code: codeDuplicateName, Path: "environment.name",
			Message:   fmt.Sprintf("%s and %s both state the environment %q", other.Folder, env.Folder, env.Name),
			Positions: append(env.Positions("name"), other.Positions("name")...)})
	}
	return list
}

// shared finds environments that name one API server, and a namespace in which both
// would write objects of the same names.
func shared(envs []*load.Environment) (list diag.List) {
	first := map[string]*load.Environment{}
	for _, env := range envs {
		server := net.JoinHostPort(env.API.Host, strconv.Itoa(int(env.API.Port)))
		if !tells(env.API.Host) {
			continue
		}
		other, twice := first[server]
		if !twice {
			first[server] = env
			continue
		}
		if common := namespaces(env, other); len(common) > 0 && env.Name != other.Name {
			list = append(list, diag.Diagnostic{Code: codeSharedCluster, Severity: diag.Warning, Path: "environment.api.host",
				Message:   fmt.Sprintf("%s and %s are of one cluster, %s, and share the same %s: each would write the other's objects", other.Name, env.Name, server, strings.Join(common, " and ")),
				Hint:      "give one of them namespaces of its own, or the address of its own cluster",
				Positions: append(env.Positions("api", "host"), other.Positions("api", "host")...)})
		}
	}
	return list
}

// tells tells whether a host is that of one cluster: a loopback address or a name that
// each resolves in its own way is many clusters'.
func tells(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return !ip.IsLoopback() && !ip.IsUnspecified()
	}
	own := slices.ContainsFunc([]string{".svc", ".svc.cluster.local", ".local", ".localhost", ".internal"}, func(end string) bool { return strings.HasSuffix(host, end) })
	return strings.Contains(host, ".") && !own
}

// namespaces are those that two environments share, by the fields that state them.
func namespaces(a, b *load.Environment) (list []string) {
	if a.Agent.Enabled && b.Agent.Enabled && a.Agent.Namespace == b.Agent.Namespace {
		list = append(list, "agent.namespace")
	}
	if a.Flux.Namespace == b.Flux.Namespace {
		list = append(list, "flux.namespace")
	}
	if a.Flux.Release.Namespace == b.Flux.Release.Namespace {
		list = append(list, "flux.release.namespace")
	}
	return list
}
