// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/schema/state"
)

// A plan script of fixtures/plan has these files:
//
//	have        State text: what was written into the maps, under ids 1, 2, … in its order
//	tamper      lines "put MAP KEY VALUE" or "delete MAP KEY" in hex, applied to that; may be absent
//	want        State text
//	out/drifts  what Diff reports
//	out/plan    its steps
//	out/after   what the maps decode to when the plan has been applied
//	out/repair  the steps of a repair, all drifts confirmed and nothing remembered
//	out/left    what the repair leaves, and why
//
// PLUMB_UPDATE=1 rewrites the out files.
func TestPlanScripts(t *testing.T) {
	files, err := filepath.Glob("../../fixtures/plan/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no plan scripts: %v", err)
	}
	covered := map[Kind]bool{}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { runScript(t, file, covered) })
	}
	// map-full and the like need no entries: they have tests of their own.
	for _, kind := range Kinds() {
		if !covered[kind] && !slices.Contains([]Kind{MapMissing, MapParameters, MapFull, MaglevDrift}, kind) {
			t.Errorf("no plan script shows a drift of kind %s", kind)
		}
	}
}

func runScript(t *testing.T, file string, covered map[Kind]bool) {
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	have, want := parseState(t, archive, "have"), parseState(t, archive, "want")
	w := newWorld(mustEncode(t, have, sequentialLedger(have)))
	tamper(t, w, section(archive, "tamper"))
	result := mustDiff(t, &Have{Layout: have.Layout, Tables: w.tables(), Attachments: have.Attachments}, want, nil)
	for _, d := range result.Drifts {
		covered[d.Kind] = true
	}
	repair, err := Mend(&Have{Layout: have.Layout, Tables: w.tables(), Attachments: have.Attachments}, want, nil, result.Drifts)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range result.Plan {
		w.apply(s)
	}
	dec, err := layout.Decode(have.Layout, w.tables())
	if err != nil {
		t.Fatal(err)
	}
	golden(t, file, archive, map[string]string{"out/drifts": driftText(result.Drifts), "out/plan": result.Plan.String(), "out/after": dec.State.String(),
		"out/repair": repair.Plan.String(), "out/left": leftText(repair.Left)})
}

func leftText(list []Unmended) string {
	var b strings.Builder
	for _, u := range list {
		fmt.Fprintf(&b, "%s\n  backend=%q want=%q have=%q\n  why: %s\n", u.Drift, u.Backend, u.Want, u.Have, u.Why)
	}
	return b.String()
}

func driftText(list []Drift) string {
	var b strings.Builder
	for _, d := range list {
		fmt.Fprintf(&b, "%s\n  backend=%q want=%q have=%q\n", d, d.Backend, d.Want, d.Have)
	}
	return b.String()
}

func section(a *txtar.Archive, name string) string {
	for _, f := range a.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}

func parseState(t *testing.T, a *txtar.Archive, name string) *state.State {
	t.Helper()
	st, err := state.Parse(section(a, name))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return st
}

func sequentialLedger(st *state.State) *layout.Ledger {
	l := layout.NewLedger()
	for _, b := range st.Backends {
		l.Backends.Set(b.Endpoint, uint32(l.Backends.Len()+1))
	}
	for _, f := range st.Frontends {
		if !f.Wildcard() {
			l.Frontends[f.FrontendName] = uint16(len(l.Frontends) + 1)
		}
	}
	return l
}

func tamper(t *testing.T, w world, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(line, "#") {
			continue
		}
		d, ok := layout.ByName(fields[1])
		if !ok {
			t.Fatalf("tamper: no map %q", fields[1])
		}
		key := unhex(t, fields[2], d.KeySize)
		switch fields[0] {
		case "put":
			w[d.ID][key] = unhex(t, fields[3], d.ValueSize)
		case "delete":
			if _, there := w[d.ID][key]; !there {
				t.Fatalf("tamper: %s has no key %s", d.Name, fields[2])
			}
			delete(w[d.ID], key)
		default:
			t.Fatalf("tamper: unknown verb %q", fields[0])
		}
	}
}

func unhex(t *testing.T, text string, size int) string {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != size {
		t.Fatalf("%q: want %d bytes in hex (%v)", text, size, err)
	}
	return string(b)
}

// golden compares with the archive's out files, or writes them.
func golden(t *testing.T, file string, a *txtar.Archive, out map[string]string) {
	t.Helper()
	if os.Getenv("PLUMB_UPDATE") == "1" {
		a.Files = slices.DeleteFunc(a.Files, func(f txtar.File) bool { return strings.HasPrefix(f.Name, "out/") })
		for _, name := range []string{"out/drifts", "out/plan", "out/after", "out/repair", "out/left"} {
			a.Files = append(a.Files, txtar.File{Name: name, Data: []byte(out[name])})
		}
		if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	for name, have := range out {
		if diff := cmp.Diff(section(a, name), have); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
