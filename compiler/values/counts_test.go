// SPDX-License-Identifier: Apache-2.0

package values

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// count says what a table is made of.
func count(t *Table) string {
	n := map[string]int{}
	for _, k := range t.Keys() {
		for what, is := range map[string]bool{
			"keys":                               k.known,
			"closed objects":                     k.known && k.Type.Closed,
			"open objects":                       k.known && k.isObject() && !k.Type.Closed,
			"open objects of strings":            k.known && k.Type.Each == Of(String),
			"open objects that list names":       k.known && k.isObject() && !k.Type.Closed && len(k.children) > 0,
			"lists":                              k.known && k.Type.Kinds.Has(List),
			"lists of strings":                   k.known && k.Type.Items == Of(String),
			"keys that the chart's schema lacks": k.known && k.Unchecked,
			"keys that the chart's schema checks less":  k.known && k.Loose,
			"keys that take words":                      k.known && k.Type.Words != nil,
			"keys that the chart's schema takes null":   k.NullOnly,
			"keys that no template reads":               k.Unread,
			"objects that templates need":               k.Needed,
			"keys of a later release":                   k.Later != "",
			"keys gone":                                 !k.known && k.Moved != nil,
			"keys gone with a successor":                !k.known && k.Moved != nil && len(k.Moved.To) > 0,
			"keys gone that end the render":             !k.known && k.Moved != nil && k.Moved.Effect >= FailsIfSet,
			"keys deprecated":                           k.known && k.Moved != nil && k.Moved.Effect == Deprecated,
			"keys known and without effect, or harmful": k.known && k.Moved != nil && k.Moved.Effect > Deprecated,
			"defaults": k.hasDefault,
		} {
			if is {
				n[what]++
			} else {
				n[what] += 0
			}
		}
	}
	n["options of the agent"] = len(t.options)
	var b strings.Builder
	fmt.Fprintf(&b, "%s, from chart %s\n", t.Minor, t.Chart)
	for _, what := range sortedNames(n) {
		fmt.Fprintf(&b, "  %4d %s\n", n[what], what)
	}
	return b.String()
}

// TestCounts holds the tables to testdata/counts.txt. PLUMB_UPDATE=1 rewrites it.
func TestCounts(t *testing.T) {
	var b strings.Builder
	for _, minor := range Minors() {
		table, err := For(minor)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(count(table))
	}
	const name = "testdata/counts.txt"
	if os.Getenv("PLUMB_UPDATE") == "1" {
		if err := os.WriteFile(name, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
