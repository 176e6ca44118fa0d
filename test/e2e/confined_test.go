// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ownMounts gives a process mounts that no other sees.
var ownMounts = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}

// run runs plumb-agent as the pod's container says: with its arguments, its
// environment, its user and capabilities and no more, and with its token where a
// pod has it.
func (w *workload) run(t testing.TB) *process {
	t.Helper()
	container := w.pod.Spec.Containers[0]
	mounted := t.TempDir()
	ca, err := os.ReadFile(w.certificate())
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"token": []byte(w.token), "ca.crt": ca, "namespace": []byte(w.pod.Namespace)} {
		if err := os.WriteFile(filepath.Join(mounted, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	env := map[string]string{}
	for _, e := range container.Env {
		switch {
		case e.ValueFrom == nil:
			env[e.Name] = e.Value
		case e.ValueFrom.FieldRef != nil:
			env[e.Name] = w.field(t, e.ValueFrom.FieldRef.FieldPath)
		}
	}
	var list, args []string
	for name, value := range env {
		list = append(list, name+"="+value)
	}
	for _, arg := range container.Args {
		args = append(args, expand(arg, env))
	}
	script := `mount --bind "$0" ` + secrets + ` && exec "$@"`
	command := append([]string{"-c", script, mounted}, confined(&w.pod.Spec)...)
	return startWith(t, ownMounts, list, "plumb-agent", "sh", append(append(command, binary("plumb-agent")), args...)...)
}

func (w *workload) field(t testing.TB, path string) string {
	t.Helper()
	switch path {
	case "spec.nodeName":
		return w.pod.Spec.NodeName
	case "metadata.name":
		return w.pod.Name
	}
	t.Fatalf("the manifest refers to %s, which these tests do not give", path)
	return ""
}

// expand replaces $(NAME), as a kubelet does.
func expand(arg string, env map[string]string) string {
	for name, value := range env {
		arg = strings.ReplaceAll(arg, "$("+name+")", value)
	}
	return arg
}

// confined is the command that takes from a program what its pod does not give it.
func confined(pod *corev1.PodSpec) []string {
	caps := "-all"
	if security := pod.Containers[0].SecurityContext; security != nil && security.Capabilities != nil {
		for _, c := range security.Capabilities.Add {
			caps += ",+" + strings.ToLower(string(c))
		}
	}
	command := []string{"setpriv", "--no-new-privs", "--bounding-set=" + caps, "--inh-caps=" + caps}
	if pod.SecurityContext != nil && pod.SecurityContext.RunAsUser != nil {
		user, group := *pod.SecurityContext.RunAsUser, *pod.SecurityContext.RunAsGroup
		return append(command, fmt.Sprintf("--reuid=%d", user), fmt.Sprintf("--regid=%d", group), "--clear-groups")
	}
	return append(command, "--ambient-caps="+caps)
}

// addNode makes this machine a node of the cluster, under a name.
func (c *cluster) addNode(t testing.TB, name string) {
	t.Helper()
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"kubernetes.io/os": "linux"}}}
	c.create(t, n)
	n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: nodeAddress}}
	if err := c.Status().Update(t.Context(), n); err != nil {
		t.Fatal(err)
	}
}

// apply writes services to the API server.
func (c *cluster) declare(t testing.TB, services ...service) {
	t.Helper()
	for _, s := range services {
		for _, text := range strings.Split(s.manifests(), "---\n") {
			r := parsed(t, s.name, []byte(text))
			if err := c.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(r.Unstructured), client.FieldOwner("team"), client.ForceOwnership); err != nil {
				t.Fatalf("apply %s: %v", r, err)
			}
		}
	}
}
