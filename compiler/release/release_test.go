// SPDX-License-Identifier: Apache-2.0

package release

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/values"
)

// releaseOf is a HelmRelease with the lines as its values.
func releaseOf(lines ...string) File {
	return File{"hr.yaml", []byte("apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: cilium, namespace: net}\nspec:\n" +
		"  chart: {spec: {chart: cilium, version: 1.17.2}}\n  values:\n    " + strings.Join(lines, "\n    ") + "\n")}
}

func env(lines ...string) []File {
	return []File{{"x.env", []byte(strings.Join(lines, "\n"))}}
}

func codes(list diag.List) []string {
	var out []string
	for _, d := range list {
		out = append(out, d.Code)
	}
	return out
}

func printed(t *testing.T, list diag.List) string {
	t.Helper()
	var b bytes.Buffer
	if err := list.WriteText(&b, false); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// What one value with a variable arrives as, and what is said of it.
func TestSubstitution(t *testing.T) {
	number := func(s string) any { return json.Number(s) }
	for name, c := range map[string]struct {
		value, variable string
		want            any
		codes           []string
	}{
		"a number":                       {"${V}", "2", number("2"), nil},
		"a number in quotes":             {`"${V}"`, "24", number("24"), []string{CodeQuoted}},
		"a boolean":                      {"${V}", "true", true, nil},
		"a boolean in quotes":            {`'${V}'`, "true", true, []string{CodeQuoted}},
		"a word of YAML 1.1":             {"${V}", "no", false, []string{CodeTypeChanged}},
		"zeros in front":                 {`"${V}"`, "004", number("4"), []string{CodeTypeChanged}},
		"an octal number":                {"${V}", "0644", number("420"), []string{CodeTypeChanged}},
		"an exponent":                    {"${V}", "1e3", number("1000"), []string{CodeTypeChanged}},
		"null":                           {"${V}", "null", nil, []string{CodeTypeChanged}},
		"nothing":                        {"${V}", "", nil, nil},
		"a string kept by its variable":  {"${V}", `"24"`, "24", nil},
		"a string kept by single quotes": {"${V}", `'no'`, "no", nil},
		"quotes in the middle":           {"api-${V}", `"24"`, `api-"24"`, []string{CodeQuotes}},
		"a text":                         {"api-${V}", "24", "api-24", nil},
		"a comment":                      {"${V}", "a #b", "a", []string{CodeTextChanged}},
		"a list":                         {"${V}", "[a, b]", []any{"a", "b"}, nil},
		"a list in quotes":               {`"${V}"`, "[a]", []any{"a"}, []string{CodeQuoted}},
		"an object":                      {"${V}", "{a: 1}", map[string]any{"a": number("1")}, nil},
		"another variable":               {"${V}", "${W}", "${W}", []string{CodeLeft}},
		"a default that is not needed":   {"${V:=7}", "8", number("8"), nil},
		"a default inside of a default":  {"${V:=${W}}", "8", number("8"), nil},
		"cut":                            {"${V:0:2}", "abc", "ab", nil},
		"upper case":                     {"${V^^}", "abc", "ABC", nil},
		"escaped":                        {"$${V}", "8", "${V}", []string{CodeUnused}},
		"without braces":                 {"$V", "8", "$V", []string{CodeLeft, CodeUnused}},
		"a word that YAML 1.1 alone has": {"on", "8", "on", []string{CodeUnused}},
		"a shell's error":                {"${V:?none}", "8", number("8"), nil},
		"a shell's alternative":          {"${V:+x}", "8", number("8"), []string{CodeOperator}},
	} {
		t.Run(name, func(t *testing.T) {
			r, list := Read(releaseOf("v: "+c.value), env("V="+c.variable))
			if r == nil {
				t.Fatal(printed(t, list))
			}
			if diff := cmp.Diff(map[string]any{"v": c.want}, r.Values.Data()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.codes, codes(list)); diff != "" {
				t.Errorf("(-want +got):\n%s\n%s", diff, printed(t, list))
			}
		})
	}
}

func TestWhatIsNotDefined(t *testing.T) {
	for value, want := range map[string]struct {
		got   any
		codes []string
	}{
		"${W}":            {nil, []string{CodeUndefined}},
		`"a-${W}"`:        {"a-", []string{CodeUndefined}},
		"${W:=x}":         {"x", nil},
		"${W:-x}":         {"x", nil},
		"${W=x}":          {"x", nil},
		"${W:=${X:=5}}":   {json.Number("5"), nil},
		"${W:=${X}}":      {nil, []string{CodeUndefined}},
		"${W:=}":          {nil, []string{CodeUndefined}},
		"${W:?not there}": {"not there", []string{CodeOperator}},
		"${#W}":           {json.Number("0"), []string{CodeUndefined}},
	} {
		r, list := Read(releaseOf("v: "+value, "u: ${V}"), env("V=1"))
		if r == nil {
			t.Errorf("%s: %s", value, printed(t, list))
			continue
		}
		n, _ := r.Values.Lookup("v")
		if diff := cmp.Diff(want.got, n.Data()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", value, diff)
		}
		if diff := cmp.Diff(want.codes, codes(list)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", value, diff)
		}
	}
}

// What Flux refuses is no Release, and every place of it is told in one run.
func TestWhatFluxRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		file File
		env  []File
		want string
	}{
		"no expressions": {releaseOf("a: ${V", "b: ${V!x}", "c: ${}"), env("V=1"), `
hr.yaml:7:8: error: spec.values.a: "${V" is no substitution that Flux can read: missing closing brace; write ${NAME} or ${NAME:=default}, and $${ for a ${ that is meant as it stands [flux/bad-expression]
hr.yaml:8:8: error: spec.values.b: "${V!x}" is no substitution that Flux can read: missing closing brace; write ${NAME} or ${NAME:=default}, and $${ for a ${ that is meant as it stands [flux/bad-expression]
hr.yaml:9:8: error: spec.values.c: "${}" is no substitution that Flux can read: unable to parse variable name; write ${NAME} or ${NAME:=default}, and $${ for a ${ that is meant as it stands [flux/bad-expression]
`},
		"no YAML afterwards": {releaseOf("a: ${V}", "b: ${W}"), env("V=x: y", "W=@x"), `
hr.yaml:7:8: error: spec.values.a: "${V}" becomes "x: y", which is no YAML where it stands: yaml: mapping values are not allowed in this context; Flux puts variables into the text of the document: quote the value where the variable is stated [flux/broken-yaml]
    also x.env:1:1
hr.yaml:8:8: error: spec.values.b: "${W}" becomes "@x", which is no YAML where it stands: yaml: found character that cannot start any token; Flux puts variables into the text of the document: quote the value where the variable is stated [flux/broken-yaml]
    also x.env:2:1
`},
		"a panic of the library's": {releaseOf("a: ${V:1:9223372036854775807}"), env("V=abc"), `
hr.yaml:7:8: error: spec.values.a: "${V:1:9223372036854775807}" becomes "", which is no YAML where it stands: the library that Flux substitutes with can't do it: runtime error: slice bounds out of range [:-9223372036854775808]; Flux puts variables into the text of the document: quote the value where the variable is stated [flux/broken-yaml]
    also x.env:1:1
`},
		"names that are no strings": {releaseOf("a: {1: x}"), nil, `
hr.yaml:1: error: kustomize can't read it: it has no form in JSON: json: unsupported type: map[interface {}]interface {} [flux/syntax]
`},
		"a name twice": {releaseOf("a: 1", "a: 2"), nil, `
hr.yaml:8: error: kustomize can't read it: mapping key "a" already defined at line 7 [flux/syntax]
`},
	} {
		t.Run(name, func(t *testing.T) {
			r, list := Read(c.file, c.env)
			if diff := cmp.Diff(c.want[1:], printed(t, list)); diff != "" || r != nil {
				t.Errorf("a release: %v (-want +got):\n%s", r != nil, diff)
			}
		})
	}
}

