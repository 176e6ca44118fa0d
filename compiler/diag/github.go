// SPDX-License-Identifier: Apache-2.0

package diag

import (
	"fmt"
	"io"
	"strings"
)

// WriteGitHub writes workflow commands that GitHub Actions shows beside the
// lines of a pull request. The line is always explicit: without one GitHub takes
// the first, silently.
func (l List) WriteGitHub(w io.Writer) error {
	var b strings.Builder
	for _, d := range l {
		fmt.Fprintf(&b, "::%s %s::%s\n", d.github(), d.properties(), escapeData(d.Line()))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// github is the severity's name among the commands.
func (d *Diagnostic) github() string {
	switch d.Severity {
	case Error:
		return "error"
	case Warning:
		return "warning"
	}
	return "notice"
}

func (d *Diagnostic) properties() string {
	at := d.first()
	text := ""
	if at.File != "" {
		text = fmt.Sprintf("file=%s,line=%d,", escapeProperty(at.File), max(at.Line, 1))
		if at.Column > 0 {
			text += fmt.Sprintf("col=%d,", at.Column)
		}
	}
	return text + "title=" + escapeProperty(d.Code)
}

// escapeData and escapeProperty quote what the commands' syntax claims.
func escapeData(text string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(text)
}

func escapeProperty(text string) string {
	return strings.NewReplacer(":", "%3A", ",", "%2C").Replace(escapeData(text))
}
