// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// What Cilium's own chart makes of an environment, once a real API server has it, is as
// the environment wants it; what is edited there then, or is not run yet, is found.
func TestPrivilegedDiffCluster(t *testing.T) {
	f := newFlux(t, newCluster(t))
	e := build(t, "prod", newCgroup(t), "")
	f.addNode(t, "n1")
	diff := func(want int) string {
		t.Helper()
		out, code := exitOf(t, e.dir, "diff", "prod", "--cluster", "--chart", os.Getenv(envChart), "--kubeconfig", f.kubeconfig(t, adminToken))
		if code != want {
			t.Fatalf("exit code %d, want %d:\n%s", code, want, out)
		}
		return out
	}
	if out := diff(1); !strings.HasPrefix(out, "release-missing HelmRelease kube-system/cilium: ") {
		t.Errorf("of an empty cluster it says\n%s", out)
	}
	began := f.installs(t, e)
	if out := diff(0); !strings.HasPrefix(out, "in sync: ") {
		t.Errorf("once installed it says\n%s", out)
	}

	config := &corev1.ConfigMap{}
	key := client.ObjectKey{Namespace: "kube-system", Name: "cilium-config"}
	edit := func() time.Time {
		if err := f.Get(t.Context(), key, config); err != nil {
			t.Fatal(err)
		}
		config.Data["kube-proxy-replacement"] = "false"
		config.Data["edited"] += "x"
		if err := f.Update(t.Context(), config); err != nil {
			t.Fatal(err)
		}
		var last time.Time
		for _, m := range config.ManagedFields {
			if m.Time.After(last) {
				last = m.Time.Time
			}
		}
		return last
	}
	for !edit().After(began) { // the API server counts in seconds
	}
	out := diff(1)
	for _, want := range []string{
		`config-differs ConfigMap kube-system/cilium-config: data."kube-proxy-replacement": it is "false", want "true"`,
		`config-differs ConfigMap kube-system/cilium-config: data.edited: it is "x`,
		"pod-before-config node n1: Pod kube-system/cilium-n1: its agent began at ",
		"3 differences",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
}

// exitOf runs plumb, and gives what it prints and its exit code.
func exitOf(t testing.TB, dir string, args ...string) (out string, code int) {
	t.Helper()
	command := exec.Command(binary("plumb"), args...)
	command.Dir = dir
	var said bytes.Buffer
	command.Stderr = &said
	data, err := command.Output()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("plumb %v: %v", args, err)
	}
	if command.ProcessState.ExitCode() > 1 {
		t.Fatalf("plumb %v: %s", args, said.Bytes())
	}
	return string(data), command.ProcessState.ExitCode()
}

// installs does what Flux, Helm and the kubelet would do of an environment's release: its
// ConfigMap and DaemonSet are those that the chart renders to. It gives when the agent
// of the only node began.
func (f *flux) installs(t testing.TB, e environment) time.Time {
	t.Helper()
	release := e.object(t, "cilium/helmrelease.yaml")
	f.create(t, release)
	f.setStatus(t, release, map[string]any{
		"observedGeneration": int64(1),
		"conditions":         []any{map[string]any{"type": "Ready", "status": "True", "reason": "InstallSucceeded", "message": "by hand", "lastTransitionTime": "2026-11-20T08:00:00Z"}},
		"history": []any{map[string]any{"chartName": "cilium", "chartVersion": "1.17.2", "name": "cilium", "namespace": "kube-system", "version": int64(1), "status": "deployed",
			"configDigest": "sha256:0", "digest": "sha256:0", "firstDeployed": "2026-11-20T08:00:00Z", "lastDeployed": "2026-11-20T08:00:00Z"}},
	})
	plumb(t, e.dir, "build", "prod", "--rendered", "--chart", os.Getenv(envChart), "-o", "rendered")
	for _, file := range []string{"configmap-cilium-config.yaml", "daemonset-cilium.yaml"} {
		data, err := os.ReadFile(filepath.Join(e.dir, "rendered/kube-system", file))
		if err != nil {
			t.Fatal(err)
		}
		f.create(t, parsed(t, file, data))
	}
	daemonSet, config := &appsv1.DaemonSet{}, &corev1.ConfigMap{}
	for name, o := range map[string]client.Object{"cilium": daemonSet, "cilium-config": config} {
		if err := f.Get(t.Context(), client.ObjectKey{Namespace: "kube-system", Name: name}, o); err != nil {
			t.Fatal(err)
		}
	}
	f.setStatus(t, named("apps/v1", "DaemonSet", "kube-system", "cilium"), map[string]any{"observedGeneration": int64(1)})
	labels := map[string]string{"controller-revision-hash": "one"}
	for key, value := range daemonSet.Spec.Selector.MatchLabels {
		labels[key] = value
	}
	owner := []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "DaemonSet", Name: "cilium", UID: daemonSet.UID}}
	f.create(t,
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "default"}},
		&appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "cilium-one", Labels: labels, OwnerReferences: owner}, Revision: 1, Data: runtime.RawExtension{Raw: []byte("{}")}},
		&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "cilium-n1", Labels: labels, OwnerReferences: owner},
			Spec: corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{Name: "cilium-agent", Image: "cilium"}}}})
	began := config.CreationTimestamp
	f.setStatus(t, named("v1", "Pod", "kube-system", "cilium-n1"), map[string]any{
		"phase": "Running", "conditions": []any{map[string]any{"type": "Ready", "status": "True"}},
		"containerStatuses": []any{map[string]any{"name": "cilium-agent", "image": "cilium", "imageID": "", "ready": true, "restartCount": int64(0),
			"state": map[string]any{"running": map[string]any{"startedAt": began.UTC().Format(time.RFC3339)}}}},
	})
	return began.Time
}
