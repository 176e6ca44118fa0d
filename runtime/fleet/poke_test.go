// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"log/slog"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic/fake"
)

// A Kustomization is told, unless it is suspended: it would not look.
func TestPoke(t *testing.T) {
	for _, suspended := range []bool{false, true} {
		k := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
			"metadata": map[string]any{"namespace": "flux-system", "name": "gate"}, "spec": map[string]any{"suspend": suspended},
		}}
		client := fake.NewSimpleDynamicClient(runtime.NewScheme(), k)
		c := &Controller{cfg: Config{Client: client, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now }}}
		datapath := &unstructured.Unstructured{}
		datapath.SetLabels(map[string]string{ownerLabel + "name": "gate", ownerLabel + "namespace": "flux-system"})
		if err := c.poke(t.Context(), datapath); err != nil {
			t.Fatal(err)
		}
		got, err := client.Resource(kustomizations).Namespace("flux-system").Get(t.Context(), "gate", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if told := got.GetAnnotations()[requestedAt] != ""; told == suspended {
			t.Errorf("suspended %v: told %v", suspended, told)
		}
	}
}
