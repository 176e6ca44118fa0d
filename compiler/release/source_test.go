// SPDX-License-Identifier: Apache-2.0

package release

import (
	"strings"
	"testing"

	"plumbline.dev/plumbline/compiler/diag"
)

func TestWhereTheChartComesFrom(t *testing.T) {
	chart := func(spec string) string {
		return "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: c}\nspec:\n  " + strings.ReplaceAll(spec, "\n", "\n  ") + "\n"
	}
	for name, c := range map[string]struct {
		release, other  string
		source, version string
		at              diag.Position
	}{
		"a Helm repository": {
			chart("chart: {spec: {chart: cilium, version: 1.17.2, sourceRef: {kind: HelmRepository, name: r}}}"),
			"kind: HelmRepository\nmetadata: {name: r}\nspec: {url: https://helm.cilium.io}\n", "https://helm.cilium.io", "1.17.2", diag.Position{File: "hr.yaml", Line: 5, Column: 42}},
		"an OCI one": {
			chart("chart: {spec: {chart: cilium, version: 1.17.2, sourceRef: {kind: HelmRepository, name: r}}}"),
			"kind: HelmRepository\nmetadata: {name: r}\nspec: {type: oci, url: oci://quay.io/charts/}\n", "oci://quay.io/charts/cilium", "1.17.2", diag.Position{File: "hr.yaml", Line: 5, Column: 42}},
		"a folder": {
			chart("chart: {spec: {chart: ./charts/cilium, version: 1.17.2, sourceRef: {kind: GitRepository, name: r}}}"),
			"", "./charts/cilium", "1.17.2", diag.Position{File: "hr.yaml", Line: 5, Column: 51}},
		"an OCI artifact": {
			chart("chartRef:\n  kind: OCIRepository\n  name: r"),
			"kind: OCIRepository\nmetadata: {name: r}\nspec: {url: oci://quay.io/charts/cilium, ref: {tag: 1.18.6}}\n", "oci://quay.io/charts/cilium", "1.18.6", diag.Position{File: "other.yaml", Line: 3, Column: 53}},
		"a range of them": {
			chart("chartRef:\n  kind: OCIRepository\n  name: r"),
			"kind: OCIRepository\nmetadata: {name: r}\nspec: {url: oci://quay.io/charts/cilium, ref: {semver: 1.18.x}}\n", "oci://quay.io/charts/cilium", "1.18.x", diag.Position{File: "other.yaml", Line: 3, Column: 56}},
		"a chart of its own": {
			chart("chartRef:\n  kind: HelmChart\n  name: r"),
			"kind: HelmChart\nmetadata: {name: r}\nspec: {version: 1.17.2}\n", "", "1.17.2", diag.Position{File: "other.yaml", Line: 3, Column: 17}},
		"nothing": {
			chart("chartRef:\n  kind: HelmChart\n  name: x"), "", "", "", diag.Position{File: "hr.yaml", Line: 6, Column: 5}},
	} {
		t.Run(name, func(t *testing.T) {
			r, list := Read(File{"hr.yaml", []byte(c.release)}, []File{{"other.yaml", []byte(c.other)}})
			if r == nil {
				t.Fatal(list)
			}
			if r.ChartSource != c.source || r.Version != c.version || r.VersionAt[0] != c.at {
				t.Errorf("%q of %q at %v", r.Version, r.ChartSource, r.VersionAt)
			}
		})
	}
}

func TestAPatchNamesNoChart(t *testing.T) {
	r, list := Read(File{"patch.yaml", []byte("apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: c}\nspec: {values: {MTU: 1}}\n")}, nil)
	if r == nil {
		t.Fatal(list)
	}
	if _, list := r.ChartVersion(""); len(list) != 1 || !strings.Contains(list[0].Message, "a patch") || list[0].Positions[0].Line != 4 {
		t.Error(list)
	}
	if v, list := r.ChartVersion("1.17.2"); v != "1.17.2" || len(list) > 0 {
		t.Error(v, list)
	}
}

func TestContents(t *testing.T) {
	hr := string(releaseOf("a: 1").Data)
	for _, c := range []struct {
		name, text string
		want       Contents
	}{
		{"x.env", "a: 1", OfVariables},
		{"environment", hr, OfVariables},
		{"x.yaml", hr, OfRelease},
		{"x.yml", "apiVersion: v1\nkind: ConfigMap\n---\n" + hr, OfRelease},
		{"x.yaml", "apiVersion: v1\nkind: ConfigMap\n", OfObjects},
		{"x.json", `{"MTU": 1}`, OfValues},
		{"x.yaml", "a: [", OfValues},
		{"x.yaml", "", OfValues},
	} {
		if got := (File{c.name, []byte(c.text)}).Contents(); got != c.want {
			t.Errorf("%s, %q holds %v, want %v", c.name, c.text, got, c.want)
		}
	}
}
