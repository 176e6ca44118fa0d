// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"strings"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/schema/state"
)

// readOnlyProg is BPF_F_RDONLY_PROG. Cilium 1.20 creates maps with it and keeps
// an older pin that lacks it (pkg/bpf/bpf_linux.go OpenOrCreateMap), so it is
// no difference.
const readOnlyProg = 0x80

// maps compares parameters and fill. A wanted size of 0 is one that the agent
// takes from the node's memory.
func (d *differ) maps() {
	held := map[string]HeldMap{}
	for _, m := range d.have.Maps {
		held[m.Name] = m
		d.fill(m)
	}
	for _, want := range d.want.Maps {
		have, ok := held[want.Name]
		if !ok {
			d.found.add(Drift{Kind: MapMissing, Want: want.Name, Have: "no pin", Message: fmt.Sprintf("map %s is not pinned: what it should hold is nowhere", want.Name)})
			continue
		}
		if differences := compareMap(have.Map, want); len(differences) > 0 {
			d.found.add(Drift{Kind: MapParameters, Want: mapText(want), Have: mapText(have.Map), Message: fmt.Sprintf("map %s: %s", want.Name, strings.Join(differences, ", "))})
		}
	}
}

func compareMap(have, want state.Map) []string {
	var differences []string
	differ := func(what string, have, want any) {
		if have != want {
			differences = append(differences, fmt.Sprintf("%s %v, want %v", what, have, want))
		}
	}
	differ("type", have.Type, want.Type)
	differ("key size", have.KeySize, want.KeySize)
	differ("value size", have.ValueSize, want.ValueSize)
	if want.MaxEntries != 0 {
		differ("max entries", have.MaxEntries, want.MaxEntries)
	}
	differ("flags", have.Flags&^readOnlyProg, want.Flags&^readOnlyProg)
	return differences
}

func mapText(m state.Map) string {
	return fmt.Sprintf("%s %s %d/%d max %d flags 0x%x", m.Name, m.Type, m.KeySize, m.ValueSize, m.MaxEntries, m.Flags)
}

// fill reports a content map from 90 % on: an insert that fails leaves the old
// entry in force, silently.
func (d *differ) fill(m HeldMap) {
	desc, known := layout.ByName(m.Name)
	if !known || !desc.Content() || m.MaxEntries == 0 || uint64(m.Entries)*10 < uint64(m.MaxEntries)*9 {
		return
	}
	x := Drift{Kind: MapFull, Severity: state.Warning, Want: "below 90 %", Have: fmt.Sprintf("%d of %d", m.Entries, m.MaxEntries)}
	if m.Entries >= m.MaxEntries {
		x.Severity = state.Error
	}
	x.Message = fmt.Sprintf("map %s holds %d of %d entries", m.Name, m.Entries, m.MaxEntries)
	d.found.add(x)
}
