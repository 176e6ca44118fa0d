// SPDX-License-Identifier: Apache-2.0

package compiler_test

import (
	"bytes"
	"strings"
	"testing"

	"plumbline.dev/plumbline/compiler"
	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/values"
)

func TestVetPlain(t *testing.T) {
	at := []diag.Position{{File: "chart.txt", Line: 7}}
	for name, c := range map[string]struct {
		values string
		plain  compiler.Plain
		want   string
	}{
		"right":             {"MTU: 1450", compiler.Plain{Version: "1.17.2"}, ""},
		"a slip":            {"MTUU: 1", compiler.Plain{Version: "1.17.2", Root: "spec.values"}, "v.yaml:1:1: error: spec.values.MTUU: \"MTUU\" is no value of the Cilium 1.17 chart: it renders and does nothing; did you mean \"MTU\"? [values/unknown-key]\n"},
		"allowed":           {"mine: {a: 1}", compiler.Plain{Version: "1.17.2", Root: "values", AllowUnknown: []string{"mine"}}, "v.yaml:1:1: info: values.mine: "},
		"below an umbrella": {"cilium: {MTU: x}\nother: 1", compiler.Plain{Version: "1.17.2", Root: "values"}, "v.yaml:1:10: error: values.cilium.MTU: \"MTU\" takes an integer, not the string \"x\""},
		"a rule": {"cgroup:\n  autoMount: {enabled: false}", compiler.Plain{Version: "1.17.2", Root: "spec.values"},
			"v.yaml:2:15: error: spec.values.cgroup.hostRoot: cgroup.autoMount is off and cgroup.hostRoot is /run/cilium/cgroupv2"},
		"a rule of facts": {"kubeProxyReplacement: true\nk8sServiceHost: a\nk8sServicePort: 1",
			compiler.Plain{Version: "1.17.2", Root: "values", Facts: map[string]any{"kernel": "3.10"}, FactsAt: func(path ...string) []diag.Position {
				return []diag.Position{{File: "facts/" + strings.Join(path, "/")}}
			}}, "facts/kernel: "},
		"a rule of the release": {"MTU: 1450", compiler.Plain{Version: "1.17.2", Root: "spec.values",
			Release: map[string]any{"upgrade": map[string]any{"remediation": map[string]any{"strategy": "uninstall"}}},
			ReleaseAt: func(path ...string) []diag.Position {
				return []diag.Position{{File: "release/" + strings.Join(path, "/")}}
			}}, "release/upgrade/remediation/strategy: error: spec.upgrade.remediation.strategy: a failed upgrade uninstalls Cilium"},
		"no such chart": {"MTU: 1", compiler.Plain{Version: "0.1.0", VersionAt: at}, "chart.txt:7: error: chart.version: no table of Helm values for Cilium chart \"0.1.0\""},
	} {
		t.Run(name, func(t *testing.T) {
			n, list := values.FromYAML("v.yaml", []byte(c.values))
			if len(list) > 0 {
				t.Fatal(list)
			}
			c.plain.Values = n
			var b bytes.Buffer
			if err := compiler.VetPlain(c.plain).WriteText(&b, false); err != nil {
				t.Fatal(err)
			}
			if got := b.String(); !strings.Contains(got, c.want) || c.want == "" && strings.Contains(got, " error: ") {
				t.Errorf("want %s, have\n%s", c.want, got)
			}
		})
	}
}
