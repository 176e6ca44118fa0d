// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"plumbline.dev/plumbline/runtime/api/v1alpha1"
)

// ownerLabel begins the labels by which Flux says which Kustomization applied an object.
const ownerLabel = "kustomize.toolkit.fluxcd.io/"

// poke has Flux look at the Kustomization that applied the Datapath, which would see
// the change at its next interval only. A Datapath that Flux did not apply has none.
func (c *Controller) poke(ctx context.Context, datapath *unstructured.Unstructured) error {
	name, namespace := datapath.GetLabels()[ownerLabel+"name"], datapath.GetLabels()[ownerLabel+"namespace"]
	if name == "" || namespace == "" {
		return nil
	}
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, requestedAt, c.cfg.Now().UTC().Format(time.RFC3339Nano))
	_, err := c.cfg.Client.Resource(kustomizations).Namespace(namespace).Patch(ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("tell Flux's Kustomization %s/%s: %w", namespace, name, err)
	}
	return nil
}

// say makes an Event of what the Datapath came to.
func (c *Controller) say(ctx context.Context, datapath *unstructured.Unstructured, s v1alpha1.DatapathStatus) error {
	ready := meta.FindStatusCondition(s.Conditions, v1alpha1.Ready)
	kind := corev1.EventTypeNormal
	if ready.Status != metav1.ConditionTrue {
		kind = corev1.EventTypeWarning
	}
	now := metav1.NewTime(c.cfg.Now().UTC())
	event := corev1.Event{
		TypeMeta:       metav1.TypeMeta{APIVersion: "v1", Kind: "Event"},
		ObjectMeta:     metav1.ObjectMeta{Name: fmt.Sprintf("%s.%x", c.cfg.Datapath, c.cfg.Now().UnixNano()), Namespace: c.cfg.Namespace},
		InvolvedObject: corev1.ObjectReference{APIVersion: datapath.GetAPIVersion(), Kind: datapath.GetKind(), Name: datapath.GetName(), Namespace: datapath.GetNamespace(), UID: datapath.GetUID(), ResourceVersion: datapath.GetResourceVersion()},
		Type:           kind, Reason: ready.Reason, Message: ready.Message, Count: 1, FirstTimestamp: now, LastTimestamp: now,
		Source: corev1.EventSource{Component: "plumb-controller"},
	}
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&event)
	if err == nil {
		_, err = c.cfg.Client.Resource(events).Namespace(c.cfg.Namespace).Create(ctx, &unstructured.Unstructured{Object: object}, metav1.CreateOptions{})
	}
	if err != nil {
		return fmt.Errorf("event: %w", err)
	}
	return nil
}
