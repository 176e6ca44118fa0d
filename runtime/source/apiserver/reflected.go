// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"fmt"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"plumbline.dev/plumbline/schema/state"
)

// reflected is one resource of an API server as a reflector hands it over: nothing
// is kept of an object but its version and what it was converted to, until that is
// asked for.
type reflected struct {
	name   string // of the resource, as messages have it
	mutex  *sync.Mutex
	signal func()
	first  func() // called once all objects were told of
	// take converts an object and notes it in the Delta; a nil one is gone.
	take func(d *state.Delta, name state.Name, object any) []state.Notice

	versions map[state.Name]string
	notices  map[state.Name][]state.Notice
	pending  *state.Delta // shared by all resources, under the mutex
	synced   bool
	// err is why the API server does not tell of the resource now; nil while it
	// does.
	err error
}

var _ cache.ReflectorStore = (*reflected)(nil)

// Add follows cache.ReflectorStore.
func (r *reflected) Add(object any) error {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.set(object)
}

// Update follows cache.ReflectorStore.
func (r *reflected) Update(object any) error { return r.Add(object) }

// Delete follows cache.ReflectorStore.
func (r *reflected) Delete(object any) error {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	meta, err := metaOf(object)
	if err == nil {
		r.drop(state.Name{Namespace: meta.GetNamespace(), Name: meta.GetName()})
	}
	return err
}

// Replace follows cache.ReflectorStore: the list is all there is. What a watch has
// missed is found here, deletions too.
func (r *reflected) Replace(list []any, _ string) error {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	there := make(map[state.Name]bool, len(list))
	for _, object := range list {
		meta, err := metaOf(object)
		if err != nil {
			return err
		}
		there[state.Name{Namespace: meta.GetNamespace(), Name: meta.GetName()}] = true
		if err := r.set(object); err != nil {
			return err
		}
	}
	for name := range r.versions {
		if !there[name] {
			r.drop(name)
		}
	}
	if !r.synced {
		r.synced = true
		r.first()
		r.signal()
	}
	return nil
}

// Resync follows cache.ReflectorStore. There is nothing to do again.
func (r *reflected) Resync() error { return nil }

func metaOf(object any) (metav1.Object, error) {
	meta, ok := object.(metav1.Object)
	if !ok {
		return nil, fmt.Errorf("an object of type %T has no metadata", object)
	}
	return meta, nil
}

func (r *reflected) set(object any) error {
	meta, err := metaOf(object)
	if err != nil {
		return err
	}
	name := state.Name{Namespace: meta.GetNamespace(), Name: meta.GetName()}
	version, known := r.versions[name]
	if known && version == meta.GetResourceVersion() && version != "" {
		return nil // a list that repeats what is known
	}
	r.versions[name] = meta.GetResourceVersion()
	if said := r.take(r.pending, name, object); len(said) > 0 {
		r.notices[name] = said
	} else {
		delete(r.notices, name)
	}
	r.signal()
	return nil
}

func (r *reflected) drop(name state.Name) {
	delete(r.versions, name)
	delete(r.notices, name)
	r.take(r.pending, name, nil)
	r.signal()
}

// fails notes whether the API server answers. A kind that it does not know has no
// objects.
func (r *reflected) fails(err error) {
	unknown := apierrors.IsNotFound(err)
	if unknown {
		_ = r.Replace(nil, "") // of no object nothing can be wrong
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	before := r.err
	if r.err = err; unknown {
		r.err = nil
	}
	if before != nil && r.err == nil {
		r.signal() // what came meanwhile was held back
	}
}

// watched is a lister and watcher that tells the resource how it fares.
type watched struct {
	cache.ListerWatcher
	of *reflected
}

func (w watched) List(o metav1.ListOptions) (runtime.Object, error) {
	return w.ListWithContext(context.Background(), o)
}

func (w watched) Watch(o metav1.ListOptions) (apiwatch.Interface, error) {
	return w.WatchWithContext(context.Background(), o)
}

// ListWithContext lists, and notes whether it could.
func (w watched) ListWithContext(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
	list, err := cache.ToListerWithContext(w.ListerWatcher).ListWithContext(ctx, o)
	w.of.fails(err)
	return list, err
}

// WatchWithContext watches, and notes whether it could.
func (w watched) WatchWithContext(ctx context.Context, o metav1.ListOptions) (apiwatch.Interface, error) {
	events, err := cache.ToWatcherWithContext(w.ListerWatcher).WatchWithContext(ctx, o)
	streamed := o.SendInitialEvents != nil && apierrors.IsInvalid(err)            // which this API server can't
	if !streamed && !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) { // or else a list follows
		w.of.fails(err)
	}
	return events, err
}
