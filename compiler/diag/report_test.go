// SPDX-License-Identifier: Apache-2.0

package diag

import (
	"bytes"
	"encoding/xml"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"
)

func reported() List {
	return List{
		{Code: "values/unknown-key", Path: "environment.values.x", Message: "no such value", Hint: "did you mean y?",
			Positions: []Position{{"dev/dev é.cue", 2, 9}, {"base.cue", 1, 1}}},
		{Code: "rollout/agents", Severity: Warning, Message: "off <&>", Positions: []Position{{"base.cue", 3, 0}}, URL: "https://example.com/a"},
		{Code: "facts/unknown", Severity: Info, Path: "environment.cluster.mtu", Message: "not stated"},
	}
}

func files(name string) ([]byte, error) {
	return map[string][]byte{"dev/dev é.cue": []byte("package x\n\"💥é\": x: 1\n"), "base.cue": []byte("package x\n")}[name], nil
}

func writtenSARIF(t *testing.T, list List) *sarif.Report {
	t.Helper()
	var b bytes.Buffer
	pages := []Page{{Code: "values/unknown-key", Title: "Unknown", Why: "It does nothing.", Mend: "Mend it.", URLs: []string{"https://example.com"}}}
	if err := list.WriteSARIF(&b, "v1", "environments/dev", pages, files); err != nil {
		t.Fatal(err)
	}
	report, err := sarif.FromBytes(b.Bytes(), sarif.WithStrictValidation())
	if err != nil {
		t.Fatalf("%v\n%s", err, b.Bytes())
	}
	if err := report.Validate(); err != nil {
		t.Fatalf("the schema of SARIF 2.1.0: %v\n%s", err, b.Bytes())
	}
	return report
}

