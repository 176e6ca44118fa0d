// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Flux takes the gate for what it is: silence is no health, drift is none at
// once, a cluster without Cilium may get one, and what comes after the gate waits
// for it at its own revision. What the controller would say of the Datapath is said
// here by hand.
func TestPrivilegedGate(t *testing.T) {
	f := newFlux(t, newCluster(t))
	e := build(t, "gate", "/sys/fs/cgroup", "")
	first := f.adopt(t, e)
	f.schedule(t, e.object(t, "gate/plumb-agent-daemonset.yaml"), "n1")
	f.schedule(t, e.object(t, "gate/plumb-controller-deployment.yaml"), "n1")
	datapath := e.datapath()

	gate := f.await(t, kustomization("gate"), "failed, as nobody reports", hasCondition("Ready", "False"))
	if at := gate.text("status", "lastAppliedRevision"); at == first {
		t.Errorf("the gate has been Ready at %s, with nobody reporting", at)
	}
	f.await(t, kustomization("cilium"), "waiting for the gate", reason("Ready", "False DependencyNotReady"))

	f.says(t, datapath, []string{"Ready", "Unknown", "NoPins"}, []string{"Drifted", "Unknown", "NoPins"})
	f.poke(t, "gate")
	f.await(t, kustomization("gate"), "Ready in a cluster without Cilium", applied(first))
	f.release(t, "kube-system")
	f.await(t, kustomization("apps"), "Ready after Cilium", applied(first))

	f.says(t, datapath, []string{"Ready", "True", "InSync"}, []string{"Drifted", "False", "InSync"})
	f.poke(t, "gate")
	f.await(t, kustomization("gate"), "Ready", applied(first))

	f.says(t, datapath, []string{"Ready", "False", "DriftDetected"}, []string{"Drifted", "True", "DriftDetected"})
	start := time.Now()
	f.poke(t, "gate")
	f.await(t, kustomization("gate"), "failed", hasCondition("Ready", "False"))
	t.Logf("from drift to a gate that is not Ready: %s", time.Since(start).Round(10*time.Millisecond))

	second := f.publish(t, e.with("two"))
	f.await(t, kustomization("gate"), "failed at the second revision", func(r resource) bool {
		return hasCondition("Ready", "False")(r) && r.text("status", "lastAttemptedRevision") == second
	})
	f.await(t, kustomization("cilium"), "waiting for the gate", reason("Ready", "False DependencyNotReady"))
	f.await(t, kustomization("apps"), "waiting for Cilium", reason("Ready", "False DependencyNotReady"))
	f.await(t, e.app(), "as the first revision has it", has("one"))

	f.says(t, datapath, []string{"Ready", "True", "InSync"}, []string{"Drifted", "False", "InSync"})
	f.poke(t, "gate")
	f.await(t, kustomization("gate"), "Ready at the second revision", applied(second))
	f.await(t, kustomization("apps"), "Ready at the second revision", applied(second))
	f.await(t, e.app(), "as the second revision has it", has("two"))

	// Other settings are another generation: what was said of the old ones is of no
	// account.
	third := f.publish(t, build(t, "gate", "/sys/fs/cgroup", "environment: values: bpf: lbMapMax: 2048").with("three"))
	f.await(t, datapath, "of the new settings", func(r resource) bool { return r.text("spec", "maps", "services") == "2048" })
	waiting := f.await(t, kustomization("gate"), "looking at its health", func(r resource) bool {
		_, message := r.condition("Reconciling")
		return strings.HasPrefix(message, "Running health checks for revision "+third)
	})
	if waiting.text("status", "lastAppliedRevision") == third {
		t.Error("the gate takes what was said of the old settings for the new ones")
	}
	f.says(t, datapath, []string{"Ready", "True", "InSync"}, []string{"Drifted", "False", "InSync"})
	f.await(t, kustomization("gate"), "Ready at the third revision", applied(third))
}

// reason is that a condition has a status and a reason.
func reason(kind, want string) func(resource) bool {
	return func(r resource) bool {
		is, _ := r.condition(kind)
		return is == want
	}
}

// says writes conditions of the object as it is now, each a type, a status and a
// reason.
func (c *cluster) says(t testing.TB, r resource, conditions ...[]string) {
	t.Helper()
	now := c.await(t, r, "there", func(r resource) bool { return r.GetResourceVersion() != "" })
	var list []any
	for _, said := range conditions {
		list = append(list, map[string]any{"type": said[0], "status": said[1], "reason": said[2], "message": "by hand",
			"lastTransitionTime": time.Now().UTC().Format(time.RFC3339)})
	}
	c.setStatus(t, r, map[string]any{"observedGeneration": now.GetGeneration(), "conditions": list})
}

// poke has Flux look at a Kustomization now.
func (f *flux) poke(t testing.TB, name string) {
	t.Helper()
	if err := poke(t, f, name); err != nil {
		t.Fatal(err)
	}
}

// release does what helm-controller would do of the release of Cilium: it says that
// the release is installed, and makes the workloads that the gate's followers look
// at, all in one namespace.
func (f *flux) release(t testing.TB, namespace string) {
	t.Helper()
	release := f.await(t, named("helm.toolkit.fluxcd.io/v2", "HelmRelease", namespace, "cilium"), "applied", func(r resource) bool { return r.GetResourceVersion() != "" })
	labels := map[string]string{"app": "cilium"}
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "cilium", Image: "cilium"}}}}
	selector := &metav1.LabelSelector{MatchLabels: labels}
	f.create(t,
		&appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "cilium"}, Spec: appsv1.DaemonSetSpec{Selector: selector, Template: template}},
		&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "cilium-operator"}, Spec: appsv1.DeploymentSpec{Selector: selector, Template: template}})
	f.rolledOut(t, named("apps/v1", "DaemonSet", namespace, "cilium"))
	f.rolledOut(t, named("apps/v1", "Deployment", namespace, "cilium-operator"))
	f.says(t, release, []string{"Ready", "True", "InstallSucceeded"})
}
