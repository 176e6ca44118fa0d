// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/explain"
)

func newExplainCommand(e *env) *cobra.Command {
	command := &cobra.Command{
		Use:   "explain [CODE...]",
		Short: "Tell what a finding's code means, why it matters and how to mend it",
		Long: `explain prints the page of each code: what is wrong, what it does in a cluster,
how to mend it, and where it is documented or was reported. A code's area alone
("values/") means all of it. Without a code it lists all there are.

With -o json it prints {"pages": [{"code", "severity", "title", "why", "mend",
"bad", "good", "urls"}]}; what a page does not have is left out.`,
		Example: `  plumb explain
  plumb explain values/unknown-key
  plumb explain api/ -o markdown`,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return codesOf(explain.Pages(nil)), cobra.ShellCompDirectiveNoFileComp
		},
	}
	output := outputFlag(command, "text", "json", "markdown")
	command.RunE = func(_ *cobra.Command, args []string) error {
		team, _, err := e.teamRules()
		if err != nil {
			return err
		}
		all := explain.Pages(team)
		pages := all
		for i, word := range args {
			found, err := explain.Find(all, word)
			if err != nil {
				return err
			}
			if i == 0 {
				pages = nil
			}
			pages = append(pages, found...)
		}
		return e.printPages(pages, output.value, len(args) == 0)
	}
	return command
}

func codesOf(pages []diag.Page) []string {
	var list []string
	for _, p := range pages {
		list = append(list, p.Code)
	}
	return list
}

// printPages prints pages, or a line for each.
func (e *env) printPages(pages []diag.Page, form string, lines bool) error {
	switch {
	case form == "json":
		enc := json.NewEncoder(e.stdout)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(struct {
			Pages []diag.Page `json:"pages"`
		}{pages})
	case lines && form == "text":
		for _, p := range pages {
			fmt.Fprintf(e.stdout, "%-26s %-8s %s\n", p.Code, p.Severity, p.Title)
		}
		return nil
	}
	for i, p := range pages {
		if i > 0 {
			fmt.Fprintln(e.stdout)
		}
		write := textPage
		if form == "markdown" {
			write = markdownPage
		}
		if _, err := fmt.Fprint(e.stdout, write(p)); err != nil {
			return err
		}
	}
	return nil
}

// textWidth is where lines of text end.
const textWidth = 80

func textPage(p diag.Page) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s)\n%s.\n\n%s\n\nTo mend it:\n%s\n", p.Code, p.Severity, p.Title, wrap(p.Why), wrap(p.Mend))
	if p.Bad != "" {
		fmt.Fprintf(&b, "\nInstead of\n%s\nwrite\n%s\n", indented(p.Bad), indented(p.Good))
	}
	if len(p.URLs) > 0 {
		fmt.Fprintf(&b, "\nSee\n%s\n", indented(strings.Join(p.URLs, "\n")))
	}
	return b.String()
}

func markdownPage(p diag.Page) string {
	var b strings.Builder
	fmt.Fprintf(&b, "## `%s`\n\n**%s** (%s)\n\n%s\n\n%s\n", p.Code, p.Title, p.Severity, joined(p.Why), joined(p.Mend))
	if p.Bad != "" {
		fmt.Fprintf(&b, "\nInstead of\n\n```cue\n%s\n```\n\nwrite\n\n```cue\n%s\n```\n", p.Bad, p.Good)
	}
	for i, address := range p.URLs {
		if i == 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "- <%s>\n", address)
	}
	return b.String()
}

func joined(text string) string { return strings.Join(strings.Fields(text), " ") }

func indented(text string) string { return "  " + strings.ReplaceAll(text, "\n", "\n  ") }

// wrap breaks a text into lines.
func wrap(text string) string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > textWidth {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return strings.Join(append(lines, line), "\n")
}
