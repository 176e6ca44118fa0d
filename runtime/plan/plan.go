// SPDX-License-Identifier: Apache-2.0

// Package plan compares what a kernel holds with what it should hold, and says
// which steps end the difference and in which order they are safe. It is pure:
// it reads no map and writes none; a plan is a value that a store applies.
//
// Invariants that this package holds, by their names in docs/ARCHITECTURE.md:
//
//	I3  every prefix of a Plan is safe
//	I4  an id in use is never renumbered
package plan

import (
	"fmt"
	"strings"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/schema/state"
)

// Have is what a kernel holds at one moment, complete (I1).
type Have struct {
	Layout state.Layout
	// Fits are all known layouts that what was read could be of, Layout among
	// them; empty is not known.
	Fits []state.Layout
	// Tables are the contents of the content maps, byte by byte.
	Tables layout.Tables
	// Maps are the parameters and the fill of every map that is pinned.
	Maps []HeldMap
	// Attachments are the programs' links as they are, dead ones included.
	Attachments []state.Attachment
	// AttachmentsUnread is why programs were not looked at; nil is that they were.
	// Then nothing is said of them.
	AttachmentsUnread error
	// NoTCX tells that the kernel has no tcx: then filters below clsact are right.
	NoTCX bool
	// Devices are all devices of the network namespace that was read; none at all
	// is that no device was asked.
	Devices []string
}

// HeldMap is a map's parameters and how many entries it holds.
type HeldMap struct {
	state.Map
	Entries uint32
}

// Op is what a Step does.
type Op uint8

// The operations. A Put writes a key whether it is there or not.
const (
	Put Op = iota
	Delete
	Attach
	Detach
)

var opNames = [...]string{"put", "delete", "attach", "detach"}

// String gives the operation's name.
func (o Op) String() string {
	if int(o) < len(opNames) {
		return opNames[o]
	}
	return fmt.Sprintf("op(%d)", uint8(o))
}

// Step is one write: of a map's entry (Put, Delete) or of a program's link
// (Attach, Detach).
type Step struct {
	Op  Op
	Map layout.MapID
	// Key, Old and New are the map's bytes. Old is nil where the key was not
	// there when the plan was made, New for a Delete.
	Key, Old, New []byte
	// Attachment is the program of an Attach or a Detach; nil in the others, of which
	// there may be many.
	Attachment *state.Attachment
}

// String says the step in the words of the datapath.
func (s Step) String() string {
	switch s.Op {
	case Attach, Detach:
		return fmt.Sprintf("%s %s %s %s", s.Op, s.Attachment.Program, s.Attachment.Attach, s.Attachment.Target)
	case Delete:
		return fmt.Sprintf("%s %s", s.Op, layout.Describe(s.Map, s.Key, s.Old))
	}
	text := fmt.Sprintf("%s %s", s.Op, layout.Describe(s.Map, s.Key, s.New))
	if s.Old != nil {
		text += " (was " + layout.DescribeValue(s.Map, s.Key, s.Old) + ")"
	}
	return text
}

// Plan is the ordered steps. After any number of them from the front, every
// frontend that existed before and should exist after still resolves (I3).
type Plan []Step

// String gives a line per step.
func (p Plan) String() string {
	var b strings.Builder
	for _, s := range p {
		b.WriteString(s.String())
		b.WriteByte('\n')
	}
	return b.String()
}
