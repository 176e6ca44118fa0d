// SPDX-License-Identifier: Apache-2.0

package diag

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"path"
	"strings"
	"unicode/utf16"

	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"
)

const informationURI = "https://plumbline.dev/plumbline"

// sourceRoot is the name that stands for the folder that files are told from.
const sourceRoot = "SRCROOT"

// WriteSARIF writes SARIF 2.1.0, as code scanning takes it. pages tell of the
// codes; read gives a file's text, from which columns are counted in UTF-16
// units. Every result has a line: a finding without a place has the first one of
// the file that whole names.
func (l List) WriteSARIF(w io.Writer, version, whole string, pages []Page, read func(file string) ([]byte, error)) error {
	run := sarif.NewRunWithInformationURI("plumb", informationURI)
	run.Tool.Driver.Version = &version
	run.WithColumnKind("utf16CodeUnits")
	run.WithOriginalUriBaseIds(map[string]sarif.ArtifactLocation{
		sourceRoot: *sarif.NewArtifactLocation().WithDescription(sarif.NewTextMessage("the folder that plumb ran in")),
	})
	s := sarifWriter{run: run, whole: whole, lines: map[string][]string{}, seen: map[string]int{}, read: read}
	for _, page := range pages {
		s.rule(page)
	}
	for i := range l {
		s.result(&l[i])
	}
	report := sarif.NewReport()
	report.AddRun(run)
	return report.PrettyWrite(w)
}

type sarifWriter struct {
	run   *sarif.Run
	whole string
	lines map[string][]string
	seen  map[string]int // results so far, by fingerprint
	read  func(file string) ([]byte, error)
}

func (s *sarifWriter) rule(p Page) {
	help := p.Why + "\n\n" + p.Mend
	markdown := "## " + p.Title + "\n\n" + p.Why + "\n\n" + p.Mend + "\n"
	if p.Bad != "" {
		help += "\n\nInstead of\n\n" + p.Bad + "\n\nwrite\n\n" + p.Good
		markdown += "\nInstead of\n\n```\n" + p.Bad + "\n```\n\nwrite\n\n```\n" + p.Good + "\n```\n"
	}
	for _, address := range p.URLs {
		markdown += "\n- <" + address + ">"
	}
	rule := s.run.AddRule(p.Code).
		WithShortDescription(sarif.NewMultiformatMessageString().WithText(p.Title)).
		WithFullDescription(sarif.NewMultiformatMessageString().WithText(p.Why)).
		WithHelp(sarif.NewMultiformatMessageString().WithText(help).WithMarkdown(markdown)).
		WithDefaultConfiguration(sarif.NewReportingConfiguration().WithLevel(p.Severity.sarif()))
	if len(p.URLs) > 0 {
		rule.WithHelpURI(p.URLs[0])
	}
}

func (s *sarifWriter) result(d *Diagnostic) {
	if rule := s.run.AddRule(d.Code); rule.ShortDescription == nil { // without a page
		rule.WithShortDescription(sarif.NewMultiformatMessageString().WithText(d.Code))
	}
	result := s.run.CreateResultForRule(d.Code).
		WithLevel(d.Severity.sarif()).
		WithMessage(sarif.NewTextMessage(d.Line())).
		WithPartialFingerprints(map[string]string{"codeAndPath/v1": s.fingerprint(d)})
	result.Locations = nil
	places := d.Positions
	if len(places) == 0 {
		places = []Position{{File: s.whole}}
	}
	result.AddLocation(s.location(places[0]))
	for i, at := range places[1:] {
		result.AddRelatedLocation(s.location(at).WithID(i + 1))
	}
}

// location gives a place with a line; code scanning drops results without.
func (s *sarifWriter) location(at Position) *sarif.Location {
	file := artifact(at.File)
	s.run.AddDistinctArtifact(*file.URI).WithLocation(file)
	region := sarif.NewRegion().WithStartLine(max(at.Line, 1))
	if at.Line > 0 && at.Column > 0 {
		region.WithStartColumn(s.column(at))
	}
	return sarif.NewLocationWithPhysicalLocation(sarif.NewPhysicalLocation().WithArtifactLocation(file).WithRegion(region))
}

// column counts in UTF-16 units instead of bytes.
func (s *sarifWriter) column(at Position) int {
	lines, known := s.lines[at.File]
	if !known {
		if text, err := s.read(at.File); err == nil {
			lines = strings.Split(string(text), "\n")
		}
		s.lines[at.File] = lines
	}
	if at.Line > len(lines) || at.Column-1 > len(lines[at.Line-1]) {
		return at.Column
	}
	return len(utf16.Encode([]rune(lines[at.Line-1][:at.Column-1]))) + 1
}

// fingerprint stays when lines move and when a message is put otherwise. Findings
// of one code at one path are told apart by their order.
func (s *sarifWriter) fingerprint(d *Diagnostic) string {
	sum := sha256.Sum256([]byte(d.Code + "\x00" + d.Path + "\x00" + d.first().File))
	text := hex.EncodeToString(sum[:16])
	s.seen[text]++
	return fmt.Sprintf("%s:%d", text, s.seen[text])
}

// artifact names a file: from the source's root if it lies there, else by its
// whole path.
func artifact(file string) *sarif.ArtifactLocation {
	if path.IsAbs(file) {
		return sarif.NewArtifactLocation().WithURI((&url.URL{Scheme: "file", Path: file}).String())
	}
	return sarif.NewArtifactLocation().WithURI((&url.URL{Path: file}).String()).WithURIBaseID(sourceRoot)
}

// sarif is the severity's name among the levels.
func (s Severity) sarif() string {
	switch s {
	case Error:
		return "error"
	case Warning:
		return "warning"
	}
	return "note"
}
