// SPDX-License-Identifier: Apache-2.0

package rules_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/rules"
	"plumbline.dev/plumbline/compiler/values"
)

// Guards leave out nothing that is found, whatever the chart and its switch.
func TestGuardsLeaveNothingOut(t *testing.T) {
	set := own(t)
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
	set := own(t)
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
