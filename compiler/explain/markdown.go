// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"fmt"
	"strings"

	"plumbline.dev/plumbline/compiler/diag"
)

// Markdown writes pages as sections.
func Markdown(pages []diag.Page) string {
	texts := make([]string, len(pages))
	for i, p := range pages {
		texts[i] = section(p)
	}
	return strings.Join(texts, "\n")
}

// Catalogue is a document of all pages: a table of the codes by area, and each
// code's section.
func Catalogue(pages []diag.Page) string {
	var b strings.Builder
	b.WriteString(`# Codes

Every finding has a code. Rules of an environment weigh by it, CI filters by it,
and ` + "`plumb explain CODE`" + ` prints its section of this page. A code is stable: it
keeps its name and its meaning.

The severity is what a finding weighs unless it, or the environment's ` + "`rules`" + `,
says otherwise. Codes of ` + "`env/`" + ` always weigh what they weigh here; those of
` + "`snapshot/`" + ` and ` + "`audit/`" + ` are about a cluster's objects, not about an environment.
`)
	area := ""
	for _, p := range pages {
		if of, _, _ := strings.Cut(p.Code, "/"); of != area {
			area = of
			fmt.Fprintf(&b, "\n### %s\n\n| code | severity | what |\n|---|---|---|\n", area)
		}
		fmt.Fprintf(&b, "| [`%s`](#%s) | %s | %s |\n", p.Code, anchor(p.Code), p.Severity, cell(p.Title))
	}
	return b.String() + "\n" + Markdown(pages)
}

// section is one page.
func section(p diag.Page) string {
	var b strings.Builder
	fmt.Fprintf(&b, "## `%s`\n\n**%s** (%s)\n\n%s\n\n%s\n", p.Code, prose(p.Title), p.Severity, prose(p.Why), prose(p.Mend))
	if p.Bad != "" {
		language := "yaml"
		if strings.HasPrefix(p.Bad, "env") {
			language = "cue"
		}
		fmt.Fprintf(&b, "\nInstead of\n\n```%s\n%s\n```\n\nwrite\n\n```%s\n%s\n```\n", language, p.Bad, language, p.Good)
	}
	for i, address := range p.URLs {
		if i == 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "- <%s>\n", address)
	}
	return b.String()
}

// anchor is the name that a heading of a code has in a page.
func anchor(code string) string { return strings.ReplaceAll(code, "/", "") }

// prose joins lines, and keeps Markdown from reading a text's own signs.
func prose(text string) string {
	return strings.NewReplacer(`*`, `\*`, `<`, `\<`, `_`, `\_`).Replace(strings.Join(strings.Fields(text), " "))
}

func cell(text string) string { return strings.ReplaceAll(prose(text), "|", `\|`) }
