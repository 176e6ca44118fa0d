// SPDX-License-Identifier: Apache-2.0

package render

import (
	"bytes"
	"encoding/json"
	"maps"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	helm "helm.sh/helm/v4/pkg/chart/loader/archive"
	"sigs.k8s.io/yaml"

	"plumbline.dev/plumbline/compiler/chart"
	"plumbline.dev/plumbline/compiler/chart/archive"
	"plumbline.dev/plumbline/compiler/chart/charttest"
)

// read reads a chart made of text.
func read(t *testing.T, files charttest.Files) *Chart {
	t.Helper()
	var list []*helm.BufferedFile
	for name, text := range files {
		list = append(list, &helm.BufferedFile{Name: name, Data: []byte(text)})
	}
	c, err := Read(list)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// request has values in YAML.
func request(t testing.TB, values string) chart.Request {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte("{}\n" + values))
	if values != "" {
		data, err = yaml.YAMLToJSON([]byte(values))
	}
	if err != nil {
		t.Fatal(err)
	}
	return chart.Request{Values: data, Release: chart.Release{Name: "cilium", Namespace: "kube-system"}}
}

// rendered gives the objects, or fails.
func rendered(t *testing.T, c *Chart, r chart.Request) []chart.Object {
	t.Helper()
	objects, problems, err := c.Render(r)
	if err != nil || len(problems) > 0 {
		t.Fatalf("error %v, problems %+v", err, problems)
	}
	return objects
}

// problems gives the problems, or fails.
func problems(t *testing.T, c *Chart, r chart.Request) []chart.Problem {
	t.Helper()
	objects, problems, err := c.Render(r)
	if err != nil || len(problems) == 0 || len(objects) > 0 {
		t.Fatalf("error %v, %d objects, problems %+v", err, len(objects), problems)
	}
	return problems
}

