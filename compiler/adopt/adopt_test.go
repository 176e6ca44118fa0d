// SPDX-License-Identifier: Apache-2.0

package adopt

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"plumbline.dev/plumbline/compiler"
	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/load"
	"plumbline.dev/plumbline/compiler/release"
	"plumbline.dev/plumbline/compiler/values"
)

func printed(t *testing.T, list diag.List) string {
	t.Helper()
	var b bytes.Buffer
	if err := list.WriteText(&b, false); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func inputOf(t *testing.T, version, text string) Input {
	t.Helper()
	n, list := values.FromYAML("values.yaml", []byte(text))
	if len(list) > 0 {
		t.Fatal(printed(t, list))
	}
	return Input{Name: "dev", Version: version, Values: n, Root: "values"}
}

// compiled gives the values that a text compiles to.
func compiled(t *testing.T, text []byte) map[string]any {
	t.Helper()
	env, list := load.LoadText("dev.cue", text)
	artifact, more := compiler.Compile(env)
	if artifact == nil {
		t.Fatalf("%s%s\n%s", printed(t, list), printed(t, more), text)
	}
	return artifact.Values
}

// plain makes data comparable: numbers by what they are worth.
func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, each := range v {
			out[name] = plain(each)
		}
		return out
	case []any:
		out := []any{}
		for _, each := range v {
			out = append(out, plain(each))
		}
		return out
	case json.Number, int, int64, float64:
		if r, ok := new(big.Rat).SetString(fmt.Sprint(v)); ok {
			return "number " + r.RatString()
		}
	}
	return v
}

// expected are the values that an environment has to compile to: those of the
// input, and the chart's own where a typed field always says something.
func expected(in map[string]any) map[string]any {
	if _, ok := in["cgroup"]; !ok {
		in["cgroup"] = map[string]any{}
	}
	cgroup := in["cgroup"].(map[string]any)
	if _, ok := cgroup["hostRoot"]; !ok {
		cgroup["hostRoot"] = "/run/cilium/cgroupv2"
	}
	mount, _ := cgroup["autoMount"].(map[string]any)
	if mount == nil {
		mount = map[string]any{}
		cgroup["autoMount"] = mount
	}
	if _, ok := mount["enabled"]; !ok {
		mount["enabled"] = true
	}
	return in
}

// roundTrip proves that an input comes out as it went in.
func roundTrip(t *testing.T, in Input) []byte {
	t.Helper()
	text, list := Environment(in)
	if list.Count(diag.Error) > 0 || text == nil {
		t.Fatalf("%s%s", printed(t, list), text)
	}
	want, _ := in.Values.Data().(map[string]any)
	if diff := cmp.Diff(plain(expected(want)), plain(compiled(t, text))); diff != "" {
		t.Fatalf("(-want +got):\n%s\n%s", diff, text)
	}
	return text
}

func TestValuesComeOutAsTheyWentIn(t *testing.T) {
	files := map[string]string{
		"nothing":               "{}",
		"a cluster":             "kubeProxyReplacement: true\nk8sServiceHost: 10.0.0.1\nk8sServicePort: 6443\nipam: {mode: kubernetes}\n",
		"a port that is text":   "k8sServiceHost: api\nk8sServicePort: \"6443\"\n",
		"a port alone":          "k8sServicePort: 6443\n",
		"another port":          "k8sServiceHost: api\nk8sServicePort: 443\n",
		"an IPv6 address":       "k8sServiceHost: fd00::1\nk8sServicePort: 6443\n",
		"auto":                  "k8sServiceHost: auto\n",
		"cgroup":                "cgroup: {hostRoot: /sys/fs/cgroup, autoMount: {enabled: false}}\n",
		"a root alone":          "cgroup: {hostRoot: /cg}\n",
		"more of cgroup":        "cgroup: {autoMount: {enabled: true, resources: {limits: {cpu: 1}}}, hostRoot: /x/y}\n",
		"empty cgroup":          "cgroup: {}\n",
		"empty objects":         "hubble: {}\npodAnnotations: {}\nextraArgs: []\noperator: {resources: {}}\n",
		"null":                  "extraConfig: null\npodLabels: ~\n",
		"words of YAML 1.1":     "podAnnotations: {a: \"yes\", b: \"on\", \"no\": \"n\", \"y\": 'true'}\ndebug: {enabled: on}\n",
		"numbers":               "updateStrategy: {a: 0644, b: 1e3, c: 18446744073709551615, d: 0.1, e: -5, f: 1e-7, g: 1.0, h: 0x1F, i: 1_000, j: -0.0, k: 1.5e300, l: 123456789012345678901234567890, m: 1e21}\n",
		"strings like numbers":  "podAnnotations: {a: \"0644\", b: \"1e3\", c: \"\", d: \" \", e: \"null\", f: \"~\", g: \"0x1\"}\n",
		"lines":                 "podAnnotations: {a: \"x\\ny\", b: \"x\\n\", c: \"\\n\", d: \"\\n\\nx\\n\\n\", e: \"a\\r\\nb\", f: \"\\ta\\n\\t\\n b\", g: \"  a\\n b\"}\n",
		"strange characters":    "podAnnotations: {a: \"\\\\(x)\", b: '\\', c: '\"\"\"', d: '#\"', e: \"\\0\\a\\u2028\", f: '${A} $$ $', g: \"é日本🙂\", h: \"'''\\n\\\"\\\"\\\"\"}\n",
		"strange names":         "updateStrategy: {'': 1, _a: 2, '#b': 3, '_#c': 4, 'a b': 5, '\"': 6, if: 7, null: 8, 'true': 9, é: 10, '\\(x)': 11, \"\\n\": 12, a.b: 13, '0': 14, __x: 15, string: 16, schema: 17, let: 18, '[x]': 19, '...': 20, '@a': 21, 'a?': 22, 'a!': 23, '日': 24, '$': 25, '~': 26}\n",
		"names of the language": "updateStrategy: {environment: {schema: {import: {package: for}}}, in: [in], or: {and: 1}, int: 3, uint8: 4, bool: true, _: 1, '_|_': 2, len: 3, self: 4}\n",
		"lists":                 "tolerations: [{key: a, operator: Exists}, {key: b}]\nextraVolumes: [{name: x, emptyDir: {}}]\nupdateStrategy: {a: [[], [[1]], {}, [{a: []}], null, true, \"x\\ny\"]}\n",
	}
	for name, text := range files {
		t.Run(name, func(t *testing.T) { roundTrip(t, inputOf(t, "1.17.2", text)) })
	}
}

