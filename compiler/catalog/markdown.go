// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"plumbline.dev/plumbline/compiler/diag"
)

// Report is a page for each of some environments, and all that compile beside
// one another.
type Report struct {
	Pages      []*Page    `json:"pages"`
	Comparison Comparison `json:"comparison"`
	// Left are the environments that do not compile: they are not compared.
	Left []string `json:"left"`
}

// Markdown writes a report as one document. It ends in a newline and holds no
// time: equal environments give equal bytes.
func (r *Report) Markdown() string {
	w := &writer{depth: 1}
	if len(r.Pages) == 1 {
		w.page(r.Pages[0], &r.Comparison, r.Left)
		return w.String()
	}
	w.heading("Environments")
	w.line("Written by `plumb catalog --all`; a change by hand is lost.")
	rows := [][]string{}
	for _, p := range r.Pages {
		rows = append(rows, []string{"[" + text(p.Name) + "](#" + p.Name + ")", text(p.Platform), code(p.Chart.Version), code(p.Datapath.Mode), text(p.Purpose)})
	}
	w.table([]string{"environment", "platform", "chart", "mode", "what"}, rows)
	w.comparison(&r.Comparison, r.Left)
	for _, p := range r.Pages {
		w.page(p, nil, nil)
	}
	return w.String()
}

// writer collects a document.
type writer struct {
	strings.Builder
	depth int // of headings
}

func (w *writer) heading(title string) {
	if w.Len() > 0 {
		w.WriteString("\n")
	}
	fmt.Fprintf(w, "%s %s\n", strings.Repeat("#", w.depth), title)
}

// section is a heading with what stands below it, headings included.
func (w *writer) section(title string, below func()) {
	w.depth++
	w.heading(title)
	below()
	w.depth--
}

func (w *writer) line(format string, args ...any) { fmt.Fprintf(w, "\n"+format+"\n", args...) }

func (w *writer) table(head []string, rows [][]string) {
	fmt.Fprintf(w, "\n| %s |\n|%s\n", strings.Join(head, " | "), strings.Repeat("---|", len(head)))
	for _, row := range rows {
		fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | "))
	}
}

func (w *writer) block(language, body string) {
	w.line("```%s\n%s\n```", language, strings.TrimSuffix(body, "\n"))
}

func (w *writer) page(p *Page, c *Comparison, left []string) {
	if c != nil {
		w.heading(text(p.Name))
		w.line("Written by `plumb catalog %s`; a change by hand is lost.", p.argument())
		w.sections(p, c, left)
		return
	}
	w.section(text(p.Name), func() { w.sections(p, nil, nil) })
}

func (w *writer) sections(p *Page, c *Comparison, left []string) {
	w.line("%s", text(p.Purpose))
	w.section("Overview", func() { w.table([]string{"what", "is"}, p.overview()) })
	w.section("What depends on what", func() {
		w.line("An arrow leads from what depends to what it depends on.")
		w.block("mermaid", dependencies(p))
	})
	w.section("How a change arrives", func() { w.block("mermaid", p.arrival()) })
	w.section("Features that are on", func() { w.table([]string{"feature", "value", "is", "written in"}, p.features()) })
	if c != nil {
		w.comparison(c, left)
	}
	w.services(p)
	w.weights(p)
	w.operations(p)
}

func (p *Page) overview() [][]string {
	rows := [][]string{
		{"folder", code(p.Folder)}, {"platform", text(p.Platform)},
		{"chart", code(p.Chart.Version) + " from " + code(p.Chart.Source)},
		{"API server, as nodes dial it", text(p.apiName())},
		{"release", code(p.Flux.Release)}, {"manifests", code(p.Flux.Path) + " of " + code(p.Flux.Source)},
		{"Flux on objects that differ", code(p.Flux.DriftDetection)},
		{"mode of Plumbline", code(p.Datapath.Mode)}, {"maps", code(p.Datapath.Maps) + ", laid out as " + code(p.Datapath.Layout)},
		{"cgroup root", code(p.Datapath.CgroupRoot)},
		{"audits", fmt.Sprintf("every %s; what differs for %s is drift", p.Datapath.Interval, p.Datapath.Grace)},
	}
	for _, f := range p.Facts {
		rows = append(rows, []string{"fact: " + code(f.Path), code(f.Value)})
	}
	return rows
}

func (p *Page) features() [][]string {
	var rows [][]string
	for _, f := range p.Features {
		name := text(f.Name)
		if f.Detail != "" {
			name += ": " + text(f.Detail)
		}
		rows = append(rows, []string{name, code(f.Value), code(f.Is), placed(f.Places)})
	}
	return rows
}

