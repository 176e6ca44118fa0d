// SPDX-License-Identifier: Apache-2.0

package rules_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/rules"
	"plumbline.dev/plumbline/compiler/values"
)

// Each archive of testdata holds cases: NAME.yaml has values, facts, release,
// load, platform and chart as far as they are given (chart 1.17.2 else), and
// NAME.want what rules find. Facts that are lacking, and what is wrong with the
// rollout of any values that do not mention it, are told of in few: a case says
// "all: true" for them.
func TestCases(t *testing.T) {
	set := rules.Own()
	fired := map[string]bool{}
	for _, file := range archives(t) {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i+1 < len(archive.Files); i += 2 {
			input, want := archive.Files[i], &archive.Files[i+1]
			name, isYAML := strings.CutSuffix(input.Name, ".yaml")
			if !isYAML || want.Name != name+".want" {
				t.Fatalf("%s: %s and %s are no case", file, input.Name, want.Name)
			}
			t.Run(filepath.Base(file)+"/"+name, func(t *testing.T) {
				got := judge(t, set, input, fired)
				if os.Getenv("PLUMB_UPDATE") != "" {
					want.Data = []byte(got)
				} else if diff := cmp.Diff(string(want.Data), got); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
			})
		}
		if os.Getenv("PLUMB_UPDATE") != "" {
			if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, rule := range set.Rules {
		if !fired[rule.Code] {
			t.Errorf("no case makes %s find anything", rule.Code)
		}
	}
}

func archives(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	return files
}

func judge(t *testing.T, set *rules.Set, file txtar.File, fired map[string]bool) string {
	t.Helper()
	node, list := values.FromYAML(file.Name, file.Data)
	given, ok := node.Data().(map[string]any)
	if !ok || len(list) > 0 {
		t.Fatalf("%s is no case: %v", file.Name, list)
	}
	text := func(name, otherwise string) string {
		if s, ok := given[name].(string); ok {
			return s
		}
		return otherwise
	}
	object := func(name string) map[string]any { o, _ := given[name].(map[string]any); return o }
	chart := text("chart", "1.17.2")
	table, err := values.For(chart)
	if err != nil {
		t.Fatal(err)
	}
	author := object("values")
	in := rules.Input{Values: table.Effective(author), Author: author, Chart: chart, Platform: text("platform", ""), Typed: true,
		Cluster: object("facts"), Release: object("release"), Load: object("load")}
	var b strings.Builder
	for _, d := range equal(t, set, in, file.Name) {
		fired[d.Code] = true
		if d.Code == rules.CodeBroken {
			t.Errorf("%v %s", d.Positions, d.Line())
		}
		if given["all"] == nil && d.Severity == diag.Info {
			continue
		}
		fmt.Fprintf(&b, "%s %s %s\n", d.Severity, d.Code, d.Line())
	}
	return b.String()
}
