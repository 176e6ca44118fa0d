// SPDX-License-Identifier: Apache-2.0

package diag

import (
	"io"
	"slices"

	"github.com/jstemmer/go-junit-report/v2/junit"
)

// WriteJUnit writes a test report: a suite for each file that was checked and
// each in which something was found, a case for each finding. An Error fails its
// case; what weighs less passes and stands in the case's output. A file without a
// finding has one case that passes.
func (l List) WriteJUnit(w io.Writer, checked []string) error {
	byFile := map[string]*junit.Testsuite{}
	var order []string
	suite := func(file string) *junit.Testsuite {
		if byFile[file] == nil {
			byFile[file] = &junit.Testsuite{Name: file, File: file, Time: "0"}
			order = append(order, file)
		}
		return byFile[file]
	}
	for i := range l {
		suite(l[i].first().File).AddTestcase(l[i].testcase())
	}
	for _, file := range checked {
		if byFile[file] == nil {
			suite(file).AddTestcase(junit.Testcase{Name: "no findings", Classname: file})
		}
	}
	slices.Sort(order)
	report := junit.Testsuites{Name: "plumb vet"}
	for i, file := range order {
		byFile[file].ID = i
		report.AddSuite(*byFile[file])
	}
	return report.WriteXML(w)
}

func (d *Diagnostic) testcase() junit.Testcase {
	c := junit.Testcase{Name: d.Code, Classname: d.first().File}
	if d.Path != "" {
		c.Name += " " + d.Path
	}
	text := d.first().String() + ": " + d.Severity.String() + ": " + d.Line()
	if d.URL != "" {
		text += "\nsee " + d.URL
	}
	if d.Severity == Error {
		c.Failure = &junit.Result{Message: d.Message, Type: d.Code, Data: text}
	} else {
		c.SystemOut = &junit.Output{Data: text}
	}
	return c
}
