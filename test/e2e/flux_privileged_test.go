// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"strings"
	"testing"
)

// What is published is applied, and a new revision of it too, whatever kind of
// source an environment may name that has an artifact: the tests' own ground.
func TestPrivilegedFluxApplies(t *testing.T) {
	f := newFlux(t, newCluster(t))
	for _, s := range []source{gitSource, {"ExternalArtifact", fluxNamespace, "environments"}} {
		name := strings.ToLower(s.kind)
		k := kustomization(name)
		k.Object["spec"] = map[string]any{"interval": "10m", "path": "./plain", "prune": true, "wait": true, "sourceRef": s.ref()}
		for _, value := range []string{"one", "two"} {
			revision := f.publishAs(t, s, map[string][]byte{"plain/map.yaml": []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + ", namespace: default}\ndata: {value: " + value + "}\n")})
			if value == "one" {
				f.create(t, k)
			}
			f.await(t, kustomization(name), "Ready at "+revision, applied(revision))
			if got := f.await(t, named("v1", "ConfigMap", "default", name), "there", func(r resource) bool { return r.Object["data"] != nil }).text("data", "value"); got != value {
				t.Errorf("%s: the ConfigMap has %q, want %q", s.kind, got, value)
			}
		}
	}
}
