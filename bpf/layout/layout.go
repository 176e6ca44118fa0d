// SPDX-License-Identifier: Apache-2.0

// Package layout turns the bytes of Cilium's load-balancer maps into entries
// and back, for each known layout. It is pure: it opens no map, and what a
// program or an agent believes of the bytes is not its affair.
//
// Byte order, from Cilium 1.17 to 1.20 (bpf/lib/common.h, pkg/maps/lbmap and
// pkg/loadbalancer/maps): addresses, ports and reverse-NAT ids are in network
// byte order everywhere; backend ids, counts, slots and the word of a master
// are in the host's, which is little endian on every machine the programs are
// built for.
package layout

import (
	"fmt"

	"plumbline.dev/plumbline/schema/state"
)

// MapID names a map by what it is for; its pin's name is Desc.Name.
type MapID uint8

// The maps of the load balancer. The first group is content: it follows from
// the API's objects and is compared. The second is the datapath's own memory.
const (
	Services4 MapID = iota
	Services6
	Backends4
	Backends6
	ReverseNAT4
	ReverseNAT6
	AffinityMatch
	SourceRange4
	SourceRange6
	Maglev4
	Maglev6
	contentEnd

	Affinity4 = iota - 1 // contentEnd takes no number of its own
	Affinity6
	SocketReverse4
	SocketReverse6
	SkipLB4
	SkipLB6
	mapEnd
)

// Family is the IP family that a map serves.
type Family uint8

// The families; Both is a map that serves the two.
const (
	Both Family = 0
	V4   Family = 4
	V6   Family = 6
)

// Desc describes a map as every known layout has it: no Cilium minor from 1.17
// to 1.20 differs in names, types or sizes of these, only in flags and in what
// is written into them.
type Desc struct {
	ID        MapID
	Name      string // of the pin; the kernel cuts map names at 15 bytes, so pins identify maps
	Type      string // as state.Map has it
	KeySize   int    // bytes
	ValueSize int    // bytes; of a Maglev map the outer value, an inner map's id
	Family    Family
}

var descs = [mapEnd]Desc{
	{Services4, "cilium_lb4_services_v2", "hash", 12, 12, V4},
	{Services6, "cilium_lb6_services_v2", "hash", 24, 12, V6},
	{Backends4, "cilium_lb4_backends_v3", "hash", 4, 12, V4},
	{Backends6, "cilium_lb6_backends_v3", "hash", 4, 24, V6},
	{ReverseNAT4, "cilium_lb4_reverse_nat", "hash", 2, 6, V4},
	{ReverseNAT6, "cilium_lb6_reverse_nat", "hash", 2, 18, V6},
	{AffinityMatch, "cilium_lb_affinity_match", "hash", 8, 1, Both},
	{SourceRange4, "cilium_lb4_source_range", "lpm-trie", 12, 1, V4},
	{SourceRange6, "cilium_lb6_source_range", "lpm-trie", 24, 1, V6},
	{Maglev4, "cilium_lb4_maglev", "hash-of-maps", 2, 4, V4},
	{Maglev6, "cilium_lb6_maglev", "hash-of-maps", 2, 4, V6},
	{Affinity4, "cilium_lb4_affinity", "lru-hash", 16, 16, V4},
	{Affinity6, "cilium_lb6_affinity", "lru-hash", 24, 16, V6},
	{SocketReverse4, "cilium_lb4_reverse_sk", "lru-hash", 16, 8, V4},
	{SocketReverse6, "cilium_lb6_reverse_sk", "lru-hash", 32, 20, V6},
	{SkipLB4, "cilium_skip_lb4", "hash", 16, 1, V4},
	{SkipLB6, "cilium_skip_lb6", "hash", 32, 1, V6},
}

// Maps lists every map of the load balancer in the order of their ids.
func Maps() []Desc { return descs[:] }

// Content lists the maps whose entries follow from the API's objects.
func Content() []Desc { return descs[:contentEnd] }

// Desc describes the map.
func (id MapID) Desc() Desc {
	if id >= mapEnd {
		return Desc{ID: id, Name: fmt.Sprintf("map(%d)", uint8(id))}
	}
	return descs[id]
}

// String gives the pin's name.
func (id MapID) String() string { return id.Desc().Name }

// ByName finds a map by the name of its pin.
func ByName(name string) (Desc, bool) {
	for _, d := range descs {
		if d.Name == name {
			return d, true
		}
	}
	return Desc{}, false
}

// Known tells whether the layout is one whose bytes this package knows (I7).
func Known(l state.Layout) bool { return l >= state.Cilium117 && l <= state.Cilium120 }

// Content tells whether the map's entries follow from the API's objects.
func (d Desc) Content() bool { return d.ID < contentEnd }