func TestSubstitutionIsSwitchedOff(t *testing.T) {
	for _, where := range []string{"annotations", "labels"} {
		f := File{"hr.yaml", bytes.Replace(releaseOf("a: ${V}").Data, []byte("{name: cilium,"), []byte(`{name: cilium, `+where+`: {kustomize.toolkit.fluxcd.io/substitute: disabled},`), 1)}
		r, list := Read(f, env("V=1"))
		if r == nil || r.Values.Data().(map[string]any)["a"] != "${V}" {
			t.Fatalf("%s: variables are put in: %s", where, printed(t, list))
		}
		if diff := cmp.Diff([]string{CodeLeft, CodeUnused}, codes(list)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", where, diff)
		}
	}
}

func TestPlaces(t *testing.T) {
	r, list := Read(releaseOf("a:", "  # why", "  b: ${V}", "  c: [x, 'é${V}', '${W}']", "common: &c {d: '${V}'}", "e: *c", "f: {<<: *c, g: 1}", "${V}: h"),
		env("# variables", "  V=x", "W={k: [1]}"))
	if r == nil || list.Count(diag.Error) > 0 {
		t.Fatal(printed(t, list))
	}
	hr := func(line, column int) diag.Position {
		return diag.Position{File: "hr.yaml", Line: line, Column: column}
	}
	v, w := diag.Position{File: "x.env", Line: 2, Column: 3}, diag.Position{File: "x.env", Line: 3, Column: 1}
	for _, c := range []struct {
		path []string
		want []diag.Position
	}{
		{[]string{"a", "b"}, []diag.Position{hr(9, 10), v}},
		{[]string{"e", "d"}, []diag.Position{hr(11, 20), v}},
		{[]string{"f", "d"}, []diag.Position{hr(11, 20), v}},
		{[]string{"f", "g"}, []diag.Position{hr(13, 20)}},
		{[]string{"e"}, []diag.Position{hr(12, 8), hr(11, 13)}},
		{[]string{"x"}, []diag.Position{hr(14, 11)}},
	} {
		if diff := cmp.Diff(c.want, r.Values.At(c.path...)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", c.path, diff)
		}
	}
	items, _ := r.Values.Lookup("a", "c")
	if diff := cmp.Diff([]diag.Position{hr(10, 14), v}, items.Items[1].Positions); diff != "" {
		t.Errorf("an item (-want +got):\n%s", diff)
	}
	inner, _ := items.Items[2].Lookup("k")
	if diff := cmp.Diff([]diag.Position{hr(10, 24), w}, inner.Items[0].Positions); diff != "" {
		t.Errorf("what a variable holds (-want +got):\n%s", diff)
	}
	a, _ := r.Values.Lookup("a")
	if a.Fields[0].Comment != "# why" {
		t.Errorf("the comment is %q", a.Fields[0].Comment)
	}
}

