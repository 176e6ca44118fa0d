// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"plumbline.dev/plumbline/schema/state"
)

// The lookup that docs/ARCHITECTURE.md walks through byte by byte is one that
// Cilium 1.17 wrote.
func TestArchitectureLookupIsReal(t *testing.T) {
	doc, err := os.ReadFile("../../docs/ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	held := readVector(t, vectors[state.Cilium117])
	pairs := regexp.MustCompile(`(?m)^ key    ([0-9a-f ]{8,32}?)(?:  .*)?\n value  ([0-9a-f ]{8,32}?)(?:  .*)?$`).FindAllStringSubmatch(string(doc), -1)
	if len(pairs) != 3 {
		t.Fatalf("the lookup has %d entries, want 3: master, slot, backend", len(pairs))
	}
	for i, id := range []MapID{Services4, Services4, Backends4} {
		key, value := unhex(t, strings.ReplaceAll(pairs[i][1], " ", "")), unhex(t, strings.ReplaceAll(pairs[i][2], " ", ""))
		have, ok := held[id].Find(key)
		if !ok || string(have) != string(value) {
			t.Errorf("%s %x: the vector has %x, the document %x", id, key, have, value)
		}
	}
}
