// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

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
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			team, _, err := e.teamRules()
			if err != nil {
				team = nil // completion is quiet
			}
			return codesOf(explain.Pages(team)), cobra.ShellCompDirectiveNoFileComp
		},
	}
	output := outputFlag(command, "text", "json", "markdown")
	command.RunE = func(_ *cobra.Command, args []string) error {
		team, _, err := e.teamRules()
		if err != nil {
			return err
		}
		pages, err := explain.Select(explain.Pages(team), args)
		if err != nil {
			return err
		}
		return e.printPages(pages, output.value, len(args) == 0)
	}
	return command
}

// codesOf completes codes, each with its title.
func codesOf(pages []diag.Page) []cobra.Completion {
	var list []cobra.Completion
	for _, p := range pages {
		list = append(list, cobra.CompletionWithDesc(p.Code, p.Title))
	}
	return list
}

// pagesReport is what `plumb explain -o json` prints.
type pagesReport struct {
	Pages []diag.Page `json:"pages"`
}

// printPages prints pages, or a line for each.
func (e *env) printPages(pages []diag.Page, form string, lines bool) error {
	switch {
	case form == "json":
		return printJSON(e.stdout, pagesReport{pages})
	case form == "markdown":
		return printTo(e.stdout, explain.Markdown(pages))
	case lines:
		return printTo(e.stdout, listOf(pages))
	}
	var texts []string
	for _, p := range pages {
		texts = append(texts, textPage(p))
	}
	return printTo(e.stdout, strings.Join(texts, "\n"))
}

// listOf is a line for each page, in columns.
func listOf(pages []diag.Page) string {
	width := 0
	for _, p := range pages {
		width = max(width, len(p.Code))
	}
	var b strings.Builder
	for _, p := range pages {
		fmt.Fprintf(&b, "%-*s  %-7s  %s\n", width, p.Code, p.Severity, p.Title)
	}
	return b.String()
}

func printTo(w io.Writer, text string) error {
	_, err := io.WriteString(w, text)
	return err
}

// printJSON prints a report, indented.
func printJSON(w io.Writer, report any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(report)
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

func indented(text string) string { return "  " + strings.ReplaceAll(text, "\n", "\n  ") }

// wrap breaks a text into lines.
func wrap(text string) string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > textWidth {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return strings.Join(append(lines, line), "\n")
}
