// SPDX-License-Identifier: Apache-2.0

// Command gen writes the tables of package values and the closed CUE
// definitions from the Cilium charts and from what is curated in types.txt and
// moved.txt. It is no part of any binary.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"plumbline.dev/plumbline/compiler/values"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("gen", flag.ContinueOnError)
	flags.SetOutput(stderr)
	out := flags.String("out", ".", "the folder of package values")
	schemas := flags.String("cue", filepath.Join("..", "..", "schema", "cilium"), "the folder of the CUE definitions")
	folders := flags.String("charts", "", "charts by folder instead of the Go module cache: 1.17.2=DIR,1.18.6=DIR")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if err := generate(*out, *schemas, *folders, stdout); err != nil {
		fmt.Fprintln(stderr, "gen:", err)
		return 1
	}
	return 0
}

func generate(out, schemas, folders string, stdout io.Writer) error {
	cur, err := parseCurated(typesText, movedText)
	if err != nil {
		return err
	}
	charts, err := open(folders, "")
	if err != nil {
		return err
	}
	files, report, err := tables(charts, cur)
	if err != nil {
		return err
	}
	fmt.Fprint(stdout, report)
	for name, text := range files {
		folder := out
		if strings.HasSuffix(name, ".cue") {
			folder = schemas
		}
		path := filepath.Join(folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// open gives the charts in the order of their releases. proxy is where modules
// come from, as in GOPROXY; "" leaves that to the environment.
func open(folders, proxy string) ([]*Chart, error) {
	dirs := map[string]string{}
	for item := range strings.SplitSeq(folders, ",") {
		if version, dir, ok := strings.Cut(item, "="); ok {
			dirs[version] = dir
		}
	}
	var charts []*Chart
	var errs []error
	for _, p := range pins {
		var c *Chart
		var err error
		if dir, ok := dirs[p.version]; ok {
			c, err = readChart(dir, p)
		} else {
			c, err = fetch(p, proxy)
		}
		charts, errs = append(charts, c), append(errs, err)
	}
	return charts, errors.Join(errs...)
}

// tables makes every generated file, by its path, and a report of what they hold.
func tables(charts []*Chart, cur *curated) (map[string]string, string, error) {
	drafts, err := draftAll(charts, cur)
	if err != nil {
		return nil, "", err
	}
	files := map[string]string{}
	var report strings.Builder
	var errs []error
	for _, d := range drafts {
		text, err := d.text()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		files["tables/"+d.chart.Minor+".txt"] = text
		definition, err := verify(d.chart, text)
		errs = append(errs, err)
		files[cuePackage(d.chart.Minor)+"/values.cue"] = definition
		fmt.Fprintf(&report, "%s %+v\n", d.chart.Version, d.counts)
	}
	return files, report.String(), errors.Join(errs...)
}

// draftAll gives one draft for each minor, with what the later releases of the
// minor add and what the minors before had.
func draftAll(charts []*Chart, cur *curated) ([]*draft, error) {
	var drafts []*draft
	var errs []error
	for _, c := range charts {
		d, err := build(c, cur)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if n := len(drafts); n > 0 && drafts[n-1].chart.Minor == c.Minor {
			drafts[n-1].counts.Later += drafts[n-1].root.graft(d.root, c.Version)
			continue
		}
		drafts = append(drafts, d)
	}
	for i, d := range drafts {
		if i > 0 {
			d.inherit(drafts[i-1])
		}
		d.countMoved()
	}
	return drafts, errors.Join(errs...)
}

// verify makes sure that the chart's own values.yaml passes, and that the table
// holds all of its defaults. It gives the CUE definition.
func verify(c *Chart, text string) (string, error) {
	t, err := values.Parse(text)
	if err != nil {
		return "", err
	}
	node, _ := values.FromYAML("values.yaml", c.ValuesText)
	var errs []error
	for _, found := range t.Check(node, values.Options{}) {
		errs = append(errs, fmt.Errorf("values.yaml of chart %s: %s: %s", c.Version, found.Code, found.Message))
	}
	have, err1 := compact(t.Defaults())
	want, err2 := compact(c.Values)
	if have != want {
		errs = append(errs, fmt.Errorf("the table of %s does not hold the defaults of values.yaml", c.Minor))
	}
	definition, err := cueDefinition(t)
	if err == nil {
		err = verifyCUE(t, definition)
	}
	return definition, errors.Join(append(errs, err1, err2, err)...)
}
