// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"plumbline.dev/plumbline/compiler"
	"plumbline.dev/plumbline/compiler/compare"
	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/load"
	"plumbline.dev/plumbline/compiler/lower"
	"plumbline.dev/plumbline/compiler/values"
	"plumbline.dev/plumbline/schema/state"
)

// Options say what to look for.
type Options struct {
	// AllDefaults tells every default that differs, not only those that are known
	// to change what Cilium does.
	AllDefaults bool
	// Compile is what the environment is judged by beside itself.
	Compile []compiler.Option
}

// Release is one end of the way.
type Release struct {
	// Version is as the environment, or the caller, has it: "1.18.6", "1.18".
	Version string `json:"version"`
	Minor   string `json:"minor"`
	// Table is the release that is known of the minor.
	Table  string       `json:"table"`
	Layout state.Layout `json:"layout"`
}

// Report is what an upgrade changes, in its JSON form. Its fields are stable:
// others may be added, none renamed or removed.
type Report struct {
	Environment string  `json:"environment"`
	From        Release `json:"from"`
	To          Release `json:"to"`
	// Path are the minors to go through, both ends included.
	Path    []string    `json:"path"`
	Changes []Change    `json:"changes"`
	Counts  diag.Counts `json:"counts"`
	// DefaultsLeftOut counts the defaults that differ and were not asked for.
	DefaultsLeftOut int `json:"defaultsLeftOut"`
}

// Find finds what a chart version changes in an environment, which has to
// compile: artifact is what it compiles to. It fails on a version whose minor is
// not known, and names those that are.
func Find(env *load.Environment, artifact *compiler.Artifact, version string, o Options) (*Report, error) {
	version = strings.TrimPrefix(version, "v")
	u := &upgrade{env: env, artifact: artifact, next: env.At(version), options: o}
	var err error
	if u.from, err = values.For(env.Chart.Version); err != nil {
		return nil, err
	}
	if u.to, err = values.For(version); err != nil {
		return nil, err
	}
	u.report = &Report{Environment: env.Name, Changes: []Change{}}
	if u.report.From, err = releaseOf(env.Chart.Version, u.from); err != nil {
		return nil, err
	}
	if u.report.To, err = releaseOf(version, u.to); err != nil {
		return nil, err
	}
	u.report.Path = pathOf(u.from.Minor, u.to.Minor)
	for _, pass := range []func() error{u.steps, u.findings, u.behaviours, u.defaults, u.layout, u.settings} {
		if err := pass(); err != nil {
			return nil, err
		}
	}
	u.finish()
	return u.report, nil
}

func releaseOf(version string, table *values.Table) (Release, error) {
	layout, err := state.LayoutOf(version)
	return Release{Version: strings.TrimPrefix(version, "v"), Minor: table.Minor, Table: table.Chart, Layout: layout}, err
}

// pathOf lists the minors from one to another, both included.
func pathOf(from, to string) []string {
	minors := values.Minors()
	a, b := slices.Index(minors, from), slices.Index(minors, to)
	if a <= b {
		return minors[a : b+1]
	}
	back := slices.Clone(minors[b : a+1])
	slices.Reverse(back)
	return back
}

// upgrade is one run of Find.
type upgrade struct {
	env, next *load.Environment
	artifact  *compiler.Artifact
	from, to  *values.Table
	options   Options
	report    *Report
	told      map[string]bool // keys whose default is told of
}

func (u *upgrade) add(c Change) { u.report.Changes = append(u.report.Changes, c) }

// finish sorts and counts.
func (u *upgrade) finish() {
	sortChanges(u.report.Changes)
	for i := range u.report.Changes {
		c := &u.report.Changes[i]
		if c.Positions == nil {
			c.Positions = []diag.Position{}
		}
		switch c.Severity {
		case diag.Error:
			u.report.Counts.Error++
		case diag.Warning:
			u.report.Counts.Warning++
		default:
			u.report.Counts.Info++
		}
	}
}