// The chart's own values, all of them, in every minor.
func TestDefaultsOfEveryChart(t *testing.T) {
	for _, minor := range values.Minors() {
		table, err := values.For(minor)
		if err != nil {
			t.Fatal(err)
		}
		in := Input{Name: "dev", Version: table.Chart, Values: values.FromData(table.Defaults()), Root: "values"}
		text, list := Environment(in)
		if text == nil {
			t.Errorf("%s: %s", minor, printed(t, list))
		}
	}
}

func TestAPortIsAssumed(t *testing.T) {
	text, list := Environment(inputOf(t, "1.17.2", "k8sServiceHost: api\n"))
	want := "values.yaml:1:17: warning: environment.api.port: no k8sServicePort is stated, and the chart has none: the environment states 6443 [import/assumed]\n"
	if diff := cmp.Diff(want, printed(t, list)); diff != "" || text == nil {
		t.Errorf("%s (-want +got):\n%s", text, diff)
	}
}

// The chart's root does not follow autoMount as the schema's default does: it is
// said, and with it what is wrong.
func TestTheChartsRootIsSaid(t *testing.T) {
	text, list := Environment(inputOf(t, "1.17.2", "cgroup: {autoMount: {enabled: false}}"))
	if !bytes.Contains(text, []byte("\"/run/cilium/cgroupv2\"")) || len(list) != 1 || list[0].Code != "cgroup/not-mounted" || list[0].Positions[0].File != "values.yaml" {
		t.Errorf("%s%s", printed(t, list), text)
	}
}

// generator makes values that are hard to write.
type generator struct{ *rand.Rand }

var hardTexts = []string{"", " ", "yes", "on", "0644", "1e3", "null", "true", "\\(x)", "\\", "\"", `"""`, "#", "${A}", "$$", "a\nb", "\n", "\t", "a\r\nb", "é", "日本", "\u2028", "\x00", "'", "//", "_", "__x", "#D", "a b", "a.b", "environment", "schema", "if", "for", "\u00a0", "🙂", "[x]", "...", "~", "-1", ".5", "@x", "a?"}

func (g generator) text() string {
	out := ""
	for range 1 + g.IntN(3) {
		out += hardTexts[g.IntN(len(hardTexts))]
	}
	return out
}

func (g generator) value(depth int) any {
	switch kind := g.IntN(9); {
	case kind == 0:
		return nil
	case kind == 1:
		return g.IntN(2) == 0
	case kind == 2:
		return json.Number(fmt.Sprint(g.Int64() - g.Int64()))
	case kind == 3:
		return json.Number(fmt.Sprint(g.NormFloat64() * 1e5))
	case kind <= 5 || depth == 0:
		return g.text()
	case kind == 6:
		out := []any{}
		for range g.IntN(4) {
			out = append(out, g.value(depth-1))
		}
		return out
	}
	out := map[string]any{}
	for range g.IntN(5) {
		out[g.text()] = g.value(depth - 1)
	}
	return out
}

