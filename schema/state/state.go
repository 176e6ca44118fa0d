// SPDX-License-Identifier: Apache-2.0

package state

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
)

// State is what the kernel should hold or does hold, without numeric ids: two
// States of one cluster compare field by field, whoever wrote them. Its lists
// are sorted (Sort) and hold no duplicates.
type State struct {
	Layout          Layout          `json:"layout"`
	Frontends       []Frontend      `json:"frontends"`
	Backends        []Backend       `json:"backends"`
	SourceRanges    []SourceRange   `json:"sourceRanges"`
	AffinityMatches []AffinityMatch `json:"affinityMatches"`
	Maglev          []MaglevTable   `json:"maglev"`
	Attachments     []Attachment    `json:"attachments"`
	Maps            []Map           `json:"maps"`
}

// Frontend is one service entry: a master and its slots.
type Frontend struct {
	FrontendName
	Type      FrontendType
	Flags     Flags
	Algorithm Algorithm
	// AffinityTimeoutSeconds is 0 without session affinity; 24 bits in the map.
	AffinityTimeoutSeconds uint32
	// L7ProxyPort is the proxy's port (host byte order) of a frontend with the
	// L7 flag; such a master has no algorithm and no affinity timeout.
	L7ProxyPort uint16
	// Service is "namespace/name" and PortName the port's name; both are empty
	// in a State that was read from a kernel.
	Service  string
	PortName string
	// Backends are the slots 1..count in slot order, Inactive those after them.
	Backends []Endpoint
	Inactive []Endpoint
	// IDs are the ids of a held State; nil in a wanted one.
	IDs *FrontendIDs
}

// FrontendIDs are the ids under which a kernel knows a frontend.
type FrontendIDs struct {
	ReverseNAT uint16            `json:"reverseNat"`
	Backends   map[string]uint32 `json:"backends"`
}

// Wildcard tells whether the entry answers for every port of its address that
// no other entry names (Cilium 1.19 and later). It has no slots and no id.
func (f *Frontend) Wildcard() bool { return f.Port == 0 && f.Protocol == Any }

// Backend is one row of the backends map.
type Backend struct {
	Endpoint
	State BackendState
	// Zone is the number that the agent's fixed zone mapping gives the
	// backend's zone; 0 is none.
	Zone uint8
}

// SourceRange is one CIDR of a frontend.
type SourceRange struct {
	Frontend FrontendName `json:"frontend"`
	CIDR     netip.Prefix `json:"cidr"`
}

// AffinityMatch says that clients may stick to Backend for Frontend.
type AffinityMatch struct {
	Frontend FrontendName `json:"frontend"`
	Backend  Endpoint     `json:"backend"`
}

// MaglevTable is a frontend's lookup table, condensed: how many positions each
// backend has, and a digest over the backends' names in table order.
type MaglevTable struct {
	Frontend  FrontendName   `json:"frontend"`
	TableSize uint32         `json:"tableSize"`
	Slots     map[string]int `json:"slots"`
	Digest    string         `json:"digest"`
}

// Attachment is a program that hangs, or should hang, at a cgroup or a device.
type Attachment struct {
	Program string `json:"program"` // "plumb_connect4", "cil_from_netdev"
	// Attach is the hook as bpftool names it: "cgroup_inet4_connect",
	// "tcx_ingress"; "tc_ingress" is a filter below clsact, "xdp" is XDP of the
	// driver and "xdp_generic" that of the stack.
	Attach string `json:"attach"`
	// Target is the directory of the cgroup that the program should hang at, or
	// "dev:NAME". In a held State it is empty where the program hangs at none,
	// and "cgroup:ID" where it hangs at another cgroup.
	Target string `json:"target"`
	// Copies is how many more times the same program hangs there; only a held
	// State has any.
	Copies uint32 `json:"copies,omitempty"`
	// StaleMaps are the maps that the program works on and that are not those
	// that are pinned, as "NAME=HELD/PINNED" with the kernel's ids, PINNED 0 where
	// there is no pin; more than one are separated by commas. Only a held State
	// has any.
	StaleMaps string `json:"staleMaps,omitempty"`
}

// DeviceTarget is the Target of what hangs at a device.
func DeviceTarget(device string) string { return "dev:" + device }

// Device is the name of the device that the program hangs at; false is a cgroup.
func (a Attachment) Device() (string, bool) {
	if name, ok := strings.CutPrefix(a.Target, "dev:"); ok {
		return name, true
	}
	return "", false
}

// Map is a map's parameters as the kernel has them, or should.
type Map struct {
	Name       string `json:"name"`
	Type       string `json:"type"` // "hash", "lru-hash", "lpm-trie", "hash-of-maps", "array"
	KeySize    uint32 `json:"keySize"`
	ValueSize  uint32 `json:"valueSize"`
	MaxEntries uint32 `json:"maxEntries"`
	Flags      uint32 `json:"flags"` // BPF_F_* of map creation
}

// Sort brings the lists into their canonical order. Slots keep theirs: their
// order is content.
func (s *State) Sort() {
	slices.SortFunc(s.Frontends, compareFrontend)
	slices.SortFunc(s.Backends, compareBackend)
	slices.SortFunc(s.SourceRanges, compareSourceRange)
	slices.SortFunc(s.AffinityMatches, compareMatch)
	slices.SortFunc(s.Maglev, compareMaglev)
	slices.SortFunc(s.Attachments, compareAttachment)
	slices.SortFunc(s.Maps, compareMap)
}

// sorted tells whether the lists are in that order.
func (s *State) sorted() bool {
	return slices.IsSortedFunc(s.Frontends, compareFrontend) && slices.IsSortedFunc(s.Backends, compareBackend) &&
		slices.IsSortedFunc(s.SourceRanges, compareSourceRange) && slices.IsSortedFunc(s.AffinityMatches, compareMatch) &&
		slices.IsSortedFunc(s.Maglev, compareMaglev) && slices.IsSortedFunc(s.Attachments, compareAttachment) && slices.IsSortedFunc(s.Maps, compareMap)
}

func compareFrontend(a, b Frontend) int  { return a.Compare(b.FrontendName) }
func compareBackend(a, b Backend) int    { return a.Compare(b.Endpoint) }
func compareMaglev(a, b MaglevTable) int { return a.Frontend.Compare(b.Frontend) }
func compareMap(a, b Map) int            { return cmp.Compare(a.Name, b.Name) }
func compareMatch(a, b AffinityMatch) int {
	return cmp.Or(a.Frontend.Compare(b.Frontend), a.Backend.Compare(b.Backend))
}

func compareAttachment(a, b Attachment) int {
	return cmp.Or(cmp.Compare(a.Program, b.Program), cmp.Compare(a.Attach, b.Attach), cmp.Compare(a.Target, b.Target))
}

func compareSourceRange(a, b SourceRange) int {
	return cmp.Or(a.Frontend.Compare(b.Frontend), a.CIDR.Addr().Compare(b.CIDR.Addr()), cmp.Compare(a.CIDR.Bits(), b.CIDR.Bits()))
}

// Slot gives what slot i leads to, counted from 0 over Backends and Inactive.
func (f *Frontend) Slot(i int) Endpoint {
	if i < len(f.Backends) {
		return f.Backends[i]
	}
	return f.Inactive[i-len(f.Backends)]
}

// SetSlot sets what Slot gives.
func (f *Frontend) SetSlot(i int, b Endpoint) {
	if i < len(f.Backends) {
		f.Backends[i] = b
		return
	}
	f.Inactive[i-len(f.Backends)] = b
}
