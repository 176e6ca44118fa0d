// SPDX-License-Identifier: Apache-2.0

package values

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/cuecontext"
	"github.com/google/go-cmp/cmp"

	"plumbline.dev/plumbline/compiler/diag"
)

func TestFromCUE(t *testing.T) {
	v := cuecontext.New().CompileString(`
a: 1
b: 2.50
c: "x"
d: null
e: [true, {f: *"g" | string}]
"h/i": {}
j: 0x10
k: '\x61'
#hidden: 1
_other: 2
optional?: 3
`, cue.Filename("v.cue"))
	node := FromCUE(v, nil)
	want := map[string]any{
		"a": json.Number("1"), "b": json.Number("2.50"), "c": "x", "d": nil,
		"e": []any{true, map[string]any{"f": "g"}}, "h/i": map[string]any{}, "j": json.Number("16"), "k": "a",
	}
	if diff := cmp.Diff(want, node.Data()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	b, ok := node.field("b")
	if !ok {
		t.Fatal("no b")
	}
	if diff := cmp.Diff([]diag.Position{{File: "v.cue", Line: 3, Column: 1}}, b.Positions); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestFromCUEWithMistakes(t *testing.T) {
	v := cuecontext.New().CompileString("a: 1\na: 2\nb: string\nc: d: {e: 1, e: \"x\", f: 3}\ng: [1, int]\n")
	node := FromCUE(v, nil)
	for path, want := range map[string]Node{
		"a":     {Kind: Unknown, Conflict: true},
		"b":     {Kind: Unknown},
		"c.d.e": {Kind: Unknown, Conflict: true},
		"c.d.f": {Kind: Int},
	} {
		got, ok := node.Lookup(strings.Split(path, ".")...)
		if !ok || got.Kind != want.Kind || got.Conflict != want.Conflict {
			t.Errorf("%s: want %v, have %+v %v", path, want, got, ok)
		}
	}
	g, _ := node.Lookup("g")
	if len(g.Items) != 2 || g.Items[1].Kind != Unknown {
		t.Errorf("g is %+v", g)
	}
}

// definition compiles the closed definition of a minor.
func definition(t *testing.T, ctx *cue.Context, minor string) cue.Value {
	t.Helper()
	name := filepath.Join("..", "..", "schema", "cilium", "v"+strings.ReplaceAll(minor, ".", "_"), "values.cue")
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	v := ctx.CompileBytes(text, cue.Filename(name)).LookupPath(cue.ParsePath("#Values"))
	if err := v.Err(); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestDefinitionAgrees holds the closed CUE definitions to the tables: the same
// keys, the same kinds, the same objects closed.
func TestDefinitionAgrees(t *testing.T) {
	for _, minor := range Minors() {
		table, err := For(minor)
		if err != nil {
			t.Fatal(err)
		}
		closed := definition(t, cuecontext.New(), minor)
		for _, k := range table.Keys() {
			v := closed.LookupPath(optional(t, k.Path))
			if !k.known {
				if v.Exists() {
					t.Errorf("%s: the definition has %s, which is gone", minor, k.Path)
				}
				continue
			}
			if got, want := v.IncompleteKind(), cueKind(k.Type.Kinds); got != want {
				t.Errorf("%s: %s takes %s, the definition has %s", minor, k.Path, want, got)
			}
			if k.isObject() && v.Allows(cue.Str("noSuchName")) == k.Type.Closed {
				t.Errorf("%s: the definition of %s is closed: %v", minor, k.Path, !k.Type.Closed)
			}
		}
	}
}

// optional is the path of a key in a definition, where every field is optional.
func optional(t *testing.T, path string) cue.Path {
	t.Helper()
	names, err := Split(path)
	if err != nil {
		t.Fatal(err)
	}
	var selectors []cue.Selector
	for _, name := range names {
		selectors = append(selectors, cue.Str(name).Optional())
	}
	return cue.MakePath(selectors...)
}

func cueKind(kinds Kinds) cue.Kind {
	var out cue.Kind
	for kind, k := range map[Kind]cue.Kind{
		Null: cue.NullKind, Bool: cue.BoolKind, Int: cue.IntKind, Number: cue.NumberKind,
		String: cue.StringKind, List: cue.ListKind, Object: cue.StructKind,
	} {
		if kinds&Of(kind) != 0 {
			out |= k
		}
	}
	return out
}

func TestDefinitionTakesTheSameValues(t *testing.T) {
	for minor, cases := range map[string]map[string]bool{
		"1.17": {
			`kubeProxyReplacement: true`: true, `kubeProxyReplacement: "true"`: true, `kubeProxyReplacement: "strict"`: false,
			`policyEnforcementMode: "Always"`: true, `policyEnforcementMode: "allways"`: false,
			`nodeSelector: {"a/b": "c"}`: true, `nodeSelector: {"a/b": true}`: false, `extraConfig: {a: 1}`: false,
			`resources: limits: cpu: 1`: true, `hubble: relay: enabeld: true`: false, `tolerations: [{any: 1}]`: true,
			`etcd: endpoints: [1]`: false, `tunnel: "vxlan"`: false, `affinity: nodeAffinity: {x: 1}`: true,
			`encryption: type: "ztunnel"`: false, `devices: "eth0"`: true, `devices: ["eth0"]`: true, `devices: [1]`: false,
		},
		"1.19": {`encryption: type: "ztunnel"`: true, `bpf: monitorTraceIPOption: 255`: true, `bpf: monitorTraceIPOption: 256`: false},
	} {
		ctx := cuecontext.New()
		closed := definition(t, ctx, minor)
		table, err := For(minor)
		if err != nil {
			t.Fatal(err)
		}
		for text, want := range cases {
			v := ctx.CompileString(text)
			if err := closed.Unify(v).Validate(); (err == nil) != want {
				t.Errorf("%s: %s: want %v, the definition says %v", minor, text, want, err)
			}
			if n := table.Check(FromCUE(v, nil), Options{}).Count(diag.Error); (n == 0) != want {
				t.Errorf("%s: %s: want %v, Check finds %d errors", minor, text, want, n)
			}
		}
	}
}

// ExampleTable_Check shows what a loader does with the values of an environment.
func ExampleTable_Check() {
	env := cuecontext.New().CompileString(`
values: {
	kubeProxyReplacment: true
	hubble: relay: replicas: "two"
}`, cue.Filename("dev.cue"))
	table, err := For("1.17.2")
	if err != nil {
		fmt.Println(err)
		return
	}
	node := FromCUE(env.LookupPath(cue.ParsePath("values")), nil)
	for _, d := range table.Check(node, Options{Root: "environment.values"}) {
		fmt.Printf("%s: %s: %s; %s\n", d.Positions[0], d.Code, d.Message, d.Hint)
	}
	// Output:
	// dev.cue:3:2: values/unknown-key: "kubeProxyReplacment" is no value of the Cilium 1.17 chart: it renders and does nothing; did you mean "kubeProxyReplacement"?
	// dev.cue:4:17: values/wrong-type: "hubble.relay.replicas" takes an integer, not the string "two": Helm refuses the values;
}
