// SPDX-License-Identifier: Apache-2.0

package crd

import (
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// Each definition is one, of our group, and a resource of which nobody has said
// anything yet is of no generation.
func TestDefinitions(t *testing.T) {
	list, err := Definitions()
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]bool{}
	for _, tree := range list {
		data, err := yaml.Marshal(tree)
		if err != nil {
			t.Fatal(err)
		}
		var d apiextensionsv1.CustomResourceDefinition
		if err := yaml.UnmarshalStrict(data, &d); err != nil {
			t.Fatal(err)
		}
		kinds[d.Spec.Names.Kind] = true
		v := d.Spec.Versions[0]
		if d.Name != d.Spec.Names.Plural+"."+d.Spec.Group || d.Spec.Group != "plumbline.dev" || v.Name != "v1alpha1" || v.Subresources.Status == nil {
			t.Errorf("%s: %+v", d.Name, d.Spec.Names)
		}
		if status := v.Schema.OpenAPIV3Schema.Properties["status"]; string(status.Default.Raw) != `{"observedGeneration":-1}` {
			t.Errorf("%s: status is %s by default", d.Name, status.Default.Raw)
		}
	}
	if !kinds["Datapath"] || !kinds["DatapathNode"] || len(kinds) != 2 {
		t.Errorf("kinds are %v", kinds)
	}
}
