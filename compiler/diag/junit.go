// SPDX-License-Identifier: Apache-2.0

package diag

import (
	"cmp"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jstemmer/go-junit-report/v2/junit"
)

// WriteJUnit writes a test report: a suite for each file that was checked and
// each in which something was found, a case for each code and path. An Error
// fails its case; what weighs less passes and stands in the case's output. A file
// without a finding has one case that passes, and so has a report of nothing.
func (l List) WriteJUnit(w io.Writer, checked []string) error {
	suites := map[string][]junit.Testcase{}
	for i := range l {
		file := l[i].first().File
		suites[file] = l[i].join(suites[file])
	}
	for _, file := range checked {
		if _, found := suites[file]; !found {
			suites[file] = nil
		}
	}
	if len(suites) == 0 {
		suites["plumb vet"] = nil
	}
	report := junit.Testsuites{Name: "plumb vet"}
	for i, file := range slices.Sorted(maps.Keys(suites)) {
		suite := junit.Testsuite{Name: cmp.Or(file, "plumb vet"), File: file, Time: "0", ID: i}
		for _, c := range suites[file] {
			suite.AddTestcase(c)
		}
		if len(suites[file]) == 0 {
			suite.AddTestcase(junit.Testcase{Name: "no findings", Classname: file})
		}
		report.AddSuite(suite)
	}
	return report.WriteXML(w)
}

// join adds a finding to the case of its code and path among a suite's.
func (d *Diagnostic) join(cases []junit.Testcase) []junit.Testcase {
	name := strings.TrimSpace(d.Code + " " + d.Path)
	i := slices.IndexFunc(cases, func(c junit.Testcase) bool { return c.Name == name })
	if i < 0 {
		i, cases = len(cases), append(cases, junit.Testcase{Name: name, Classname: d.first().File})
	}
	c := &cases[i]
	text := characters(d.report())
	switch {
	case d.Severity != Error:
		if c.SystemOut != nil {
			text = c.SystemOut.Data + "\n" + text
		}
		c.SystemOut = &junit.Output{Data: text}
	case c.Failure == nil:
		c.Failure = &junit.Result{Message: characters(d.Message), Type: d.Code, Data: text}
	default:
		c.Failure.Data += "\n" + text
	}
	return cases
}

// report is the finding as a line, with what stands below it.
func (d *Diagnostic) report() string {
	text := d.Severity.String() + ": " + d.Line()
	if at := d.first().String(); at != "" {
		text = at + ": " + text
	}
	if d.URL != "" {
		text += "\nsee " + d.URL
	}
	return text
}

// characters leaves out what XML can't hold, not even quoted.
func characters(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF {
			return utf8.RuneError
		}
		return r
	}, text)
}
