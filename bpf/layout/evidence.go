// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"fmt"
	"slices"
	"strings"

	"plumbline.dev/plumbline/schema/state"
)

// Evidence is a fact of a kernel that only some layouts explain (I7). Where all
// known ones explain it, it is none.
type Evidence struct {
	Map      string // a pin's name, or a pattern of names
	Property string
	Have     string
	Of       []state.Layout // in ascending order
}

// Pin is a pinned map as evidence takes it: of any map, not of the load
// balancer's alone.
type Pin struct {
	Name             string
	ValueSize, Flags uint32
}

// readOnlyFlag is BPF_F_RDONLY_PROG.
const readOnlyFlag = 0x80

// The names by which layouts are told from each other.
const (
	ipcacheOld    = "cilium_ipcache"     // until 1.17
	ipcacheNew    = "cilium_ipcache_v2"  // from 1.18 on
	policyOld     = "cilium_policy_v2_"  // and an endpoint's id; until 1.19
	policyNew     = "cilium_policy_v3_"  // from 1.20 on
	policyPattern = "cilium_policy_v2_*" // in messages
)

// policyLayouts are by the value size of policyOld (Cilium pkg/maps/policymap:
// 1.18 took the counters out, 1.19 put a precedence and a cookie in).
var policyLayouts = map[uint32]state.Layout{24: state.Cilium117, 8: state.Cilium118, 12: state.Cilium119}

// PinEvidence is what the pinned maps' names and parameters say. A pin that an
// older or a newer release may have left behind says nothing: an upgrade leaves
// maps without BPF_F_RDONLY_PROG as they are, and of two names for one thing,
// both pinned, none is believed.
func PinEvidence(pins []Pin) []Evidence {
	var list []Evidence
	has := map[string]bool{}
	policy := map[uint32]bool{}
	for _, p := range pins {
		has[p.Name] = true
		if strings.HasPrefix(p.Name, policyNew) {
			has[policyNew] = true
		}
		if strings.HasPrefix(p.Name, policyOld) {
			has[policyOld], policy[p.ValueSize] = true, true
		}
		if _, ours := ByName(p.Name); ours && p.Flags&readOnlyFlag != 0 {
			list = append(list, Evidence{p.Name, "flags", fmt.Sprintf("0x%x", p.Flags), since(state.Cilium120)})
		}
	}
	switch {
	case has[ipcacheOld] && !has[ipcacheNew]:
		list = append(list, Evidence{ipcacheOld, "name", ipcacheOld, []state.Layout{state.Cilium117}})
	case has[ipcacheNew] && !has[ipcacheOld]:
		list = append(list, Evidence{ipcacheNew, "name", ipcacheNew, since(state.Cilium118)})
	}
	switch {
	case has[policyNew] && !has[policyOld]:
		list = append(list, Evidence{policyNew + "*", "name", policyNew + "*", since(state.Cilium120)})
	case has[policyOld] && !has[policyNew] && len(policy) == 1:
		for size := range policy {
			if l, known := policyLayouts[size]; known {
				list = append(list, Evidence{policyPattern, "value size", fmt.Sprint(size), []state.Layout{l}})
			}
		}
	}
	return list
}

// since lists the known layouts from one on.
func since(least state.Layout) []state.Layout {
	var list []state.Layout
	for l := least; Known(l); l++ {
		list = append(list, l)
	}
	return list
}

// witnesses is how many entries have to agree before content is evidence: fewer
// may be damage, which is drift and no layout.
const witnesses = 3

// tally counts what entries of one sort say.
type tally struct{ old, new int }

// layouts gives what all entries agree on; nil is no verdict.
func (t tally) layouts(old, new []state.Layout) []state.Layout {
	switch {
	case t.new == 0 && t.old >= witnesses:
		return old
	case t.old == 0 && t.new >= witnesses:
		return new
	}
	return nil
}

// ContentEvidence is what the service entries say by how they are written: the
// algorithm of masters (written by 1.17 always, later only for an annotation),
// the flags of slots (copied from the master from 1.18 on) and wildcard entries
// (from 1.19 on). It takes only what all entries agree on, and nothing where two
// sorts of them contradict each other.
func ContentEvidence(t Tables) []Evidence {
	var algorithm, slots, wildcards tally
	for _, id := range []MapID{Services4, Services6} {
		table, n := t[id], id.Desc().KeySize-8
		for i := range table.Rows() {
			key, value := table.Row(i)
			switch port, slot, proto := be.Uint16(key[n:]), le.Uint16(key[n+2:]), key[n+4]; {
			case slot > 0:
				slots.slot(value)
			case port == 0 && proto == 0:
				wildcards.new++
			default:
				algorithm.master(value)
			}
		}
	}
	old, later := []state.Layout{state.Cilium117}, since(state.Cilium118)
	list := []Evidence{
		{Services4.String(), "algorithm of masters", written(algorithm.old > 0), algorithm.layouts(old, later)},
		{Services4.String(), "flags of slots", yesNo(slots.new > 0, "the master's", "their own"), slots.layouts(old, later)},
		{Services4.String(), "wildcard entries", fmt.Sprint(wildcards.new), wildcards.layouts(nil, since(state.Cilium119))},
	}
	list = slices.DeleteFunc(list, func(e Evidence) bool { return e.Of == nil })
	if len(Fits(list)) == 0 {
		return nil
	}
	return list
}

// slot counts a slot: its flags are the master's if they are none that 1.17
// writes. Empty ones say nothing, as the master's may be empty.
func (t *tally) slot(value []byte) {
	switch flags, flags2 := value[8], value[9]; {
	case flags != 0 || flags2&^flag2Quarantined != 0:
		t.new++
	case flags2 == flag2Quarantined:
		t.old++
	}
}

// master counts a master by whether its algorithm is written. A host port's
// never is, and the L7 proxy's port stands in its place.
func (t *tally) master(value []byte) {
	switch flags, flags2 := value[8], value[9]; {
	case flags&flagHostPort != 0 || flags2&flag2L7 != 0:
	case value[3] != 0: // the top byte of the word
		t.old++
	default:
		t.new++
	}
}

func written(is bool) string { return yesNo(is, "written", "undefined") }

func yesNo(is bool, then, otherwise string) string {
	if is {
		return then
	}
	return otherwise
}

// Fits lists the known layouts that explain all the evidence.
func Fits(list []Evidence) []state.Layout {
	fits := since(state.Cilium117)
	for _, e := range list {
		fits = slices.DeleteFunc(fits, func(l state.Layout) bool { return !slices.Contains(e.Of, l) })
	}
	return fits
}

// Against lists the evidence that a layout does not explain.
func Against(l state.Layout, list []Evidence) []Evidence {
	return slices.DeleteFunc(slices.Clone(list), func(e Evidence) bool { return slices.Contains(e.Of, l) })
}
