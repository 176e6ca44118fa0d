// SPDX-License-Identifier: Apache-2.0

package datapath_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"plumbline.dev/plumbline/compiler/datapath"
	"plumbline.dev/plumbline/schema/state"
)

// Each archive says devices.json and node.json, and what is compiled for
// programs at devices. PLUMB_UPDATE=1 rewrites out. The incremental Compiler
// gives the same.
func TestDeviceGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/devices/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			settings, node := settingsOf("1.18.6"), state.Node{Name: "testnode"}
			for i, f := range archive.Files {
				var err error
				switch f.Name {
				case "devices.json":
					err = json.Unmarshal(f.Data, &settings.Devices)
				case "node.json":
					err = json.Unmarshal(f.Data, &node)
				case "out":
					archive.Files[i].Data = goldenFile(t, file, f.Data, devicesText(t, settings, node))
				}
				if err != nil {
					t.Fatalf("%s: %v", f.Name, err)
				}
			}
			if os.Getenv("PLUMB_UPDATE") == "1" {
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func goldenFile(t *testing.T, file string, want []byte, got string) []byte {
	t.Helper()
	if os.Getenv("PLUMB_UPDATE") == "1" {
		return []byte(got)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
	return want
}

func devicesText(t *testing.T, settings *state.Settings, node state.Node) string {
	t.Helper()
	s, notices := datapath.Compile(settings, &state.Snapshot{Node: node})
	incremental := datapath.New(settings)
	incremental.Apply(&state.Delta{Node: &node})
	if diff := cmp.Diff(s.Attachments, incremental.State().Attachments); diff != "" {
		t.Errorf("the Compiler gives other attachments (-want +got):\n%s", diff)
	}
	var b strings.Builder
	for _, n := range notices {
		if n.Field == "devices" {
			b.WriteString("# " + n.Severity.String() + " " + n.Code + " " + n.String() + "\n")
		}
	}
	for line := range strings.Lines((&state.State{Layout: s.Layout, Attachments: s.Attachments}).String()) {
		if strings.Contains(line, "target=dev:") {
			b.WriteString(line)
		}
	}
	return b.String()
}
