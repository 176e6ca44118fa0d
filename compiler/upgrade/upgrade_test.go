// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"plumbline.dev/plumbline/compiler"
	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/load"
	"plumbline.dev/plumbline/compiler/values"
	"plumbline.dev/plumbline/schema/state"
)

// find finds what a version changes in an environment with the given fields.
func find(t *testing.T, from, to, fields string, o Options) *Report {
	t.Helper()
	dir := t.TempDir()
	text := fmt.Sprintf("package environments\n\nenvironment: {name: \"dev\", chart: version: %q, api: host: \"api\"}\nenvironment: {\n%s\n}\n", from, fields)
	if err := os.MkdirAll(filepath.Join(dir, "dev"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "dev", "dev.cue"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	source, err := load.Folder{Dir: dir, WorkDir: dir}.Find("dev")
	if err != nil {
		t.Fatal(err)
	}
	env, list := load.Load(source)
	artifact, more := compiler.Compile(env)
	if artifact == nil {
		t.Fatal(append(list, more...))
	}
	report, err := Find(env, artifact, to, o)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// lines are the changes of a kind, with their severity.
func (r *Report) lines(kinds ...Kind) []string {
	var out []string
	for _, c := range r.Changes {
		if slices.Contains(kinds, c.Kind) {
			out = append(out, c.Severity.String()+" "+c.String())
		}
	}
	return out
}

// An environment that sets nothing has nothing to mend on the way from any minor
// to the next.
func TestAdjacentMinors(t *testing.T) {
	minors := values.Minors()
	for i := range minors[1:] {
		for _, all := range []bool{false, true} {
			r := find(t, minors[i]+".0", minors[i+1], "values: {}", Options{AllDefaults: all})
			kinds := map[Kind]int{}
			for _, c := range r.Changes {
				kinds[c.Kind]++
				if c.Severity == diag.Error || c.Kind != Behaviour && c.Severity != diag.Info {
					t.Errorf("%s to %s: %s %s", minors[i], minors[i+1], c.Severity, c)
				}
			}
			if kinds[Step]+kinds[Key]+kinds[Value]+kinds[Environment] > 0 {
				t.Errorf("%s to %s: %v", minors[i], minors[i+1], r.Changes)
			}
			if kinds[Behaviour] == 0 || kinds[Layout] == 0 || all != (kinds[Default] > 0) || all == (r.DefaultsLeftOut > 0) {
				t.Errorf("%s to %s: %v, %d left out", minors[i], minors[i+1], kinds, r.DefaultsLeftOut)
			}
			if want := []string{minors[i], minors[i+1]}; !slices.Equal(r.Path, want) {
				t.Errorf("want the path %v, have %v", want, r.Path)
			}
		}
	}
}

func TestFindings(t *testing.T) {
	tests := map[string]struct {
		from, to, fields string
		want             []string
	}{
		"a key that is ignored, with what replaces it": {"1.19.0", "1.20.2", `values: encryption: strictMode: {enabled: true, cidr: "10.0.0.0/8"}`, []string{
			`error key: "encryption.strictMode.cidr" is replaced: since Cilium 1.20 it renders and does nothing; use "encryption.strictMode.egress.cidr", which 1.19 takes already`,
			`error key: "encryption.strictMode.enabled" is replaced: since Cilium 1.20 it renders and does nothing; traffic leaves unencrypted where strict mode would have dropped it; ` +
				`use "encryption.strictMode.egress.enabled", which 1.19 takes already`,
		}},
		"a key that is refused": {"1.17.2", "1.18.6", `values: enableCiliumEndpointSlice: true`, []string{
			`error key: "enableCiliumEndpointSlice" is replaced: since Cilium 1.18 the chart refuses to render; use "ciliumEndpointSlice.enabled", which 1.17 takes already`}},
		"a key that is gone": {"1.17.2", "1.18.6", `values: externalWorkloads: enabled: true`, []string{
			`error key: "externalWorkloads" is gone: since Cilium 1.18 it renders and does nothing; leave it out`}},
		"a key that is deprecated": {"1.17.2", "1.18.6", `values: localRedirectPolicy: true`, []string{
			`warning key: "localRedirectPolicy" is deprecated since Cilium 1.18 and still works; use "localRedirectPolicies.enabled"`}},
		"a key that 1.17 does not have": {"1.18.6", "1.17.2", `values: localRedirectPolicies: enabled: true`, []string{
			`error key: "localRedirectPolicies" is no value of the Cilium 1.17 chart: it renders and does nothing; the chart has it from 1.18 on`}},
		"a type that is not taken": {"1.18.6", "1.17.2", `values: bpf: mapDynamicSizeRatio: "0.08"`, []string{
			`error value: "bpf.mapDynamicSizeRatio" takes a number or null, not the string "0.08": Helm refuses the values; write 0.08 without quotes`}},
		"nothing that was found before": {"1.18.6", "1.19.0", `values: localRedirectPolicy: true`, nil},
		"nothing that a rule leaves out": {"1.17.2", "1.18.6", `values: localRedirectPolicy: true
	rules: "values/deprecated-key": {severity: "off", reason: "known"}`, nil},
		"nothing in the same minor": {"1.17.2", "1.17.9", `values: externalWorkloads: enabled: true`, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := find(t, test.from, test.to, test.fields, Options{})
			if diff := cmp.Diff(test.want, r.lines(Key, Value, Environment)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for _, c := range r.Changes {
				if c.Kind == Key && (len(c.Positions) == 0 || c.Positions[0].File != "dev/dev.cue" || c.Effect == "") {
					t.Errorf("no place or effect: %+v", c)
				}
			}
		})
	}
}

func TestReplacement(t *testing.T) {
	r := find(t, "1.19.0", "1.20.2", `values: encryption: strictMode: enabled: true`, Options{})
	want := Change{Kind: Key, Code: values.CodeRenamed, Path: "encryption.strictMode.enabled", Effect: "ignored", Since: "1.20",
		Replacement: []string{"encryption.strictMode.egress.enabled"}, Now: true}
	got := r.Changes[0]
	got.Message, got.Hint, got.URL, got.Positions = "", "", "", nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestBehaviours(t *testing.T) {
	tests := map[string]struct {
		from, to, fields string
		want             []string // beginnings
		not              []string
	}{
		"left at the default": {"1.18.6", "1.19.0", ``, []string{"warning behaviour: authentication.enabled: true -> false: policies"}, []string{"clustermesh", "extraConfig"}},
		"set":                 {"1.18.6", "1.19.0", `values: authentication: enabled: true`, nil, []string{"authentication.enabled"}},
		"of a feature in use": {"1.18.6", "1.19.0", `values: {clustermesh: useAPIServer: true, cluster: {id: 1, name: "a"}}`, []string{"warning behaviour: clustermesh.policyDefaultLocalCluster: false -> true"}, nil},
		"of an agent's option": {"1.18.6", "1.19.0", `values: extraConfig: "enable-node-port": "true"`,
			[]string{"warning behaviour: the agent has no options enable-node-port"}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			lines := find(t, test.from, test.to, test.fields, Options{}).lines(Behaviour)
			for _, want := range test.want {
				if !slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, want) }) {
					t.Errorf("want %q in:\n%s", want, strings.Join(lines, "\n"))
				}
			}
			for _, not := range test.not {
				if strings.Contains(strings.Join(lines, "\n"), not) {
					t.Errorf("%q in:\n%s", not, strings.Join(lines, "\n"))
				}
			}
		})
	}
}