// Values that nobody would think of come out as they went in, by way of a file.
func TestGeneratedValuesComeOut(t *testing.T) {
	for seed := range uint64(20) {
		g := generator{rand.New(rand.NewPCG(seed, 1))}
		object := map[string]any{}
		for range 6 {
			object[g.text()] = g.value(4)
		}
		in := map[string]any{"updateStrategy": object, "extraVolumes": []any{map[string]any{"name": "x", g.text(): g.value(3)}}}
		file, err := json.Marshal(in) // JSON is YAML
		if err != nil {
			t.Fatal(err)
		}
		text := roundTrip(t, inputOf(t, "1.18.6", string(file)))
		if t.Failed() {
			t.Fatalf("seed %d\n%s", seed, text)
		}
	}
}

// FuzzEnvironment takes any values: what comes out compiles to what went in, or
// there is a finding.
func FuzzEnvironment(f *testing.F) {
	for _, seed := range []string{"a: 1", "updateStrategy: {'#x': \"a\\nb\"}", "cgroup: {hostRoot: 5}", "cgroup: 1\nk8sServiceHost: [a]", "cilium: {MTU: 1}\nx: 2", "k8sServiceHost: api\nk8sServicePort: 0x10"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, list := values.FromYAML("values.yaml", []byte(text))
		if list.Count(diag.Error) > 0 || n.Kind != values.Object {
			return
		}
		out, list := Environment(Input{Name: "dev", Version: "1.17.2", Values: n, Root: "values"})
		if out == nil {
			if list.Count(diag.Error) == 0 {
				t.Error("neither a text nor an error")
			}
			return
		}
		env, _ := load.LoadText("dev.cue", out)
		if list.Count(diag.Error) > 0 {
			return
		}
		artifact, found := compiler.Compile(env)
		if artifact == nil {
			t.Fatalf("no error, and it does not compile: %v\n%s", found, out)
		}
	})
}

const fluxRelease = `apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: cilium, namespace: kube-system}
spec:
  interval: 15m
  timeout: 9m
  driftDetection: {mode: warn}
  chart:
    spec:
      chart: cilium
      version: ${CHART}
      sourceRef: {kind: HelmRepository, name: cilium}
  values:
    # by its name
    k8sServiceHost: ${HOST}
    k8sServicePort: 6443
    kubeProxyReplacement: true
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: HelmRepository
metadata: {name: cilium}
spec: {url: "oci://quay.io/cilium/charts"}
`

func releaseInput(t *testing.T, text string) Input {
	t.Helper()
	r, list := release.Read(release.File{Name: "hr.yaml", Data: []byte(text)}, []release.File{{Name: "x.env", Data: []byte("CHART=1.17.2\nHOST=api\n")}})
	if r == nil {
		t.Fatal(printed(t, list))
	}
	return Input{Name: "dev", Version: r.Version, VersionAt: r.VersionAt, Values: r.Values, Root: release.Root, Release: r}
}

