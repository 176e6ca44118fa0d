// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"plumbline.dev/plumbline/schema/state"
)

const defaultSeed = "JLfvgnHc2kaSUFaI"

func maglevBackends(n int) []state.Endpoint {
	list := make([]state.Endpoint, n)
	for i := range list {
		list[i] = state.Endpoint{Address: netip.AddrFrom4([4]byte{10, 244, byte(i >> 8), byte(i)}), Port: 8080, Protocol: state.TCP}
	}
	return list
}

// The table that Cilium 1.20's own test expects of four backends with weights
// 2, 13, 111 and 10, one digit a position: it settles the hash, its seed, the
// backend's name, offset and skip.
func TestMaglevHash(t *testing.T) {
	want := "2222232221220232321222222212222222222222232112222222222223222122" +
		"2232222222232212222222222222222112223222222222221122223222122223" +
		"2012222222212222222122223232222222221122222122222223231222222221" +
		"22220212222232221222232221222222222222032223222232212222222"
	seed, err := MaglevSeed(defaultSeed)
	if err != nil {
		t.Fatal(err)
	}
	var backends []state.Endpoint
	for _, n := range []byte{1, 3, 4, 5} {
		backends = append(backends, state.Endpoint{Address: netip.AddrFrom4([4]byte{0, 0, 0, n}), Port: uint16(n), Protocol: state.TCP})
	}
	var got strings.Builder
	for _, i := range MaglevTable(backends, []uint16{2, 13, 111, 10}, 251, seed) {
		got.WriteString(strconv.Itoa(int(i)))
	}
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("(-Cilium +ours):\n%s", diff)
	}
}

// Equal weights make no difference, nor do those that are 1 on the average.
func TestWeightsThatMakeNoDifference(t *testing.T) {
	seed, _ := MaglevSeed(defaultSeed)
	backends := maglevBackends(3)
	plain := MaglevTable(backends, nil, 1021, seed)
	for _, weights := range [][]uint16{{100, 100, 100}, {7, 7, 7}, {1, 1, 3}} {
		if diff := cmp.Diff(plain, MaglevTable(backends, weights, 1021, seed)); diff != "" {
			t.Errorf("%v (-plain +weighted):\n%s", weights, diff)
		}
	}
	if cmp.Equal(plain, MaglevTable(backends, []uint16{1, 2, 3}, 1021, seed)) {
		t.Error("weights 1, 2 and 3 make no difference")
	}
}

func TestMaglevTable(t *testing.T) {
	backends := maglevBackends(5)
	table := MaglevTable(backends, nil, 1021, 42)
	counts := make([]int, len(backends))
	for _, i := range table {
		counts[i]++
	}
	if slices.Max(counts)-slices.Min(counts) > 1 {
		t.Errorf("backends have %v positions of 1021", counts)
	}
	shuffled := slices.Clone(backends)
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	other := MaglevTable(shuffled, nil, 1021, 42)
	for at, i := range table {
		if shuffled[other[at]] != backends[i] {
			t.Fatalf("position %d is %s, and %s with the backends in another order", at, backends[i], shuffled[other[at]])
		}
	}
	for _, size := range TableSizes {
		if got := MaglevTable(backends[:1], nil, size, 42); slices.Max(got) != 0 || len(got) != int(size) {
			t.Errorf("table of %d for one backend has %d positions up to %d", size, len(got), slices.Max(got))
		}
	}
}

func TestMaglevTableOfIPv6(t *testing.T) {
	e := state.Endpoint{Address: netip.MustParseAddr("fd00::1"), Port: 80, Protocol: state.UDP}
	if got, want := string(newWalk(e, 0, 251, 1).name), "[[fd00::1]:80/UDP,State:active]"; got != want {
		t.Errorf("hashed name is %q, want %q", got, want)
	}
}

func TestMaglevSeed(t *testing.T) {
	if seed, err := MaglevSeed(defaultSeed); err != nil || seed != 0x24b7ef82 {
		t.Errorf("got %#x, %v", seed, err)
	}
	for _, text := range []string{"", "!!", "JLfvgnHc2kaSUFa", "JLfvgnHc2kaSUFaIAAAA"} {
		if _, err := MaglevSeed(text); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
}
