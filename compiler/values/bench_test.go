// SPDX-License-Identifier: Apache-2.0

package values

import (
	"os"
	"testing"

	"cuelang.org/go/cue/cuecontext"
)

const devValues = `
kubeProxyReplacement: true
k8sServiceHost: api.dev.example
k8sServicePort: 6443
cluster: {name: dev, id: 7}
routingMode: native
ipv4NativeRoutingCIDR: 10.0.0.0/8
autoDirectNodeRoutes: true
loadBalancer: {mode: dsr, algorithm: maglev, acceleration: best-effort}
maglev: {tableSize: 16381}
bpf: {masquerade: true, mapDynamicSizeRatio: 0.0025, vlanBypass: [0]}
cgroup: {autoMount: {enabled: false}, hostRoot: /sys/fs/cgroup}
hubble: {enabled: true, relay: {enabled: true, replicas: 2}, ui: {enabled: true}}
operator: {replicas: 2, podAnnotations: {example.com/team: net}}
ipam: {mode: cluster-pool, operator: {clusterPoolIPv4PodCIDRList: [10.0.0.0/8]}}
rollOutCiliumPods: true
`

func BenchmarkParse(b *testing.B) {
	text, err := os.ReadFile("tables/1.17.txt")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := Parse(string(text)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	table, err := For("1.17.2")
	if err != nil {
		b.Fatal(err)
	}
	dev, found := FromYAML("dev.yaml", []byte(devValues))
	if found = append(found, table.Check(dev, Options{})...); len(found) > 0 {
		b.Fatal(render(found))
	}
	typo, _ := FromYAML("typo.yaml", []byte(devValues+"kubeProxyReplacment: true\nhubbel: {}\n"))
	for name, node := range map[string]Node{"dev": dev, "two typos": typo, "all defaults": FromData(table.Defaults())} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				table.Check(node, Options{Root: "environment.values"})
			}
		})
	}
}

func BenchmarkFromCUE(b *testing.B) {
	dev, _ := FromYAML("dev.yaml", []byte(devValues))
	v := cuecontext.New().Encode(dev.Data())
	for b.Loop() {
		FromCUE(v, nil)
	}
}

func BenchmarkFromYAML(b *testing.B) {
	for b.Loop() {
		FromYAML("dev.yaml", []byte(devValues))
	}
}
