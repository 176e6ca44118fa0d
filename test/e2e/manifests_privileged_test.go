// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// The API server takes all that is emitted, to the letter: a field that it does
// not know would be dropped in silence.
func TestPrivilegedManifestsAreKnown(t *testing.T) {
	f := newFlux(t, newCluster(t))
	for _, more := range []string{
		`environment: datapath: mode: "observe"`,
		`environment: datapath: mode: "repair"`,
		`environment: datapath: mode: "own"`,
		`environment: {chart: version: "1.20.2", agent: {pullSecrets: ["registry"], tolerations: [{key: "a", operator: "Exists"}], resources: cpuLimit: "1"}}`,
	} {
		e := build(t, "known", "/sys/fs/cgroup", more)
		list := slices.Sorted(maps.Keys(e.files))
		// What others live in comes first.
		slices.SortStableFunc(list, func(a, b string) int { return rank(a) - rank(b) })
		for _, file := range list {
			r := parsed(t, file, e.files[file])
			if r.GetKind() == "Kustomization" && strings.HasPrefix(r.GetAPIVersion(), "kustomize.config.k8s.io/") {
				continue // read by kustomize alone
			}
			options := []client.CreateOption{client.FieldValidation(metav1.FieldValidationStrict)}
			if rank(file) == 2 {
				options = append(options, client.DryRunAll)
			}
			if err := f.Create(t.Context(), r.Unstructured, options...); err != nil && !(rank(file) < 2 && errors.IsAlreadyExists(err)) {
				t.Errorf("%s, %s: %v", more, file, err)
			}
			if strings.HasPrefix(file, "clusters/known/gate/datapath") {
				f.await(t, named("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", r.GetName()), "established", hasCondition("Established", "True"))
			}
		}
	}
}

// rank is 0 and 1 for what others live in or are of.
func rank(file string) int {
	switch {
	case strings.HasSuffix(file, "namespace.yaml"):
		return 0
	case strings.HasSuffix(file, "customresourcedefinition.yaml"):
		return 1
	}
	return 2
}

// admitted is that Pod Security admits the agent in its namespace, and that the
// controller is one that even a restricted namespace would take, but for its network.
func (f *flux) admitted(t testing.TB, agent, controller *workload) {
	t.Helper()
	f.create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "strict", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}}},
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "strict", Name: agent.pod.Spec.ServiceAccountName}},
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "strict", Name: controller.pod.Spec.ServiceAccountName}})
	elsewhere := func(pod *corev1.Pod) error {
		moved := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "strict", Name: "moved"}, Spec: *pod.Spec.DeepCopy()}
		moved.Spec.Volumes = slices.DeleteFunc(moved.Spec.Volumes, func(v corev1.Volume) bool { return v.Projected != nil })
		for i := range moved.Spec.Containers {
			c := &moved.Spec.Containers[i]
			c.VolumeMounts = slices.DeleteFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == secrets })
		}
		return f.Create(t.Context(), moved, client.DryRunAll)
	}
	if err := elsewhere(agent.pod); !errors.IsForbidden(err) {
		t.Errorf("a restricted namespace answers to the agent: %v, want forbidden", err)
	}
	// The host's network is all that is too much of it.
	err := elsewhere(controller.pod)
	if !errors.IsForbidden(err) || !strings.Contains(err.Error(), "host namespaces (hostNetwork=true)") {
		t.Errorf("a restricted namespace answers to the controller: %v, want that it uses the host's network", err)
	}
	if err != nil && strings.Contains(err.Error(), "allowPrivilegeEscalation") {
		t.Errorf("the controller is more than on the host's network: %v", err)
	}
}
