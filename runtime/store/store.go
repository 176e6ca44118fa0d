// SPDX-License-Identifier: Apache-2.0

// Package store reads what a kernel holds and carries plans out: in the kernel
// itself (Kernel), in memory (Fake), and with failures at will (Faulty). It
// decides nothing: which steps there are and in which order is runtime/plan's.
//
// Invariants that this package holds, by their names in docs/ARCHITECTURE.md:
//
//	I1  a failed read is never an absence
//	I6  one owner per map: writes go to maps under our own pins only, under a lock
//	I7  maps are compared with the layout before they are read or written
//	I8  Close changes nothing
package store

import (
	"context"
	"errors"

	"plumbline.dev/plumbline/runtime/plan"
)

// Errors returned by this package.
var (
	// ErrIncompatible is wrapped where a pinned map is not of the layout (I7), by
	// an IncompatibleError that holds every difference.
	ErrIncompatible = errors.New("maps are incompatible with the layout")
	// ErrUnsettled is wrapped by Read where pins come, go or change under it each
	// time that it is tried.
	ErrUnsettled = errors.New("the pins change while they are read")
	// ErrLocked is wrapped where another process owns the pins (I6).
	ErrLocked = errors.New("the pins have another owner")
	// ErrNoPins is wrapped where no load-balancer map is pinned.
	ErrNoPins = errors.New("no load-balancer map is pinned there")
	// ErrNoMemory is wrapped where the kernel has no memory for a map, a program or an
	// entry.
	ErrNoMemory = errors.New("the kernel has no memory for it")
	// ErrReadOnly is wrapped by Apply on a store that was opened for reading.
	ErrReadOnly = errors.New("the store is open for reading only")
)

// Store is a kernel, or what stands for one.
type Store interface {
	// Read gives all that is held, or an error (I1). A map that is not there is
	// not among the maps of the result; that is no error.
	Read(context.Context) (*plan.Have, error)
	// Apply carries steps out in their order and stops at the first that fails.
	// It gives the number of steps that took effect, which are a prefix: of steps
	// of one rank (plan.Together), whose order is of no matter, others may have too.
	// A Put of what is there and a Delete of what is not are no errors.
	Apply(context.Context, []plan.Step) (applied int, err error)
}
