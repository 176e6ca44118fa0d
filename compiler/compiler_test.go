// SPDX-License-Identifier: Apache-2.0

package compiler_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"plumbline.dev/plumbline/compiler"
	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/emit"
	"plumbline.dev/plumbline/compiler/load"
)

func repository(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func loadEnvironment(t *testing.T, root, workDir, name string) *load.Environment {
	t.Helper()
	source, err := load.Folder{Dir: filepath.Join(root, "environments"), WorkDir: workDir}.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	env, list := load.Load(source)
	if len(list) > 0 {
		t.Fatal(list)
	}
	return env
}

// everything is all that an Artifact says, as text.
func everything(t *testing.T, env *load.Environment) string {
	t.Helper()
	a, list := compiler.Compile(env)
	if a == nil {
		t.Fatal(list)
	}
	var b strings.Builder
	for _, f := range a.Files {
		b.WriteString("== " + f.Path + "\n" + string(f.Data))
	}
	values, err := emit.YAML(a.Values)
	if err != nil {
		t.Fatal(err)
	}
	settings, err := json.Marshal(a.Settings)
	if err != nil {
		t.Fatal(err)
	}
	b.Write(values)
	b.Write(settings)
	b.Write(emit.EnvFile(a.Variables))
	return b.String()
}

// I9: Compile is hermetic and deterministic. The same files give the same bytes
// wherever, whenever and as whoever they are compiled, and once more from the
// same Environment.
func TestI9CompileIsHermeticAndDeterministic(t *testing.T) {
	root := repository(t)
	env := loadEnvironment(t, root, root, "dev")
	want := everything(t, env)
	if diff := cmp.Diff(want, everything(t, env)); diff != "" {
		t.Errorf("a second time (-first +second):\n%s", diff)
	}

	elsewhere := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(filepath.Join(elsewhere, "environments"), os.DirFS(filepath.Join(root, "environments"))); err != nil {
		t.Fatal(err)
	}
	t.Chdir(elsewhere)
	for name, value := range map[string]string{
		"TZ": "Asia/Kathmandu", "LANG": "tr_TR.UTF-8", "HOME": elsewhere, "USER": "other", "HOSTNAME": "other", "KUBECONFIG": "/nowhere",
		"CUE_DEBUG": "opendef", "CUE_REGISTRY": "registry.invalid", "CUE_CACHE_DIR": filepath.Join(elsewhere, "cache"),
		"SOURCE_DATE_EPOCH": "1", "API_HOST": "other", "CILIUM_CHART_VERSION": "0",
	} {
		t.Setenv(name, value)
	}
	local := time.Local
	time.Local = time.FixedZone("elsewhere", 5*3600)
	t.Cleanup(func() { time.Local = local })
	for range 3 { // maps are iterated in another order each time
		if diff := cmp.Diff(want, everything(t, loadEnvironment(t, elsewhere, elsewhere, "dev"))); diff != "" {
			t.Errorf("elsewhere (-here +elsewhere):\n%s", diff)
		}
	}
	if _, err := os.Stat(filepath.Join(elsewhere, "cache")); !os.IsNotExist(err) {
		t.Errorf("a cache was made: %v", err)
	}
}

func TestTheTwoEnvironmentsDiffer(t *testing.T) {
	root := repository(t)
	dev, _ := compiler.Compile(loadEnvironment(t, root, root, "dev"))
	prod, _ := compiler.Compile(loadEnvironment(t, root, root, "prod"))
	if dev.Settings.CgroupRoot == prod.Settings.CgroupRoot || dev.Values["k8sServiceHost"] == prod.Values["k8sServiceHost"] {
		t.Errorf("dev %v, prod %v", dev.Values, prod.Values)
	}
}

// Vet finds what Compile does.
func TestVetIsCompileWithoutManifests(t *testing.T) {
	root := repository(t)
	env := loadEnvironment(t, root, root, "prod")
	env.Chart.Version = "1.42.0"
	_, want := compiler.Compile(env)
	if diff := cmp.Diff(want, compiler.Vet(env)); diff != "" || want.Count(diag.Error) != 1 {
		t.Errorf("%v (-compile +vet):\n%s", want, diff)
	}
}

func TestNothingCompilesToNothing(t *testing.T) {
	if a, list := compiler.Compile(nil); a != nil || len(list) > 0 {
		t.Errorf("%v, %v", a, list)
	}
	if list := compiler.Vet(nil); len(list) > 0 {
		t.Errorf("%v", list)
	}
}

func TestDuplicates(t *testing.T) {
	root := repository(t)
	dev, prod := loadEnvironment(t, root, root, "dev"), loadEnvironment(t, root, root, "prod")
	if list := compiler.Together([]*load.Environment{dev, nil, prod}); len(list) > 0 {
		t.Errorf("%v", list)
	}
	list := compiler.Together([]*load.Environment{dev, prod, dev, {Name: "dev"}})
	if len(list) != 1 || list[0].Code != "env/duplicate-name" || len(list[0].Positions) == 0 {
		t.Errorf("%v", list)
	}
}

// Environments of one API server keep to namespaces of their own.
func TestEnvironmentsOfOneCluster(t *testing.T) {
	env := func(name, host string, change func(*load.Environment)) *load.Environment {
		e := &load.Environment{Name: name, Complete: true, API: load.API{Host: host, Port: 6443}}
		e.Flux.Namespace, e.Flux.Release.Namespace, e.Agent.Namespace = "flux-system", "kube-system", "plumbline"
		if change != nil {
			change(e)
		}
		return e
	}
	apart := func(e *load.Environment) { e.Flux.Namespace, e.Flux.Release.Namespace = "edge", "edge-system" }
	for _, test := range []struct {
		what string
		with *load.Environment
		host string
		want string // shared fields
	}{
		{"all", env("b", "10.0.0.10", nil), "10.0.0.10", "flux.namespace and flux.release.namespace:"},
		{"agents", env("b", "api.example.com", func(e *load.Environment) { apart(e); e.Agent.Enabled = true }), "api.example.com", "agent.namespace:"},
		{"nothing", env("b", "10.0.0.10", apart), "10.0.0.10", ""},
		{"another address", env("b", "10.0.0.11", nil), "10.0.0.10", ""},
		{"another port", env("b", "10.0.0.10", func(e *load.Environment) { e.API.Port = 443 }), "10.0.0.10", ""},
		{"no address", env("b", "", nil), "", ""},
		{"each node's own", env("b", "127.0.0.1", nil), "127.0.0.1", ""},
		{"a name of each cluster", env("b", "kubernetes.default.svc", nil), "kubernetes.default.svc", ""},
		{"a host of each network", env("b", "control-plane", nil), "control-plane", ""},
	} {
		first := env("a", test.host, func(e *load.Environment) { e.Agent.Enabled = true })
		list := compiler.Together([]*load.Environment{first, test.with})
		if len(list) != 0 != (test.want != "") {
			t.Errorf("%s: %v", test.what, list)
		}
		for _, d := range list {
			if d.Code != "env/shared-cluster" || d.Severity != diag.Warning || !strings.Contains(d.Message, "share the same "+test.want) {
				t.Errorf("%s: %v", test.what, d)
			}
		}
	}
}
