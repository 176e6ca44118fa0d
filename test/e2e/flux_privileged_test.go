// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"testing"
)

// What is published is applied, and a new revision of it too: the tests' own
// ground.
func TestPrivilegedFluxApplies(t *testing.T) {
	f := newFlux(t, newCluster(t))
	for _, value := range []string{"one", "two"} {
		revision := f.publish(t, map[string][]byte{"plain/map.yaml": []byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: plain, namespace: default}\ndata: {value: " + value + "}\n")})
		if value == "one" {
			k := kustomization("plain")
			k.Object["spec"] = map[string]any{"interval": "10m", "path": "./plain", "prune": true, "wait": true, "sourceRef": map[string]any{"kind": "GitRepository", "name": sourceName}}
			f.create(t, k)
		}
		f.await(t, kustomization("plain"), "Ready at "+revision, applied(revision))
		if got := f.await(t, named("v1", "ConfigMap", "default", "plain"), "there", func(r resource) bool { return r.Object["data"] != nil }).text("data", "value"); got != value {
			t.Errorf("the ConfigMap has %q, want %q", got, value)
		}
	}
}
