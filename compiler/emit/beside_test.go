// SPDX-License-Identifier: Apache-2.0

package emit

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"plumbline.dev/plumbline/schema/state"
)

// Two environments of one cluster, each with namespaces and a release of its own,
// have nothing in common but the definitions of Plumbline's resources, which are the
// same to the byte.
func TestEnvironmentsStandBesideEachOther(t *testing.T) {
	first, o := guarded(state.Observe)
	second, _ := guarded(state.Observe)
	second.Name, second.Agent.Namespace = "edge", "plumbline-edge"
	second.Flux.Namespace, second.Flux.Release.Namespace = "edge", "edge-system"
	first.Agent.Monitoring.Dashboard.Namespace, second.Agent.Monitoring.Dashboard.Namespace = "grafana", "grafana"

	one, other := objectsOf(t, manifests(t, first, nil, o)), objectsOf(t, manifests(t, second, nil, o))
	var both []string
	for name, data := range one {
		if _, ok := other[name]; !ok {
			continue
		}
		if !strings.HasPrefix(name, "CustomResourceDefinition ") {
			both = append(both, name)
		}
		if diff := cmp.Diff(data, other[name]); diff != "" {
			t.Errorf("%s is not the same in both (-dev +edge):\n%s", name, diff)
		}
	}
	if len(both) > 0 {
		t.Errorf("both environments write %q", both)
	}
}

// objectsOf gives all objects among files, by kind, namespace and name.
func objectsOf(t *testing.T, files map[string][]byte) map[string]string {
	t.Helper()
	list := map[string]string{}
	for file, data := range files {
		if strings.HasSuffix(file, Kustomization) {
			continue
		}
		for _, text := range strings.Split(string(data), "---\n") {
			var o struct {
				Kind     string
				Metadata struct{ Namespace, Name string }
			}
			if err := yaml.Unmarshal([]byte(text), &o); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			list[o.Kind+" "+o.Metadata.Namespace+"/"+o.Metadata.Name] = text
		}
	}
	return list
}
