// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// Each `plumb …` command line of the documents is one that there is, with flags
// that it has.
func TestDocumentsNameCommandsThatExist(t *testing.T) {
	root, seen := newRootCommand(&env{}), 0
	for _, file := range []string{"../../docs/DRIFT.md", "../../docs/ARCHITECTURE.md"} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Join(strings.Fields(string(data)), " ")
		for _, m := range regexp.MustCompile("`(plumb [a-z][^`]*)`").FindAllStringSubmatch(text, -1) {
			seen++
			words := strings.Fields(m[1])[1:]
			command, _, err := root.Find(words)
			if err != nil || command == root {
				t.Errorf("%s: %q is no command", file, m[1])
				continue
			}
			for _, word := range words {
				if name, long := strings.CutPrefix(word, "--"); long && command.Flags().Lookup(name) == nil && command.InheritedFlags().Lookup(name) == nil {
					t.Errorf("%s: %q: plumb %s has no flag --%s", file, m[1], command.Name(), name)
				}
			}
		}
	}
	if seen < 15 {
		t.Errorf("%d command lines were found, want at least 15", seen)
	}
}
