// SPDX-License-Identifier: Apache-2.0

package values

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"plumbline.dev/plumbline/compiler/diag"
)

// What behaviour.txt says hangs on keys that the charts have, and a KEY on a
// default that does change with its minor.
func TestBehavioursHangOnKeys(t *testing.T) {
	list, err := Behaviours("1.0", "9.9")
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < 10 {
		t.Errorf("only %d behaviours", len(list))
	}
	minors := Minors()
	for _, b := range list {
		i := slices.Index(minors, b.Minor)
		if i < 1 {
			t.Errorf("%s %s: no two tables to look at", b.Minor, b.Key)
			continue
		}
		before, after := mustFor(t, minors[i-1]), mustFor(t, b.Minor)
		for _, c := range slices.Concat(b.all, b.any) {
			path := ""
			for _, name := range c.names {
				path = Join(path, name)
			}
			if _, ok := after.Lookup(path); !ok {
				t.Errorf("%s %s: the chart has no %s", b.Minor, b.Key, path)
			}
		}
		if b.Key == "" {
			if len(b.all)+len(b.any) == 0 && b.Severity != diag.Info {
				t.Errorf("%s %q: a %s that concerns everyone", b.Minor, b.Text, b.Severity)
			}
			continue
		}
		was, _ := before.Default(b.Key)
		is, ok := after.Default(b.Key)
		if k, known := after.Lookup(b.Key); !ok || !known || k.Path != b.Key || reflect.DeepEqual(was, is) {
			t.Errorf("%s %s: the default %v is the same as before, or there is none", b.Minor, b.Key, is)
		}
	}
}

func mustFor(t *testing.T, version string) *Table {
	t.Helper()
	table, err := For(version)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestBehavioursOnTheWay(t *testing.T) {
	for _, test := range []struct {
		from, to string
		want     []string
	}{
		{"1.17", "1.17", nil}, {"1.20", "1.17", nil}, {"1.18", "1.19", []string{"1.19"}}, {"1.17", "1.19", []string{"1.18", "1.19"}},
	} {
		list, err := Behaviours(test.from, test.to)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, b := range list {
			got = append(got, b.Minor)
		}
		if got = slices.Compact(got); !slices.Equal(got, test.want) {
			t.Errorf("%s to %s: want %v, got %v", test.from, test.to, test.want, got)
		}
	}
}

func TestConcerns(t *testing.T) {
	list, err := parseBehaviours(`
1.18 a.b
  all c true
  any d 5
  any d "x"
  any e
  text so it is
`)
	if err != nil {
		t.Fatal(err)
	}
	yes := `{"c": true, "d": 5}`
	for _, test := range []struct {
		values, merged string
		want           bool
	}{
		{`{}`, yes, true},
		{`{"a": {"x": 1}}`, yes, true},
		{`{"a": {"b": null}}`, yes, false},
		{`{"a": {"b": {"c": 1}}}`, yes, false},
		{`{"a": 1}`, yes, false},
		{`{}`, `{"c": "true", "d": 5}`, false},
		{`{}`, `{"c": true}`, false},
		{`{}`, `{"c": true, "d": 6}`, false},
		{`{}`, `{"c": true, "d": "x"}`, true},
		{`{}`, `{"c": true, "e": 0}`, true},
	} {
		values, merged := decodeObject(t, test.values), decodeObject(t, test.merged)
		if got := list[0].Concerns(values, merged); got != test.want {
			t.Errorf("%s, %s: want %v", test.values, test.merged, test.want)
		}
	}
}

func decodeObject(t *testing.T, text string) map[string]any {
	t.Helper()
	v, err := decodeJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	return v.(map[string]any)
}

func TestBadBehaviours(t *testing.T) {
	const bad = "  text x\n1.18\n  al a\n  all a..b\n  all a {\n  severity bad\n2\n  text x\n"
	_, err := parseBehaviours(bad)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"line 1: no minor", "line 3: unknown word", "line 4: path", "line 5: a:", "line 6: unknown severity", "1.18 : want a minor and a text", "2 : want"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("want %q in:\n%v", want, err)
		}
	}
}

func TestMoved(t *testing.T) {
	table := mustFor(t, "1.18")
	for _, test := range []struct {
		path  string
		value any
		want  Effect
	}{
		{"encryption.keyFile", "x", FailsIfSet}, {"encryption.keyFile", "", Ignored}, {"enableCnpStatusUpdates", false, Ignored},
		{"enableCnpStatusUpdates", json.Number("0"), Ignored}, {"externalWorkloads", map[string]any{"enabled": true}, Ignored},
	} {
		n := FromData(test.value)
		m, ok := table.Moved(test.path, &n)
		if !ok || m.Effect != test.want {
			t.Errorf("%s: %v: want %s, got %s, %v", test.path, test.value, test.want, m.Effect, ok)
		}
	}
	for _, path := range []string{"ipam.mode", "nothing", "podAnnotations.x", "a..b"} {
		if _, ok := table.Moved(path, &Node{}); ok {
			t.Errorf("%s has moved", path)
		}
	}
}
