// SPDX-License-Identifier: Apache-2.0

package rules_test

import (
	"testing"

	"plumbline.dev/plumbline/compiler/rules"
	"plumbline.dev/plumbline/compiler/values"
)

func BenchmarkOwn(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		rules.Own()
	}
}

func BenchmarkJudge(b *testing.B) {
	set := rules.Own()
	table, err := values.For("1.17.2")
	if err != nil {
		b.Fatal(err)
	}
	author := map[string]any{"kubeProxyReplacement": true, "k8sServiceHost": "10.0.0.1", "ipam": map[string]any{"mode": "kubernetes"}}
	in := rules.Input{Values: table.Effective(author), Author: author, Chart: "1.17.2", Platform: "kubeadm", Typed: true}
	b.ReportAllocs()
	for b.Loop() {
		set.Judge(in)
	}
}
