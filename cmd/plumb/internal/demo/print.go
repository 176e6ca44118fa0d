// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"plumbline.dev/plumbline/runtime/reconcile"
)

// Printer writes the demonstration as it goes on, for a person or, at its end,
// as one JSON document.
type Printer struct {
	Out     io.Writer
	Color   bool
	Verbose bool
	JSON    bool

	steps   []Step
	current *Step
	started time.Time
}

// Document is the JSON form of a demonstration.
type Document struct {
	OK      bool    `json:"ok"` // every check held
	Seconds float64 `json:"seconds"`
	Steps   []Step  `json:"steps"`
}

// Step is a step of a Document.
type Step struct {
	Title   string            `json:"title"`
	OK      bool              `json:"ok"`
	Seconds float64           `json:"seconds"`
	Lines   []string          `json:"lines"`
	Report  *reconcile.Report `json:"report,omitempty"`
	Error   string            `json:"error,omitempty"`
}

// step runs one and prints how it went.
func (p *Printer) step(title string, do func() error) error {
	if p.started.IsZero() {
		p.started = time.Now()
	}
	begin := time.Now()
	p.steps = append(p.steps, Step{Title: title, Lines: []string{}})
	p.current = &p.steps[len(p.steps)-1]
	p.printf("%s\n", p.paint("1", fmt.Sprintf("%d. %s", len(p.steps), title)))
	err := do()
	p.current.Seconds, p.current.OK = time.Since(begin).Seconds(), err == nil
	mark := p.paint("32", "✓")
	if err != nil {
		p.current.Error = err.Error()
		mark = p.paint("31", "✗")
		p.printf("   %s\n", p.paint("31", strings.ReplaceAll(err.Error(), "\n", "\n   ")))
	}
	p.printf("   %s %s\n\n", mark, p.paint("2", elapsed(begin)))
	return err
}

// Finish prints the last line, or the document.
func (p *Printer) Finish(err error) error {
	if p.JSON {
		encoder := json.NewEncoder(p.Out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(Document{err == nil, time.Since(p.started).Seconds(), p.steps})
	}
	if err == nil {
		p.printf("%s in %s: every check held.\n", p.paint("1;32", "Done"), elapsed(p.started))
	}
	return nil
}

func (p *Printer) line(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	p.current.Lines = append(p.current.Lines, text)
	p.printf("   %s\n", text)
}

// verbose is a line that only -v and the document show.
func (p *Printer) verbose(format string, args ...any) {
	if p.Verbose {
		p.line(format, args...)
		return
	}
	p.current.Lines = append(p.current.Lines, fmt.Sprintf(format, args...))
}

// block prints text of several lines under a heading.
func (p *Printer) block(heading, text string) {
	p.line("%s:", heading)
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		p.current.Lines = append(p.current.Lines, line)
		p.printf("   %s %s\n", p.paint("2", "│"), line)
	}
}

// drifts prints a report's drifts, with service and age.
func (p *Printer) drifts(r reconcile.Report) {
	p.current.Report = &r
	for _, d := range r.Drifts {
		subject := strings.TrimSpace(d.Service + " " + d.Frontend)
		if subject != "" {
			subject += ", "
		}
		p.line("%s %sfor %.1fs: %s", p.paint("33", string(d.Kind)), subject, d.AgeSeconds, d.Message)
	}
	p.line("%s (%s): %d of %d writes", r.Status, r.Reason, r.Applied, r.Planned)
}

func (p *Printer) paint(code, text string) string {
	if !p.Color || p.JSON {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (p *Printer) printf(format string, args ...any) {
	if !p.JSON {
		fmt.Fprintf(p.Out, format, args...)
	}
}
