// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/twmb/murmur3"

	"plumbline.dev/plumbline/schema/state"
)

// maglevTable is a table that several frontends share.
type maglevTable struct{ condensed state.MaglevTable }

// TableSizes are the Maglev table sizes that Cilium knows: primes, so that
// every skip visits every position.
var TableSizes = []uint32{251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521, 131071}

// MaglevSeed decodes the hash seed of the settings: 12 bytes in base64, of
// which the first four, big endian, seed the backends' hash (the others seed
// the datapath's hash of packets).
func MaglevSeed(text string) (uint32, error) {
	seed, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return 0, fmt.Errorf("hash seed %q: want base64: %v", text, err)
	}
	if len(seed) != 12 {
		return 0, fmt.Errorf("hash seed %q: %d bytes, want 12", text, len(seed))
	}
	return binary.BigEndian.Uint32(seed), nil
}

// MaglevTable gives the lookup table over the backends: for each of the size
// positions an index into backends. It is Cilium's table bit by bit (pkg/maglev
// of 1.20.2) and does not depend on the order of the backends; without any there
// is no table. The size must be one of TableSizes. weights are the backends', of
// 1 and more; nil is that all weigh the same.
func MaglevTable(backends []state.Endpoint, weights []uint16, size uint32, seed uint32) []uint32 {
	if len(backends) == 0 || !slices.Contains(TableSizes, size) {
		return nil
	}
	walks := make([]walk, len(backends))
	for i, b := range backends {
		walks[i] = newWalk(b, i, size, seed)
	}
	slices.SortFunc(walks, func(a, b walk) int { return bytes.Compare(a.name, b.name) })
	turns := newTurns(walks, weights)
	table := make([]uint32, size)
	taken := make([]bool, size)
	for n := range size {
		w := &walks[turns.of(uint64(n))]
		for taken[w.at] {
			w.next(size)
		}
		table[w.at], taken[w.at] = uint32(w.index), true
		w.next(size)
	}
	return table
}

// turns is who takes a position next. One whose turn it is stands back while its
// share is used up.
type turns struct {
	weights []uint64 // in the order of the walks; nil where they make no difference
	used    []float64
	sum     uint64
	count   int
}

// newTurns leaves weights out that are all the same, or so small that Cilium takes
// them for unset: 1 on the average, rounded down.
func newTurns(walks []walk, weights []uint16) turns {
	t := turns{count: len(walks)}
	if len(slices.Compact(slices.Clone(weights))) < 2 {
		return t
	}
	list := make([]uint64, len(walks))
	for i, w := range walks {
		list[i] = uint64(weights[w.index])
		t.sum += list[i]
		t.used = append(t.used, float64(list[i])/float64(t.count))
	}
	if t.sum/uint64(t.count) > 1 {
		t.weights = list
	}
	return t
}

// of gives the walk that takes the n-th position.
func (t *turns) of(n uint64) int {
	i := int(n % uint64(t.count))
	if t.weights == nil {
		return i
	}
	for (n+1)*t.weights[i] < uint64(t.used[i]) {
		i = (i + 1) % t.count
	}
	t.used[i] += float64(t.sum)
	return i
}

// walk is a backend's own order of the table's positions.
type walk struct {
	name     []byte
	index    int
	at, skip uint32
}

// newWalk hashes the backend's name in the form that Cilium has frozen: the
// state is always called active.
func newWalk(b state.Endpoint, index int, size, seed uint32) walk {
	name := append(make([]byte, 0, 72), '[')
	name, _ = b.AppendText(name)
	name = append(name, ",State:active]"...)
	h1, h2 := murmur3.SeedSum128(uint64(seed), uint64(seed), name)
	m := uint64(size)
	return walk{name: name, index: index, at: uint32(h1 % m), skip: uint32(h2%(m-1)) + 1}
}

func (w *walk) next(size uint32) {
	if w.at += w.skip; w.at >= size {
		w.at -= size
	}
}

// maglev tells whether a frontend gets a table.
func (c *compiler) maglev(s *service, t state.FrontendType, a netip.Addr) bool {
	lb := &c.settings.LoadBalancer
	if !c.tabled || a.IsUnspecified() && !(c.rules.hostPortTables && t == state.HostPort) {
		return false
	}
	inside := t == state.ClusterIP && !lb.ExternalClusterIP && s.redirect == nil
	switch {
	case s.redirect != nil && !c.rules.redirects.replaces:
		return false // no table for a type of its own (1.18 and later)
	case c.rules.ownAlgorithm && lb.AlgorithmAnnotation:
		return s.algorithm == state.Maglev && !inside
	case !c.rules.ownAlgorithm && s.algorithm != state.Undef:
		return s.algorithm == state.Maglev
	}
	return lb.Algorithm == state.Maglev && !inside
}

// seeded tells whether the settings allow for tables at all.
func (c *compiler) seeded() bool {
	return slices.Contains(TableSizes, c.settings.LoadBalancer.MaglevTableSize)
}

// table writes a frontend's table; a frontend without backends has none.
func (c *compiler) table(name state.FrontendName, p *pick) {
	if len(p.active) == 0 {
		return
	}
	if p.maglev == nil {
		full := MaglevTable(p.active, p.weights, c.settings.LoadBalancer.MaglevTableSize, c.seed)
		p.maglev = &maglevTable{state.CondenseMaglev(name, p.active, full)}
	}
	t := p.maglev.condensed
	t.Frontend = name
	c.tables = append(c.tables, t)
}
