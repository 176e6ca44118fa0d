// SPDX-License-Identifier: Apache-2.0

package lower

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"plumbline.dev/plumbline/compiler/load"
)

func TestFieldsBecomeValues(t *testing.T) {
	env := environment("1.17.2")
	env.API = load.API{Host: "api.example.com", Port: 6443}
	env.Cgroup = load.Cgroup{Root: "/sys/fs/cgroup", AutoMount: false}
	free := map[string]any{"cgroup": map[string]any{"autoMount": map[string]any{"resources": map[string]any{}}}, "MTU": json.Number("1450")}
	got, list := Values(env, free)
	if len(list) > 0 {
		t.Errorf("findings: %v", list)
	}
	want := map[string]any{
		"MTU": json.Number("1450"), "k8sServiceHost": "api.example.com", "k8sServicePort": 6443,
		"cgroup": map[string]any{"hostRoot": "/sys/fs/cgroup", "autoMount": map[string]any{"enabled": false, "resources": map[string]any{}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, ok := free["k8sServiceHost"]; ok || len(free["cgroup"].(map[string]any)) != 1 {
		t.Errorf("the free values were changed: %v", free)
	}
}

// A port without a host is nothing to the chart.
func TestNoHostNoPort(t *testing.T) {
	env := environment("1.17.2")
	env.API.Port = 6443
	got, _ := Values(env, nil)
	if _, ok := got["k8sServicePort"]; ok {
		t.Errorf("values are %v", got)
	}
}

func TestRepeatedValuesAreLeftAlone(t *testing.T) {
	env := environment("1.17.2")
	env.API = load.API{Host: "h", Port: 6443}
	for _, port := range []any{"6443", json.Number("6443")} {
		got, list := Values(env, map[string]any{"k8sServicePort": port, "cgroup": nil})
		if len(list) > 0 || got["k8sServicePort"] != port {
			t.Errorf("port %v: %v, %v", port, got, list)
		}
	}
}

// What is in the way of a value stays: the check of the values tells of it.
func TestWrongTypesStay(t *testing.T) {
	got, list := Values(environment("1.17.2"), map[string]any{"cgroup": "v2"})
	if got["cgroup"] != "v2" || len(list) > 0 {
		t.Errorf("%v, %v", got, list)
	}
}