// placed names places, or says that the chart has it by default.
func placed(list []diag.Position) string {
	if len(list) == 0 {
		return "the chart's default"
	}
	var words []string
	for _, at := range list {
		words = append(words, code(fmt.Sprintf("%s:%d", at.File, at.Line)))
	}
	return strings.Join(words, ", ")
}

func (w *writer) comparison(c *Comparison, left []string) {
	w.section("Configuration per environment", func() {
		if len(left) > 0 {
			w.line("Not compared, for they do not compile: %s.", text(strings.Join(left, ", ")))
		}
		if len(c.Environments) > 1 {
			w.section("What differs", func() { w.differing(c) })
		}
		w.section("What all have in common", func() {
			var rows [][]string
			for _, row := range c.Common {
				rows = append(rows, []string{code(row.Path), code(row.Values[0].Value)})
			}
			w.table([]string{"setting", "value"}, rows)
		})
	})
}

func (w *writer) differing(c *Comparison) {
	if len(c.Differing) == 0 {
		w.line("Nothing.")
		return
	}
	head := []string{"setting"}
	for _, name := range c.Environments {
		head = append(head, text(name))
	}
	var rows [][]string
	for _, row := range c.Differing {
		cells := []string{code(row.Path)}
		for _, cell := range row.Values {
			switch {
			case cell.Set:
				cells = append(cells, code(cell.Value))
			case cell.Default:
				cells = append(cells, code(cell.Value)+" (default)")
			default:
				cells = append(cells, "–")
			}
		}
		rows = append(rows, cells)
	}
	w.table(head, rows)
}

func (w *writer) services(p *Page) {
	if len(p.Services) == 0 {
		return
	}
	w.section("Services that are declared here", func() {
		var rows [][]string
		for _, s := range p.Services {
			rows = append(rows, []string{code(s.Name), codes(s.Addresses), codes(s.Ports)})
		}
		w.table([]string{"service", "addresses", "ports"}, rows)
	})
}

func (w *writer) weights(p *Page) {
	if len(p.Weights) == 0 && len(p.Allowed) == 0 {
		return
	}
	w.section("What vet treats otherwise here", func() {
		var rows [][]string
		for _, r := range p.Weights {
			rows = append(rows, []string{code(r.Code), code(r.Severity), text(r.Reason), placed(r.Places)})
		}
		for _, allowed := range p.Allowed {
			rows = append(rows, []string{code("values/unknown-key"), "let pass", text(allowed.Reason) + " (allowUnknown: " + code(allowed.Path) + ")", ""})
		}
		w.table([]string{"code", "weighs", "why", "written in"}, rows)
	})
}

// argument is what a command line names the environment by.
func (p *Page) argument() string {
	if below, ok := strings.CutPrefix(p.Folder, "environments/"); ok {
		return below
	}
	if path.IsAbs(p.Folder) || strings.HasPrefix(p.Folder, ".") {
		return p.Folder
	}
	return "./" + p.Folder
}

// target is the folder that manifests are built to.
func (p *Page) target() string { return path.Clean(p.Flux.Path) }

func (p *Page) has(kind string) bool {
	return slices.ContainsFunc(p.Parts, func(part Part) bool { return part.Kind == kind })
}

// text is a text in running Markdown, on one line, taken literally.
func text(s string) string {
	return strings.NewReplacer(
		`\`, `\\`, "`", "\\`", `*`, `\*`, `_`, `\_`, `[`, `\[`, `]`, `\]`, `<`, `\<`, `>`, `\>`, `|`, `\|`, `#`, `\#`, `~`, `\~`, `&`, `\&`,
	).Replace(oneLine(s))
}

// code is a text as code, on one line, that may stand in a table: fenced by more
// backticks than it holds, and with the bars escaped that would end a cell.
func code(s string) string {
	s = oneLine(s)
	if s == "" {
		return "(empty)"
	}
	longest, run := 0, 0
	for _, r := range s {
		if r == '`' {
			run++
			longest = max(longest, run)
		} else {
			run = 0
		}
	}
	fence, space := strings.Repeat("`", longest+1), ""
	if strings.HasPrefix(s, "`") || strings.HasSuffix(s, "`") || strings.HasPrefix(s, " ") && strings.HasSuffix(s, " ") {
		space = " "
	}
	return fence + space + strings.ReplaceAll(s, "|", `\|`) + space + fence
}

func codes(list []string) string {
	var words []string
	for _, s := range list {
		words = append(words, code(s))
	}
	return strings.Join(words, ", ")
}

// oneLine shows line breaks and other control characters instead of writing them.
func oneLine(s string) string {
	s = strings.NewReplacer("\r\n", "⏎", "\n", "⏎", "\r", "⏎", "\t", " ").Replace(s)
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7F || r == 0x2028 || r == 0x2029 || r == 0xFFFD {
			return '�'
		}
		return r
	}, s)
}
