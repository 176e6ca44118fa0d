// SPDX-License-Identifier: Apache-2.0

package datapath_test

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"plumbline.dev/plumbline/compiler/datapath"
	"plumbline.dev/plumbline/runtime/source"
	"plumbline.dev/plumbline/schema/state"
)

// Each archive is one piece of Kubernetes' service semantics: input.yaml, what
// settings.json and node.json change of the defaults, and per release what
// Compile says and gives, without map parameters and attachments. Releases are
// the names below out/; PLUMB_UPDATE=1 rewrites their contents.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for i, f := range archive.Files {
				version, ok := strings.CutPrefix(f.Name, "out/")
				if !ok {
					continue
				}
				got := compileArchive(t, archive, version)
				if os.Getenv("PLUMB_UPDATE") == "1" {
					archive.Files[i].Data = []byte(got)
				} else if diff := cmp.Diff(string(f.Data), got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", version, diff)
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

func compileArchive(t *testing.T, archive *txtar.Archive, version string) string {
	t.Helper()
	settings := settingsOf(version)
	node := state.Node{Name: "testnode", Addresses: []netip.Addr{netip.MustParseAddr("192.168.1.10"), netip.MustParseAddr("fd00:192::10")}}
	dir := t.TempDir()
	for _, f := range archive.Files {
		var err error
		switch f.Name {
		case "input.yaml":
			err = os.WriteFile(filepath.Join(dir, f.Name), f.Data, 0o644)
		case "settings.json":
			err = json.Unmarshal(f.Data, settings)
		case "node.json":
			err = json.Unmarshal(f.Data, &node)
		}
		if err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
	}
	snapshot, notices, err := source.Files([]string{dir}, node)
	if err != nil {
		t.Fatal(err)
	}
	s, more := datapath.Compile(settings, snapshot)
	s.Attachments, s.Maps = nil, nil
	var b strings.Builder
	for _, n := range slices.Concat(notices, more) {
		b.WriteString("# " + n.Severity.String() + " " + n.Code + " " + strings.ReplaceAll(n.String(), dir+string(filepath.Separator), "") + "\n")
	}
	return b.String() + s.String()
}
