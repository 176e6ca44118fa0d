// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/schema/state"
)

// tree makes a tree of values with few names, so that two of them meet often.
func tree(r *rand.Rand, depth int) map[string]any {
	out := map[string]any{}
	for range r.IntN(4) {
		out[string("abc.["[r.IntN(5)])] = anyValue(r, depth)
	}
	return out
}

func anyValue(r *rand.Rand, depth int) any {
	if depth > 0 && r.IntN(2) == 0 {
		return tree(r, depth-1)
	}
	switch r.IntN(6) {
	case 0:
		return nil
	case 1:
		return r.IntN(2) == 0
	case 2:
		return json.Number(fmt.Sprint(r.IntN(3)))
	case 3:
		return []any{anyValue(r, 0), "x"}[r.IntN(2):]
	case 4:
		return map[string]any{}
	}
	return string("12"[r.IntN(2)])
}

// apply turns a tree by differences; it is for tests alone.
func apply(tree map[string]any, list []Difference) map[string]any {
	leaves, err := flatten(tree, false)
	if err != nil {
		panic(err)
	}
	for _, d := range list {
		if d.Op == Removed {
			delete(leaves, d.Path)
		} else {
			leaves[d.Path] = leaf{value: d.To, steps: d.steps}
		}
	}
	return unflatten(leaves)
}

func unflatten(leaves map[string]leaf) map[string]any {
	out := map[string]any{}
	for _, l := range leaves {
		at := out
		for _, s := range l.steps[:len(l.steps)-1] {
			if at[s.name] == nil {
				at[s.name] = map[string]any{}
			}
			at = at[s.name].(map[string]any)
		}
		at[l.steps[len(l.steps)-1].name] = l.value
	}
	return out
}

// mirror is what the differences are seen from the other side.
func mirror(list []Difference) []Difference {
	out := slices.Clone(list)
	for i := range out {
		d := &out[i]
		d.From, d.To, d.FromPositions, d.ToPositions = d.To, d.From, d.ToPositions, d.FromPositions
		if d.Op != Changed {
			d.Op = Added + Removed - d.Op
		}
	}
	return out
}

func sides(t *testing.T, a, b Side, parts ...Part) []Difference {
	t.Helper()
	list, err := Sides(a, b, parts...)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	differing := 0
	for i := range 2000 {
		a, b := side(r), side(r)
		if list := sides(t, a, a); len(list) != 0 {
			t.Fatalf("run %d: a side differs from itself: %v", i, list)
		}
		list := sides(t, a, b)
		differing += min(len(list), 1)
		unexported := cmp.AllowUnexported(step{})
		if diff := cmp.Diff(mirror(list), sides(t, b, a), cmpopts.IgnoreFields(Difference{}, "steps"), unexported); diff != "" {
			t.Fatalf("run %d: the mirror image (-want +got):\n%s", i, diff)
		}
		if diff := cmp.Diff(b.Values, apply(a.Values, sides(t, a, b, Values)), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("run %d: applied to %v (-want +got):\n%s", i, a.Values, diff)
		}
	}
	if differing < 1000 {
		t.Errorf("only %d of 2000 pairs differ: this test looks at little", differing)
	}
}

