// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// secrets is where a pod finds its token and the cluster's CA.
const secrets = "/var/run/secrets/kubernetes.io/serviceaccount"

// workload is a pod of a DaemonSet or a Deployment on a node, without a kubelet:
// the API server has admitted the pod, and the token is the one that such a pod
// gets.
type workload struct {
	*cluster
	pod   *corev1.Pod
	token string
}

// schedule makes the pod of a workload on a node, as Kubernetes' own controllers
// would, and says in the workload's status that it is rolled out.
func (c *cluster) schedule(t testing.TB, owner resource, node string) *workload {
	t.Helper()
	c.await(t, owner, "applied", func(r resource) bool { return r.GetResourceVersion() != "" })
	template := c.rolledOut(t, owner)
	pod := &corev1.Pod{ObjectMeta: *template.ObjectMeta.DeepCopy(), Spec: *template.Spec.DeepCopy()}
	pod.Namespace, pod.GenerateName, pod.Spec.NodeName = owner.GetNamespace(), owner.GetName()+"-", node
	c.create(t, pod)
	w := &workload{cluster: c, pod: pod}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		BoundObjectRef: &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: pod.Name, UID: pod.UID},
	}}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Spec.ServiceAccountName}}
	if err := c.SubResource("token").Create(t.Context(), account, request); err != nil {
		t.Fatalf("a token for %s: %v", pod.Name, err)
	}
	w.token = request.Status.Token
	return w
}

// rolledOut says that a workload is rolled out, and gives its pods' template.
func (c *cluster) rolledOut(t testing.TB, owner resource) corev1.PodTemplateSpec {
	t.Helper()
	key := client.ObjectKeyFromObject(owner.Unstructured)
	switch owner.GetKind() {
	case "DaemonSet":
		d := &appsv1.DaemonSet{}
		if err := c.Get(t.Context(), key, d); err != nil {
			t.Fatal(err)
		}
		d.Status = appsv1.DaemonSetStatus{ObservedGeneration: d.Generation, DesiredNumberScheduled: 1, CurrentNumberScheduled: 1,
			UpdatedNumberScheduled: 1, NumberAvailable: 1, NumberReady: 1}
		if err := c.Status().Update(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		return d.Spec.Template
	case "Deployment":
		d := &appsv1.Deployment{}
		if err := c.Get(t.Context(), key, d); err != nil {
			t.Fatal(err)
		}
		n := *d.Spec.Replicas
		d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: n, UpdatedReplicas: n, ReadyReplicas: n, AvailableReplicas: n,
			Conditions: []appsv1.DeploymentCondition{{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue}, {Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: "NewReplicaSetAvailable"}}}
		if err := c.Status().Update(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		return d.Spec.Template
	}
	t.Fatalf("%s has no pods", owner)
	return corev1.PodTemplateSpec{}
}

// client is one with the rights of the pod.
func (w *workload) client(t testing.TB) client.WithWatch {
	t.Helper()
	c, err := client.NewWithWatch(w.as(w.token), client.Options{Scheme: scheme(t)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
