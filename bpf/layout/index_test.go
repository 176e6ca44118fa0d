// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"math/rand/v2"
	"testing"
)

// Holds is what Equal is of sorted tables, but for entries that were read twice.
func TestIndexHoldsWhatEquals(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 9))
	held := 0
	for round := range 400 {
		want, have := NewTable(2, 1, 0), NewTable(2, 1, 0)
		n := r.IntN(40)
		for _, i := range r.Perm(n) {
			want.Append([]byte{byte(i), 7}, []byte{byte(i)})
		}
		for _, i := range r.Perm(n) {
			value := byte(i)
			if r.IntN(60) == 0 {
				value++
			}
			if r.IntN(60) != 0 {
				have.Append([]byte{byte(i), 7}, []byte{value})
			}
		}
		if r.IntN(10) == 0 {
			have.Append([]byte{200, 7}, []byte{1})
		}
		ix := NewIndex(want)
		got := ix.Holds(have)
		if again := ix.Holds(have); again != got {
			t.Fatalf("round %d: Holds is %v, then %v", round, got, again)
		}
		if equal := have.Equal(want); equal != got {
			t.Fatalf("round %d: Holds is %v, Equal %v", round, got, equal)
		}
		if got {
			held++
		}
	}
	if held == 0 || held == 400 {
		t.Errorf("%d of 400 tables held: the test looks at one side only", held)
	}
}

func TestIndexRefusesRepeatedEntries(t *testing.T) {
	want, have := NewTable(1, 1, 0), NewTable(1, 1, 0)
	for i := range byte(2) {
		want.Append([]byte{i}, []byte{i})
		have.Append([]byte{0}, []byte{0})
	}
	if NewIndex(want).Holds(have) {
		t.Error("one entry twice is taken for two")
	}
}

func TestIndexOfNothing(t *testing.T) {
	ix := NewIndex(NewTable(2, 1, 0))
	if !ix.Holds(nil) || !ix.Holds(NewTable(2, 1, 0)) {
		t.Error("nothing does not hold nothing")
	}
}

// Keys of every size are found where they are, and nothing else is: neither a
// key of another size that begins alike, nor one that is not there.
func TestIndexFindsKeysOfEverySize(t *testing.T) {
	for size := 2; size <= 24; size++ {
		table := NewTable(size, 0, 0)
		for i := range 1000 {
			key := make([]byte, size)
			key[0], key[size-1] = byte(i), byte(i>>8)
			table.Append(key, nil)
		}
		ix := NewIndex(table)
		for i := range 1000 {
			key, _ := table.Row(i)
			if got := ix.Find(key); got != i {
				t.Fatalf("size %d: Find(%x) is %d, want %d", size, key, got, i)
			}
			if got := ix.Find(append(key[:size:size], 0)); got != -1 {
				t.Fatalf("size %d: a longer key is found at %d", size, got)
			}
		}
		absent := make([]byte, size)
		absent[0], absent[size-1] = 1, 200
		if got := ix.Find(absent); got != -1 {
			t.Fatalf("size %d: an absent key is found at %d", size, got)
		}
	}
}