func TestSteps(t *testing.T) {
	tests := []struct {
		from, to string
		path     []string
		want     []string
	}{
		{"1.17.2", "1.18.6", []string{"1.17", "1.18"}, nil},
		{"1.17.2", "1.17", []string{"1.17"}, nil},
		{"1.17.2", "v1.17.9", []string{"1.17"}, nil},
		{"1.17.2", "1.20", []string{"1.17", "1.18", "1.19", "1.20"}, []string{"1.20 is 3 minors from 1.17"}},
		{"1.18.6", "1.17.2", []string{"1.18", "1.17"}, []string{"1.17.2 is older than 1.18.6"}},
		{"1.18.6", "1.17", []string{"1.18", "1.17"}, []string{"1.17 is older than 1.18.6"}},
		{"1.17.9", "1.17.10", []string{"1.17"}, nil},
		{"1.17.10", "1.17.9", []string{"1.17"}, []string{"1.17.9 is older than 1.17.10"}},
		{"1.20.2", "1.18.6", []string{"1.20", "1.19", "1.18"}, []string{"1.18 is 2 minors from 1.20", "1.18.6 is older than 1.20.2"}},
	}
	for _, test := range tests {
		r := find(t, test.from, test.to, "", Options{})
		if !slices.Equal(r.Path, test.path) {
			t.Errorf("%s to %s: path %v, want %v", test.from, test.to, r.Path, test.path)
		}
		var got []string
		for _, c := range r.Changes {
			if c.Kind == Step {
				before, _, _ := strings.Cut(c.Message, ":")
				got = append(got, before)
			}
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s to %s (-want +got):\n%s", test.from, test.to, diff)
		}
	}
}

func TestLayoutAndSettings(t *testing.T) {
	r := find(t, "1.18.6", "1.19.0", `datapath: mode: "repair"`, Options{})
	if r.From.Layout != state.Cilium118 || r.To.Layout != state.Cilium119 || r.To.Table != "1.19.0" {
		t.Errorf("%+v to %+v", r.From, r.To)
	}
	lines := r.lines(Layout, Setting)
	want := []string{"warning layout: cilium/1.18 -> cilium/1.19: ", "info layout: cilium/1.19: each address", "info setting: loadBalancer.wildcardEntries: false -> true"}
	for i := range want {
		if i >= len(lines) || !strings.HasPrefix(lines[i], want[i]) {
			t.Fatalf("want %v, have:\n%s", want, strings.Join(lines, "\n"))
		}
	}
	if !strings.HasSuffix(lines[0], `set datapath: mode to "observe" until all nodes run the new one`) {
		t.Error(lines[0])
	}
	back := find(t, "1.20.2", "1.19.0", "", Options{}).lines(Layout)
	if !strings.Contains(strings.Join(back, "\n"), "replace the maps that 1.20 made read-only") {
		t.Error(back)
	}
}

func TestUnknownMinor(t *testing.T) {
	for _, version := range []string{"1.16.3", "1.99", "latest", "", "1.18.0-rc.1"} {
		_, err := Find(&load.Environment{Chart: load.Chart{Version: "1.17.2"}}, &compiler.Artifact{}, version, Options{})
		if err == nil || !strings.Contains(err.Error(), "known are the releases of 1.17, ") {
			t.Errorf("%q: %v", version, err)
		}
	}
}

func TestKindWords(t *testing.T) {
	for k := Step; k <= Setting; k++ {
		var back Kind
		if err := back.UnmarshalText([]byte(k.String())); err != nil || back != k {
			t.Errorf("%v: %v, %v", k, back, err)
		}
	}
	if err := new(Kind).UnmarshalText([]byte("keys")); err == nil {
		t.Error("keys are a kind")
	}
}
