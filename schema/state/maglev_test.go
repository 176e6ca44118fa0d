// SPDX-License-Identifier: Apache-2.0

package state

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Two tables condense alike exactly where they hold the same backends at the
// same positions, whatever their indices are.
func TestCondenseMaglev(t *testing.T) {
	a, b := endpoint("10.0.0.1:80/TCP"), endpoint("[fd00::1]:80/TCP")
	name := FrontendName{Endpoint: endpoint("10.96.0.1:80/TCP"), Scope: Internal}
	sum := sha256.Sum256([]byte("10.0.0.1:80/TCP\n[fd00::1]:80/TCP\n10.0.0.1:80/TCP\n?:0/ANY\n"))
	want := MaglevTable{
		Frontend: name, TableSize: 4, Digest: hex.EncodeToString(sum[:]),
		Slots: map[string]int{"10.0.0.1:80/TCP": 2, "[fd00::1]:80/TCP": 1, "?:0/ANY": 1},
	}
	for _, got := range []MaglevTable{
		CondenseMaglev(name, []Endpoint{a, b}, []uint32{0, 1, 0, 7}),
		CondenseMaglev(name, []Endpoint{b, a}, []uint32{1, 0, 1, 2}),
	} {
		if diff := cmp.Diff(want, got, compareValues); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	if other := CondenseMaglev(name, []Endpoint{a, b}, []uint32{1, 0, 0, 7}); other.Digest == want.Digest {
		t.Error("another order has the same digest")
	}
}
