// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"

	"plumbline.dev/plumbline/runtime/api/v1alpha1"
)

// watched is what a Controller holds of the cluster.
type watched struct {
	datapath, reports, nodes cache.SharedIndexInformer
	handlers                 map[cache.SharedIndexInformer]cache.ResourceEventHandler
	// moved tells that nodes have come or gone since their names were listed.
	moved chan struct{}
	log   *slog.Logger
}

// kept is what of a report is held, under its name: five thousand of them are to fit
// into little.
type kept struct {
	metav1.ObjectMeta
	Report
}

func (c *Controller) watches() watched {
	here := dynamicinformer.NewFilteredDynamicSharedInformerFactory(c.cfg.Client, 0, c.cfg.Namespace, nil)
	named := dynamicinformer.NewFilteredDynamicSharedInformerFactory(c.cfg.Client, 0, c.cfg.Namespace, func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, c.cfg.Datapath).String()
	})
	w := watched{
		datapath: named.ForResource(datapaths).Informer(), reports: here.ForResource(datapathNodes).Informer(),
		nodes: metadatainformer.NewSharedInformerFactory(c.cfg.Metadata, 0).ForResource(nodes).Informer(),
		moved: make(chan struct{}, 1), log: c.cfg.Log,
	}
	w.handlers = map[cache.SharedIndexInformer]cache.ResourceEventHandler{
		w.datapath: c.handler(differs), w.reports: c.handler(c.says), w.nodes: c.nodeHandler(&w),
	}
	return w
}

// handler has a round come of each object that comes or goes, and of a change that
// says something.
func (c *Controller) handler(news func(before, now any) bool) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { c.signal() }, DeleteFunc: func(any) { c.signal() },
		UpdateFunc: func(before, now any) {
			if news(before, now) {
				c.signal()
			}
		},
	}
}

// nodeHandler also has the nodes listed anew.
func (c *Controller) nodeHandler(w *watched) cache.ResourceEventHandler {
	note := func(any) {
		w.relist()
		c.signal()
	}
	return cache.ResourceEventHandlerFuncs{AddFunc: note, DeleteFunc: note, UpdateFunc: func(before, now any) {
		if !maps.Equal(labelsOf(before), labelsOf(now)) {
			note(now)
		}
	}}
}

func labelsOf(object any) map[string]string {
	if o, ok := object.(*metav1.PartialObjectMetadata); ok {
		return o.Labels
	}
	return nil
}

// start begins to watch. It tells whether all has been listed before ctx ended.
func (w *watched) start(ctx context.Context) (synced bool, err error) {
	if err := errors.Join(w.nodes.SetTransform(bare), w.reports.SetTransform(keep(w.log))); err != nil {
		return false, err
	}
	for informer, handler := range w.handlers {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return false, err
		}
	}
	for informer := range w.handlers {
		go informer.RunWithContext(ctx)
	}
	return cache.WaitForCacheSync(ctx.Done(), w.datapath.HasSynced, w.reports.HasSynced, w.nodes.HasSynced), nil
}

// bare keeps of a node its name and labels.
func bare(object any) (any, error) {
	if o, ok := object.(*metav1.PartialObjectMetadata); ok {
		o.ManagedFields, o.Annotations, o.OwnerReferences = nil, nil, nil
	}
	return object, nil
}

// keep gives the transformation of a report to what is held of it. One that can't be
// understood is logged once for each of its versions, and held as such (I10).
func keep(log *slog.Logger) cache.TransformFunc {
	return func(object any) (any, error) {
		o, ok := object.(*unstructured.Unstructured)
		if !ok {
			return object, nil // has been transformed, or tells that one is gone
		}
		k := &kept{Report: Report{Node: o.GetName()}}
		k.Name, k.Namespace, k.ResourceVersion = o.GetName(), o.GetNamespace(), o.GetResourceVersion()
		if k.Status, k.Err = statusOf[v1alpha1.NodeStatus](o); k.Err != nil {
			k.Status = v1alpha1.NodeStatus{}
			log.Error("a report counts for nothing", "node", k.Node, "version", k.ResourceVersion, "error", k.Err)
		}
		// A status tells of so many drifts and of no conditions of nodes.
		k.Status.Drifts = slices.Clone(k.Status.Drifts[:min(len(k.Status.Drifts), maxDrifts)])
		k.Status.Conditions, k.Status.Message = nil, ""
		return k, nil
	}
}

// says tells whether a report says something new, or comes after one that was too old
// to count.
func (c *Controller) says(before, now any) bool {
	a, ok := before.(*kept)
	b, is := now.(*kept)
	if !ok || !is || a.old(c.cfg.Now()) {
		return true
	}
	was, are := a.Status, b.Status
	was.Reported, are.Reported = metav1.Time{}, metav1.Time{}
	return (a.Err == nil) != (b.Err == nil) || !reflect.DeepEqual(was, are)
}

// differs tells whether an object differs in more than its version.
func differs(before, now any) bool { return !reflect.DeepEqual(meaning(before), meaning(now)) }

func meaning(object any) any {
	o, ok := object.(*unstructured.Unstructured)
	if !ok {
		return nil
	}
	return []any{o.Object["spec"], o.Object["status"], o.GetGeneration(), o.GetAnnotations(), o.GetLabels()}
}

// found is the Datapath, or nil where there is none.
func (w *watched) found() (*unstructured.Unstructured, error) {
	list := w.datapath.GetStore().List()
	if len(list) == 0 {
		return nil, nil
	}
	datapath, ok := list[0].(*unstructured.Unstructured)
	if !ok {
		return nil, fmt.Errorf("the Datapath is an unexpected %T", list[0])
	}
	return datapath, nil
}

// nodesOf lists the nodes that count, sorted; before are those of the last time, where
// none has come, gone or got other labels since.
func (w *watched) nodesOf(settings *Settings, before []string) []string {
	select {
	case <-w.moved:
	default:
		return before
	}
	var names []string
	for _, object := range w.nodes.GetStore().List() {
		if o, ok := object.(*metav1.PartialObjectMetadata); ok && settings.counts(o) {
			names = append(names, o.Name)
		}
	}
	slices.Sort(names)
	return names
}

// relist has the nodes listed anew.
func (w *watched) relist() {
	select {
	case w.moved <- struct{}{}:
	default:
	}
}

// left are reports of nodes that the cluster does not have, and that count for nothing
// any more.
func (w *watched) left(now time.Time) []*kept {
	var list []*kept
	for _, object := range w.reports.GetStore().List() {
		k, ok := object.(*kept)
		if !ok || k.Err != nil || !k.old(now) {
			continue
		}
		if _, there, err := w.nodes.GetStore().GetByKey(k.Name); !there && err == nil {
			list = append(list, k)
		}
	}
	return list
}

// reported are the reports that there are.
func (w *watched) reported() []*Report {
	objects := w.reports.GetStore().List()
	list := make([]*Report, 0, len(objects))
	for _, object := range objects {
		if k, ok := object.(*kept); ok {
			list = append(list, &k.Report)
		}
	}
	return list
}
