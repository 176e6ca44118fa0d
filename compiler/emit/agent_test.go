// SPDX-License-Identifier: Apache-2.0

package emit

import (
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"

	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"plumbline.dev/plumbline/compiler/load"
	"plumbline.dev/plumbline/schema/state"
)

// guarded is an environment with an agent, and its Settings.
func guarded(mode state.Mode) (*load.Environment, Options) {
	env := environment("https://helm.cilium.io")
	resources := load.Resources{CPU: "50m", Memory: "64Mi", MemoryLimit: "512Mi"}
	env.Agent = load.Agent{
		Enabled: true, Gate: true, Image: "registry.example/plumb-agent:v1", Namespace: "plumbline", Port: 9964, MaxUnavailable: "10%",
		Resources: resources, Controller: load.Controller{Port: 9965, Resources: resources},
		Monitoring: load.Monitoring{Enabled: true, Interval: "30s", Labels: map[string]string{"release": "prometheus"},
			Dashboard: load.Dashboard{Enabled: true, Label: "grafana_dashboard"}},
	}
	settings := &state.Settings{Environment: "dev", ChartVersion: "1.17.2", Layout: state.Cilium117, Mode: mode,
		BPFRoot: "/sys/fs/bpf", CgroupRoot: "/run/cilium/cgroupv2"}
	return env, Options{Settings: settings}
}

func agentOf(t *testing.T, mode state.Mode) *appsv1.DaemonSet {
	t.Helper()
	env, o := guarded(mode)
	return decode[appsv1.DaemonSet](t, manifests(t, env, nil, o), "gate/plumb-agent-daemonset.yaml")
}

func TestAgentRunsWhereNothingElseDoes(t *testing.T) {
	pod := agentOf(t, state.Observe).Spec.Template.Spec
	if !pod.HostNetwork || pod.DNSPolicy != corev1.DNSDefault || pod.PriorityClassName != "system-node-critical" {
		t.Errorf("host's network %v, DNS %s, priority %s", pod.HostNetwork, pod.DNSPolicy, pod.PriorityClassName)
	}
	if diff := cmp.Diff([]corev1.Toleration{{Operator: corev1.TolerationOpExists}}, pod.Tolerations); diff != "" {
		t.Errorf("tolerations (-want +got):\n%s", diff)
	}
	env := map[string]string{}
	for _, e := range pod.Containers[0].Env {
		env[e.Name] = e.Value
	}
	if got := net.JoinHostPort(env["KUBERNETES_SERVICE_HOST"], env["KUBERNETES_SERVICE_PORT"]); got != "dev-control-plane:6443" {
		t.Errorf("it dials %s", got)
	}
}

// Each mode has the capabilities that it needs, and only a mode that writes can
// write to the bpffs. The cgroups are nobody's to write.
func TestAgentMayWhatItsModeNeeds(t *testing.T) {
	for mode, want := range map[state.Mode][]corev1.Capability{
		state.Observe: {"BPF"},
		state.Repair:  {"BPF", "PERFMON"},
		state.Own:     {"BPF", "NET_ADMIN", "PERFMON", "SYS_ADMIN"},
	} {
		c := agentOf(t, mode).Spec.Template.Spec.Containers[0]
		security := c.SecurityContext
		if diff := cmp.Diff(&corev1.Capabilities{Add: want, Drop: []corev1.Capability{"ALL"}}, security.Capabilities); diff != "" {
			t.Errorf("%s: (-want +got):\n%s", mode, diff)
		}
		if *security.Privileged || *security.AllowPrivilegeEscalation || !*security.ReadOnlyRootFilesystem {
			t.Errorf("%s: %+v", mode, security)
		}
		for _, m := range c.VolumeMounts {
			if want := mode == state.Observe || m.Name == "cgroup"; m.ReadOnly != want {
				t.Errorf("%s: mount %s is read-only: %v", mode, m.Name, m.ReadOnly)
			}
			if *m.MountPropagation != corev1.MountPropagationHostToContainer {
				t.Errorf("%s: mount %s is %s", mode, m.Name, *m.MountPropagation)
			}
		}
	}
}

