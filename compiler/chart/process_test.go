// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// command makes a process of a shell's lines.
func command(t *testing.T, lines string) Renderer {
	t.Helper()
	path := filepath.Join(t.TempDir(), Command)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+lines), 0o755); err != nil {
		t.Fatal(err)
	}
	return Renderer{Command: path}
}

func TestRenderer(t *testing.T) {
	var progress bytes.Buffer
	r := command(t, `grep -q '"protocol":1,.*"version":"1.17.2"' || exit 3
echo downloading >&2
echo '{"protocol": 1, "results": [{"objects": [{"kind": "X"}]}]}'
`)
	r.Progress = &progress
	p, err := r.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.Render([]Request{{Reference: Reference{Version: "1.17.2"}, Values: []byte("{}")}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Result{{Objects: []Object{{Kind: "X"}}}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if progress.String() != "downloading\n" {
		t.Errorf("progress %q", progress.String())
	}
}

func TestRendererFails(t *testing.T) {
	for lines, want := range map[string]string{
		"echo no memory >&2; exit 2":            "exit status 2: no memory",
		"echo x":                                "answer of plumb-render: invalid character",
		"":                                      "answer of plumb-render: unexpected end",
		`echo '{"protocol": 2, "results": []}'`: "speaks protocol 2, plumb 1: install both from one release",
		`echo '{"protocol": 1, "results": []}'`: "gave 0 results for 1 requests",
		`echo '{"protocol": 2, "error": "speak louder"}'`: "plumb-render: speak louder",
	} {
		p, err := command(t, "cat >/dev/null\n"+lines).Start(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = p.Render([]Request{{Values: []byte("{}")}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", lines, err, want)
		}
	}
}

func TestStop(t *testing.T) {
	p, err := command(t, "exec sleep 600").Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.Stop()
	if p.cmd.ProcessState == nil {
		t.Error("the process was not waited for")
	}
	if _, err := (Renderer{Command: "/nowhere"}).Start(t.Context()); err == nil {
		t.Error("a process that is not there was started")
	}
}

func TestFind(t *testing.T) {
	r := command(t, "")
	t.Setenv("PATH", filepath.Dir(r.Command))
	got, err := Find()
	if err != nil || got.Command != r.Command {
		t.Errorf("found %q, %v, want %q", got.Command, err, r.Command)
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := Find(); err == nil || !strings.Contains(err.Error(), "rendering needs plumb-render beside plumb or in PATH") {
		t.Errorf("error %v", err)
	}
}
