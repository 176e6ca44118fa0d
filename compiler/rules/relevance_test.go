// SPDX-License-Identifier: Apache-2.0

package rules_test

import (
	"fmt"
	"slices"
	"testing"

	"plumbline.dev/plumbline/compiler/rules"
	"plumbline.dev/plumbline/compiler/values"
)

// Where nothing is stated but what is common, no rule finds anything that is not
// of standing; and each of those does, somewhere.
func TestStanding(t *testing.T) {
	set := own(t)
	fired := map[string]bool{}
	for _, chart := range []string{"1.17.2", "1.18.6", "1.19.0", "1.20.2"} {
		table, err := values.For(chart)
		if err != nil {
			t.Fatal(err)
		}
		for _, author := range []map[string]any{nil, {"kubeProxyReplacement": true}, {"kubeProxyReplacement": false}, {"kubeProxyReplacement": "true"}} {
			for _, release := range []map[string]any{nil, {}} {
				for _, platform := range rules.CommonPlatforms {
					in := rules.Input{Values: table.Effective(author), Author: author, Chart: chart, Platform: platform, Release: release, Load: release, Typed: true}
					for _, d := range set.JudgeAll(in) {
						fired[d.Code] = true
						if d.Code != rules.CodeUnknownFact && !slices.Contains(rules.Standing, d.Code) {
							t.Errorf("%s %v on %q: %s is not of standing: %s", chart, author, platform, d.Code, d.Line())
						}
					}
					equal(t, set, in, fmt.Sprintf("%s %v %v", chart, author, release))
				}
			}
		}
	}
	for _, code := range rules.Standing {
		if _, ok := set.Find(code); !ok {
			t.Errorf("%s is no rule", code)
		}
	}
}

// equal tells where the choice of what is relevant changes what is found.
func equal(t *testing.T, set *rules.Set, in rules.Input, name string) {
	t.Helper()
	all, some := set.JudgeAll(in), set.Judge(in)
	for _, d := range all {
		if !slices.ContainsFunc(some, func(o diagnostic) bool { return o.Code == d.Code && o.Line() == d.Line() }) {
			t.Errorf("%s: what is relevant leaves out %s: %s", name, d.Code, d.Line())
		}
	}
	if len(all) != len(some) {
		t.Errorf("%s: %d findings of what is relevant, %d of all", name, len(some), len(all))
	}
}