func TestSARIF(t *testing.T) {
	run := writtenSARIF(t, reported()).Runs[0]
	type result struct {
		rule, level, file string
		line, column      int
		related           int
	}
	var got []result
	for _, r := range run.Results {
		at := r.Locations[0].PhysicalLocation
		one := result{rule: *r.RuleID, level: r.Level, file: *at.ArtifactLocation.URI, line: *at.Region.StartLine, related: len(r.RelatedLocations)}
		if at.Region.StartColumn != nil {
			one.column = *at.Region.StartColumn
		}
		if run.Tool.Driver.Rules[r.RuleIndex].ID == nil || *run.Tool.Driver.Rules[r.RuleIndex].ID != one.rule {
			t.Errorf("%s: ruleIndex %d is another rule", one.rule, r.RuleIndex)
		}
		got = append(got, one)
	}
	want := []result{ // a 💥 is four bytes and two units, an é two and one
		{"values/unknown-key", "error", "dev/dev%20%C3%A9.cue", 2, 6, 1},
		{"rollout/agents", "warning", "base.cue", 3, 0, 0},
		{"facts/unknown", "note", "environments/dev", 1, 0, 0},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(result{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// Who moves lines about does not make a finding a new one.
func TestSARIFFingerprintsStay(t *testing.T) {
	list := reported()
	before := writtenSARIF(t, list).Runs[0].Results[0].PartialFingerprints
	list[0].Positions[0].Line = 1
	list[0].Message = "put otherwise"
	after := writtenSARIF(t, list).Runs[0].Results[0].PartialFingerprints
	if diff := cmp.Diff(before, after); diff != "" || len(before) == 0 {
		t.Errorf("%v (-before +after)\n%s", before, diff)
	}
	list[0].Path = "environment.values.z"
	if other := writtenSARIF(t, list).Runs[0].Results[0].PartialFingerprints; cmp.Equal(before, other) {
		t.Error("another path has the same fingerprint")
	}
}

// Two findings of one code at one path are two.
func TestSARIFFingerprintsDiffer(t *testing.T) {
	one := Diagnostic{Code: "a/b", Path: "x", Positions: []Position{{"a.cue", 1, 1}}}
	results := writtenSARIF(t, List{one, one}).Runs[0].Results
	if cmp.Equal(results[0].PartialFingerprints, results[1].PartialFingerprints) {
		t.Errorf("both have %v", results[0].PartialFingerprints)
	}
}

// Files are told from the source's root; one that lies elsewhere has its whole
// path, and a name with a colon is no scheme.
func TestSARIFNamesFiles(t *testing.T) {
	var list List
	for _, file := range []string{"/elsewhere/a.cue", "a:b.cue", "dev/x y.cue"} {
		list = append(list, Diagnostic{Code: "a/b", Positions: []Position{{File: file, Line: 1}}})
	}
	run := writtenSARIF(t, list).Runs[0]
	var got []string
	for i, a := range run.Artifacts {
		at := run.Results[i].Locations[0].PhysicalLocation.ArtifactLocation
		if *at.URI != *a.Location.URI {
			t.Errorf("artifact %s, location %s", *a.Location.URI, *at.URI)
		}
		base := ""
		if at.URIBaseID != nil {
			base = *at.URIBaseID + " "
			if _, ok := run.OriginalUriBaseIds[*at.URIBaseID]; !ok {
				t.Errorf("nothing says what %s is", *at.URIBaseID)
			}
		}
		got = append(got, base+*at.URI)
	}
	if diff := cmp.Diff([]string{"file:///elsewhere/a.cue", "SRCROOT ./a:b.cue", "SRCROOT dev/x%20y.cue"}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// Every rule has a description, that of a code without a page too: code scanning
// refuses a report otherwise.
func TestSARIFRulesAreDescribed(t *testing.T) {
	for _, rule := range writtenSARIF(t, reported()).Runs[0].Tool.Driver.Rules {
		if rule.ShortDescription == nil || *rule.ShortDescription.Text == "" {
			t.Errorf("%s has no description", *rule.ID)
		}
	}
}

func TestSARIFOfNothing(t *testing.T) {
	if run := writtenSARIF(t, nil).Runs[0]; run.Results == nil || len(run.Results) > 0 {
		t.Errorf("results %v, want []: code scanning takes a run without for one that failed", run.Results)
	}
}

func TestJUnit(t *testing.T) {
	var b bytes.Buffer
	if err := reported().WriteJUnit(&b, []string{"environments/prod"}); err != nil {
		t.Fatal(err)
	}
	type testcase struct {
		Name    string    `xml:"name,attr"`
		Failure *struct{} `xml:"failure"`
		Output  string    `xml:"system-out"`
	}
	var got struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Suites   []struct {
			Name  string     `xml:"name,attr"`
			Cases []testcase `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Tests != 4 || got.Failures != 1 || len(got.Suites) != 4 {
		t.Errorf("%d tests, %d failures in %d suites, want 4, 1 in 4\n%s", got.Tests, got.Failures, len(got.Suites), b.Bytes())
	}
	for _, s := range got.Suites {
		for _, c := range s.Cases {
			if fails := strings.HasPrefix(c.Name, "values/"); fails != (c.Failure != nil) {
				t.Errorf("%s: failure %v", c.Name, c.Failure != nil)
			}
			if strings.HasPrefix(c.Name, "rollout/") && !strings.Contains(c.Output, "off <&>\nsee https://example.com/a") {
				t.Errorf("%s: output %q", c.Name, c.Output)
			}
		}
	}
}

// A report is XML whatever a message holds, cases of one code and path are one,
// and a report of nothing has a case that passes.
func TestJUnitIsXML(t *testing.T) {
	odd := Diagnostic{Code: "a/b", Path: "x", Message: "\x1b[1m ]]> \x00 \xff", Positions: []Position{{"a\x01.cue", 1, 1}}}
	mild := odd
	mild.Severity = Warning
	for _, list := range []List{nil, {odd, mild, mild, odd}} {
		var b bytes.Buffer
		if err := list.WriteJUnit(&b, nil); err != nil {
			t.Fatal(err)
		}
		var got struct {
			Tests    int `xml:"tests,attr"`
			Failures int `xml:"failures,attr"`
		}
		if err := xml.Unmarshal(b.Bytes(), &got); err != nil {
			t.Fatalf("%v\n%s", err, b.Bytes())
		}
		if got.Tests != 1 || got.Failures != min(len(list), 1) {
			t.Errorf("%d findings: %d tests, %d failures", len(list), got.Tests, got.Failures)
		}
	}
}
