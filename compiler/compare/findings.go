// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"fmt"
	"strings"

	"plumbline.dev/plumbline/compiler/diag"
)

// Findings are what is found in one side alone.
type Findings struct {
	Added   diag.List `json:"added"`   // in the second side
	Removed diag.List `json:"removed"` // in the first
}

// finding is what makes two findings one: they say the same of the same, wherever
// either author wrote it.
type finding struct {
	code, path, message string
	severity            diag.Severity
}

// FindingsOf compares what was found in two sides. One that stands several times
// counts as often.
func FindingsOf(from, to diag.List) *Findings {
	return &Findings{Added: without(to, from), Removed: without(from, to)}
}

// without leaves of a list what the other has not.
func without(list, other diag.List) diag.List {
	known := map[finding]int{}
	for _, d := range other {
		known[finding{d.Code, d.Path, d.Message, d.Severity}]++
	}
	rest := diag.List{}
	for _, d := range list {
		key := finding{d.Code, d.Path, d.Message, d.Severity}
		if known[key]--; known[key] < 0 {
			rest = append(rest, d)
		}
	}
	return rest
}

// text writes a section of its own, nothing where there is nothing in it.
func (f *Findings) text(b *strings.Builder, colour bool) {
	if f == nil || len(f.Added)+len(f.Removed) == 0 {
		return
	}
	b.WriteString("findings:\n")
	for _, part := range []struct {
		op   Op
		list diag.List
	}{{Removed, f.Removed}, {Added, f.Added}} {
		for i := range part.list {
			b.WriteString(painted(part.op, findingLine(&part.list[i]), colour))
		}
	}
}

// findingLine is a finding on one line, with its first place behind it, as the
// other lines have theirs.
func findingLine(d *diag.Diagnostic) string {
	text := fmt.Sprintf("%s: %s [%s]", d.Severity, d.Line(), d.Code)
	if at := first(d.Positions); at != "" {
		text += " (" + at + ")"
	}
	return text
}

// painted is a line of the text form, with its sign.
func painted(op Op, line string, colour bool) string {
	text := signs[op] + " " + line
	if colour {
		text = colours[op] + text + reset
	}
	return text + "\n"
}