// steps judges the way itself: Cilium supports one from each minor to the next,
// and back by as much.
func (u *upgrade) steps() error {
	way := strings.Join(u.report.Path, " -> ")
	at := u.env.Positions("chart", "version")
	back := values.CompareVersions(u.report.To.Version, u.report.From.Version) < 0 && u.report.To.Version != u.report.To.Minor ||
		values.CompareVersions(u.to.Minor, u.from.Minor) < 0
	if len(u.report.Path) > 2 {
		u.add(Change{Kind: Step, Severity: diag.Warning, Path: "chart.version", Positions: at,
			Message: fmt.Sprintf("%s is %d minors from %s: Cilium supports one at a time", u.to.Minor, len(u.report.Path)-1, u.from.Minor),
			Hint:    fmt.Sprintf("go %s, and run plumb upgrade before each step", way)})
	}
	if back {
		u.add(Change{Kind: Step, Severity: diag.Warning, Path: "chart.version", Positions: at,
			Message: fmt.Sprintf("%s is older than %s: objects and options that only the newer one knows are left behind", u.report.To.Version, u.report.From.Version),
			Hint:    "take what is new out of the values and the cluster first"})
	}
	return nil
}

// findings are those of the environment at the new version that it does not have
// at its own. One that says the same of another minor is the same.
func (u *upgrade) findings() error {
	type key struct{ code, path, message string }
	minors := strings.NewReplacer(u.from.Minor, "MINOR", u.to.Minor, "MINOR")
	keyOf := func(d diag.Diagnostic) key { return key{d.Code, d.Path, minors.Replace(d.Message)} }
	known := map[key]bool{}
	for _, d := range compiler.Vet(u.env, u.options.Compile...) {
		known[keyOf(d)] = true
	}
	node := values.FromCUE(u.env.Values, load.Author)
	for _, d := range compiler.Vet(u.next, u.options.Compile...) {
		if !known[keyOf(d)] {
			u.add(u.finding(d, &node))
		}
	}
	return nil
}

// root stands in front of the path of a Helm value.
const root = "environment.values."

// keyCodes are the codes of keys that are gone or about to go.
var keyCodes = []string{values.CodeUnknown, values.CodeRemoved, values.CodeRenamed, values.CodeIgnored, values.CodeDeprecated}

func (u *upgrade) finding(d diag.Diagnostic, node *values.Node) Change {
	path, ofValue := strings.CutPrefix(d.Path, root)
	c := Change{Kind: Environment, Severity: d.Severity, Code: d.Code, Path: path,
		Message: d.Message, Hint: d.Hint, Positions: d.Positions, URL: d.URL}
	switch {
	case !ofValue:
		c.Message = fmt.Sprintf("%s: %s", d.Path, d.Message)
	case slices.Contains(keyCodes, d.Code):
		c.Kind = Key
		u.moved(&c, node)
	case strings.HasPrefix(d.Code, "values/"):
		c.Kind = Value
	default:
		c.Message = fmt.Sprintf("%s: %s", path, d.Message)
	}
	return c
}

// moved says what the table knows of a key that is going.
func (u *upgrade) moved(c *Change, node *values.Node) {
	c.Effect = values.Ignored.String()
	names, err := values.Split(c.Path)
	if err != nil {
		return
	}
	value, ok := node.Lookup(names...)
	if !ok {
		value = &values.Node{}
	}
	m, ok := u.to.Moved(c.Path, value)
	if !ok {
		return
	}
	c.Effect, c.Since, c.Replacement = m.Effect.String(), m.Since, m.To
	c.Now = len(m.To) > 0 && !slices.ContainsFunc(m.To, func(to string) bool { _, known := u.from.Lookup(to); return !known })
	if c.Now {
		c.Hint += fmt.Sprintf(", which %s takes already", u.from.Minor)
	}
}

// behaviours are what people wrote down, as far as it concerns this environment.
func (u *upgrade) behaviours() error {
	list, err := values.Behaviours(u.from.Minor, u.to.Minor)
	if err != nil {
		return err
	}
	u.told = map[string]bool{}
	merged := u.to.Merge(u.artifact.Values)
	for _, b := range list {
		if !b.Concerns(u.artifact.Values, merged) {
			continue
		}
		c := Change{Kind: Behaviour, Severity: b.Severity, Path: b.Key, Message: b.Text, Since: b.Minor}
		if b.Key != "" {
			u.told[b.Key] = true
			c.From, c.To = defaultOf(u.from, b.Key), defaultOf(u.to, b.Key)
		}
		u.add(c)
	}
	return nil
}

