// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	apiPlumbline = "plumbline.dev/v1alpha1"
	namespace    = "plumbline"
)

// An agent writes the report of its own node and of no other; no one else's rights
// are more than they have to be. Their pods are admitted where they run.
func TestPrivilegedAccess(t *testing.T) {
	f := newFlux(t, newCluster(t))
	e := build(t, "access", "/sys/fs/cgroup", "")
	f.adopt(t, e)
	agentPod := f.schedule(t, e.object(t, "gate/plumb-agent-daemonset.yaml"), "n1")
	controllerPod := f.schedule(t, e.object(t, "gate/plumb-controller-deployment.yaml"), "n1")
	f.admitted(t, agentPod, controllerPod)
	agent, controller := agentPod.client(t), controllerPod.client(t)
	homeless := f.unbound(t, agentPod)
	f.await(t, named(apiPlumbline, "Datapath", namespace, "access"), "there", func(r resource) bool { return r.GetResourceVersion() != "" })
	f.policyHolds(t, agent, namespace)

	report := func(node string) *unstructured.Unstructured {
		return named(apiPlumbline, "DatapathNode", namespace, node).Unstructured
	}
	for _, c := range []struct {
		what   string
		do     func() error
		denied bool
	}{
		{"an agent creates its report", func() error { return agent.Create(t.Context(), report("n1")) }, false},
		{"an agent writes its status", func() error { return setReady(t, agent, report("n1")) }, false},
		{"an agent creates another node's report", func() error { return agent.Create(t.Context(), report("n2")) }, true},
		{"an administrator creates another node's report", func() error { return f.Create(t.Context(), report("n2")) }, false},
		{"an agent writes another node's status", func() error { return setReady(t, agent, report("n2")) }, true},
		{"an agent relabels another node's report", func() error { return relabel(t, agent, report("n2")) }, true},
		{"an agent relabels its own report", func() error { return relabel(t, agent, report("n1")) }, false},
		{"an agent's account without a node writes a report", func() error { return setReady(t, homeless, report("n1")) }, true},
		{"an agent deletes a report", func() error { return agent.Delete(t.Context(), report("n1")) }, true},
		{"an agent writes the Datapath's status", func() error {
			return setReady(t, agent, named(apiPlumbline, "Datapath", namespace, "access").Unstructured)
		}, true},
		{"an agent reads the Datapath", func() error {
			return agent.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "access"}, named(apiPlumbline, "Datapath", "", "").Unstructured)
		}, false},
		{"an agent lists services", func() error { return agent.List(t.Context(), lists("v1", "Service")) }, false},
		{"an agent lists endpoints", func() error { return agent.List(t.Context(), lists("discovery.k8s.io/v1", "EndpointSlice")) }, false},
		{"an agent lists Secrets", func() error { return agent.List(t.Context(), lists("v1", "Secret")) }, true},
		{"an agent pokes Flux", func() error { return poke(t, agent, "gate") }, true},
		{"the controller pokes the gate", func() error { return poke(t, controller, "gate") }, false},
		{"the controller pokes another Kustomization", func() error { return poke(t, controller, "cilium") }, true},
		{"the controller writes the Datapath's status", func() error {
			return setReady(t, controller, named(apiPlumbline, "Datapath", namespace, "access").Unstructured)
		}, false},
		{"the controller writes a node's report", func() error { return setReady(t, controller, report("n1")) }, true},
		{"the controller deletes a gone node's report", func() error { return controller.Delete(t.Context(), report("n2")) }, false},
		{"the controller lists Secrets", func() error { return controller.List(t.Context(), lists("v1", "Secret")) }, true},
	} {
		err := c.do()
		switch {
		case c.denied && !errors.IsForbidden(err):
			t.Errorf("%s: %v, want forbidden", c.what, err)
		case !c.denied && err != nil:
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

// policyHolds waits until the API server has taken up the admission policy, which
// it does a moment after it was written.
func (f *flux) policyHolds(t testing.TB, agent client.Client, namespace string) {
	t.Helper()
	poll(t, f.api, "an agent is refused the report of another node", func(ctx context.Context) error {
		err := agent.Create(ctx, named(apiPlumbline, "DatapathNode", namespace, "any").Unstructured, client.DryRunAll)
		if errors.IsForbidden(err) {
			return nil
		}
		return fmt.Errorf("the API server answers %v", err)
	})
}

// setReady writes a status, as a forger might.
func setReady(t testing.TB, c client.Client, u *unstructured.Unstructured) error {
	t.Helper()
	return c.Status().Patch(t.Context(), u, client.RawPatch("application/merge-patch+json", []byte(`{"status":{"observedGeneration":1}}`)))
}

// relabel writes more than a status, as a forger might.
func relabel(t testing.TB, c client.Client, u *unstructured.Unstructured) error {
	t.Helper()
	return c.Patch(t.Context(), u, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"forged":"yes"}}}`)))
}

// unbound is a client with a token of a pod's account that no pod is bound to, as
// `kubectl create token` gives one.
func (f *flux) unbound(t testing.TB, w *workload) client.Client {
	t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: w.pod.Namespace, Name: w.pod.Spec.ServiceAccountName}}
	request := &authenticationv1.TokenRequest{}
	if err := f.SubResource("token").Create(t.Context(), account, request); err != nil {
		t.Fatal(err)
	}
	free := &workload{cluster: f.cluster, pod: w.pod, token: request.Status.Token}
	return free.client(t)
}

func lists(apiVersion, kind string) *unstructured.UnstructuredList {
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(named(apiVersion, kind+"List", "", "").GroupVersionKind())
	return list
}

// poke asks Flux to look at a Kustomization now.
func poke(t testing.TB, c client.Client, name string) error {
	t.Helper()
	return c.Patch(t.Context(), kustomization(name).Unstructured, client.RawPatch("application/merge-patch+json",
		[]byte(`{"metadata":{"annotations":{"`+reconcileAt+`":"`+time.Now().String()+`"}}}`)))
}
