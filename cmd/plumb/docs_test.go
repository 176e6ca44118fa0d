// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Each `plumb …` command line of the documents is one that there is, with flags
// that it has.
func TestDocumentsNameCommandsThatExist(t *testing.T) {
	seen := 0
	for _, file := range []string{"../../docs/DRIFT.md", "../../docs/ARCHITECTURE.md", "../../docs/CODES.md", "../../docs/RULES.md", "../../docs/CLI.md", "../../docs/MANIFESTS.md"} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Join(strings.Fields(string(data)), " ")
		for _, m := range regexp.MustCompile("`(plumb [a-z][^`]*)`").FindAllStringSubmatch(text, -1) {
			seen++
			exists(t, file, m[1])
		}
	}
	if seen < 15 {
		t.Errorf("%d command lines were found, want at least 15", seen)
	}
}

// exists holds a command line to the commands and flags that there are.
func exists(t *testing.T, where, line string) {
	t.Helper()
	line, _, _ = strings.Cut(line, "  #")
	words, root := strings.Fields(line)[1:], newRootCommand(&env{})
	command, _, err := root.Find(words)
	if err != nil || command == root {
		t.Errorf("%s: %q is no command", where, line)
		return
	}
	for _, word := range words {
		name, long := strings.CutPrefix(word, "--")
		name, _, _ = strings.Cut(name, "=")
		if long && command.Flags().Lookup(name) == nil && command.InheritedFlags().Lookup(name) == nil {
			t.Errorf("%s: %q: plumb %s has no flag --%s", where, line, command.Name(), name)
		}
	}
}

// So is each line of a page of `plumb catalog`.
func TestCatalogNamesCommandsThatExist(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	page, seen := runPlumb(t, root, []string{"catalog", "dev"}), 0
	for line := range strings.SplitSeq(page, "\n") {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "plumb ") {
			seen++
			exists(t, "catalog dev", line)
		}
	}
	if seen < 7 {
		t.Errorf("%d command lines were found, want at least 7", seen)
	}
}
