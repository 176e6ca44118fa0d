// SPDX-License-Identifier: Apache-2.0

package lookup

import (
	"encoding/hex"
	"net/netip"
	"strings"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/schema/state"
)

// Kind is what sort of step a Step is. The words are stable: they are in the JSON.
type Kind string

// The kinds of steps, in the order in which a connection meets them.
const (
	Service     Kind = "service"      // a lookup of the master by its key
	Master      Kind = "master"       // what the master's value says
	Choice      Kind = "choice"       // how a slot is chosen
	Maglev      Kind = "maglev"       // the frontend's lookup table
	Slot        Kind = "slot"         // a slot's entry
	Backend     Kind = "backend"      // the row that a slot leads to
	ReverseNAT  Kind = "reverse-nat"  // what answers are translated back to
	SourceRange Kind = "source-range" // which clients are let in
	Affinity    Kind = "affinity"     // which backends a client may stick to
	Outcome     Kind = "outcome"      // what becomes of the connection
)

// Step is one thing that the datapath reads or decides. Key and Value are bytes
// in hex, in groups of a field each; both are empty where it reads no entry, and
// Value alone where the entry is not there.
type Step struct {
	Kind   Kind    `json:"kind"`
	Name   string  `json:"name"` // unique in a Path: "slot 2"
	Map    string  `json:"map,omitempty"`
	Key    string  `json:"key,omitempty"`
	Value  string  `json:"value,omitempty"`
	Fields []Field `json:"fields,omitempty"`
	// Note says why the datapath takes this step.
	Note string `json:"note,omitempty"`
}

// Field is one thing that a Step says.
type Field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// field gives the value of a field, "" where the step has none of the name.
func (s *Step) field(name string) string {
	if s == nil {
		return ""
	}
	for _, f := range s.Fields {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

func (s *Step) say(name, value string) { s.Fields = append(s.Fields, Field{name, value}) }

// Path is the way of one connection through one set of maps.
type Path struct {
	// Found tells whether any entry answers for the frontend.
	Found bool   `json:"found"`
	Steps []Step `json:"steps"`
}

// Maps are what is looked up in.
type Maps struct {
	Tables layout.Tables
	// Maglev are the tables of frontends: a wanted State has only their digests,
	// so they are no part of Tables.
	Maglev []state.MaglevTable
}

// Query is what connection is followed. Its Frontend's scope is the client's
// side: internal is a client in the cluster, external one outside.
type Query struct {
	Frontend state.FrontendName
	// Client is who connects; the zero Addr is anyone.
	Client netip.Addr
	// NodeAddresses are the node's own, at which node ports answer by their
	// surrogate too; none is unknown.
	NodeAddresses []netip.Addr
}

// groups writes bytes in hex, a space between fields of the given sizes.
func groups(b []byte, sizes ...int) string {
	var parts []string
	for _, n := range sizes {
		n = min(n, len(b))
		parts, b = append(parts, hex.EncodeToString(b[:n])), b[n:]
	}
	if len(b) > 0 {
		parts = append(parts, hex.EncodeToString(b))
	}
	return strings.Join(parts, " ")
}

func serviceKeyHex(b []byte) string   { return groups(b, len(b)-8, 2, 2, 1, 1, 2) }
func serviceValueHex(b []byte) string { return groups(b, 4, 2, 2, 1, 1, 2) }
func backendHex(b []byte) string      { return groups(b, len(b)-8, 2, 1, 1, 2, 1, 1) }
func reverseNATHex(b []byte) string   { return groups(b, len(b)-2, 2) }
