// SPDX-License-Identifier: Apache-2.0

// Package diag is what the compiler has to say: a Diagnostic with its place,
// cause and remedy, and the forms in which a List of them is printed. It finds
// nothing itself and decides nothing but the order.
package diag

import (
	"cmp"
	"fmt"
	"slices"
)

// Severity is how much a Diagnostic weighs.
type Severity uint8

// The severities, heaviest first. An Error makes `plumb vet` end with 1.
const (
	Error Severity = iota
	Warning
	Info
)

var severityNames = [...]string{"error", "warning", "info"}

// String gives "error", "warning" or "info".
func (s Severity) String() string {
	if int(s) < len(severityNames) {
		return severityNames[s]
	}
	return fmt.Sprintf("severity(%d)", uint8(s))
}

// MarshalText gives String.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText accepts exactly what String gives.
func (s *Severity) UnmarshalText(text []byte) error {
	for i, name := range severityNames {
		if name == string(text) {
			*s = Severity(i)
			return nil
		}
	}
	return fmt.Errorf("unknown severity %q: want one of error, warning, info", text)
}

// Position is a place in a file that the author wrote. Line and Column count
// from 1, Column in bytes; 0 is unknown.
type Position struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
}

// String gives "file:line:column" as far as it is known.
func (p Position) String() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.Column == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Diagnostic is one finding. Code is stable ("values/unknown-key") and alone
// may steer control flow.
type Diagnostic struct {
	Code     string   `json:"code"`
	Severity Severity `json:"severity"`
	// Path is the place in the environment, as CUE writes it:
	// "environment.values.hubble.relay.enabled".
	Path    string `json:"path,omitempty"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	// Positions are every place that had a part in it, the one to mend first.
	Positions []Position `json:"positions"`
	URL       string     `json:"url,omitempty"`
}

// List is what a run found.
type List []Diagnostic

// Sort orders by first position, path, code and message, and drops repetitions.
func (l List) Sort() List {
	slices.SortStableFunc(l, compare)
	return slices.CompactFunc(l, func(a, b Diagnostic) bool { return compare(a, b) == 0 })
}

func compare(a, b Diagnostic) int {
	pa, pb := a.first(), b.first()
	return cmp.Or(
		cmp.Compare(pa.File, pb.File), cmp.Compare(pa.Line, pb.Line), cmp.Compare(pa.Column, pb.Column),
		cmp.Compare(a.Path, b.Path), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Message, b.Message))
}

func (d *Diagnostic) first() Position {
	if len(d.Positions) == 0 {
		return Position{}
	}
	return d.Positions[0]
}

// Count tells how many have the severity.
func (l List) Count(s Severity) int {
	n := 0
	for _, d := range l {
		if d.Severity == s {
			n++
		}
	}
	return n
}
