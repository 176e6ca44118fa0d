// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// ownerLabel begins the labels by which Flux says which Kustomization applied an object.
const ownerLabel = "kustomize.toolkit.fluxcd.io/"

// poke has Flux look at the Kustomization that applied the Datapath, which would see
// the change at its next interval only. A Datapath that Flux did not apply has none, and
// one that is suspended would not look: it does so once it is resumed.
func (c *Controller) poke(ctx context.Context, datapath *unstructured.Unstructured) error {
	owner := kustomizationOf(datapath)
	if owner == nil {
		return nil
	}
	of := c.cfg.Client.Resource(kustomizations).Namespace(owner.GetNamespace())
	if k, err := of.Get(ctx, owner.GetName(), metav1.GetOptions{}); err == nil && isSuspended(k) {
		c.cfg.Log.Info("Flux is not told: its Kustomization is suspended", "kustomization", owner.GetNamespace()+"/"+owner.GetName())
		return nil
	}
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, requestedAt, c.cfg.Now().UTC().Format(time.RFC3339Nano))
	_, err := of.Patch(ctx, owner.GetName(), types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("tell Flux's Kustomization %s/%s: %w", owner.GetNamespace(), owner.GetName(), err)
	}
	return nil
}

// isSuspended tells that Flux is to leave an object of its own alone.
func isSuspended(o *unstructured.Unstructured) bool {
	suspended, _, _ := unstructured.NestedBool(o.Object, "spec", "suspend")
	return suspended
}
