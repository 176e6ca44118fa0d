// SPDX-License-Identifier: Apache-2.0

package values

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFor(t *testing.T) {
	for version, want := range map[string][2]string{
		"1.17": {"1.17", ""}, "1.17.2": {"1.17", "1.17.2"}, "v1.18.99": {"1.18", "1.18.99"}, "1.20.0": {"1.20", "1.20.0"},
	} {
		table, err := For(version)
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]string{table.Minor, table.Release}; got != want {
			t.Errorf("%s: want %v, have %v", version, want, got)
		}
	}
	for _, version := range []string{"", "1", "1.16.3", "2.17.0", "1.21.0-pre.1", "1.17.2.3", "1.x", "latest"} {
		_, err := For(version)
		if err == nil || !strings.Contains(err.Error(), "1.17, 1.18, 1.19, 1.20") {
			t.Errorf("%q: want an error that names the minors, have %v", version, err)
		}
	}
	if diff := cmp.Diff([]string{"1.17", "1.18", "1.19", "1.20"}, Minors()); diff != "" {
		t.Errorf("minors (-want +got)\n%s", diff)
	}
}

func TestCompareVersions(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"1.9", "1.17", -1}, {"1.17.2", "1.17.10", -1}, {"1.17", "1.17.2", -1}, {"1.20.2", "1.20.2", 0}} {
		if got := CompareVersions(c.a, c.b); got != c.want {
			t.Errorf("%s and %s: want %d, have %d", c.a, c.b, c.want, got)
		}
	}
}

func TestLookup(t *testing.T) {
	table, err := For("1.17.2")
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"hubble.relay.enabled":             "hubble.relay.enabled",
		`nodeSelector."kubernetes.io/os"`:  `nodeSelector."kubernetes.io/os"`,
		`podAnnotations."example.com/any"`: "podAnnotations",
		"resources.limits.cpu":             "resources",
	} {
		k, ok := table.Lookup(path)
		if !ok || k.Path != want {
			t.Errorf("%s: want %s, have %v %v", path, want, k, ok)
		}
	}
	for _, path := range []string{"", "hubble.nothing", "tunnel", "proxy", "a..b", `"open`} {
		if _, ok := table.Lookup(path); ok {
			t.Errorf("%q is a key", path)
		}
	}
	if k, ok := table.Lookup("tunnel"); ok || k.Moved == nil || k.Moved.To[0] != "routingMode" {
		t.Errorf("tunnel is %+v", k)
	}
}

func TestDefault(t *testing.T) {
	table, err := For("1.17.2")
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]any{
		"cluster.name":         "default",
		"cluster.id":           json.Number("0"),
		"envoy.enabled":        nil,
		"hubble.relay.enabled": false,
		"cgroup.autoMount":     map[string]any{"enabled": true, "resources": map[string]any{}},
	} {
		got, ok := table.Default(path)
		if diff := cmp.Diff(want, got); diff != "" || !ok {
			t.Errorf("%s %v (-want +got)\n%s", path, ok, diff)
		}
	}
	for _, path := range []string{"", "kubeProxyReplacement", "nothing", "a..b"} {
		if got, ok := table.Default(path); ok && path != "" {
			t.Errorf("%s has the default %v", path, got)
		}
	}
}

func TestOption(t *testing.T) {
	table, err := For("1.20.2")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"loadBalancer.mode"}, table.Option("bpf-lb-mode")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for _, name := range table.Options() {
		for _, path := range table.Option(name) {
			if _, ok := table.Lookup(path); !ok {
				t.Errorf("%s is rendered from %s, which is no key", name, path)
			}
		}
	}
}

// TestMovedPointsAtKeys checks that what is to be used instead exists.
func TestMovedPointsAtKeys(t *testing.T) {
	for _, minor := range Minors() {
		table, err := For(minor)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range table.Keys() {
			if k.Moved == nil {
				continue
			}
			for _, to := range k.Moved.To {
				if target, ok := table.exact(to); !ok || target.Moved != nil {
					t.Errorf("%s: %s points at %s", minor, k.Path, to)
				}
			}
		}
	}
}

func TestMerge(t *testing.T) {
	table, err := Parse("cilium values 1\nchart\t1.17.2\t-\n[keys]\na\tobj\na.b\tint\t=1\na.c\tmap\t={\"x\":1}\na.d\tnull|str\t=null\ne\tlist\t=[1]\n")
	if err != nil {
		t.Fatal(err)
	}
	given := map[string]any{
		"a": map[string]any{"b": nil, "c": map[string]any{"y": "2", "z": nil}},
		"e": []any{nil, map[string]any{"k": "v"}}, "f": nil, "g": map[string]any{"h": true},
	}
	want := map[string]any{
		"a": map[string]any{"c": map[string]any{"x": json.Number("1"), "y": "2"}},
		"e": []any{nil, map[string]any{"k": "v"}}, "g": map[string]any{"h": true},
	}
	got := table.Merge(given)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	got["g"].(map[string]any)["h"] = false
	if !given["g"].(map[string]any)["h"].(bool) {
		t.Error("the result shares an object with the values")
	}
	if diff := cmp.Diff(map[string]any{"a": "flat", "e": []any{json.Number("1")}}, table.Merge(map[string]any{"a": "flat"})); diff != "" {
		t.Errorf("a scalar replaces an object (-want +got)\n%s", diff)
	}
}

func TestPaths(t *testing.T) {
	for _, names := range [][]string{{"a"}, {"a", "b-c"}, {"nodeSelector", "kubernetes.io/os"}, {`q"uote`, "1x", "_"}, {"ä"}} {
		path := ""
		for _, n := range names {
			path = Join(path, n)
		}
		got, err := Split(path)
		if diff := cmp.Diff(names, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got)\n%s", path, err, diff)
		}
	}
	for _, bad := range []string{"", ".", "a.", ".a", "a..b", `"a`, `"a"b`, `""`} {
		if got, err := Split(bad); err == nil {
			t.Errorf("%q splits into %q", bad, got)
		}
	}
}
