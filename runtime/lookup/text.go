// SPDX-License-Identifier: Apache-2.0

package lookup

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// absent stands for what a side does not have.
const absent = "-"

// WriteText writes the ways as a table: a line per field, wanted and held side
// by side, and behind those that part an arrow with what traffic sees of it.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, layout %s", r.Frontend, r.Layout)
	if r.Service != "" {
		fmt.Fprintf(&b, ", %s", r.Service)
	}
	b.WriteString("\n\n")
	lines := []line{r.cells("", "WANT", "HAVE", "")}
	for _, name := range stepNames(r.Want, r.Have) {
		lines = append(lines, r.step(name)...)
	}
	writeTable(&b, lines)
	r.nearest(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

// line is a line of the table: cells in columns, and text behind them.
type line struct {
	cells  []string
	behind string
}

// cells makes a line of those columns whose sides were asked for.
func (r *Report) cells(label, want, have, behind string) line {
	l := line{cells: []string{label}, behind: behind}
	if r.Want != nil {
		l.cells = append(l.cells, want)
	}
	if r.Have != nil {
		l.cells = append(l.cells, have)
	}
	return l
}

// writeTable writes lines with their columns aligned; a line of one cell is as
// long as it is.
func writeTable(b *strings.Builder, lines []line) {
	var widths [3]int
	for _, l := range lines {
		for i, cell := range l.cells {
			if len(l.cells) > 1 {
				widths[i] = max(widths[i], utf8.RuneCountInString(cell))
			}
		}
	}
	for _, l := range lines {
		var text strings.Builder
		for i, cell := range l.cells {
			text.WriteString(cell + strings.Repeat(" ", max(0, widths[i]-utf8.RuneCountInString(cell))+2))
		}
		text.WriteString(l.behind)
		b.WriteString(strings.TrimRight(text.String(), " ") + "\n")
	}
}

func (r *Report) step(name string) []line {
	want, have := r.Want.step(name), r.Have.step(name)
	lines := []line{r.cells(name, want.mapName(), have.mapName(), r.arrow(name, ""))}
	if note := cmp.Or(want.note(), have.note()); note != "" {
		lines = append(lines, line{cells: []string{"  (" + note + ")"}})
	}
	add := func(field, want, have, arrow string) {
		if want != "" || have != "" {
			lines = append(lines, r.cells("  "+field, cmp.Or(want, absent), cmp.Or(have, absent), arrow))
		}
	}
	add("key", want.key(), have.key(), "")
	add("value", want.value(), have.value(), r.arrow(name, "value"))
	for _, field := range fieldNames(want, have) {
		add(field, want.field(field), have.field(field), r.arrow(name, field))
	}
	return lines
}

func (s *Step) note() string {
	if s == nil {
		return ""
	}
	return s.Note
}

func (s *Step) mapName() string {
	if s == nil {
		return ""
	}
	return s.Map
}

func (s *Step) key() string {
	if s == nil {
		return ""
	}
	return s.Key
}

func (s *Step) value() string {
	if s == nil {
		return ""
	}
	return s.Value
}

func (r *Report) arrow(step, field string) string {
	for _, p := range r.Partings {
		if p.Step == step && p.Field == field {
			return "<- " + p.Why
		}
	}
	return ""
}

func (r *Report) nearest(w io.Writer) {
	if r.Found() {
		return
	}
	where := "what is wanted and what is held both have"
	switch {
	case r.Have == nil:
		where = "what is wanted has"
	case r.Want == nil:
		where = "what is held has"
	}
	fmt.Fprintf(w, "\n%s no frontend %s.\n", where, r.Frontend)
	if len(r.Nearest) == 0 {
		fmt.Fprintf(w, "Nothing is near it: neither its address nor its port is a frontend's.\n")
	}
	for _, n := range r.Nearest {
		fmt.Fprintf(w, "  %s (%s): %s\n", n.Frontend, n.In, n.How)
	}
}
