// SPDX-License-Identifier: Apache-2.0

package values

import (
	"embed"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
)

//go:generate go run ./gen

// tables holds one table for each chart minor, named after it: tables/1.17.txt.
//
//go:embed tables
var tables embed.FS

// minors are the chart minors that have a table, oldest first.
var minors = sync.OnceValue(func() []string {
	entries, err := tables.ReadDir("tables")
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range entries {
		if minor, ok := strings.CutSuffix(e.Name(), ".txt"); ok {
			out = append(out, minor)
		}
	}
	slices.SortFunc(out, CompareVersions)
	return out
})

// parsed keeps each table from its first use on.
var parsed sync.Map // minor → func() (*Table, error)

// Minors gives the chart minors that For knows, oldest first: "1.17", ….
func Minors() []string { return slices.Clone(minors()) }

// For gives the table of a chart version: "1.17.2", "v1.17.2" or "1.17". All
// releases of a minor share one, but for keys that came after Table.Chart.
func For(chartVersion string) (*Table, error) {
	minor, ok := minorOf(chartVersion)
	if !ok || !slices.Contains(minors(), minor) {
		return nil, fmt.Errorf("no table of Helm values for Cilium chart %q: known are the releases of %s",
			chartVersion, strings.Join(minors(), ", "))
	}
	once, _ := parsed.LoadOrStore(minor, sync.OnceValues(func() (*Table, error) { return parseEmbedded(minor) }))
	shared, err := once.(func() (*Table, error))()
	if err != nil {
		return nil, err
	}
	t := *shared
	if release := strings.TrimPrefix(chartVersion, "v"); release != minor {
		t.Release = release
	}
	return &t, nil
}

// Newest gives the newest chart that has a table, "1.20.2". It reads the table's
// first lines alone: help texts name it, whatever the command.
func Newest() string {
	minor := minors()[len(minors())-1]
	file, err := tables.Open(path.Join("tables", minor+".txt"))
	if err != nil {
		panic(err) // minors are those of the embedded files
	}
	defer file.Close()
	head := make([]byte, 128)
	n, _ := io.ReadFull(file, head)
	for line := range strings.Lines(string(head[:n])) {
		if columns := strings.Split(line, "\t"); columns[0] == "chart" && len(columns) > 1 {
			return columns[1]
		}
	}
	panic("table of " + minor + ": no line that names the chart") // a test parses it
}

func parseEmbedded(minor string) (*Table, error) {
	name := path.Join("tables", minor+".txt")
	text, err := tables.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("table of Helm values: %w", err)
	}
	t, err := Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("table %s: %w", name, err)
	}
	return t, nil
}

// minorOf gives "1.17" for "v1.17.2". A pre-release or a version of fewer than
// two or more than three numbers has none.
func minorOf(version string) (string, bool) {
	numbers := strings.Split(strings.TrimPrefix(version, "v"), ".")
	if len(numbers) < 2 || len(numbers) > 3 {
		return "", false
	}
	for _, n := range numbers {
		if _, err := strconv.ParseUint(n, 10, 16); err != nil {
			return "", false
		}
	}
	return numbers[0] + "." + numbers[1], true
}

// CompareVersions orders "1.9" before "1.17" and "1.17.2" before "1.17.10".
func CompareVersions(a, b string) int {
	return slices.Compare(versionNumbers(a), versionNumbers(b))
}

func versionNumbers(version string) []int {
	var out []int
	for part := range strings.SplitSeq(version, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			n = -1
		}
		out = append(out, n)
	}
	return out
}
