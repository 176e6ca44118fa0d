// SPDX-License-Identifier: Apache-2.0

package render

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"plumbline.dev/plumbline/compiler/chart"
	"plumbline.dev/plumbline/compiler/chart/charttest"
)

func TestNamed(t *testing.T) {
	values := map[string]any{"hubble": 1, "kubeProxyReplacement": 1, "agent": 1, "tunnel": 1, "ipam": 1, "loadBalancer": 1}
	for text, want := range map[string]string{
		"Hubble UI requires .Values.hubble.relay.enabled=true":   "hubble.relay.enabled",
		".Values.not.there must be set":                          "not.there",
		"kubeProxyReplacement must be explicitly set":            "kubeProxyReplacement",
		"set loadBalancer, see docs.cilium.io/en/v1.15/x":        "loadBalancer",
		"tunnel was deprecated in v1.14":                         "tunnel",
		"the agent needs more":                                   "",
		"the agent=false is wrong":                               "agent",
		"Value ipam.operator.clusterPool removed, use ipam.list": "ipam.operator.clusterPool ipam.list",
		"at /ipam/mode: wrong":                                   "ipam.mode",
		"at '/ipam/mode': wrong":                                 "ipam.mode",
		"executing at <.Values.hubble.tls.AsMap>":                "hubble.tls",
		"":                        "",
		". .. / .Values .Values.": "",
	} {
		var got []string
		for _, path := range distinct(named(text, values)) {
			got = append(got, strings.Join(path, "."))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q names %v, want %s", text, got, want)
		}
	}
}

func TestRefusals(t *testing.T) {
	files := charttest.Files{
		"Chart.yaml": "apiVersion: v2\nname: cilium\nversion: 1.0.0\n",
		"templates/_helpers.tpl": `{{- define "check" -}}
{{- if gt (int .Values.a.count) 3 }}
{{ fail "too many" }}
{{- end }}
{{- end }}`,
		"templates/a.yaml": `{{- include "check" . }}
{{- if hasKey .Values.a "old" }}{{ fail (printf "old is %s" "gone") }}{{ end }}
{{- if (dig "b" "c" "" .Values.AsMap) }}{{ fail "no c" }}{{ end }}
{{- range $.Values.list }}{{- if eq (int .) 2 }}{{ fail "no two" }}{{ end }}{{- end }}
{{- $x := required "name is required" .Values.name }}
{{- with .Values.a }}{{ else }}{{ fail "an a, please" }}{{ end }}
`,
	}
	type want struct{ template, keys string }
	for values, wants := range map[string]map[string]want{
		"{a: {count: 9}, name: x}": {"the chart refuses: too many": {"cilium/templates/_helpers.tpl:3:3", "a.count"}},
		"{a: {count: 9, old: 1}, b: {c: x}, list: [1, 2], name: ''}": {
			"the chart refuses: too many":         {"cilium/templates/_helpers.tpl:3:3", "a.count"},
			"the chart refuses: old is gone":      {"cilium/templates/a.yaml:2:35", "a.old a"},
			"the chart refuses: no c":             {"cilium/templates/a.yaml:3:43", "b.c"},
			"the chart refuses: no two":           {"cilium/templates/a.yaml:4:51", "list"},
			"the chart refuses: name is required": {"", "name"},
		},
		"{a: {}, name: x}": {"the chart refuses: an a, please": {"cilium/templates/a.yaml:6:34", "a"}},
		"{a: {count: 1}}":  {"the chart refuses: name is required": {"cilium/templates/a.yaml:5:10", "name"}},
	} {
		got := map[string]want{}
		for _, p := range problems(t, read(t, files), request(t, values)) {
			if p.Code != chart.CodeRefused {
				t.Errorf("%s: %+v", values, p)
			}
			var keys []string
			for _, key := range p.Keys {
				keys = append(keys, strings.Join(key, "."))
			}
			got[p.Message] = want{p.Template, strings.Join(keys, " ")}
		}
		if diff := cmp.Diff(wants, got, cmp.AllowUnexported(want{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", values, diff)
		}
	}
}

func TestBrokenTemplates(t *testing.T) {
	for name, test := range map[string]struct{ template, message, place string }{
		"nil":       {"\n{{ .Values.a.b.c }}", "a template of the chart breaks: executing \"cilium/templates/a.yaml\" at <.Values.a.b.c>: nil pointer evaluating interface {}.c", "cilium/templates/a.yaml:2:10"},
		"syntax":    {"{{ if }}", "missing value for if", "cilium/templates/a.yaml:1"},
		"function":  {"{{ nothing }}", `function "nothing" not defined`, "cilium/templates/a.yaml:1"},
		"include":   {`{{ include "x" . }}`, `no template "x" associated`, "cilium/templates/a.yaml:1:3"},
		"no YAML":   {"a: [", "cilium/templates/a.yaml gives no YAML", "cilium/templates/a.yaml"},
		"no object": {"a: 1", "is no object of Kubernetes", "cilium/templates/a.yaml"},
		"no name":   {"apiVersion: v1\nkind: X", "is no object of Kubernetes", "cilium/templates/a.yaml"},
		"a list":    {"- a", "gives no YAML", "cilium/templates/a.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			files := charttest.Small("1.0.0", test.template)
			files["values.yaml"] = "a: {}\n"
			p := problems(t, read(t, files), request(t, ""))[0]
			if p.Code != chart.CodeTemplate || !strings.Contains(p.Message, test.message) || p.Template != test.place {
				t.Errorf("problem %+v, want %q at %s", p, test.message, test.place)
			}
		})
	}
}
