// SPDX-License-Identifier: Apache-2.0

package compiler_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"plumbline.dev/plumbline/compiler"
	"plumbline.dev/plumbline/compiler/chart"
	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/load"
)

const toRender = `package x

import "plumbline.dev/plumbline/schema"

environment: schema.#Environment & {
	name: "x"
	chart: {version: "1.17.2", source: "./charts"}
	api: host: "a.example.com"
	cluster: {
		kubernetes: "1.33"
		apiVersions: ["monitoring.coreos.com/v1"]
	}
	values: {
		hubble: ui: enabled: true
		tolerations: [{key: "a"}]
		operator: replicas: "two"
	}
	rules: {
		"chart/template": severity: "warning"
		"chart/kubernetes": {severity: "off", reason: "tested by hand"}
	}
}
`

// prepared gives an environment made of text, and what is found of it.
func prepared(t *testing.T, text string) (*compiler.Rendering, diag.List) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x.cue"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	env, list := load.Load(load.Source{Dir: dir, Folder: load.Folder{Dir: dir, WorkDir: dir}})
	rendering, more := compiler.Prepare(env)
	return rendering, append(list, more...)
}

// What a chart says is found at the author's line: of the value, of the field
// that it follows from, or of the object around it.
func TestRenderingFindings(t *testing.T) {
	rendering, list := prepared(t, toRender)
	if rendering == nil || list.Count(diag.Error) != 2 {
		t.Fatalf("rendering %v beside %v", rendering, list)
	}
	key := func(path string) []string { return strings.Split(path, ".") }
	refused := func(message string, keys ...string) chart.Problem {
		p := chart.Problem{Code: chart.CodeRefused, About: chart.AboutValues, Message: message, Template: "cilium/templates/a.yaml:1:2"}
		for _, k := range keys {
			p.Keys = append(p.Keys, key(k))
		}
		return p
	}
	rule := refused("told by a rule already", "hubble.relay.enabled")
	schema := refused("told by the table already", "operator.replicas")
	schema.Code = chart.CodeSchema
	broken := refused("weighs less")
	broken.Code = chart.CodeTemplate
	got := rendering.Findings(chart.Result{Problems: []chart.Problem{
		refused("not written, but another", "hubble.export.static", "hubble.ui.enabled"),
		refused("not written", "hubble.export.static"),
		refused("nowhere", "ipam.mode"),
		refused("follows from a field", "k8sServiceHost"),
		refused("in a list", "tolerations.0.key"),
		schema, rule, broken,
		{Code: chart.CodeVersion, About: chart.AboutVersion, Message: "version"},
		{Code: chart.CodeSource, About: chart.AboutSource, Message: "source"},
		{Code: chart.CodeDigest, About: chart.AboutDigest, Message: "digest"},
		{Code: chart.CodeKubernetes, About: chart.AboutKubernetes, Message: "left out by a rule"},
	}})
	var text bytes.Buffer
	if err := got.WriteText(&text, false); err != nil {
		t.Fatal(err)
	}
	want := `x.cue:7:9: error: environment.chart.digest: digest [chart/digest]
x.cue:7:19: error: environment.chart.version: version [chart/version]
x.cue:7:37: error: environment.chart.source: source [chart/source]
x.cue:8:13: error: environment.api.host: follows from a field (cilium/templates/a.yaml:1:2) [chart/refused]
x.cue:13:10: warning: environment.values: weighs less (cilium/templates/a.yaml:1:2) [chart/template]
x.cue:13:10: error: environment.values.ipam.mode: nowhere (cilium/templates/a.yaml:1:2) [chart/refused]
x.cue:14:3: error: environment.values.hubble: not written (cilium/templates/a.yaml:1:2) [chart/refused]
x.cue:14:15: error: environment.values.hubble.ui.enabled: not written, but another (cilium/templates/a.yaml:1:2) [chart/refused]
x.cue:15:3: error: environment.values.tolerations: in a list (cilium/templates/a.yaml:1:2) [chart/refused]
`
	if diff := cmp.Diff(want, text.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRenderingRequest(t *testing.T) {
	rendering, _ := prepared(t, toRender)
	got, err := rendering.Request([]string{"/repo"}, "/elsewhere")
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]any
	if err := json.Unmarshal(got.Values, &values); err != nil {
		t.Fatal(err)
	}
	if values["k8sServiceHost"] != "a.example.com" || values["hubble"] == nil {
		t.Errorf("values %v", values)
	}
	got.Values = nil
	want := chart.Request{
		Reference:  chart.Reference{Name: "cilium", Version: "1.17.2", Source: "./charts", Roots: []string{"/repo"}, Path: "/elsewhere"},
		Release:    chart.Release{Name: "cilium", Namespace: "kube-system"},
		Kubernetes: "1.33", APIVersions: []string{"monitoring.coreos.com/v1"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Without values there is nothing to render; Vet's findings are there all the same.
func TestPrepareIncomplete(t *testing.T) {
	for _, broken := range []string{
		strings.Replace(toRender, `name: "x"`, `name: 7`, 1),
		strings.Replace(toRender, `"1.17.2"`, `"1.2.3"`, 1),
		"package x\n",
	} {
		if rendering, list := prepared(t, broken); rendering != nil || list.Count(diag.Error) == 0 {
			t.Errorf("a rendering of %s, beside %v", broken, list)
		}
	}
}

// A chart's codes may be weighed by rules, each of them.
func TestChartCodesCanBeWeighed(t *testing.T) {
	known := strings.Join(compiler.Codes(), " ") + " "
	for _, code := range chart.Codes() {
		if !strings.Contains(known, string(code)+" ") {
			t.Errorf("no rule can weigh %s", code)
		}
	}
}