// The folders of the host are those that the environment names, at their own paths.
func TestAgentSeesTheHostsFolders(t *testing.T) {
	pod := agentOf(t, state.Observe).Spec.Template.Spec
	var got []string
	for i, v := range pod.Volumes {
		got = append(got, v.HostPath.Path)
		if m := pod.Containers[0].VolumeMounts[i]; m.Name != v.Name || m.MountPath != v.HostPath.Path {
			t.Errorf("%s is mounted at %s", v.HostPath.Path, m.MountPath)
		}
	}
	if diff := cmp.Diff([]string{"/sys/fs/bpf", "/run/cilium/cgroupv2"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The controller keeps to Pod Security's restricted profile in all but the
// network, and fits a cluster of one node.
func TestControllerIsRestricted(t *testing.T) {
	env, o := guarded(state.Own)
	d := decode[appsv1.Deployment](t, manifests(t, env, nil, o), "gate/plumb-controller-deployment.yaml")
	pod := d.Spec.Template.Spec
	c := pod.Containers[0].SecurityContext
	if !*pod.SecurityContext.RunAsNonRoot || *pod.SecurityContext.RunAsUser == 0 || pod.SecurityContext.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault ||
		*c.AllowPrivilegeEscalation || len(c.Capabilities.Add) > 0 || !slices.Contains(c.Capabilities.Drop, "ALL") || len(pod.Volumes) > 0 || !*c.ReadOnlyRootFilesystem {
		t.Errorf("pod %+v, container %+v, volumes %v", pod.SecurityContext, c, pod.Volumes)
	}
	if *d.Spec.Replicas != 2 || !slices.Contains(pod.Containers[0].Args, "--leader-elect") {
		t.Errorf("%d replicas, %v", *d.Spec.Replicas, pod.Containers[0].Args)
	}
	if terms := pod.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution; len(terms) != 1 ||
		!cmp.Equal(terms[0].LabelSelector.MatchLabels, d.Spec.Template.Labels) {
		t.Errorf("replicas may share a node: %v", terms)
	}
	env.Agent.Controller.Events = "http://10.96.0.40"
	env.Cluster = map[string]any{"nodes": 1}
	d = decode[appsv1.Deployment](t, manifests(t, env, nil, o), "gate/plumb-controller-deployment.yaml")
	if args := d.Spec.Template.Spec.Containers[0].Args; !slices.Contains(args, "--events-addr=http://10.96.0.40") {
		t.Errorf("arguments are %q: notification-controller is not told", args)
	}
	if *d.Spec.Replicas != 1 {
		t.Errorf("%d replicas on one node", *d.Spec.Replicas)
	}
}

// Selectors select what the template makes, and accounts are there.
func TestWorkloadsAreWhole(t *testing.T) {
	env, o := guarded(state.Observe)
	files := manifests(t, env, nil, o)
	ds := decode[appsv1.DaemonSet](t, files, "gate/plumb-agent-daemonset.yaml")
	deployment := decode[appsv1.Deployment](t, files, "gate/plumb-controller-deployment.yaml")
	for _, w := range []struct {
		selector map[string]string
		template corev1.PodTemplateSpec
	}{{ds.Spec.Selector.MatchLabels, ds.Spec.Template}, {deployment.Spec.Selector.MatchLabels, deployment.Spec.Template}} {
		if !cmp.Equal(w.selector, w.template.Labels) {
			t.Errorf("selects %v, has %v", w.selector, w.template.Labels)
		}
		account := w.template.Spec.ServiceAccountName
		if sa := decode[corev1.ServiceAccount](t, files, "gate/"+account+"-serviceaccount.yaml"); sa.Namespace != env.Agent.Namespace {
			t.Errorf("%s is in %s", account, sa.Namespace)
		}
		c := w.template.Spec.Containers[0]
		for _, p := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe} {
			if p.HTTPGet.Host != "127.0.0.1" || p.HTTPGet.Port.IntVal != c.Ports[0].ContainerPort || !slices.Contains(c.Args, "--listen=:"+strconv.Itoa(p.HTTPGet.Port.IntValue())) {
				t.Errorf("probe %+v of %v", p.HTTPGet, c.Args)
			}
		}
	}
	ns := decode[corev1.Namespace](t, files, "gate/namespace.yaml")
	if ns.Name != "plumbline" || ns.Labels["pod-security.kubernetes.io/enforce"] != "privileged" {
		t.Errorf("namespace %s with %v", ns.Name, ns.Labels)
	}
}

// Roles are typed, bound to accounts that are there, and allow no wildcard, no
// Secret and no write to what is not Plumbline's.
func TestAccessIsLittle(t *testing.T) {
	env, o := guarded(state.Own)
	files := manifests(t, env, nil, o)
	var roles int
	for name, data := range files {
		if !strings.HasSuffix(name, "role.yaml") {
			continue
		}
		roles++
		var r rbacv1.ClusterRole // a Role is its fields too
		if err := yaml.UnmarshalStrict(data, &r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, rule := range r.Rules {
			all := slices.Concat(rule.APIGroups, rule.Resources, rule.Verbs)
			if slices.Contains(all, "*") || slices.Contains(rule.Resources, "secrets") {
				t.Errorf("%s: allows %v", name, rule)
			}
			writes := slices.ContainsFunc(rule.Verbs, func(v string) bool { return !slices.Contains([]string{"get", "list", "watch"}, v) })
			if writes && r.Kind == "ClusterRole" {
				t.Errorf("%s: writes everywhere: %v", name, rule)
			}
		}
		binding := decode[rbacv1.ClusterRoleBinding](t, files, strings.Replace(name, "role.yaml", "rolebinding.yaml", 1))
		if binding.RoleRef.Kind != r.Kind || binding.RoleRef.Name != r.Name || binding.Namespace != r.Namespace || len(binding.Subjects) != 1 {
			t.Errorf("%s: bound by %+v to %v", name, binding.RoleRef, binding.Subjects)
		}
		for _, s := range binding.Subjects {
			decode[corev1.ServiceAccount](t, files, "gate/"+s.Name+"-serviceaccount.yaml")
		}
	}
	if roles != 5 {
		t.Errorf("%d roles", roles)
	}
}

// An agent writes of its own node alone, and the policy is in force.
func TestAdmission(t *testing.T) {
	env, o := guarded(state.Own)
	env.Agent.Namespace = "elsewhere"
	files := manifests(t, env, nil, o)
	policy := decode[admissionv1.ValidatingAdmissionPolicy](t, files, "gate/elsewhere-own-report-validatingadmissionpolicy.yaml")
	binding := decode[admissionv1.ValidatingAdmissionPolicyBinding](t, files, "gate/elsewhere-own-report-validatingadmissionpolicybinding.yaml")
	if binding.Spec.PolicyName != policy.Name || !slices.Contains(binding.Spec.ValidationActions, admissionv1.Deny) {
		t.Errorf("binds %s with %v", binding.Spec.PolicyName, binding.Spec.ValidationActions)
	}
	if got := policy.Spec.MatchConditions[0].Expression; !strings.Contains(got, "'system:serviceaccount:elsewhere:plumb-agent'") {
		t.Errorf("judges %s", got)
	}
	if *policy.Spec.FailurePolicy != admissionv1.Fail {
		t.Errorf("fails as %s", *policy.Spec.FailurePolicy)
	}
}

// The Datapath's spec is the Settings.
func TestDatapathIsTheSettings(t *testing.T) {
	env, o := guarded(state.Observe)
	got := decode[struct {
		APIVersion, Kind string
		Metadata         map[string]any
		Spec             state.Settings
	}](t, manifests(t, env, nil, o), "gate/dev-datapath.yaml")
	if diff := cmp.Diff(*o.Settings, got.Spec); diff != "" || got.Kind != "Datapath" {
		t.Errorf("%s (-want +got):\n%s", got.Kind, diff)
	}
	if _, err := Manifests(env, nil, Options{}); !errors.Is(err, errNoSettings) {
		t.Errorf("without Settings: %v", err)
	}
}

// The gate waits for all that it applies, Cilium for the gate, and monitoring for
// Cilium; one source, and nothing but dependsOn says so.
func TestStagesAreInOrder(t *testing.T) {
	env, o := guarded(state.Observe)
	env.Flux.DependsOn = []string{"crds"}
	env.Flux.Kustomizations = map[string]load.Kustomization{
		"crds": {Path: "./crds", Wait: true},
		"apps": {Path: "./apps", DependsOn: []string{"cilium"}, Prune: true, Timeout: "1m"},
	}
	files := manifests(t, env, nil, o)
	for name, want := range map[string][]string{
		"gate": nil, "cilium": {"gate", "crds"}, "monitoring": {"cilium"}, "crds": nil, "apps": {"cilium"},
	} {
		k := decode[kustomizev1.Kustomization](t, files, name+".yaml")
		var got []string
		for _, d := range k.Spec.DependsOn {
			got = append(got, d.Name)
			if d.ReadyExpr != "" {
				t.Errorf("%s has a readyExpr", name)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s waits for (-want +got):\n%s", name, diff)
		}
		if k.Spec.SourceRef.Name != "clusters" {
			t.Errorf("%s is of the source %s", name, k.Spec.SourceRef.Name)
		}
	}
	gate := decode[kustomizev1.Kustomization](t, files, "gate.yaml").Spec
	if !gate.Wait || gate.Prune || len(gate.HealthCheckExprs) == 0 {
		t.Errorf("gate: wait %v, prune %v, %d expressions", gate.Wait, gate.Prune, len(gate.HealthCheckExprs))
	}
	if apps := decode[kustomizev1.Kustomization](t, files, "apps.yaml").Spec; apps.Path != "./apps" || apps.Timeout.Duration.String() != "1m0s" || !apps.Prune {
		t.Errorf("apps: %+v", apps)
	}
}

func TestCycle(t *testing.T) {
	for _, test := range []struct {
		order map[string][]string
		want  []string
	}{
		{map[string][]string{"a": {"b", "c"}, "b": {"c"}, "c": nil}, nil},
		{map[string][]string{"a": {"elsewhere"}}, nil},
		{map[string][]string{"a": {"a"}}, []string{"a"}},
		{map[string][]string{"x": {"c"}, "c": {"b"}, "b": {"a"}, "a": {"c"}}, []string{"a", "c", "b"}},
	} {
		if diff := cmp.Diff(test.want, Cycle(test.order)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", test.order, diff)
		}
	}
}
