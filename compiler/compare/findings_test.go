// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"plumbline.dev/plumbline/compiler/diag"
)

// A finding is one with the other side's whatever its place; severity, message and
// number count.
func TestFindings(t *testing.T) {
	at := func(file string) []diag.Position { return []diag.Position{{File: file, Line: 3, Column: 2}} }
	both := diag.Diagnostic{Code: "a/b", Path: "p", Message: "both", Positions: at("x.cue")}
	elsewhere := both
	elsewhere.Positions = at("y.cue")
	weaker := diag.Diagnostic{Code: "a/c", Severity: diag.Warning, Message: "weighed", Positions: at("x.cue")}
	info := weaker
	info.Severity = diag.Info

	report := &Report{Findings: FindingsOf(diag.List{both, weaker}, diag.List{elsewhere, elsewhere, info})}
	var b strings.Builder
	if err := report.WriteText(&b, false); err != nil {
		t.Fatal(err)
	}
	const want = `findings:
- warning: weighed [a/c] (x.cue:3:2)
+ error: p: both [a/b] (y.cue:3:2)
+ info: weighed [a/c] (x.cue:3:2)
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	same := FindingsOf(diag.List{both}, diag.List{elsewhere})
	if diff := cmp.Diff(&Findings{Added: diag.List{}, Removed: diag.List{}}, same); diff != "" {
		t.Errorf("the same (-want +got):\n%s", diff)
	}
}
