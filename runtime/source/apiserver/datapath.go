// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"encoding/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"
)

// Datapath is what an agent works by, as the API server has it.
type Datapath struct {
	UID        types.UID
	Generation int64
	// Requested is the last request to look at once (reconcile.fluxcd.io/requestedAt).
	Requested string
	Spec      []byte // JSON
}

// requestedAt is Flux's annotation for a request to reconcile.
const requestedAt = "reconcile.fluxcd.io/requestedAt"

// WatchDatapath gives a Datapath whenever it has changed, and the newest only, until
// ctx ends. One that is deleted is not told of: an agent goes on by what it has.
func WatchDatapath(ctx context.Context, client dynamic.Interface, namespace, name string) <-chan Datapath {
	out := make(chan Datapath, 1)
	send := func(object any) {
		o, ok := object.(*unstructured.Unstructured)
		if !ok {
			return
		}
		spec, err := json.Marshal(o.Object["spec"])
		if err != nil {
			return // what came as JSON is JSON
		}
		d := Datapath{UID: o.GetUID(), Generation: o.GetGeneration(), Requested: o.GetAnnotations()[requestedAt], Spec: spec}
		select {
		case <-out: // nobody has taken the one before
		default:
		}
		out <- d
	}
	datapaths := client.Resource(schema.GroupVersionResource{Group: "plumbline.dev", Version: "v1alpha1", Resource: "datapaths"}).Namespace(namespace)
	selector := fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()
	_, informer := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: lister(datapaths.List, datapaths.Watch, selector), ObjectType: &unstructured.Unstructured{},
		Handler: cache.ResourceEventHandlerFuncs{AddFunc: send, UpdateFunc: func(_, now any) { send(now) }},
	})
	go informer.RunWithContext(ctx)
	return out
}
