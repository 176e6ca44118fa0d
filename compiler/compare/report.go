// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"plumbline.dev/plumbline/compiler/diag"
)

// Report is the JSON form of a comparison. Its fields are stable: others may be
// added, none renamed or removed.
type Report struct {
	Same        bool     `json:"same"`
	From        Origin   `json:"from"`
	To          Origin   `json:"to"`
	Differences []Line   `json:"differences"`
	Counts      OpCounts `json:"counts"`
	// Findings are of the sides as a whole; nil where one part alone is compared.
	// Same is not about them.
	Findings *Findings `json:"findings,omitempty"`
}

// Origin says which environment a side is.
type Origin struct {
	Environment string `json:"environment"`
	// Revision is as it was asked for, and Commit what it was then; both "" for
	// the work tree.
	Revision string `json:"revision,omitempty"`
	Commit   string `json:"commit,omitempty"`
	// Absent says that the revision has no such environment.
	Absent bool `json:"absent,omitempty"`
}

// OpCounts are the differences by what they do.
type OpCounts struct {
	Added   int `json:"added"`
	Removed int `json:"removed"`
	Changed int `json:"changed"`
}

// Line is a Difference without its secrets.
type Line struct {
	Part   Part    `json:"part"`
	Op     Op      `json:"op"`
	Object *Object `json:"object,omitempty"` // of manifests
	Path   string  `json:"path,omitempty"`
	// From is absent where Op is added, To where it is removed. What differs in a
	// secret alone looks the same on both sides, and Masked says why.
	From          json.RawMessage `json:"from,omitempty"`
	To            json.RawMessage `json:"to,omitempty"`
	Masked        bool            `json:"masked"`
	FromPositions []diag.Position `json:"fromPositions"`
	ToPositions   []diag.Position `json:"toPositions"`
}

// NewReport masks what is secret in differences.
func NewReport(from, to Origin, list []Difference) (*Report, error) {
	r := &Report{Same: len(list) == 0, From: from, To: to, Differences: []Line{}}
	counts := map[Op]*int{Added: &r.Counts.Added, Removed: &r.Counts.Removed, Changed: &r.Counts.Changed}
	for _, d := range list {
		line, err := d.line()
		if err != nil {
			return nil, err
		}
		r.Differences = append(r.Differences, line)
		*counts[d.Op]++
	}
	return r, nil
}

func (d Difference) line() (Line, error) {
	d, masked := d.masked()
	l := Line{Part: d.Part, Op: d.Op, Path: d.Path, Masked: masked,
		FromPositions: places(d.FromPositions), ToPositions: places(d.ToPositions)}
	if d.Part == Manifests {
		l.Object = &d.Object
	}
	var err error
	if d.Op != Added {
		if l.From, err = marshal(d.From); err != nil {
			return l, err
		}
	}
	if d.Op != Removed {
		l.To, err = marshal(d.To)
	}
	return l, err
}

func places(list []diag.Position) []diag.Position {
	if list == nil {
		return []diag.Position{}
	}
	return list
}

// marshal writes JSON on one line, < and & as they are.
func marshal(v any) (json.RawMessage, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return json.RawMessage(strings.TrimSuffix(b.String(), "\n")), nil
}

// WriteJSON writes the report, indented.
func (r *Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// The colours of a terminal.
const (
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	reset  = "\x1b[0m"
)

var (
	signs   = [...]string{Added: "+", Removed: "-", Changed: "~"}
	colours = [...]string{Added: green, Removed: red, Changed: yellow}
)

// WriteText writes a line for each difference, nothing where there is none:
//
//	~ values operator.replicas: 1 -> 2 (environments/dev/dev.cue:30:13 -> environments/prod/prod.cue:28:13)
//
// Findings stand behind them.
func (r *Report) WriteText(w io.Writer, colour bool) error {
	var b strings.Builder
	for _, l := range r.Differences {
		b.WriteString(painted(l.Op, l.String(), colour))
	}
	r.Findings.text(&b, colour)
	_, err := io.WriteString(w, b.String())
	return err
}

// String gives the line without its sign.
func (l Line) String() string {
	var b strings.Builder
	b.WriteString(l.Part.String())
	if l.Object != nil {
		fmt.Fprintf(&b, " %s", l.Object)
	}
	if l.Path == "" { // an object as a whole
		return b.String()
	}
	fmt.Fprintf(&b, " %s: ", l.Path)
	from, to := excerpts(string(l.From), string(l.To))
	b.WriteString(arrow(from, to))
	if l.Masked && l.Op == Changed {
		b.WriteString(", and not the same")
	}
	if at := arrow(first(l.FromPositions), first(l.ToPositions)); at != "" {
		fmt.Fprintf(&b, " (%s)", at)
	}
	return b.String()
}

func first(list []diag.Position) string {
	if len(list) == 0 {
		return ""
	}
	return list[0].String()
}

func arrow(from, to string) string {
	if from == "" || to == "" {
		return from + to
	}
	return from + " -> " + to
}

// longest is how many letters of a value a line shows.
const longest = 100

// excerpts shortens long values to where they differ.
func excerpts(from, to string) (string, string) {
	same := 0
	for same < len(from) && same < len(to) && from[same] == to[same] {
		same++
	}
	start := same - longest/2
	if max(len(from), len(to)) <= longest {
		start = 0
	}
	return excerpt(from, start), excerpt(to, start)
}

func excerpt(text string, start int) string {
	if len(text) <= longest {
		return text
	}
	start = max(0, min(start, len(text)-longest))
	end := start + longest
	for start > 0 && !utf8.RuneStart(text[start]) {
		start--
	}
	for end < len(text) && !utf8.RuneStart(text[end]) {
		end++
	}
	out := text[start:end]
	if start > 0 {
		out = "…" + out
	}
	if end < len(text) {
		out += "…"
	}
	return out
}
