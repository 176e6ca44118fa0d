// SPDX-License-Identifier: Apache-2.0

package diag

import (
	"fmt"
	"io"
	"strings"
)

// The colours of a terminal.
const (
	bold   = "\x1b[1m"
	red    = "\x1b[31m"
	yellow = "\x1b[33m"
	blue   = "\x1b[34m"
	reset  = "\x1b[0m"
)

var severityColours = [...]string{Error: red, Warning: yellow, Info: blue}

// WriteText writes one finding a line, as compilers do, so that editors can
// follow it:
//
//	dev/dev.cue:4:2: error: environment.naem: unknown field "naem"; did you mean "name"? [env/unknown-field]
//
// Further places and the address of a document stand below it, indented.
func (l List) WriteText(w io.Writer, colour bool) error {
	var b strings.Builder
	for i := range l {
		l[i].text(&b, colour)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (d *Diagnostic) text(b *strings.Builder, colour bool) {
	paint := func(with, text string) string {
		if !colour {
			return text
		}
		return with + text + reset
	}
	if at := d.first().String(); at != "" {
		b.WriteString(paint(bold, at+":") + " ")
	}
	severity := d.Severity.String() + ":"
	if int(d.Severity) < len(severityColours) {
		severity = paint(severityColours[d.Severity], severity)
	}
	fmt.Fprintf(b, "%s %s [%s]\n", severity, d.Line(), d.Code)
	for i, at := range d.Positions {
		if i > 0 {
			fmt.Fprintf(b, "    also %s\n", at)
		}
	}
	if d.URL != "" {
		fmt.Fprintf(b, "    see %s\n", d.URL)
	}
}

// Line is the path, the message and the hint on one line.
func (d *Diagnostic) Line() string {
	text := d.Message
	if d.Path != "" {
		text = d.Path + ": " + text
	}
	if d.Hint != "" {
		text += "; " + d.Hint
	}
	return text
}