// absent stands for what has no default.
const absent = "absent"

// isNothing holds for what a template takes for no value.
func isNothing(text string) bool {
	return slices.Contains([]string{absent, "null", "false", "0", `""`, "{}", "[]"}, text)
}

func defaultOf(t *values.Table, path string) string {
	v, ok := t.Default(path)
	if !ok {
		return absent
	}
	return text(v)
}

func text(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(data)
}

// defaults are those of keys that both charts have and the environment leaves
// alone. What the newer chart has for itself is no change of this environment.
func (u *upgrade) defaults() error {
	for _, k := range u.from.Keys() {
		next, known := u.to.Lookup(k.Path)
		if !k.Known() || !known || next.Path != k.Path || u.told[k.Path] || !k.Leaf() && !next.Leaf() || !values.AtDefault(u.artifact.Values, k.Path) {
			continue
		}
		from, to := defaultOf(u.from, k.Path), defaultOf(u.to, k.Path)
		if from == to || isNothing(from) && isNothing(to) {
			continue
		}
		if !u.options.AllDefaults {
			u.report.DefaultsLeftOut++
			continue
		}
		u.add(Change{Kind: Default, Severity: diag.Info, Path: k.Path, From: from, To: to})
	}
	return nil
}

// layoutTexts say what a layout has that the one before it has not.
var layoutTexts = map[state.Layout]string{
	state.Cilium118: "slots carry the flags of their service, and source ranges stand for every frontend of one",
	state.Cilium119: "each address of a service has a wildcard entry",
	state.Cilium120: "new maps of services, affinity matches, source ranges and Maglev tables are read-only to programs; pinned ones are kept",
}

// layout tells of another form of the maps: what the agent has to expect.
func (u *upgrade) layout() error {
	from, to := u.report.From.Layout, u.report.To.Layout
	if from == to {
		return nil
	}
	c := Change{Kind: Layout, Severity: diag.Info, Path: "layout", From: from.String(), To: to.String(),
		Message: "plumb-agent expects the new layout as soon as it has the new settings, and finds drift on each node where the Cilium before it still runs"}
	if u.env.Datapath.Mode != state.Observe {
		c.Severity = diag.Warning
		c.Positions = u.env.Positions("datapath", "mode")
		c.Hint = fmt.Sprintf("it would write there: set datapath: mode to %q until all nodes run the new one", state.Observe)
	}
	u.add(c)
	for layout := from + 1; layout <= to; layout++ {
		u.add(Change{Kind: Layout, Severity: diag.Info, Path: "layout", Since: strings.TrimPrefix(layout.String(), "cilium/"), Message: fmt.Sprintf("%s: %s", layout, layoutTexts[layout])})
	}
	if from == state.Cilium120 && to < from {
		u.add(Change{Kind: Layout, Severity: diag.Warning, Path: "layout",
			Message: "agents before 1.20 replace the maps that 1.20 made read-only to programs by empty ones when they start"})
	}
	return nil
}

// settings are those of the datapath that come out otherwise. Where the new
// version takes the values at all, that is; what it does not take is found.
func (u *upgrade) settings() error {
	next, _ := lower.Settings(u.next, u.to.Merge(u.artifact.Values))
	if next == nil {
		return nil
	}
	list, err := compare.Sides(compare.Side{Settings: u.artifact.Settings}, compare.Side{Settings: next}, compare.Settings)
	if err != nil {
		return err
	}
	for _, d := range list {
		if d.Path == "chartVersion" || d.Path == "layout" {
			continue
		}
		c := Change{Kind: Setting, Severity: diag.Info, Path: d.Path, From: absent, To: absent}
		if d.Op != compare.Added {
			c.From = text(d.From)
		}
		if d.Op != compare.Removed {
			c.To = text(d.To)
		}
		u.add(c)
	}
	return nil
}
