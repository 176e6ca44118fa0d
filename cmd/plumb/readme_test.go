// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Every console block of the README is run, in the repository's root, and prints
// what the README shows; a line "…" stands for any number of lines.
// PLUMB_UPDATE=1 rewrites the blocks, each to at most the lines that it had.
func TestREADMEExamples(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(root, "README.md")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```console\n\\$ (plumb [^\n]*)\n(.*?)```")
	blocks := 0
	updated := block.ReplaceAllStringFunc(string(text), func(match string) string {
		blocks++
		parts := block.FindStringSubmatch(match)
		have := runPlumb(t, root, strings.Fields(parts[1])[1:])
		if os.Getenv("PLUMB_UPDATE") != "" {
			return "```console\n$ " + parts[1] + "\n" + shorten(have) + "```"
		}
		if !matches(parts[2], have) {
			t.Errorf("$ %s (-README +got):\n%s", parts[1], cmp.Diff(parts[2], have))
		}
		return match
	})
	if blocks < 3 {
		t.Errorf("the README has %d console blocks, want at least 3", blocks)
	}
	if updated != string(text) {
		if err := os.WriteFile(file, []byte(updated), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// runPlumb runs a command line in this process, as if in dir.
func runPlumb(t *testing.T, dir string, args []string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	outside := func() (*env, error) {
		return &env{ctx: context.Background(), stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr, getenv: func(string) string { return "" }, dir: dir}, nil
	}
	t.Chdir(dir)
	if code := run(outside, args); code != exitOK && code != exitFindings {
		t.Errorf("plumb %s ended with %d: %s", strings.Join(args, " "), code, stderr.String())
	}
	return stdout.String()
}

// shown is how many lines of a long output the README shows.
const shown = 12

func shorten(output string) string {
	lines := strings.SplitAfter(output, "\n")
	if len(lines) <= shown+1 {
		return output
	}
	return strings.Join(lines[:shown], "") + "…\n"
}

// matches compares with an output that may be cut short by "…".
func matches(want, have string) bool {
	head, cut := strings.CutSuffix(want, "…\n")
	if cut {
		return strings.HasPrefix(have, head)
	}
	return want == have
}
