// SPDX-License-Identifier: Apache-2.0

package diag

import (
	"encoding/json"
	"io"
)

// Report is the JSON form of a List. Its fields are stable: others may be added,
// none renamed or removed.
type Report struct {
	// Diagnostics are the findings in order; an empty list is [], never null, and
	// so are the positions of each.
	Diagnostics List   `json:"diagnostics"`
	Counts      Counts `json:"counts"`
}

// Counts are the findings by severity.
type Counts struct {
	Error   int `json:"error"`
	Warning int `json:"warning"`
	Info    int `json:"info"`
}

// Report gives the form that WriteJSON writes.
func (l List) Report() Report {
	list := make(List, len(l))
	for i, d := range l {
		if d.Positions == nil {
			d.Positions = []Position{}
		}
		list[i] = d
	}
	return Report{list, Counts{l.Count(Error), l.Count(Warning), l.Count(Info)}}
}

// WriteJSON writes the Report, indented.
func (l List) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(l.Report())
}
