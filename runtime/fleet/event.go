// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"

	"github.com/fluxcd/pkg/runtime/events"
	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"

	"plumbline.dev/plumbline/runtime/api/v1alpha1"
)

// component is who says what an Event says.
const component = "plumb-controller"

// waiting is how many events wait for notification-controller at most: one that does
// not answer is tried for half a minute.
const waiting = 32

// Events tells of what a Datapath has come to: people by Kubernetes' Events, and
// Flux's notification-controller where its address is known. Neither keeps a round
// waiting.
type Events struct {
	kube    record.EventRecorder
	address string
	log     *slog.Logger
	queue   chan message
}

type message struct {
	about             *unstructured.Unstructured
	annotations       map[string]string
	kind, reason, why string
}

// NewEvents makes the Events of an API server, until ctx ends. address is that of
// notification-controller, such as http://notification-controller.flux-system; empty
// is none.
func NewEvents(ctx context.Context, client kubernetes.Interface, address string, log *slog.Logger) (*Events, error) {
	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: client.CoreV1().Events("")})
	context.AfterFunc(ctx, broadcaster.Shutdown)
	return newEvents(ctx, broadcaster.NewRecorder(runtime.NewScheme(), corev1.EventSource{Component: component}), address, log)
}

func newEvents(ctx context.Context, kube record.EventRecorder, address string, log *slog.Logger) (*Events, error) {
	if u, err := url.Parse(address); err != nil || address != "" && (u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("address of notification-controller: want http://HOST, have %q", address)
	}
	e := &Events{kube: kube, address: address, log: log, queue: make(chan message, waiting)}
	go e.deliver(ctx)
	return e, nil
}

// deliver posts to notification-controller, one at a time: a post is tried several
// times, and takes as long.
func (e *Events) deliver(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-e.queue:
			flux, err := events.NewRecorderForScheme(runtime.NewScheme(), quiet{}, logr.FromSlogHandler(e.log.Handler()), e.address, component)
			if err != nil {
				e.log.Error("notification-controller is not told", "error", err)
				continue
			}
			flux.AnnotatedEventf(s.about, s.annotations, s.kind, s.reason, "%s", s.why)
		}
	}
}

// quiet records nothing: what Flux's recorder would record beside its post has been
// recorded, about another object.
type quiet struct{}

func (quiet) Event(runtime.Object, string, string, string)                                      {}
func (quiet) Eventf(runtime.Object, string, string, string, ...any)                             {}
func (quiet) AnnotatedEventf(runtime.Object, map[string]string, string, string, string, ...any) {}

// Say tells what a Datapath has come to. Alerts of Flux can name a Kustomization and no
// Datapath, so notification-controller is told about the one that applied it.
func (e *Events) Say(datapath *unstructured.Unstructured, s v1alpha1.DatapathStatus) {
	ready := meta.FindStatusCondition(s.Conditions, v1alpha1.Ready)
	kind, why := corev1.EventTypeNormal, ready.Message
	if ready.Status != metav1.ConditionTrue {
		kind = corev1.EventTypeWarning
	}
	reason := ready.Reason
	if drift := meta.FindStatusCondition(s.Conditions, v1alpha1.Drifted); ready.Status == metav1.ConditionTrue && drift.Status == metav1.ConditionTrue {
		reason = drift.Reason // within the limits
	}
	counts := map[string]string{
		v1alpha1.Group + "/nodes": fmt.Sprint(s.Nodes.Total), v1alpha1.Group + "/drifted": fmt.Sprint(s.Nodes.Drifted), v1alpha1.Group + "/unknown": fmt.Sprint(s.Nodes.Unknown),
	}
	e.kube.AnnotatedEventf(datapath, counts, kind, reason, "%s", why)
	owner := kustomizationOf(datapath)
	if e.address == "" || owner == nil {
		return
	}
	for key, value := range counts {
		delete(counts, key)
		counts[kustomizations.Group+"/"+key[len(v1alpha1.Group)+1:]] = value
	}
	select {
	case e.queue <- message{owner, counts, kind, reason, "Datapath " + datapath.GetNamespace() + "/" + datapath.GetName() + ": " + why}:
	default:
		e.log.Error("notification-controller does not answer, and is not told", "reason", reason, "message", why)
	}
}

// kustomizationOf is the Kustomization that applied an object; nil is none.
func kustomizationOf(o *unstructured.Unstructured) *unstructured.Unstructured {
	name, namespace := o.GetLabels()[ownerLabel+"name"], o.GetLabels()[ownerLabel+"namespace"]
	if name == "" || namespace == "" {
		return nil
	}
	k := &unstructured.Unstructured{}
	k.SetAPIVersion(kustomizations.GroupVersion().String())
	k.SetKind("Kustomization")
	k.SetNamespace(namespace)
	k.SetName(name)
	return k
}
