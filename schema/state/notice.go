// SPDX-License-Identifier: Apache-2.0

package state

import "fmt"

// Severity says what a Notice means for whoever reads it.
type Severity uint8

// The severities. An Error stops a build; a Warning is shown; Info says what
// was left out on purpose.
const (
	Error Severity = iota
	Warning
	Info
)

var severityNames = []string{"error", "warning", "info"}

func (s Severity) String() string               { return enumString("severity", severityNames, s) }
func (s Severity) MarshalText() ([]byte, error) { return enumText("severity", severityNames, s) }

// UnmarshalText accepts exactly what String gives.
func (s *Severity) UnmarshalText(text []byte) (err error) {
	*s, err = parseEnum[Severity]("severity", severityNames, text)
	return err
}

// Notice is something in a Snapshot that was not understood or not used as its
// author may think: no input is dropped silently (I10). Code is stable
// ("snapshot/orphan-slice") and alone steers control flow.
type Notice struct {
	Code     string   `json:"code"`
	Severity Severity `json:"severity"`
	Object   string   `json:"object"`          // "Service test/echo"
	Field    string   `json:"field,omitempty"` // "spec.ports[1].port"
	Message  string   `json:"message"`
	Hint     string   `json:"hint,omitempty"`
	Pos      Position `json:"position"`
}

// String gives "file:line: Service test/echo: spec.ports[1].port: message; hint".
func (n Notice) String() string {
	text := n.Object + ": "
	if n.Field != "" {
		text += n.Field + ": "
	}
	text += n.Message
	if n.Hint != "" {
		text += "; " + n.Hint
	}
	if pos := n.Pos.String(); pos != "" {
		return fmt.Sprintf("%s: %s", pos, text)
	}
	return text
}
