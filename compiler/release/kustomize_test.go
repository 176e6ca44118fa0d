// SPDX-License-Identifier: Apache-2.0

package release

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/envsubst"
	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	kyaml "sigs.k8s.io/yaml"

	"plumbline.dev/plumbline/compiler/diag"
)

// build runs kustomize on a folder of files.
func build(t *testing.T, files map[string]string) (yaml []byte, err error) {
	t.Helper()
	fs := filesys.MakeFsInMemory()
	for name, text := range files {
		if err := fs.WriteFile("/in/"+name, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	options := krusty.MakeDefaultOptions()
	options.PluginConfig = types.DisabledPluginConfig()
	resources, err := krusty.MakeKustomizer(options).Run(fs, "/in")
	if err != nil {
		return nil, err
	}
	return resources.Resources()[0].AsYAML()
}

// What is read of a HelmRelease is what kustomize and Flux' library make of it.
func TestReadsAsKustomizeDoes(t *testing.T) {
	vars := map[string]string{"N": "24", "B": "yes", "Q": `"24"`, "L": "[1, '2']", "S": "a b", "E": ""}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		lines = append(lines, name+"="+vars[name])
	}
	for _, values := range []string{
		"a: ${N}\nb: \"${N}\"\nc: 'x${N}'\nd: ${B}\ne: ${Q}\nf: ${L}\ng: ${S}\nh: ${E}\n",
		"on: off\n\"n\": y\na: yes\nb: 0644\nc: 0o17\nd: 0x1F\ne: 1_000\nf: 1e3\ng: .5\nh: 1.0\ni: ~\nj: 2001-01-01\n",
		"a: |\n  one ${N}\n  two ${B}\nb: >-\n  one\n  two ${N}\n\nc: \"x\\n${N}\\ty\"\n",
		"a: " + strings.Repeat("long ", 40) + "${N} " + strings.Repeat("tail ", 30) + "\n",
		"a: ${X:=1}\nb: ${X:-yes}\nc: \"${X:=a: b}\"\nd: ${X:=[1]}\ne: ${N:0:1}\nf: ${B^^}\ng: ${#S}\nh: ${S/a/b}\n",
		"a: $${N}\nb: $N\nc: a$$b\nd: '$'\ne: \"$(N)\"\n",
		"${S}: 1\nx.${N}: 2\nb: &x {k: '${N}'}\nc: *x\nd: {<<: *x, l: 1}\n",
		"a: 18446744073709551615\nb: 123456789012345678901234567890\nc: -0\nd: 1.0e+21\ne: 0.1\nf: 1e-7\n",
		"a: [${N}, \"${B}\"]\nb: []\nc: {}\nd: \"\"\ne: \" ${N} \"\nf: 'é${N}ü'\ng: \"\\u2028\"\n",
	} {
		values = strings.ReplaceAll(values, "[${N}", "['${N}'")
		indented := strings.ReplaceAll("\n"+strings.TrimSuffix(values, "\n"), "\n", "\n    ")
		file := string(releaseOf().Data)
		file = strings.TrimRight(file, " \n") + indented + "\n"
		text, err := build(t, map[string]string{"kustomization.yaml": "resources: [hr.yaml]\n", "hr.yaml": file})
		if err != nil {
			t.Fatalf("%v\n%s", err, file)
		}
		out, err := envsubst.Eval(string(text), func(s string) (string, bool) { return vars[s], true })
		if err != nil {
			t.Fatal(err)
		}
		json, err := kyaml.YAMLToJSON([]byte(out))
		if err != nil {
			t.Fatal(err)
		}
		want, err := decodeJSON(json)
		if err != nil {
			t.Fatal(err)
		}
		r, list := Read(File{"hr.yaml", []byte(file)}, env(lines...))
		if r == nil {
			t.Fatal(printed(t, list))
		}
		if diff := cmp.Diff(lookup(want, "spec", "values"), r.Values.Data()); diff != "" {
			t.Errorf("%s(-want +got):\n%s", values, diff)
		}
	}
}

// What is read of a file of variables is what a configMapGenerator makes of it.
func TestReadsVariablesAsKustomizeDoes(t *testing.T) {
	for name, text := range map[string]string{
		"plain":            "A=1\nB=two words\n",
		"comments":         "# A=0\n  # B\n\nA=1 # not a comment\n",
		"blanks":           "  A=1\n\tB= 2 \n\u00a0C=3\n",
		"quotes":           "A=\"1\"\nB='2'\n",
		"equals":           "A=b=c\nB==\n",
		"no value":         "A\nB=\n",
		"carriage returns": "A=1\r\nB=2\r\n",
		"byte order mark":  "\ufeffA=1\n",
		"no last newline":  "A=1",
		"nothing":          "",
		"lower case":       "a_b1=x\n_=y\n",
		"twice":            "A=1\nA=1\n",
		"not UTF-8":        "A=\xff\n",
		"a long line":      "A=" + strings.Repeat("x", longestLine-3) + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			data, err := build(t, map[string]string{"x.env": text,
				"kustomization.yaml": "configMapGenerator: [{name: m, envs: [x.env], options: {disableNameSuffixHash: true}}]\n"})
			got, list := ReadVariables([]File{{"x.env", []byte(text)}})
			if (err != nil) != (list.Count(diag.Error) > 0) {
				t.Fatalf("kustomize: %v, here: %v", err, list)
			}
			if err != nil {
				return
			}
			var m struct{ Data map[string]string }
			if err := kyaml.Unmarshal(data, &m); err != nil {
				t.Fatal(err)
			}
			have := map[string]string{}
			for _, v := range got {
				have[v.Name] = v.Value
			}
			if m.Data == nil {
				m.Data = map[string]string{}
			}
			if diff := cmp.Diff(m.Data, have); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Names that kustomize takes and Flux refuses.
func TestNamesThatFluxRefuses(t *testing.T) {
	for _, line := range []string{"A-B=1", "A.B=1", "-A=1", "export A=1", "A =1", "1A=1", "=1", "\u00e4=1", "B=1\n\ufeffA=1"} {
		if _, list := ReadVariables(env(line)); len(list) != 1 || list[0].Code != CodeEnvSyntax {
			t.Errorf("%s: %v", line, list)
		}
	}
}

func TestALineTooLongEndsTheFile(t *testing.T) {
	_, list := ReadVariables([]File{{"x.env", []byte("A=" + strings.Repeat("x", longestLine) + "\nB=1\n")}})
	if len(list) != 1 || list[0].Code != CodeEnvSyntax {
		t.Error(list)
	}
}

func TestVariablesOfObjects(t *testing.T) {
	file := File{"v.yaml", []byte(`kind: ConfigMapList
items:
- kind: ConfigMap
  metadata: {name: a}
  data: {A: "1", B: "x\ny"}
---
kind: Secret
metadata: {name: b}
data: {C: Mgo=, D: "?"}
stringData: {E: "5"}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
spec: {postBuild: {substitute: {A: "3", "F-G": x}}}
`)}
	vars, list := ReadVariables(append(env("A=0", "H=8"), file))
	got := map[string]string{}
	for _, v := range vars {
		got[v.Name] = v.Value
	}
	if diff := cmp.Diff(map[string]string{"A": "3", "B": "xy", "C": "2", "E": "5", "H": "8"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(list) != 2 || list[0].Positions[0].Line != 9 || list[1].Positions[0].Line != 14 {
		t.Error(printed(t, list))
	}
}
