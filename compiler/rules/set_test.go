// SPDX-License-Identifier: Apache-2.0

package rules_test

import (
	"testing"

	"plumbline.dev/plumbline/compiler/rules"
)

func TestOwnRulesAreRules(t *testing.T) {
	set := rules.Own()
	if len(set.Rules) == 0 {
		t.Fatal("there are no rules")
	}
	// Nothing is stated: each rule has to stand it.
	for _, d := range set.Judge(rules.Input{Typed: true, Chart: "1.17.2"}) {
		if d.Code == rules.CodeBroken {
			t.Errorf("%v %s", d.Positions, d.Line())
		}
	}
}
