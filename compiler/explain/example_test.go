// SPDX-License-Identifier: Apache-2.0

package explain_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"plumbline.dev/plumbline/compiler"
	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/explain"
	"plumbline.dev/plumbline/compiler/load"
	"plumbline.dev/plumbline/compiler/rules"
)

// common is what an example stands beside.
const common = `package example

environment: {
	name: "example"
	chart: version: *"1.17.2" | string
	api: host: *"192.168.1.10" | string
}
`

// elsewhere are the examples that plumb state finds, or a render of the chart.
var elsewhere = []string{"settings/families", "chart/not-found", "chart/refused", "chart/schema"}

// withoutHost are the examples that are about the API server's host. So are those
// that state one.
var withoutHost = []string{"api/port-without-host", "env/missing-field", "env/no-environment", "env/syntax"}

// What a page shows as a mistake is found under its code; what it shows instead
// is not, and is no other mistake either.
func TestExamplesAreFound(t *testing.T) {
	seen := 0
	for _, page := range explain.Pages(nil) {
		if page.Bad == "" || !strings.Contains(page.Bad, "enviro") || slices.Contains(elsewhere, page.Code) {
			continue
		}
		seen++
		t.Run(page.Code, func(t *testing.T) {
			if list := vetExample(t, page.Code, page.Bad); !slices.Contains(codesOf(list), page.Code) {
				t.Errorf("the example's findings are %v:\n%s\n%v", codesOf(list), page.Bad, list)
			}
			list := vetExample(t, page.Code, page.Good)
			if slices.Contains(codesOf(list), page.Code) || list.Count(diag.Error) > 0 {
				t.Errorf("the remedy has findings:\n%s\n%v", page.Good, list)
			}
		})
	}
	if seen < 100 {
		t.Errorf("only %d pages have an example", seen)
	}
}

func vetExample(t *testing.T, code, text string) diag.List {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "environments")
	beside := common
	switch {
	case code == "env/no-environment":
		beside = "package example\n"
		text = strings.ReplaceAll(text, `name: "dev"`, `{name: "dev", chart: version: "1.17.2"}`)
	case slices.Contains(withoutHost, code), strings.Contains(text, "api:"):
		beside = strings.Replace(common, "\tapi: host: *\"192.168.1.10\" | string\n", "", 1)
		text = strings.ReplaceAll(text, `name: "dev"`, `name: "example"`)
	}
	files := map[string]string{"beside.cue": beside, "example.cue": "package example\n\n" + text + "\n"}
	if err := os.MkdirAll(filepath.Join(dir, "example"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, "example", name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	source, err := load.Folder{Dir: dir, WorkDir: filepath.Dir(dir)}.Find("example")
	if err != nil {
		t.Fatal(err)
	}
	environment, list := load.Load(source)
	return append(list, compiler.Vet(environment)...)
}

func codesOf(list diag.List) []string {
	var codes []string
	for _, d := range list {
		codes = append(codes, d.Code)
	}
	return codes
}

// An example is of a rule that there is, and of one that is Plumbline's own.
func TestExamplesAreOfRules(t *testing.T) {
	text, err := os.ReadFile("examples.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var list []diag.Page
	if err := yaml.UnmarshalStrict(text, &list); err != nil {
		t.Fatal(err)
	}
	for i, page := range list {
		if !slices.ContainsFunc(compiler.Rules(), func(r rules.Rule) bool { return r.Code == page.Code }) {
			t.Errorf("no rule has the code %s", page.Code)
		}
		if i > 0 && list[i-1].Code >= page.Code {
			t.Errorf("%s stands behind %s", page.Code, list[i-1].Code)
		}
	}
}
