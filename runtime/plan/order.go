// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"strings"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/schema/state"
)

// The ranks of steps. A plan is sorted by them, and that is all there is to I3:
//
//   - what a slot or a master refers to is there before it: a slot written
//     before its backend's row makes 1/count of all connections fail;
//   - slots are there before the master counts them, and are gone only after it
//     no longer does: a master with count 3 over two slots fails one
//     connection in three;
//   - a Maglev table is there before a master says that it is to be asked, and
//     after the rows that it leads to; it goes after every master that did;
//   - the internal entry of a service with two scopes is complete before the
//     external master says that there is one, and goes after it no longer does:
//     in between, every in-cluster client would find no service;
//   - a flag that makes the datapath consult ranges or matches is set after
//     they are there: a master that checks an empty set of ranges drops all.
//
// Rewriting a selectable slot in place is a single write of one entry, so it
// needs no order but that.
const (
	rankDetail       = iota // put reverse NAT, backends, matches, ranges
	rankSlot                // put slots
	rankTable               // put Maglev tables
	rankInternal            // put masters of the internal scope
	rankMaster              // put masters
	rankDropMaster          // delete masters
	rankDropInternal        // delete masters of the internal scope
	rankDropSlot            // delete slots
	rankDropDetail          // delete reverse NAT, matches, ranges
	rankDropBackend         // delete backends
	rankAttach              // programs see complete maps only
	rankDetach
)

// order sorts steps by rank, then by map and key, so that equal input gives an
// equal plan and steps of one map stand together for batches. Edits come in the
// order of their keys, so that each class needs little more than to be looked at.
func order(p Plan) {
	classes := map[class]int{} // how many steps, then where the next one goes
	of := make([]class, len(p))
	for i, s := range p {
		of[i] = class{rank(s), s.Map}
		classes[of[i]]++
	}
	begin, sorted := 0, make(Plan, len(p))
	for _, c := range slices.SortedFunc(maps.Keys(classes), class.compare) {
		classes[c], begin = begin, begin+classes[c]
	}
	for i, s := range p {
		sorted[classes[of[i]]] = s
		classes[of[i]]++
	}
	begin = 0
	for _, c := range slices.SortedFunc(maps.Keys(classes), class.compare) {
		end := classes[c]
		slices.SortFunc(sorted[begin:end], compareInClass)
		begin = end
	}
	copy(p, sorted)
}

// class is what steps are sorted by before all else.
type class struct {
	rank int
	of   layout.MapID
}

func (c class) compare(o class) int {
	return cmp.Or(cmp.Compare(c.rank, o.rank), cmp.Compare(c.of, o.of))
}

func compareInClass(a, b Step) int {
	if a.Attachment == nil || b.Attachment == nil {
		return bytes.Compare(a.Key, b.Key)
	}
	return cmp.Or(cmp.Compare(attachRank(a), attachRank(b)), cmp.Compare(a.Attachment.Program, b.Attachment.Program))
}

// attachRank orders programs among themselves: what translates answers back is
// attached before what translates requests, or the first answers would show
// the backend's address.
func attachRank(s Step) int {
	if strings.HasSuffix(s.Attachment.Attach, "recvmsg") || strings.HasSuffix(s.Attachment.Attach, "getpeername") {
		return 1
	}
	return 2
}

func rank(s Step) int {
	switch s.Op {
	case Attach:
		return rankAttach
	case Detach:
		return rankDetach
	}
	if s.Map == layout.Services4 || s.Map == layout.Services6 {
		return serviceRank(s)
	}
	switch {
	case s.Op == Put && maglevMap(s.Map):
		return rankTable
	case s.Op == Put:
		return rankDetail
	case s.Map == layout.Backends4 || s.Map == layout.Backends6:
		return rankDropBackend
	}
	return rankDropDetail
}

func serviceRank(s Step) int {
	slot, internal := false, false
	if len(s.Key) >= layout.Services4.Desc().KeySize {
		slot, internal = slotOf(s.Key) > 0, scopeOf(s.Key) == state.Internal
	}
	switch {
	case s.Op == Put && slot:
		return rankSlot
	case s.Op == Put && internal:
		return rankInternal
	case s.Op == Put:
		return rankMaster
	case slot:
		return rankDropSlot
	case internal:
		return rankDropInternal
	}
	return rankDropMaster
}

// Together gives how many steps from the front are writes of one rank. They are safe
// in any order, and so are some of them without the others (I3).
func Together(steps []Step) int {
	n := 0
	for n < len(steps) && rank(steps[n]) == rank(steps[0]) && steps[n].Attachment == nil {
		n++
	}
	return n
}
