// SPDX-License-Identifier: Apache-2.0

package compiler_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

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
		"right":             {"MTU: 1", compiler.Plain{Version: "1.17.2"}, ""},
		"a slip":            {"MTUU: 1", compiler.Plain{Version: "1.17.2", Root: "spec.values"}, "v.yaml:1:1: error: spec.values.MTUU: \"MTUU\" is no value of the Cilium 1.17 chart: it renders and does nothing; did you mean \"MTU\"? [values/unknown-key]\n"},
		"allowed":           {"mine: {a: 1}", compiler.Plain{Version: "1.17.2", Root: "values", AllowUnknown: []string{"mine"}}, "v.yaml:1:1: info: values.mine: "},
		"below an umbrella": {"cilium: {MTU: x}\nother: 1", compiler.Plain{Version: "1.17.2", Root: "values"}, "v.yaml:1:10: error: values.cilium.MTU: \"MTU\" takes an integer, not the string \"x\""},
		"no such chart":     {"MTU: 1", compiler.Plain{Version: "0.1.0", VersionAt: at}, "chart.txt:7: error: chart.version: no table of Helm values for Cilium chart \"0.1.0\""},
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
			got := b.String()
			if len(c.want) > 0 && c.want[len(c.want)-1] != '\n' && len(got) > len(c.want) {
				got = got[:len(c.want)]
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
