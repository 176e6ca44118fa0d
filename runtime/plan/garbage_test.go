// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/runtime/internal/testvector"
	"plumbline.dev/plumbline/runtime/plan"
)

// garbage are keys that no lookup builds, each made of one that is there: with
// padding that is not empty, or a prefix that is none.
var garbage = map[layout.MapID]func(key []byte){
	layout.Services4:     func(k []byte) { k[len(k)-1] = 7 },
	layout.Services6:     func(k []byte) { k[len(k)-2] = 7 },
	layout.AffinityMatch: func(k []byte) { k[6] = 7 },
	layout.SourceRange4:  func(k []byte) { k[0] = 3 },
	layout.SourceRange6:  func(k []byte) { k[0] = 3 },
}

// An entry whose bytes no lookup builds hides nothing and stops nothing: it is
// said by itself, the rest is compared as if it were not there, and the plan ends
// it.
func TestGarbageIsSaidAndHidesNothing(t *testing.T) {
	for version, l := range testvector.Versions {
		for id, spoil := range garbage {
			t.Run(fmt.Sprintf("%s/%s", version, id), func(t *testing.T) {
				have := testvector.Tables(t, version)
				if have[id].Len() == 0 {
					t.Skip("the vector has no entry there")
				}
				key, value := first(have[id])
				spoil(key)
				have[id].Append(key, value)
				want := testvector.Want(t, version)
				if plan.InSync(&plan.Have{Layout: l, Tables: have}, want) {
					t.Error("it is said to be in sync")
				}
				result, err := plan.Diff(&plan.Have{Layout: l, Tables: have}, want, nil)
				if err != nil {
					t.Fatal(err)
				}
				if len(result.Drifts) != 1 || result.Drifts[0].Kind != plan.UnknownEntry {
					t.Errorf("have %v, want one drift of kind %s", result.Drifts, plan.UnknownEntry)
				}
				if len(result.Plan) != 1 || result.Plan[0].Op != plan.Delete || !bytes.Equal(result.Plan[0].Key, key) {
					t.Errorf("have plan %s, want the entry deleted", result.Plan)
				}
			})
		}
	}
}

func first(t *layout.Table) (key, value []byte) {
	for k, v := range t.All() {
		return bytes.Clone(k), bytes.Clone(v)
	}
	return nil, nil
}

// Whatever bytes are in the maps, Diff says the differences, never fails, and its
// plan ends them.
func TestDiffOfAnyBytes(t *testing.T) {
	for version, l := range testvector.Versions {
		want := testvector.Want(t, version)
		for seed := range uint64(60) {
			r := rand.New(rand.NewPCG(seed, 17))
			have := testvector.Tables(t, version)
			spray(r, have)
			result, err := plan.Diff(&plan.Have{Layout: l, Tables: have}, want, nil)
			if err != nil {
				t.Fatalf("%s, seed %d: %v", version, seed, err)
			}
			if len(result.Drifts) == 0 || len(result.Plan) == 0 {
				t.Errorf("%s, seed %d: %d drifts, a plan of %d steps", version, seed, len(result.Drifts), len(result.Plan))
			}
			again, err := plan.Diff(&plan.Have{Layout: l, Tables: result.Target.Tables()}, want, nil)
			if err != nil || len(again.Drifts) > 0 {
				t.Errorf("%s, seed %d: the target itself differs: %v %v", version, seed, err, again)
			}
		}
	}
}

// spray writes random bytes over some entries' keys and values, and adds others.
func spray(r *rand.Rand, tables layout.Tables) {
	for _, d := range layout.Content() {
		if d.ID == layout.Maglev4 || d.ID == layout.Maglev6 {
			continue
		}
		out := layout.NewTable(d.KeySize, d.ValueSize, 0)
		for k, v := range tables[d.ID].All() {
			out.Append(k, v)
			k, v = bytes.Clone(k), bytes.Clone(v)
			switch r.IntN(4) {
			case 0:
				k[r.IntN(len(k))] = byte(r.Uint32())
				out.Append(k, v)
			case 1:
				v[r.IntN(len(v))] = byte(r.Uint32())
				out.Append(k, v)
			}
		}
		for range r.IntN(4) {
			k, v := make([]byte, d.KeySize), make([]byte, d.ValueSize)
			for i := range k {
				k[i] = byte(r.Uint32())
			}
			for i := range v {
				v[i] = byte(r.Uint32())
			}
			out.Append(k, v)
		}
		tables[d.ID] = out
	}
}