func find(t testing.TB, version string) *Chart {
	t.Helper()
	a, err := (&archive.Finder{}).Find(t.Context(), chart.Reference{Name: "cilium", Version: version, Path: charttest.Cilium(t, version)})
	if err != nil {
		t.Fatal(err)
	}
	c, err := Read(a.Files)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Cilium's own charts render, to equal bytes each time, also from several
// goroutines, and the certificates are all that is made up.
func TestCilium(t *testing.T) {
	replacement := `
kubeProxyReplacement: true
k8sServiceHost: 10.0.0.1
k8sServicePort: 6443
hubble: {relay: {enabled: true}, ui: {enabled: true}}
loadBalancer: {algorithm: maglev}
prometheus: {enabled: true, serviceMonitor: {enabled: true}}
`
	for _, version := range charttest.Versions() {
		t.Run(version, func(t *testing.T) {
			c := find(t, version)
			r := request(t, replacement)
			r.APIVersions = []string{"monitoring.coreos.com/v1"}
			first := rendered(t, c, r)
			var all sync.WaitGroup
			for range 3 {
				all.Go(func() {
					again, _, err := c.Render(r)
					if err != nil {
						t.Error(err)
					}
					if diff := cmp.Diff(first, again); diff != "" {
						t.Errorf("rendered again (-first +again):\n%s", diff)
					}
				})
			}
			all.Wait()
			standIns, kinds := map[string]bool{}, map[string]int{}
			for _, o := range first {
				kinds[o.Kind]++
				if o.StandIn {
					standIns[o.Kind+"/"+o.Name] = true
				}
			}
			want := map[string]bool{"Secret/cilium-ca": true, "Secret/hubble-relay-client-certs": true, "Secret/hubble-server-certs": true}
			if diff := cmp.Diff(want, standIns); diff != "" {
				t.Errorf("stand-ins (-want +got):\n%s", diff)
			}
			if kinds["DaemonSet"] != 2 || kinds["Deployment"] != 3 || kinds["ServiceMonitor"] == 0 || first[0].Kind != "Namespace" {
				t.Errorf("kinds %v, first %s", kinds, first[0].Kind)
			}
		})
	}
}

// What Cilium's charts refuse is told all at once, with the values that it
// depends on.
func TestCiliumRefuses(t *testing.T) {
	for _, version := range charttest.Versions() {
		t.Run(version, func(t *testing.T) {
			list := problems(t, find(t, version), request(t, `
hubble: {ui: {enabled: true}, relay: {replicas: two}}
tunnel: vxlan
ipam: {operator: {clusterPoolIPv4PodCIDR: 10.0.0.0/8}}
`))
			got := map[string][]string{}
			for _, p := range list {
				got[string(p.Code)+" "+p.Message[:min(60, len(p.Message))]] = p.Keys[0]
			}
			for _, want := range []string{
				"chart/schema the chart's schema refuses hubble.relay.replicas: got string",
				"chart/refused the chart refuses: Hubble UI requires .Values.hubble.relay.e",
			} {
				if !hasPrefix(got, want) {
					t.Errorf("no %q in %v", want, got)
				}
			}
			for _, p := range list {
				if p.Code == chart.CodeRefused && !strings.HasPrefix(p.Template, "cilium/templates/") {
					t.Errorf("%s has the place %q", p.Message, p.Template)
				}
			}
		})
	}
}

func hasPrefix(set map[string][]string, prefix string) bool {
	for text := range maps.Keys(set) {
		if strings.HasPrefix(text, prefix) {
			return true
		}
	}
	return false
}

// Whatever Helm's templates can make up is equal each time, and is marked.
func TestStandIns(t *testing.T) {
	for _, call := range []string{
		`(genCA "a" 1).Cert`, `(genCAWithKey "a" 1 "k").Key`, `(genSelfSignedCert "a" nil nil 1).Cert`, `(genSelfSignedCertWithKey "a" nil nil 1 "k").Cert`,
		`(genSignedCert "a" (list "10.0.0.1") (list "a.b") 1 (genCA "a" 1)).Key`, `(genSignedCertWithKey "a" nil nil 1 (genCA "a" 1) "k").Cert`,
		`genPrivateKey "rsa"`, `randAlphaNum 16`, `randAlpha 16`, `randAscii 16`, `randNumeric 16`, `randBytes 16`, `htpasswd "a" "b"`, `bcrypt "a"`,
		`derivePassword 1 "long" "a" "b" "c"`, `encryptAES "0123456789abcdef" "x"`,
	} {
		for _, encode := range []string{"", " | b64enc"} {
			template := "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {x: {{ " + call + encode + " | quote }}}\n"
			c := read(t, charttest.Small("1.0.0", template))
			first, second := rendered(t, c, request(t, "")), rendered(t, c, request(t, ""))
			if diff := cmp.Diff(first, second); diff != "" {
				t.Errorf("%s (-first +second):\n%s", call, diff)
			}
			inner := encode != "" && strings.Contains(call, "randBytes") || strings.Contains(call, "htpasswd") && encode != ""
			if !inner && (!first[0].StandIn || !strings.Contains(first[0].Text, standInLabel+`: "true"`)) {
				t.Errorf("%s%s is not marked: %s", call, encode, first[0].Text)
			}
		}
	}
	still := `{{ now | unixEpoch }} {{ uuidv4 }} {{ randInt 3 9 }} {{ shuffle "abc" }} {{ randAlphaNum -1 }} {{ getHostByName "localhost" }}`
	c := read(t, charttest.Small("1.0.0", "apiVersion: v1\nkind: X\nmetadata: {name: s}\nx: \""+still+"\"\n"))
	want := `x: "0 00000000-0000-4000-8000-000000000000 3 abc  "`
	if o := rendered(t, c, request(t, ""))[0]; !strings.Contains(o.Text, want) || o.StandIn {
		t.Errorf("%s, want %s and no mark", o.Text, want)
	}
}

// A certificate that an author gave is no stand-in, and a broken one is refused.
func TestOwnCertificate(t *testing.T) {
	c := read(t, charttest.Small("1.0.0", `{{ (buildCustomCert .Values.cert .Values.cert).Cert }}`))
	if list := problems(t, c, request(t, "cert: bm8=")); list[0].Code != chart.CodeTemplate || !strings.Contains(list[0].Message, "unable to decode certificate") {
		t.Errorf("%+v", list)
	}
}

func TestWhatTemplatesSee(t *testing.T) {
	template := `apiVersion: v1
kind: X
metadata: {name: s}
x: "{{ .Capabilities.KubeVersion.Version }} {{ .Capabilities.KubeVersion.Minor }} {{ .Capabilities.APIVersions.Has "example.com/v1/Thing" }} {{ .Capabilities.APIVersions.Has "apps/v1" }} {{ .Release.Name }} {{ .Release.IsInstall }} {{ .Values.number }} {{ .Values.gone }} {{ (lookup "v1" "Node" "" "").items }}"
`
	files := charttest.Small("1.0.0", template)
	files["values.yaml"] = "gone: default\n"
	c := read(t, files)
	r := request(t, "{number: 1000000, gone: null}")
	r.APIVersions = []string{"example.com/v1/Thing"}
	for version, want := range map[string]string{"": "v" + chart.DefaultKubernetes + " 35", "1.31": "v1.31.0 31", "v1.30.4-eks": "v1.30.4-eks 30"} {
		r.Kubernetes = version
		want := `x: "` + want + ` true true cilium true 1e+06  "`
		if o := rendered(t, c, r)[0]; !strings.Contains(o.Text, want) {
			t.Errorf("%q: %s, want %s", version, o.Text, want)
		}
	}
	r.Kubernetes = "new"
	if _, _, err := c.Render(r); err == nil {
		t.Error("a version that is none was taken")
	}
}

// A dependency is rendered where its condition says so, and its schema counts.
func TestDependencies(t *testing.T) {
	files := charttest.Files{
		"Chart.yaml":                          "apiVersion: v2\nname: umbrella\nversion: 1.0.0\ndependencies:\n- {name: cilium, version: 1.17.2, repository: https://helm.cilium.io, condition: cilium.enabled}\n",
		"crds/a.yaml":                         "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: a}\n",
		"templates/a.yaml":                    "apiVersion: v1\nkind: Namespace\nmetadata: {name: own}\n",
		"charts/cilium/Chart.yaml":            "apiVersion: v2\nname: cilium\nversion: 1.17.2\n",
		"charts/cilium/values.yaml":           "replicas: 2\n",
		"charts/cilium/values.schema.json":    `{"properties": {"replicas": {"type": "integer"}}}`,
		"charts/cilium/templates/config.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: below}\ndata: {x: \"{{ .Values.replicas }}\"}\n",
	}
	c := read(t, files)
	for values, want := range map[string]string{
		"cilium: {enabled: true}":  "CustomResourceDefinition/a Namespace/own ConfigMap/below",
		"cilium: {enabled: false}": "CustomResourceDefinition/a Namespace/own",
	} {
		var got []string
		for _, o := range rendered(t, c, request(t, values)) {
			got = append(got, o.Kind+"/"+o.Name)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", values, got, want)
		}
	}
	list := problems(t, c, request(t, "cilium: {enabled: true, replicas: x}"))
	if diff := cmp.Diff([][]string{{"cilium", "replicas"}}, list[0].Keys); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
}

func TestSchema(t *testing.T) {
	files := charttest.Small("1.0.0", "")
	files["values.schema.json"] = `{"additionalProperties": false, "required": ["name"], "properties": {
		"name": {"type": "string"},
		"list": {"items": {"properties": {"count": {"type": "integer"}}}},
		"either": {"anyOf": [{"type": "boolean"}, {"enum": ["auto"]}]},
		"rows": {"items": {"anyOf": [{"properties": {"count": {"type": "integer"}}}, {"properties": {"count": {"type": "null"}}}]}},
		"one": {"oneOf": [{"minimum": 1}, {"maximum": 3}]}}}`
	c := read(t, files)
	r := request(t, `{list: [{count: 1}, {count: x}, {count: 1.0}], either: maybe, one: 2, rows: [{count: true}], other: 1, more: 2}`)
	var got []string
	for _, p := range problems(t, c, r) {
		got = append(got, strings.TrimPrefix(p.Message, "the chart's schema refuses "))
	}
	want := []string{
		"either: got string, want boolean, or value must be 'auto'",
		"list.1.count: got string, want integer",
		"missing property 'name'",
		"more: the chart has no such value",
		"one: 'oneOf' failed, subschemas 0, 1 matched",
		"other: the chart has no such value",
		"rows.0.count: got boolean, want integer",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	r.SkipSchema = true
	rendered(t, c, r)
	for _, schema := range []string{`{`, `{"$ref": "http://example.com/x.json"}`, `{"$ref": "file:///etc/passwd"}`, `{"type": 1}`} {
		files["values.schema.json"] = schema
		if list := problems(t, read(t, files), r2(r)); list[0].Code != chart.CodeUnreadable {
			t.Errorf("%s: %+v", schema, list)
		}
	}
}

// r2 is a request that asks the schema.
func r2(r chart.Request) chart.Request {
	r.SkipSchema = false
	return r
}

func TestNoChart(t *testing.T) {
	for _, files := range []charttest.Files{{"a": "b"}, {"Chart.yaml": "["}, {"Chart.yaml": "name: x"}, {"Chart.yaml": "apiVersion: v2\nname: x\nversion: 1.0.0", "values.yaml": "["}} {
		list := []*helm.BufferedFile{}
		for name, text := range files {
			list = append(list, &helm.BufferedFile{Name: name, Data: []byte(text)})
		}
		if _, err := Read(list); err == nil {
			t.Errorf("%v was taken for a chart", files)
		}
	}
}

func TestServe(t *testing.T) {
	path := filepath.Clean(charttest.Small("1.17.2", "apiVersion: v1\nkind: X\nmetadata: {name: {{ .Values.name }}}\n").Folder(t))
	ask := chart.Ask{Protocol: chart.Protocol}
	for _, name := range []string{"a", "b"} {
		r := request(t, "name: "+name)
		r.Reference = chart.Reference{Name: "cilium", Version: "1.17.2", Path: path}
		ask.Requests = append(ask.Requests, r)
	}
	elsewhere := ask.Requests[0]
	elsewhere.Path += "/nowhere"
	newer := ask.Requests[0]
	newer.Version = "1.18.0"
	judged := ask.Requests[0]
	judged.JudgeOnly = true
	ask.Requests = append(ask.Requests, elsewhere, newer, judged)
	data, err := json.Marshal(ask)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ in, err string }{
		"right":    {string(data), ""},
		"no JSON":  {"x", "read the request"},
		"nothing":  {"", "read the request: EOF"},
		"protocol": {`{"protocol": 99}`, "plumb speaks protocol 99"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := Serve(t.Context(), &archive.Finder{}, strings.NewReader(test.in), &out); err != nil {
				t.Fatal(err)
			}
			var answer chart.Answer
			if err := json.Unmarshal(out.Bytes(), &answer); err != nil {
				t.Fatal(err)
			}
			if test.err != "" {
				if !strings.Contains(answer.Error, test.err) {
					t.Errorf("error %q, want %q", answer.Error, test.err)
				}
				return
			}
			var got []string
			for _, r := range answer.Results {
				switch {
				case len(r.Objects) == 1:
					got = append(got, r.Objects[0].Name)
				case len(r.Problems) == 1:
					got = append(got, string(r.Problems[0].Code))
				case len(r.Objects)+len(r.Problems) == 0:
					got = append(got, "judged")
				}
			}
			if diff := cmp.Diff([]string{"a", "b", "chart/not-found", "chart/version", "judged"}, got); diff != "" {
				t.Errorf("results (-want +got):\n%s", diff)
			}
		})
	}
}
