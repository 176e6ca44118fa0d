// SPDX-License-Identifier: Apache-2.0

package adopt_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"plumbline.dev/plumbline/compiler/adopt"
	"plumbline.dev/plumbline/compiler/values"
)

// Whatever environments have in common or not, each comes out of both files as it
// went in: Family proves that itself, and gives no files where it does not hold.
func TestFamilyIsEachAlone(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		var inputs []adopt.Input
		for i := range 1 + r.IntN(3) {
			inputs = append(inputs, adopt.Input{Name: fmt.Sprintf("e%d", i), Version: "1.17.2", Root: "values", Values: values.FromData(randomValues(r))})
		}
		files, found := adopt.Family(inputs)
		for _, d := range found {
			if d.Code == adopt.CodeChanged || d.Code == adopt.CodeNotExpressible {
				t.Fatalf("seed %d: %s", seed, d.Line())
			}
		}
		if len(files) != len(inputs)+1 {
			t.Fatalf("seed %d: %d files for %d environments: %v", seed, len(files), len(inputs), found)
		}
	}
}

func randomValues(r *rand.Rand) map[string]any {
	out := map[string]any{"kubeProxyReplacement": true, "k8sServiceHost": "10.0.0.1", "k8sServicePort": 6443, "ipam": map[string]any{"mode": "kubernetes"}}
	some := func(name string, choices ...any) {
		if i := r.IntN(len(choices) + 1); i < len(choices) {
			out[name] = choices[i]
		}
	}
	some("k8sServiceHost", "10.0.0.2", "api.example.com")
	some("debug", map[string]any{"enabled": true}, map[string]any{"enabled": true, "verbose": "flow"})
	some("devices", []any{"eth0"}, []any{"eth0", "eth1"}, "eth+")
	some("operator", map[string]any{"replicas": 1}, map[string]any{"replicas": 2, "rollOutPods": true}, map[string]any{"nodeSelector": map[string]any{}})
	some("nodeSelector", map[string]any{"kubernetes.io/os": "linux"}, map[string]any{})
	some("tolerations", []any{}, []any{map[string]any{"operator": "Exists"}})
	some("extraArgs", []any{"a"}, []any{"a", "b"})
	some("MTU", 1500, 9000)
	return out
}
