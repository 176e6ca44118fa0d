// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"cmp"
	"slices"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/schema/state"
)

// The flags of map creation (linux/bpf.h).
const (
	noPrealloc  = 0x01 // BPF_F_NO_PREALLOC
	noCommonLRU = 0x02 // BPF_F_NO_COMMON_LRU
	readOnly    = 0x80 // BPF_F_RDONLY_PROG, from Cilium 1.20 on
)

// skipEntries is the fixed size of the maps of local redirect policies.
const skipEntries = 100

// Maps lists the load-balancer maps that exist with the settings, sorted by
// name, as Cilium creates them: sizes in bytes and entries, flags as the kernel
// reports them. MaxEntries is 0 where the agent sizes the map from the node's
// memory (Cilium 1.17 pkg/maps/lbmap, 1.18 and later pkg/loadbalancer/maps).
func Maps(s *state.Settings) []state.Map {
	var list []state.Map
	for _, d := range layout.Maps() {
		if d.Family == layout.V4 && !s.IPv4 || d.Family == layout.V6 && !s.IPv6 || !created(d.ID, s) {
			continue
		}
		list = append(list, state.Map{
			Name: d.Name, Type: d.Type, KeySize: uint32(d.KeySize), ValueSize: uint32(d.ValueSize),
			MaxEntries: entries(d.ID, &s.Maps), Flags: creationFlags(d, s),
		})
	}
	slices.SortFunc(list, func(a, b state.Map) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// created tells whether the agent creates the map: 1.17 only those that a
// feature needs, later releases all of them.
func created(id layout.MapID, s *state.Settings) bool {
	if s.Layout != state.Cilium117 {
		return true
	}
	switch id {
	case layout.AffinityMatch, layout.Affinity4, layout.Affinity6:
		return s.LoadBalancer.SessionAffinity
	case layout.SourceRange4, layout.SourceRange6:
		return s.LoadBalancer.SourceRangeCheck
	case layout.Maglev4, layout.Maglev6:
		return s.LoadBalancer.Algorithm == state.Maglev || s.LoadBalancer.AlgorithmAnnotation
	case layout.SocketReverse4, layout.SocketReverse6:
		return socketLB(s) || s.Mode == state.Own
	}
	return true
}

func entries(id layout.MapID, m *state.MapSettings) uint32 {
	switch id {
	case layout.Services4, layout.Services6:
		return m.Services
	case layout.Backends4, layout.Backends6:
		return m.Backends
	case layout.ReverseNAT4, layout.ReverseNAT6:
		return m.ReverseNAT
	case layout.AffinityMatch, layout.Affinity4, layout.Affinity6:
		return m.Affinity
	case layout.SourceRange4, layout.SourceRange6:
		return m.SourceRanges
	case layout.Maglev4, layout.Maglev6:
		return m.Maglev
	case layout.SocketReverse4, layout.SocketReverse6:
		return m.SocketReverse
	}
	return skipEntries
}

func creationFlags(d layout.Desc, s *state.Settings) uint32 {
	var f uint32
	switch d.Type {
	case "lru-hash":
		if s.Maps.DistributedLRU {
			f |= noCommonLRU
		}
	case "lpm-trie":
		f |= noPrealloc // a trie can't be preallocated
	default:
		if !s.Maps.Preallocate {
			f |= noPrealloc
		}
	}
	if s.Layout >= state.Cilium120 && readOnlyForPrograms(d.ID) {
		f |= readOnly
	}
	return f
}

// readOnlyForPrograms tells which maps 1.20 closes to programs' writes.
func readOnlyForPrograms(id layout.MapID) bool {
	switch id {
	case layout.Services4, layout.Services6, layout.AffinityMatch, layout.SourceRange4, layout.SourceRange6,
		layout.Maglev4, layout.Maglev6, layout.SkipLB4, layout.SkipLB6:
		return true
	}
	return false
}
