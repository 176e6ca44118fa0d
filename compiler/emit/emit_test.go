// SPDX-License-Identifier: Apache-2.0

package emit

import (
	"bytes"
	"path"
	"slices"
	"strings"
	"testing"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"

	"plumbline.dev/plumbline/compiler/load"
)

func environment(source string) *load.Environment {
	return &load.Environment{
		Name: "dev", Platform: "kind",
		Chart:  load.Chart{Version: "1.17.2", Source: source},
		API:    load.API{Host: "dev-control-plane", Port: 6443},
		Cgroup: load.Cgroup{Root: "/sys/fs/cgroup"},
		Flux: load.Flux{
			Namespace: "gitops", Source: load.FluxSource{Kind: "GitRepository", Name: "clusters"}, Path: "./clusters/dev",
			Interval: "10m", RetryInterval: "1m", Timeout: "5m", DriftDetection: "enabled",
			Release: load.Release{Name: "cni", Namespace: "kube-system"},
		},
	}
}

func manifests(t *testing.T, env *load.Environment, values map[string]any, o Options) map[string][]byte {
	t.Helper()
	files, err := Manifests(env, values, o)
	if err != nil {
		t.Fatal(err)
	}
	byPath := map[string][]byte{}
	for _, f := range files {
		byPath[f.Path] = f.Data
	}
	return byPath
}

// decode reads a file into a type of Flux's own, and lets no field pass that the
// type does not have.
func decode[T any](t *testing.T, files map[string][]byte, name string) *T {
	t.Helper()
	data, ok := files[name]
	if !ok {
		t.Fatalf("no file %s", name)
	}
	out := new(T)
	if err := yaml.UnmarshalStrict(data, out); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return out
}

func TestHelmReleaseIsFluxes(t *testing.T) {
	files := manifests(t, environment("https://helm.cilium.io"), map[string]any{"MTU": 1450}, Options{})
	release := decode[helmv2.HelmRelease](t, files, "cilium/helmrelease.yaml")
	if got, want := release.GroupVersionKind(), helmv2.GroupVersion.WithKind("HelmRelease"); got != want {
		t.Errorf("is a %v, want %v", got, want)
	}
	if release.Namespace != "kube-system" || release.Spec.ReleaseName != "cni" {
		t.Errorf("releases %s in %s", release.Spec.ReleaseName, release.Namespace)
	}
	if !release.GetInstall().DisableWait || !release.GetUpgrade().DisableWait {
		t.Error("Helm waits for what waits for the CNI")
	}
	for name, retry := range map[string]helmv2.Retry{"install": release.GetInstall().GetRetry(false), "upgrade": release.GetUpgrade().GetRetry(false)} {
		if retry == nil {
			t.Errorf("a failed %s is not just tried again", name)
		}
	}
	if release.GetInstall().DisableSchemaValidation {
		t.Error("the chart's schema is left aside without need")
	}
	if got := release.GetDriftDetection().Mode; got != helmv2.DriftDetectionEnabled {
		t.Errorf("drift detection is %q", got)
	}
	if diff := cmp.Diff(map[string]any{"MTU": 1450.0}, release.GetValues()); diff != "" {
		t.Errorf("values (-want +got):\n%s", diff)
	}
}

// Each kind of source gives a release that refers to it, and the object that it
// refers to.
func TestSourcesAreFluxes(t *testing.T) {
	t.Run("https", func(t *testing.T) {
		files := manifests(t, environment("https://helm.cilium.io"), nil, Options{})
		chart := decode[helmv2.HelmRelease](t, files, "cilium/helmrelease.yaml").Spec.Chart.Spec
		source := decode[sourcev1.HelmRepository](t, files, "cilium/source.yaml")
		if chart.Version != "1.17.2" || chart.SourceRef.Kind != source.Kind || chart.SourceRef.Name != source.Name {
			t.Errorf("%+v does not lead to %s", chart, source.Name)
		}
		if source.Spec.URL != "https://helm.cilium.io" {
			t.Errorf("the source's address is %q", source.Spec.URL)
		}
	})
	t.Run("oci", func(t *testing.T) {
		files := manifests(t, environment("oci://quay.io/cilium/charts/cilium"), nil, Options{})
		release := decode[helmv2.HelmRelease](t, files, "cilium/helmrelease.yaml")
		source := decode[sourcev1.OCIRepository](t, files, "cilium/source.yaml")
		if release.Spec.Chart != nil || release.Spec.ChartRef.Kind != source.Kind || release.Spec.ChartRef.Name != source.Name {
			t.Errorf("%+v does not lead to %s", release.Spec, source.Name)
		}
		if source.Spec.Reference.Tag != "1.17.2" || source.GetLayerOperation() != sourcev1.OCILayerCopy || source.GetLayerMediaType() != chartLayer {
			t.Errorf("the source takes %+v, %+v", source.Spec.Reference, source.Spec.LayerSelector)
		}
	})
	t.Run("folder", func(t *testing.T) {
		files := manifests(t, environment("./charts/cilium"), nil, Options{})
		chart := decode[helmv2.HelmRelease](t, files, "cilium/helmrelease.yaml").Spec.Chart.Spec
		if chart.Chart != "./charts/cilium" || chart.SourceRef.Kind != "GitRepository" || chart.SourceRef.Namespace != "gitops" {
			t.Errorf("chart is %+v", chart)
		}
		if _, ok := files["cilium/source.yaml"]; ok {
			t.Error("a chart in the same source has one of its own")
		}
	})
}

