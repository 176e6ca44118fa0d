// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"testing"

	"plumbline.dev/plumbline/compiler/emit"
)

func files(pairs ...string) []emit.File {
	var list []emit.File
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, emit.File{Path: pairs[i], Data: []byte(pairs[i+1])})
	}
	return list
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestWriteFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	if err := writeFiles(dir, files("a.yaml", "1", "b/c.yaml", "2")); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(filepath.Join(dir, "a.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if before.Mode().Perm() != 0o644 {
		t.Errorf("mode is %v", before.Mode())
	}
	if err := writeFiles(dir, files("a.yaml", "1", "b/c.yaml", "3")); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(filepath.Join(dir, "a.yaml"))
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("a file that has its content was written again: %v", err)
	}
	if got := read(t, filepath.Join(dir, "b", "c.yaml")); got != "3" {
		t.Errorf("b/c.yaml holds %q", got)
	}
}

// Where one file can't be written none is, and nothing is left behind.
func TestWriteFilesIsAllOrNothing(t *testing.T) {
	dir := t.TempDir()
	if err := writeFiles(dir, files("a.yaml", "old", "taken", "a file")); err != nil {
		t.Fatal(err)
	}
	if err := writeFiles(dir, files("a.yaml", "new", "taken/b.yaml", "below a file")); err == nil {
		t.Fatal("no error")
	}
	if got := read(t, filepath.Join(dir, "a.yaml")); got != "old" {
		t.Errorf("a.yaml holds %q", got)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}
