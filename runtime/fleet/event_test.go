// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/record"

	"plumbline.dev/plumbline/runtime/api/v1alpha1"
)

// People are told of the Datapath, and notification-controller of the Kustomization
// that applied it: its alerts know no Datapath.
func TestEventsGoToPeopleAndToFlux(t *testing.T) {
	type posted struct {
		InvolvedObject      struct{ Kind, Namespace, Name string }
		Severity, Reason    string
		Message             string
		Metadata            map[string]string
		ReportingController string
	}
	posts := make(chan posted, 10)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var p posted
		if err := json.NewDecoder(r.Body).Decode(&p); err != nil {
			t.Error(err)
		}
		posts <- p
	}))
	defer server.Close()
	kube := record.NewFakeRecorder(10)
	e, err := newEvents(t.Context(), kube, server.URL, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	datapath := object("Datapath", "prod", nil)
	datapath.SetLabels(map[string]string{ownerLabel + "name": "gate", ownerLabel + "namespace": "flux-system"})
	e.Say(datapath, v1alpha1.DatapathStatus{Nodes: v1alpha1.Nodes{Total: 3, Drifted: 1}, Conditions: []metav1.Condition{
		{Type: "Ready", Status: "False", Reason: "DriftDetected", Message: "drift on b"}, {Type: "Drifted", Status: "True", Reason: "DriftDetected"},
	}})
	if got := <-kube.Events; !strings.HasPrefix(got, "Warning DriftDetected drift on b") {
		t.Errorf("Kubernetes is told %q", got)
	}
	want := posted{Severity: "error", Reason: "DriftDetected", Message: "Datapath plumbline/prod: drift on b", ReportingController: "plumb-controller",
		Metadata: map[string]string{"kustomize.toolkit.fluxcd.io/nodes": "3", "kustomize.toolkit.fluxcd.io/drifted": "1", "kustomize.toolkit.fluxcd.io/unknown": "0"}}
	want.InvolvedObject.Kind, want.InvolvedObject.Namespace, want.InvolvedObject.Name = "Kustomization", "flux-system", "gate"
	select {
	case got := <-posts:
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("notification-controller is told (-want +got):\n%s", diff)
		}
	case <-time.After(30 * time.Second):
		t.Error("notification-controller is not told")
	}
	e.Say(datapath, v1alpha1.DatapathStatus{Conditions: []metav1.Condition{
		{Type: "Ready", Status: "True", Reason: "InSync", Message: "within limits"}, {Type: "Drifted", Status: "True", Reason: "DriftDetected"},
	}})
	if got := <-kube.Events; !strings.HasPrefix(got, "Normal DriftDetected within limits") {
		t.Errorf("of drift within the limits Kubernetes is told %q", got)
	}
}

// An address that is none is said at once.
func TestEventsNeedAnAddress(t *testing.T) {
	for _, address := range []string{"notification-controller", "ftp://host", "http://"} {
		if _, err := newEvents(t.Context(), record.NewFakeRecorder(1), address, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%q is taken", address)
		}
	}
}