func TestKustomizationIsFluxes(t *testing.T) {
	files := manifests(t, environment("https://helm.cilium.io"), nil, Options{})
	k := decode[kustomizev1.Kustomization](t, files, "cilium.yaml")
	if k.Namespace != "gitops" || k.Spec.SourceRef.Name != "clusters" || k.Spec.Path != "./clusters/dev/cilium" {
		t.Errorf("%s applies %s of %s", k.Namespace, k.Spec.Path, k.Spec.SourceRef.Name)
	}
	if k.Spec.Prune {
		t.Error("a file lost from Git would end the cluster's network")
	}
	var health []string
	for _, h := range k.Spec.HealthChecks {
		health = append(health, h.Kind+" "+h.Namespace+"/"+h.Name)
	}
	want := []string{"HelmRelease kube-system/cni", "DaemonSet kube-system/cilium", "Deployment kube-system/cilium-operator"}
	if diff := cmp.Diff(want, health); diff != "" {
		t.Errorf("health checks (-want +got):\n%s", diff)
	}
}

// What the values turn off is not waited for.
func TestHealthFollowsTheValues(t *testing.T) {
	values := map[string]any{"agent": false, "operator": map[string]any{"enabled": false}}
	files := manifests(t, environment("https://helm.cilium.io"), values, Options{})
	if k := decode[kustomizev1.Kustomization](t, files, "cilium.yaml"); len(k.Spec.HealthChecks) != 1 {
		t.Errorf("health checks are %v", k.Spec.HealthChecks)
	}
}

func TestEnvironmentMap(t *testing.T) {
	env := environment("https://helm.cilium.io")
	cm := decode[corev1.ConfigMap](t, manifests(t, env, nil, Options{}), "environment.yaml")
	if cm.Name != "environment" || cm.Namespace != "gitops" || cm.Labels["reconcile.fluxcd.io/watch"] != "Enabled" {
		t.Errorf("is %s/%s, labels %v", cm.Namespace, cm.Name, cm.Labels)
	}
	want := map[string]string{
		"API_HOST": "dev-control-plane", "API_PORT": "6443", "CILIUM_CHART_VERSION": "1.17.2",
		"CILIUM_CGROUP_ROOT": "/sys/fs/cgroup", "CILIUM_CGROUP_AUTO_MOUNT": "false", "ENVIRONMENT": "dev",
	}
	if diff := cmp.Diff(want, cm.Data); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	names := Variables(env)
	if !slices.IsSortedFunc(names, func(a, b Variable) int { return strings.Compare(a.Name, b.Name) }) {
		t.Errorf("variables are not in order: %v", names)
	}
	env.API.Host = ""
	if data := string(EnvFile(Variables(env))); strings.Contains(data, "API_") {
		t.Errorf("an environment without a host has\n%s", data)
	}
}

func TestSkipChartSchema(t *testing.T) {
	files := manifests(t, environment("https://helm.cilium.io"), nil, Options{SkipChartSchema: true})
	release := decode[helmv2.HelmRelease](t, files, "cilium/helmrelease.yaml")
	if !release.GetInstall().DisableSchemaValidation || !release.GetUpgrade().DisableSchemaValidation {
		t.Error("the chart's schema is not left aside")
	}
}

// Every file is named by the kustomization beside it, and every name is a file;
// every object says whose it is.
func TestFoldersAreWhole(t *testing.T) {
	files := manifests(t, environment("oci://quay.io/cilium/charts/cilium"), nil, Options{})
	listed := map[string]bool{}
	for name, data := range files {
		if path.Base(name) != Kustomization {
			var object struct {
				Metadata metav1.ObjectMeta `json:"metadata"`
			}
			if err := yaml.Unmarshal(data, &object); err != nil {
				t.Fatal(err)
			}
			if got := object.Metadata.Labels["plumbline.dev/environment"]; got != "dev" {
				t.Errorf("%s is labelled for environment %q", name, got)
			}
			continue
		}
		var k types.Kustomization
		if err := yaml.UnmarshalStrict(data, &k); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, resource := range k.Resources {
			listed[path.Join(path.Dir(name), resource)] = true
		}
	}
	for name := range files {
		if path.Base(name) != Kustomization && !listed[name] {
			t.Errorf("%s is in no kustomization", name)
		}
		delete(listed, name)
	}
	for name := range listed {
		t.Errorf("%s is in a kustomization and is no file", name)
	}
}

func TestDocumentsLeavesKustomizeOut(t *testing.T) {
	files, err := Manifests(environment("https://helm.cilium.io"), nil, Options{})
	if err != nil {
		t.Fatal(err)
	}
	stream := Documents(files)
	if bytes.Contains(stream, []byte("kustomize.config.k8s.io")) {
		t.Error("the stream holds a file of kustomize's own")
	}
	if got, want := bytes.Count(stream, []byte("\n---\n"))+1, len(files)-2; got != want {
		t.Errorf("%d documents of %d objects", got, want)
	}
}
