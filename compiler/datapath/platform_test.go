// SPDX-License-Identifier: Apache-2.0

package datapath_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"plumbline.dev/plumbline/compiler/datapath"
	"plumbline.dev/plumbline/runtime/source"
	"plumbline.dev/plumbline/schema/state"
)

// The whole State of a worker of the platform cluster, map parameters and
// attachments included. PLUMB_UPDATE=1 rewrites it.
func TestPlatform(t *testing.T) {
	dir := filepath.Join("..", "..", "fixtures", "clusters", "platform")
	snapshot, notices, err := source.Files([]string{dir}, state.Node{Name: "dev-worker"})
	if err != nil {
		t.Fatal(err)
	}
	settings := settingsOf("1.17.2")
	settings.Maps = state.MapSettings{Services: 65536, Backends: 65536, ReverseNAT: 65536, Affinity: 65536, SourceRanges: 65536, Maglev: 65536}
	s, more := datapath.Compile(settings, snapshot)
	checkState(t, s)
	var b strings.Builder
	for _, n := range append(notices, more...) {
		b.WriteString("# " + n.Severity.String() + " " + n.Code + " " + strings.ReplaceAll(n.String(), dir+string(filepath.Separator), "") + "\n")
	}
	got := b.String() + s.String()
	golden := filepath.Join("testdata", "platform-1.17.txt")
	if os.Getenv("PLUMB_UPDATE") == "1" {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
