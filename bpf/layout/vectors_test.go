// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"bufio"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"plumbline.dev/plumbline/schema/state"
)

// vectors are what four Cilium minors wrote for the objects of
// fixtures/vectors/basic.yaml.
var vectors = map[state.Layout]string{
	state.Cilium117: "../../fixtures/vectors/cilium-1.17-basic.txt",
	state.Cilium118: "../../fixtures/vectors/cilium-1.18-basic.txt",
	state.Cilium119: "../../fixtures/vectors/cilium-1.19-basic.txt",
	state.Cilium120: "../../fixtures/vectors/cilium-1.20-basic.txt",
}

// readVector reads a vector's content maps: a line "## name …" opens a map, and
// each line behind it is a key and a value in hex.
func readVector(t *testing.T, file string) Tables {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tables, entries := Tables{}, 0
	var desc Desc
	var known bool
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if name, ok := strings.CutPrefix(lines.Text(), "## "); ok {
			name, _, _ = strings.Cut(name, " ")
			if desc, known = ByName(name); known && desc.Content() {
				tables[desc.ID] = NewTable(desc.KeySize, desc.ValueSize, 0)
			}
			continue
		}
		fields := strings.Fields(lines.Text())
		if !known || !desc.Content() || len(fields) != 2 {
			continue
		}
		tables[desc.ID].Append(unhex(t, fields[0]), unhex(t, fields[1]))
		entries++
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if entries < 50 {
		t.Fatalf("%s: %d entries read, want at least 50", file, entries)
	}
	for _, table := range tables {
		table.Sort()
	}
	return tables
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What Cilium wrote decodes without remainder, and encodes to the same bytes.
func TestVectorsRoundTrip(t *testing.T) {
	for l, file := range vectors {
		t.Run(l.String(), func(t *testing.T) {
			held := readVector(t, file)
			dec, err := Decode(l, held)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range dec.Stray {
				t.Errorf("stray entry: %s: %s", s.Map, s.Why)
			}
			encoded, err := Encode(dec.State, dec.Ledger)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range Content() {
				for e := range Edits(held[d.ID], encoded[d.ID]) {
					t.Errorf("%s: key %x: have %x, want %x", d.Name, e.Key, e.Old, e.New)
				}
			}
		})
	}
}
