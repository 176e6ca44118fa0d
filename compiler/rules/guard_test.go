// SPDX-License-Identifier: Apache-2.0

package rules_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/rules"
	"plumbline.dev/plumbline/compiler/values"
)

// Guards leave out nothing that is found, whatever the chart and its switch.
func TestGuardsLeaveNothingOut(t *testing.T) {
	set := rules.Own()
	for _, chart := range []string{"1.17.2", "1.18.6", "1.19.0", "1.20.2"} {
		table, err := values.For(chart)
		if err != nil {
			t.Fatal(err)
		}
		for _, author := range []map[string]any{nil, {"kubeProxyReplacement": true}, {"kubeProxyReplacement": "true", "k8sServicePort": 443}} {
			for _, platform := range []string{"", "talos", "kind", "eks"} {
				in := rules.Input{Values: table.Effective(author), Author: author, Chart: chart, Platform: platform, Typed: true}
				equal(t, set, in, fmt.Sprintf("%s %v on %q", chart, author, platform))
			}
		}
	}
}

// Numbers come from YAML, from CUE and from Go.
func TestGuardsReadEveryNumber(t *testing.T) {
	set := rules.Own()
	table, err := values.For("1.17.2")
	if err != nil {
		t.Fatal(err)
	}
	for _, mtu := range []any{9000, int64(9000), uint16(9000), 9000.0, json.Number("9000"), json.Number("9e3")} {
		author := map[string]any{"MTU": mtu}
		in := rules.Input{Values: table.Effective(author), Author: author, Chart: "1.17.2", Cluster: map[string]any{"mtu": int64(1500)}, Typed: true}
		if found := equal(t, set, in, fmt.Sprintf("%T", mtu)); mtu != json.Number("9e3") && !slices.ContainsFunc(found, func(d diag.Diagnostic) bool { return d.Code == "mtu/impossible" }) {
			t.Errorf("%T %v: nothing is found", mtu, mtu)
		}
	}
}

// equal tells where guards change what is found, and gives what that is.
func equal(t *testing.T, set *rules.Set, in rules.Input, name string) diag.List {
	t.Helper()
	all, some := set.JudgeAll(in), set.Judge(in)
	for _, d := range all {
		if !slices.ContainsFunc(some, func(o diag.Diagnostic) bool { return o.Code == d.Code && o.Line() == d.Line() }) {
			t.Errorf("%s: guards leave out %s: %s", name, d.Code, d.Line())
		}
	}
	if len(all) != len(some) {
		t.Errorf("%s: %d findings behind guards, %d of all", name, len(some), len(all))
	}
	return some
}

// What a guard makes of a condition is what CUE makes of it, whatever is in the
// input: a condition that fails in error is CUE's to tell.
func TestGuardsReadConditionsAsCUEDoes(t *testing.T) {
	conditions := []string{
		`(net.IP & author.a) != _|_`, `(net.IPCIDR & author.a) != _|_`, `net.InCIDR(author.a, author.b)`,
		`(#Overlap & {a: author.a, b: author.b}).out`, `author.a =~ "^1"`, `author.a == author.b`, `author.a < author.b`,
		`(author.a & int) != _|_`, `(author.a & number) != _|_`, `(author.a & string) != _|_`, `(author.a & [...]) != _|_`,
		`author.a.c != _|_`, `author.a["c"] == 1`, `"x\(author.a)y" == "x1y"`, `len(author.a) == 2`, `author.a[1] == "b"`,
		`!author.a`, `author.a && author.b != null`, `[if author.a == 1 {true}, false][0]`,
		`author.a == null`, `net.InCIDR("10.0.0.1", author.b)`,
	}
	inputs := []any{
		nil, true, 1, 1.0, 1.5, json.Number("1e0"), "", "1", "10.0.0.1", "010.0.0.1", "::1", "fe80::1%eth0", "::ffff:10.0.0.1", "a.example",
		"10.0.0.0/8", "10.1.0.0/16", "10.0.0.5/8", "fd00::/8", "::ffff:10.0.0.0/100", "10.0.0.0/33", "10.0.0.0/08",
		[]any{}, []any{"a", "b"}, map[string]any{"c": 1}, map[string]any{},
	}
	var text strings.Builder
	text.WriteString("package rules\n\nimport \"net\"\n")
	for i, c := range conditions {
		fmt.Fprintf(&text, "rule: \"team/c%d\": {title: \"t\", why: \"w\", mend: \"m\", found: [if %s {at: [\"values.a\"], message: \"found \\(author.a)\"}]}\n", i, c)
		fmt.Fprintf(&text, "rule: \"team/f%d\": {title: \"t\", why: \"w\", mend: \"m\", found: [for k in [\"a\", \"b\"] if author[k] != _|_ let v = author[k] if %s {at: [\"values.\\(k)\"], message: \"\\(v) of \\(k)\"}]}\n", i, c)
	}
	set, list := rules.Parse([]rules.Source{{Name: "team.cue", Text: []byte(text.String())}})
	if len(list) > 0 {
		t.Fatal(list)
	}
	for _, a := range inputs {
		for _, b := range inputs {
			author := map[string]any{"a": a, "b": b}
			equal(t, set, rules.Input{Values: author, Author: author, Chart: "1.17.2", Typed: true}, fmt.Sprintf("a %#v, b %#v", a, b))
		}
	}
}
