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
	return l.WriteExcerpts(w, colour, func(string) ([]byte, error) { return nil, nil })
}

// WriteExcerpts is WriteText with the author's line below each finding, and a
// caret below the column. read gives a file's text by the name that positions
// have; a file that can't be read, or has no such line, has no excerpt.
func (l List) WriteExcerpts(w io.Writer, colour bool, read func(file string) ([]byte, error)) error {
	var b strings.Builder
	files := map[string][]string{}
	for i := range l {
		l[i].text(&b, colour, excerpt(l[i].first(), files, read))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// excerpt gives a line with a caret below its column, or nothing.
func excerpt(at Position, files map[string][]string, read func(string) ([]byte, error)) string {
	if at.File == "" || at.Line == 0 {
		return ""
	}
	lines, known := files[at.File]
	if !known {
		text, err := read(at.File)
		if err == nil && len(text) > 0 {
			lines = strings.Split(string(text), "\n")
		}
		files[at.File] = lines
	}
	if at.Line > len(lines) {
		return ""
	}
	line := strings.TrimRight(lines[at.Line-1], "\r")
	number := fmt.Sprintf("%6d | ", at.Line)
	out := number + line + "\n"
	if at.Column > 0 && at.Column <= len(line)+1 {
		out += strings.Repeat(" ", len(number)-2) + "| " + indent(line[:at.Column-1]) + "^\n"
	}
	return out
}

// indent is as wide as text: tabs stay tabs, so that both lines align.
func indent(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, text)
}

func (d *Diagnostic) text(b *strings.Builder, colour bool, excerpt string) {
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
	b.WriteString(excerpt)
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
