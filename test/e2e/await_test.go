// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// patience is how long anything may take on a busy machine. No test waits that
// long for something that does come.
const patience = 2 * time.Minute

// resource is an object that a test looks at, whatever its type.
type resource struct {
	*unstructured.Unstructured
}

// named is a resource by its kind, such as "apps/v1 DaemonSet", namespace and name.
func named(apiVersion, kind, namespace, name string) resource {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(schema.FromAPIVersionAndKind(apiVersion, kind))
	u.SetNamespace(namespace)
	u.SetName(name)
	return resource{u}
}

func (r resource) String() string {
	return fmt.Sprintf("%s %s/%s", r.GetKind(), r.GetNamespace(), r.GetName())
}

// condition gives a condition of the status as "STATUS REASON", and its message.
func (r resource) condition(kind string) (is, message string) {
	list, _, _ := unstructured.NestedSlice(r.Object, "status", "conditions")
	for _, entry := range list {
		if c, ok := entry.(map[string]any); ok && c["type"] == kind {
			message, _ := c["message"].(string)
			return fmt.Sprintf("%v %v", c["status"], c["reason"]), message
		}
	}
	return "absent", ""
}

// text is a field of the object, or nothing.
func (r resource) text(path ...string) string {
	value, ok, _ := unstructured.NestedFieldNoCopy(r.Object, path...)
	if !ok {
		return ""
	}
	return fmt.Sprint(value)
}

// await watches an object until it is as it should be, and gives it as it was
// then. ok gets an object without content where there is none.
func (c *cluster) await(t testing.TB, r resource, what string, ok func(resource) bool) resource {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	last := r
	for ctx.Err() == nil {
		found, done, err := c.follow(ctx, r, ok, func(r resource) { last = r })
		if done {
			return found
		}
		if err != nil { // the API server is not there, or has ended the watch
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}
	data, _ := yaml.Marshal(last.Object)
	t.Fatalf("%s: not %s within %s. It is:\n%s", r, what, patience, data)
	return r
}

// follow looks at an object as it is, and at each of its changes, until it is as it
// should be, or the watch has ended.
func (c *cluster) follow(ctx context.Context, r resource, ok func(resource) bool, seen func(resource)) (resource, bool, error) {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(r.GroupVersionKind())
	here := []client.ListOption{client.InNamespace(r.GetNamespace()), client.MatchingFields{"metadata.name": r.GetName()}}
	if err := c.List(ctx, list, here...); err != nil {
		return r, false, err
	}
	if len(list.Items) == 0 {
		if ok(r) {
			return r, true, nil
		}
	}
	for i := range list.Items {
		now := resource{&list.Items[i]}
		seen(now)
		if ok(now) {
			return now, true, nil
		}
	}
	w, err := c.Watch(ctx, list, append(here, &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.GetResourceVersion()}})...)
	if err != nil {
		return r, false, err
	}
	defer w.Stop()
	for event := range w.ResultChan() {
		now, is := event.Object.(*unstructured.Unstructured)
		if !is || now.GetKind() == "Status" {
			return r, false, fmt.Errorf("watch: %v", event.Object)
		}
		if event.Type == "DELETED" {
			now = r.Unstructured
		}
		seen(resource{now})
		if ok(resource{now}) {
			return resource{now}, true, nil
		}
	}
	return r, false, nil
}

// isReady is that the object's own generation is Ready.
func isReady(r resource) bool {
	is, _ := r.condition("Ready")
	return len(is) > 4 && is[:4] == "True" && r.text("status", "observedGeneration") == fmt.Sprint(r.GetGeneration())
}

// condition waits for a condition to have a status: the word before the reason.
func hasCondition(kind, status string) func(resource) bool {
	return func(r resource) bool {
		is, _ := r.condition(kind)
		return is == status || len(is) > len(status) && is[:len(status)+1] == status+" "
	}
}

// create makes objects.
func (c *cluster) create(t testing.TB, objects ...client.Object) {
	t.Helper()
	for _, o := range objects {
		if r, ok := o.(resource); ok {
			o = r.Unstructured // the client looks into it
		}
		if err := c.Create(t.Context(), o); err != nil {
			t.Fatalf("create %T %s: %v", o, client.ObjectKeyFromObject(o), err)
		}
	}
}

// setStatus writes a status as a controller that these tests stand in for would.
func (c *cluster) setStatus(t testing.TB, r resource, status map[string]any) {
	t.Helper()
	patch := map[string]any{"apiVersion": r.GetAPIVersion(), "kind": r.GetKind(), "status": status}
	data, err := runtime.Encode(unstructured.UnstructuredJSONScheme, &unstructured.Unstructured{Object: patch})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Status().Patch(t.Context(), r.DeepCopy(), client.RawPatch("application/merge-patch+json", data)); err != nil {
		t.Fatalf("status of %s: %v", r, err)
	}
}