func TestValuesFrom(t *testing.T) {
	f := releaseOf("a: {c: 3}", "d: ${V}")
	f.Data = append(f.Data, []byte(`  valuesFrom:
  - {kind: ConfigMap, name: one}
  - {kind: Secret, name: two, valuesKey: v}
  - {kind: Secret, name: two, valuesKey: n, targetPath: a.x\.y}
  - {kind: Secret, name: two, valuesKey: s, targetPath: a.s}
  - {kind: ConfigMap, name: one, valuesKey: none}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: one}
data:
  values.yaml: |

    # the base
    a:
      b: ${V}
      c: on
`)...)
	other := File{"two.yaml", []byte("kind: Secret\nmetadata: {name: two}\nstringData:\n  n: '5'\n  s: '\"5\"'\ndata:\n  v: YToge2U6ICIke1Z9In0=\n")}
	r, list := Read(f, append(env("V=8"), other))
	if r == nil {
		t.Fatal(printed(t, list))
	}
	want := map[string]any{"d": json.Number("8"), "a": map[string]any{"b": json.Number("8"), "c": json.Number("3"), "e": "${V}", "x.y": json.Number("5"), "s": "5"}}
	if diff := cmp.Diff(want, r.Values.Data()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff("hr.yaml:14:5: info: spec.valuesFrom[4]: none of the ConfigMap one is not among the files: its values are not vetted; give the file with it: --env-file [flux/values-from]\n", printed(t, list)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if at := r.Values.At("a", "b"); at[0] != (diag.Position{File: "hr.yaml", Line: 24, Column: 10}) {
		t.Errorf("a.b of the ConfigMap stands at %v", at)
	}
}

func TestWhichHelmRelease(t *testing.T) {
	other := strings.Replace(string(releaseOf("a: 1").Data), "chart: cilium", "chart: nginx", 1)
	cilium := string(releaseOf("a: 2").Data)
	r, list := Read(File{"f.yaml", []byte(other + "---\n" + cilium)}, nil)
	if r == nil || r.Values.Data().(map[string]any)["a"] != json.Number("2") {
		t.Errorf("cilium's is not found: %v", list)
	}
	if r, _ := Read(File{"f.yaml", []byte(other)}, nil); r == nil {
		t.Error("the only one is not taken")
	}
	for _, text := range []string{other + "---\n" + other, cilium + "---\n" + cilium, "a: 1", "", "[]", "a: ["} {
		if r, list := Read(File{"f.yaml", []byte(text)}, nil); r != nil || list.Count(diag.Error) != 1 {
			t.Errorf("%q: %v, %v", text, r, list)
		}
	}
}

func TestFactsOfARelease(t *testing.T) {
	r, list := Read(File{"f.yaml", []byte(`apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata:
  name: cni
  namespace: flux-system
spec:
  targetNamespace: kube-system
  interval: 10m
  install:
    remediation: {retries: -1}
  values: {}
`)}, nil)
	if r == nil {
		t.Fatal(list)
	}
	want := map[string]any{"name": "cni", "namespace": "flux-system", "targetNamespace": "kube-system", "interval": "10m",
		"install": map[string]any{"remediation": map[string]any{"retries": json.Number("-1")}},
		"release": map[string]any{"name": "kube-system-cni", "namespace": "kube-system"}}
	if diff := cmp.Diff(want, r.Facts()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for line, path := range map[int][]string{4: {"name"}, 5: {"namespace"}, 7: {"release", "namespace"}, 10: {"install", "remediation", "retries"}, 8: {"interval"}} {
		if at := r.FactsAt(path...); at[0].Line != line {
			t.Errorf("%v stands at %v", path, at)
		}
	}
}

func TestChartVersion(t *testing.T) {
	for _, c := range []struct{ stated, given, want, code string }{
		{"1.17.2", "", "1.17.2", ""},
		{"v1.18.6", "", "v1.18.6", ""},
		{"1.17.2", "1.17.2", "1.17.2", ""},
		{"1.17.2", "1.18.6", "1.18.6", CodeVersionOther},
		{"1.17.x", "", "1.17.2", CodeVersionRange},
		{"~1.18.1", "", "", ""},
		{">=1.17.5 <1.18", "", "1.17.5", CodeVersionRange},
		{"^1.17.0", "", "", CodeVersion},
		{">=1.20.0", "", "", CodeVersion},
		{">=1.20.0", "1.20.0", "1.20.0", ""},
		{"<1.10", "", "", CodeVersion},
		{"latest", "", "", CodeVersion},
		{"", "", "", CodeVersion},
	} {
		r := &Release{Version: c.stated}
		got, list := r.ChartVersion(c.given)
		if c.stated == "~1.18.1" { // whatever the table was made from
			c.want, c.code = got, CodeVersionRange
			if !strings.HasPrefix(got, "1.18.") {
				t.Errorf("%q is vetted as %q", c.stated, got)
			}
		}
		if got != c.want || strings.Join(codes(list), " ") != c.code || (got == "") != (list.Count(diag.Error) > 0) {
			t.Errorf("%q, given %q: %q, %v", c.stated, c.given, got, list)
		}
		if _, err := values.For(got); got != "" && err != nil {
			t.Error(err)
		}
	}
}

func TestRelevant(t *testing.T) {
	list := diag.List{{Code: CodeQuoted, Path: "a"}, {Code: CodeQuoted, Path: "b"}, {Code: values.CodeType, Path: "b"}}
	if got := codes(Relevant(list)); len(got) != 2 || got[0] != CodeQuoted || got[1] != values.CodeType {
		t.Errorf("%v", got)
	}
}

func TestEveryCodeHasASeverity(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Codes() {
		if seen[c.ID] || c.Summary == "" || !strings.HasPrefix(c.ID, "flux/") {
			t.Errorf("%+v", c)
		}
		seen[c.ID] = true
	}
}