func TestAHelmReleaseBecomesAnEnvironment(t *testing.T) {
	text := roundTrip(t, releaseInput(t, fluxRelease))
	want := `package environments

import "plumbline.dev/plumbline/schema"

environment: schema.#Environment & {
	name: "dev"
	chart: {
		version: "1.17.2"
		source:  "oci://quay.io/cilium/charts/cilium"
	}
	api: {
		host: "api"
		port: 6443
	}
	flux: {
		interval:       "15m"
		timeout:        "9m"
		driftDetection: "warn"
		release: {
			name:      "cilium"
			namespace: "kube-system"
		}
	}
	values: kubeProxyReplacement: true
}
`
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What an environment can't say is an error, until it is left out on purpose.
func TestWhatAnEnvironmentCantSay(t *testing.T) {
	text := strings.Replace(fluxRelease, "  interval: 15m\n", "  interval: 15m\n  install: {remediation: {retries: 3}}\n  upgrade: {}\n  suspend: false\n  postRenderers: [{kustomize: {}}]\n  targetNamespace: net\n", 1)
	text = strings.Replace(text, "{mode: warn}", "{mode: warn, ignore: [{paths: [/a]}]}", 1)
	text = strings.Replace(text, "chart: cilium\n", "chart: cilium\n      interval: 1h\n      verify: {provider: cosign}\n", 1)
	in := releaseInput(t, text)
	out, list := Environment(in)
	var paths []string
	for _, d := range list {
		paths = append(paths, d.Path)
		if d.Code != CodeNotExpressible || d.Severity != diag.Error || len(d.Positions) == 0 {
			t.Errorf("%+v", d)
		}
	}
	want := []string{"spec.install", "spec.postRenderers", "spec.targetNamespace", "spec.driftDetection.ignore", "spec.chart.spec.interval", "spec.chart.spec.verify"}
	if diff := cmp.Diff(want, paths); diff != "" || out != nil {
		t.Errorf("(-want +got):\n%s", diff)
	}
	in.Without = want
	roundTrip(t, in)
	in.Missing = diag.List{{Code: release.CodeValuesFrom, Path: "spec.valuesFrom[0]", Message: "gone"}}
	if out, list := Environment(in); out != nil || len(list) != 1 || list[0].Path != "spec.valuesFrom[0]" {
		t.Error(printed(t, list))
	}
	in.Missing = nil
	in.Without = append(in.Without, "spec.rollback")
	if _, list := Environment(in); len(list) != 1 || list[0].Code != CodeNothingThere {
		t.Error(printed(t, list))
	}
}

func TestValuesThatCantBeSaid(t *testing.T) {
	for text, want := range map[string]string{
		"cgroup: {hostRoot: null}":           "values.yaml:1:20: error: values.cgroup.hostRoot: an environment can't say it: it would come out as \"/run/cilium/cgroupv2\", not as null [import/changed]\n",
		"cilium: {MTU: 1}\nnginx: {on: yes}": "values.yaml:2:1: error: values.nginx: it is a value of another chart than Cilium's; say --without values.nginx to leave it out [import/not-expressible]\n",
	} {
		out, list := Environment(inputOf(t, "1.17.2", text))
		if diff := cmp.Diff(want, printed(t, list)); diff != "" || out != nil {
			t.Errorf("%s\n(-want +got):\n%s", out, diff)
		}
	}
}

// What is wrong with the environment is told at the places of the input, and the
// text is there all the same.
func TestWhatIsWrongIsToldAtItsPlace(t *testing.T) {
	text, list := Environment(inputOf(t, "1.17.2", "kubeProxyReplacement: true\nhubble:\n  relai: {enabled: true}\n"))
	if text == nil {
		t.Fatal(printed(t, list))
	}
	var at []string
	for _, d := range list {
		at = append(at, d.Code+" "+d.Positions[0].String())
	}
	want := []string{"env/missing-field values.yaml:1:1", "values/unknown-key values.yaml:3:3"}
	if diff := cmp.Diff(want, at); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestVariablesBecomeFields(t *testing.T) {
	variables := func(lines ...string) Input {
		vars, list := release.ReadVariables([]release.File{{Name: "x.env", Data: []byte(strings.Join(lines, "\n"))}})
		if len(list) > 0 {
			t.Fatal(printed(t, list))
		}
		return Input{Name: "dev", Version: "1.17.2", Values: values.Node{Kind: values.Object}, Variables: vars}
	}
	text, list := Environment(variables("API_HOST=api", "API_PORT=6444", "CILIUM_CGROUP_ROOT=/sys/fs/cgroup", "CILIUM_CGROUP_AUTO_MOUNT=false", "ENVIRONMENT=dev", "CILIUM_CHART_VERSION=1.17.2"))
	if len(list) > 0 {
		t.Fatal(printed(t, list))
	}
	want := map[string]any{"k8sServiceHost": "api", "k8sServicePort": 6444, "cgroup": map[string]any{"hostRoot": "/sys/fs/cgroup", "autoMount": map[string]any{"enabled": false}}}
	if diff := cmp.Diff(plain(want), plain(compiled(t, text))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if text, list := Environment(variables("POD_CIDR=10.0.0.0/8")); text != nil || list[0].Code != CodeNotExpressible || list[0].Positions[0].Line != 1 {
		t.Error(printed(t, list))
	}
	if text, list := Environment(variables("CILIUM_CGROUP_AUTO_MOUNT=false")); text == nil || len(list) > 0 {
		t.Error(printed(t, list))
	}
}

// The environments of this repository, built to values, become themselves again.
func TestOwnEnvironmentsComeBack(t *testing.T) {
	for _, name := range []string{"dev", "prod"} {
		root, err := filepath.Abs(filepath.Join("..", ".."))
		if err != nil {
			t.Fatal(err)
		}
		source, err := load.Folder{Dir: filepath.Join(root, "environments"), WorkDir: root}.Find(name)
		if err != nil {
			t.Fatal(err)
		}
		env, _ := load.Load(source)
		artifact, list := compiler.Compile(env)
		if artifact == nil {
			t.Fatal(list)
		}
		file, err := yaml.Marshal(plainNumbers(artifact.Values))
		if err != nil {
			t.Fatal(err)
		}
		roundTrip(t, inputOf(t, env.Chart.Version, string(file)))
	}
}

// plainNumbers are those that a YAML encoder writes as numbers.
func plainNumbers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, each := range v {
			out[name] = plainNumbers(each)
		}
		return out
	case []any:
		out := []any{}
		for _, each := range v {
			out = append(out, plainNumbers(each))
		}
		return out
	case json.Number:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: v.String()}
	}
	return v
}