func side(r *rand.Rand) Side {
	s := Side{Values: tree(r, 3), Settings: &state.Settings{IPv4: r.IntN(2) == 0, BPFRoot: fmt.Sprint(r.IntN(3))}}
	for i := range r.IntN(3) {
		spec := tree(r, 2)
		for _, name := range r.Perm(3)[:r.IntN(3)] {
			list, _ := spec["list"].([]any)
			spec["list"] = append(list, map[string]any{"name": fmt.Sprint(name), "v": anyValue(r, 1)})
		}
		s.Objects = append(s.Objects, map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": fmt.Sprint(i)}, "spec": spec})
	}
	return s
}

// text compares two trees of values, or two objects, and gives the lines.
func lines(t *testing.T, from, to Side) string {
	t.Helper()
	report, err := NewReport(Origin{}, Origin{}, sides(t, from, to))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := report.WriteText(&b, false); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func valuesSide(t *testing.T, text string) Side {
	t.Helper()
	objects, err := Decode([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return Side{Values: objects[0]}
}

func manifests(t *testing.T, documents ...string) Side {
	t.Helper()
	var s Side
	for _, d := range documents {
		s.Objects = append(s.Objects, valuesSide(t, d).Values)
	}
	return s
}

func TestText(t *testing.T) {
	tests := map[string]struct{ from, to, want string }{
		"types count":               {`{a: 1, b: "x", c: null}`, `{a: "1", b: "x"}`, "~ values a: 1 -> \"1\"\n- values c: null\n"},
		"equal numbers":             {`{a: 1.0, b: 1e3, c: 0.50}`, `{a: 1, b: 1000, c: 0.5}`, ""},
		"an empty object is a leaf": {`{a: {b: 1}}`, `{a: {}}`, "+ values a: {}\n- values a.b: 1\n"},
		"a list is a leaf":          {`{a: [1, 2]}`, `{a: [1, 3]}`, "~ values a: [1,2] -> [1,3]\n"},
		"quoted names":              {`{a.b: {"c d": 1}}`, `{}`, "- values \"a.b\".\"c d\": 1\n"},
		"passwords":                 {`{x: {bindPassword: a}}`, `{x: {bindPassword: b}}`, "~ values x.bindPassword: \"(masked)\" -> \"(masked)\", and not the same\n"},
		"a new token":               {`{}`, `{token: a}`, "+ values token: \"(masked)\"\n"},
		"a flag about a token":      {`{}`, `{automountServiceAccountToken: false}`, "+ values automountServiceAccountToken: false\n"},
		"keys of certificates":      {`{tls: {ca: {key: a, cert: b}}}`, `{tls: {ca: {key: b, cert: b}}}`, "~ values tls.ca.key: \"(masked)\" -> \"(masked)\", and not the same\n"},
		"names of Secrets are none": {`{tls: {server: {existingSecret: a}}, secretName: a}`, `{tls: {server: {existingSecret: b}}, secretName: b}`,
			"~ values secretName: \"a\" -> \"b\"\n~ values tls.server.existingSecret: \"a\" -> \"b\"\n"},
		"keys of tolerations are none": {`{tolerations: [{key: a}]}`, `{tolerations: [{key: b}]}`, "~ values tolerations: [{\"key\":\"a\"}] -> [{\"key\":\"b\"}]\n"},
		"secrets in lists": {`{extraEnv: [{name: API_TOKEN, value: a}, {name: B, value: b}]}`, `{extraEnv: [{name: API_TOKEN, value: b}, {name: B, value: c}]}`,
			"~ values extraEnv: [{\"name\":\"API_TOKEN\",\"value\":\"(masked)\"},{\"name\":\"B\",\"value\":\"b\"}] -> " +
				"[{\"name\":\"API_TOKEN\",\"value\":\"(masked)\"},{\"name\":\"B\",\"value\":\"c\"}], and not the same\n"},
		"arguments and addresses": {`{}`, `{args: ["--token=x", "--secret-name", "https://u:p@h/x", "https://h:80/x@y"]}`,
			"+ values args: [\"(masked)\",\"--secret-name\",\"(masked)\",\"https://h:80/x@y\"]\n"},
		"PEM anywhere": {`{}`, `{x: "-----BEGIN PRIVATE KEY-----\nMII"}`, "+ values x: \"(masked)\"\n"},
		"a long value is shown where it differs": {
			`{a: "` + strings.Repeat("x", 150) + `1` + strings.Repeat("y", 150) + `"}`, `{a: "` + strings.Repeat("x", 150) + `2` + strings.Repeat("y", 150) + `"}`,
			"~ values a: …" + strings.Repeat("x", 50) + "1" + strings.Repeat("y", 49) + "… -> …" + strings.Repeat("x", 50) + "2" + strings.Repeat("y", 49) + "…\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, lines(t, valuesSide(t, test.from), valuesSide(t, test.to))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestManifests(t *testing.T) {
	const base = "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: ns}\n"
	tests := map[string]struct {
		from, to []string
		want     string
	}{
		"data of a Secret": {[]string{base + "data: {a: eA==, b: eA==}\ntype: x"}, []string{base + "data: {a: eQ==}\nstringData: {c: z}\ntype: z"},
			"~ manifests v1 Secret ns/s data.a: \"(masked)\" -> \"(masked)\", and not the same\n" +
				"- manifests v1 Secret ns/s data.b: \"(masked)\"\n+ manifests v1 Secret ns/s stringData.c: \"(masked)\"\n~ manifests v1 Secret ns/s type: \"x\" -> \"z\"\n"},
		"an object": {[]string{base + "data: {a: eA==}"}, nil, "- manifests v1 Secret ns/s\n"},
		"lists by name": {
			[]string{"kind: Pod\nspec: {containers: [{name: a, image: x}, {name: b}]}"}, []string{"kind: Pod\nspec: {containers: [{name: c}, {name: a, image: z}]}"},
			"~ manifests  Pod  spec.containers[a].image: \"x\" -> \"z\"\n- manifests  Pod  spec.containers[b].name: \"b\"\n+ manifests  Pod  spec.containers[c].name: \"c\"\n"},
		"their order": {
			[]string{"kind: Pod\nspec: {containers: [{name: a}, {name: b}, {name: c}]}"}, []string{"kind: Pod\nspec: {containers: [{name: b}, {name: a}]}"},
			"~ manifests  Pod  spec.containers (order): [\"a\",\"b\",\"c\"] -> [\"b\",\"a\"]\n- manifests  Pod  spec.containers[c].name: \"c\"\n"},
		"named and unnamed lists": {
			[]string{"kind: Pod\nspec: {containers: [{name: a}]}"}, []string{"kind: Pod\nspec: {containers: [1]}"},
			"+ manifests  Pod  spec.containers: [1]\n- manifests  Pod  spec.containers[a].name: \"a\"\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, lines(t, manifests(t, test.from...), manifests(t, test.to...))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// What is masked stands nowhere in the JSON either, not even of an object as a
// whole.
func TestJSONHoldsNoSecret(t *testing.T) {
	from := manifests(t, "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: SECRET}",
		"kind: HelmRelease\nmetadata: {name: h}\nspec: {values: {tls: {ca: {key: SECRET}}, clusters: [{tls: {key: SECRET}}]}}")
	from.Values = valuesSide(t, "{hubble: {tls: {server: {key: SECRET}}}, extraConfig: {api-token: SECRET}}").Values
	report, err := NewReport(Origin{Environment: "dev"}, Origin{Environment: "prod", Revision: "main", Commit: "c", Absent: true}, sides(t, from, Side{}))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := report.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "SECRET") || strings.Count(b.String(), Masked) != 5 {
		t.Error(b.String())
	}
	for _, d := range report.Differences {
		if !d.Masked || d.To != nil || d.From == nil {
			t.Errorf("want only masked removals, have %+v", d)
		}
	}
	if diff := cmp.Diff(OpCounts{Removed: 4}, report.Counts); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Null is told from what is not there.
func TestJSONOfNull(t *testing.T) {
	report, err := NewReport(Origin{}, Origin{}, sides(t, valuesSide(t, "{a: null}"), valuesSide(t, "{a: 1, b: null}")))
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(report.Differences)
	if err != nil {
		t.Fatal(err)
	}
	const want = `[{"part":"values","op":"changed","path":"a","from":null,"to":1,"masked":false,"fromPositions":[],"toPositions":[]},` +
		`{"part":"values","op":"added","path":"b","to":null,"masked":false,"fromPositions":[],"toPositions":[]}]`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPositionsAndColour(t *testing.T) {
	at := func(file string) func([]string) []diag.Position {
		return func(names []string) []diag.Position {
			return []diag.Position{{File: file, Line: len(names), Column: len(names[0])}}
		}
	}
	from, to := valuesSide(t, "{aa: {b: 1}, x: 1}"), valuesSide(t, "{aa: {b: 2}, z: 1}")
	from.Where, to.Where = at("a.cue"), at("b.cue")
	report, err := NewReport(Origin{}, Origin{}, sides(t, from, to))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := report.WriteText(&b, true); err != nil {
		t.Fatal(err)
	}
	const want = yellow + "~ values aa.b: 1 -> 2 (a.cue:2:2 -> b.cue:2:2)" + reset + "\n" +
		red + "- values x: 1 (a.cue:1:1)" + reset + "\n" + green + "+ values z: 1 (b.cue:1:1)" + reset + "\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A number that would fill the memory if it were written out stays as it is.
func TestHugeNumbers(t *testing.T) {
	a, b := Side{Values: map[string]any{"a": json.Number("1e400000000")}}, Side{Values: map[string]any{"a": json.Number("1e400000001")}}
	if got, want := lines(t, a, b), "~ values a: 1e400000000 -> 1e400000001\n"; got != want {
		t.Errorf("want %q, got %q", want, got)
	}
}

func TestErrors(t *testing.T) {
	twice := manifests(t, "kind: A\nmetadata: {name: x}", "kind: A\nmetadata: {name: x}")
	if _, err := Sides(twice, Side{}); err == nil || !strings.Contains(err.Error(), "two objects are") {
		t.Errorf("two objects of one name: %v", err)
	}
	if _, err := Sides(Side{Values: map[string]any{"a": func() {}}}, Side{}); err == nil {
		t.Error("a function compares")
	}
	if _, err := Decode([]byte("a: [")); err == nil {
		t.Error("bad YAML decodes")
	}
}

func TestWords(t *testing.T) {
	for _, op := range []Op{Added, Removed, Changed} {
		var back Op
		if err := back.UnmarshalText([]byte(op.String())); err != nil || back != op {
			t.Errorf("%v: %v, %v", op, back, err)
		}
	}
	for _, part := range []Part{Values, Manifests, Settings} {
		var back Part
		if err := back.UnmarshalText([]byte(part.String())); err != nil || back != part {
			t.Errorf("%v: %v, %v", part, back, err)
		}
	}
	if err := new(Part).UnmarshalText([]byte("maps")); err == nil {
		t.Error("maps are a part")
	}
}
