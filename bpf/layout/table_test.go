// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A table behaves as a map that is written in the same order.
func TestTableIsAMap(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for round := range 50 {
		table, model := NewTable(2, 3, 0), map[string]string{}
		for range r.IntN(60) {
			key, value := []byte{byte(r.IntN(5)), byte(r.IntN(5))}, []byte{byte(r.IntN(9)), 0, byte(r.IntN(9))}
			table.Append(key, value)
			model[string(key)] = string(value)
		}
		table.Sort()
		read := map[string]string{}
		var last string
		for key, value := range table.All() {
			if string(key) <= last && len(read) > 0 {
				t.Fatalf("round %d: key %x after %x", round, key, last)
			}
			last = string(key)
			read[string(key)] = string(value)
		}
		if diff := cmp.Diff(model, read); diff != "" {
			t.Fatalf("round %d (-want +got):\n%s", round, diff)
		}
		for key, want := range model {
			if have, ok := table.Find([]byte(key)); !ok || string(have) != want {
				t.Fatalf("round %d: Find(%x) = %x, %v; want %x", round, key, have, ok, want)
			}
		}
		if _, ok := table.Find([]byte{9, 9}); ok {
			t.Fatalf("round %d: an absent key is found", round)
		}
	}
}

// Edits turn one table into the other, and there are none between equal ones.
func TestEdits(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	draw := func() (*Table, map[string]string) {
		table, model := NewTable(1, 1, 0), map[string]string{}
		for range r.IntN(12) {
			k, v := byte(r.IntN(12)), byte(r.IntN(3))
			table.Append([]byte{k}, []byte{v})
			model[string(k)] = string(v)
		}
		table.Sort()
		return table, model
	}
	for round := range 100 {
		have, model := draw()
		want, target := draw()
		for e := range Edits(have, want) {
			if old, ok := model[string(e.Key)]; ok != (e.Old != nil) || ok && old != string(e.Old) {
				t.Fatalf("round %d: edit of %x says it was %x, it was %x", round, e.Key, e.Old, old)
			}
			if e.New == nil {
				delete(model, string(e.Key))
			} else {
				model[string(e.Key)] = string(e.New)
			}
		}
		if diff := cmp.Diff(target, model); diff != "" {
			t.Fatalf("round %d (-want +got):\n%s", round, diff)
		}
		for e := range Edits(want, want.Clone()) {
			t.Fatalf("round %d: edit between equal tables: %v", round, e)
		}
		if have.Equal(want) != (fmt.Sprint(have.data) == fmt.Sprint(want.data)) {
			t.Fatalf("round %d: Equal is wrong of %v and %v", round, have.data, want.data)
		}
	}
}

func TestNilTableIsEmpty(t *testing.T) {
	var none *Table
	if none.Len() != 0 || !none.Equal(NewTable(1, 1, 0)) {
		t.Error("a nil table is not an empty one")
	}
	full := NewTable(1, 1, 1)
	full.Append([]byte{1}, []byte{2})
	n := 0
	for e := range Edits(none, full) {
		n++
		if e.Old != nil || e.New[0] != 2 {
			t.Errorf("edit %v", e)
		}
	}
	if n != 1 {
		t.Errorf("%d edits, want 1", n)
	}
}

// With changes what it is told to and leaves the rest, and the table itself, as
// it is; Share is the same entries, seen without a look at them.
func TestWithAndShare(t *testing.T) {
	table := NewTable(1, 1, 0)
	table.AppendAll([]byte{5, 3, 9, 1, 0}, []byte{50, 30, 90, 10, 0}, 4)
	shared := table.Share()
	changed := table.With(map[string][]byte{"\x03": nil, "\x09": {91}, "\x07": {70}, "\x08": nil})
	rows := func(t *Table) string {
		var text string
		for i := range t.Rows() {
			key, value := t.Row(i)
			text += fmt.Sprintf("%d=%d ", key[0], value[0])
		}
		return text
	}
	if got, want := rows(changed), "5=50 9=91 1=10 7=70 "; got != want {
		t.Errorf("with other values: %s, want %s", got, want)
	}
	if !shared.Shares(table) || !table.Shares(shared) || changed.Shares(table) {
		t.Error("Shares is wrong")
	}
	table.Sort()
	if got, want := rows(shared), "5=50 3=30 9=90 1=10 "; got != want {
		t.Errorf("the shared table is %s after the other was sorted, want %s", got, want)
	}
	shared.Append([]byte{2}, []byte{20})
	if table.Shares(shared) || table.Len() != 4 {
		t.Error("an entry of one table has come into the other")
	}
	shared.Clip()
	if got, want := rows(shared), "5=50 3=30 9=90 1=10 2=20 "; got != want {
		t.Errorf("clipped: %s, want %s", got, want)
	}
}

// Of an entry that was read twice With leaves one.
func TestWithDropsRepeatedEntries(t *testing.T) {
	table := NewTable(1, 1, 0)
	table.AppendAll([]byte{1, 2, 1}, []byte{1, 2, 3}, 3)
	if got := table.With(map[string][]byte{"\x01": {4}}); got.Rows() != 2 {
		t.Errorf("%d rows, want 2", got.Rows())
	}
}
