// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/schema/state"
)

// serviceEdit explains an edit of a services map.
func (d *differ) serviceEdit(e layout.Edit) {
	key, _ := layout.DecodeServiceKey(e.Key)
	if d.whole(key.FrontendName) {
		return
	}
	switch {
	case key.Slot == 0:
		d.masterEdit(key.FrontendName, e)
	case e.Old == nil:
		d.slotMissing(key)
	case e.New == nil:
		d.slotSurplus(key, e)
	default:
		d.slotChanged(key, e)
	}
}

// masterEdit explains a master of which both sides have one.
func (d *differ) masterEdit(name state.FrontendName, e layout.Edit) {
	have, _ := layout.DecodeService(e.Old)
	want, _ := layout.DecodeService(e.New)
	h, w := d.haveF[name], d.wantF[name]
	if have.Count != want.Count || have.QCount != want.QCount {
		d.countDrift(name, have, want)
	}
	if have.ReverseNAT != want.ReverseNAT {
		d.drift(ReverseNATDrift, name, state.Endpoint{}, id("id", want.ReverseNAT), id("id", have.ReverseNAT),
			"the master of %s says reverse-NAT id %d, want %d: answers are not translated back", name, have.ReverseNAT, want.ReverseNAT)
	}
	const affinity, ranges = state.Affinity, state.SourceRangeFlag | state.SourceRangeDeny
	differing := h.Flags ^ w.Flags
	if differing&affinity != 0 || h.AffinityTimeoutSeconds != w.AffinityTimeoutSeconds {
		d.drift(AffinityDrift, name, state.Endpoint{}, affinityText(w), affinityText(h), "session affinity of %s is %s, want %s", name, affinityText(h), affinityText(w))
	}
	if differing&ranges != 0 {
		d.drift(RangeDrift, name, state.Endpoint{}, (w.Flags & ranges).String(), (h.Flags & ranges).String(), "the source-range flags of %s are %s, want %s", name, h.Flags&ranges, w.Flags&ranges)
	}
	if differing&^(affinity|ranges) != 0 || h.Type != w.Type || h.Algorithm != w.Algorithm || h.L7ProxyPort != w.L7ProxyPort || !d.explained(name, have, want) {
		d.drift(WrongFlags, name, state.Endpoint{}, flagsText(w), flagsText(h), "%s is %s, want %s", name, flagsText(h), flagsText(w))
	}
}

// explained tells whether the decoded fields account for the edit of a master:
// a damaged entry may carry bits that no State has a name for.
func (d *differ) explained(name state.FrontendName, have, want layout.Service) bool {
	h, w := d.haveF[name], d.wantF[name]
	same := have.Word == want.Word && have.Flags == want.Flags && have.Flags2 == want.Flags2
	return same || h.Flags != w.Flags || h.AffinityTimeoutSeconds != w.AffinityTimeoutSeconds || h.Algorithm != w.Algorithm || h.Type != w.Type
}

func (d *differ) countDrift(name state.FrontendName, have, want layout.Service) {
	d.drift(WrongCount, name, state.Endpoint{}, counts(want), counts(have), "the master of %s counts %s backends, want %s", name, counts(have), counts(want))
}

func counts(s layout.Service) string {
	if s.QCount == 0 {
		return fmt.Sprintf("%d", s.Count)
	}
	return fmt.Sprintf("%d+%d", s.Count, s.QCount)
}

func id[T uint16 | uint32](what string, n T) string { return fmt.Sprintf("%s %d", what, n) }

func affinityText(f *state.Frontend) string {
	if f.Flags&state.Affinity == 0 {
		return "off"
	}
	return fmt.Sprintf("%ds", f.AffinityTimeoutSeconds)
}

func flagsText(f *state.Frontend) string {
	return fmt.Sprintf("%s flags %s algorithm %s", f.Type, f.Flags, f.Algorithm)
}

// slotMissing explains a slot that has to be added.
func (d *differ) slotMissing(key layout.ServiceKey) {
	name, h := key.FrontendName, d.haveF[key.FrontendName]
	b := d.wantF[name].Slot(int(key.Slot) - 1)
	if int(key.Slot) <= len(h.Backends) {
		d.drift(SlotGap, name, b, slotText(key.Slot, b), "no entry", "slot %d of %s is not there, but the master counts it: one connection in %d fails", key.Slot, name, len(h.Backends))
		return
	}
	if !d.holds(name, b) {
		d.missingBackend(name, b)
		return
	}
	d.drift(WrongCount, name, state.Endpoint{}, slotText(key.Slot, b), "no entry", "%s has no slot %d, want %s there", name, key.Slot, b)
}

func slotText(slot uint16, b state.Endpoint) string { return fmt.Sprintf("slot %d: %s", slot, b) }

func (d *differ) missingBackend(name state.FrontendName, b state.Endpoint) {
	d.drift(MissingBackend, name, b, b.String(), "absent", "backend %s is not among those of %s: it gets no connections", b, name)
}

func (d *differ) staleBackend(name state.FrontendName, b state.Endpoint) {
	d.drift(StaleBackend, name, b, "absent", b.String(), "%s still leads to %s, which no EndpointSlice has", name, b)
}

// slotSurplus explains a slot that has to go.
func (d *differ) slotSurplus(key layout.ServiceKey, e layout.Edit) {
	name, h, w := key.FrontendName, d.haveF[key.FrontendName], d.wantF[key.FrontendName]
	old, _ := layout.DecodeService(e.Old)
	counted := int(key.Slot) <= len(h.Backends)+len(h.Inactive)
	b, found := d.row(name, old.Word)
	switch {
	case counted && found && !contains(w, b):
		d.staleBackend(name, b)
	case counted && !found:
		d.dangling(name, key.Slot, old.Word, state.Endpoint{})
	default:
		d.drift(WrongCount, name, state.Endpoint{}, "no entry", id("slot", key.Slot), "%s has a slot %d, want %d of them", name, key.Slot, len(w.Backends)+len(w.Inactive))
	}
}

// slotChanged explains a slot that both sides have.
func (d *differ) slotChanged(key layout.ServiceKey, e layout.Edit) {
	name, w := key.FrontendName, d.wantF[key.FrontendName]
	old, _ := layout.DecodeService(e.Old)
	want, _ := layout.DecodeService(e.New)
	if old.ReverseNAT != want.ReverseNAT {
		d.drift(ReverseNATDrift, name, state.Endpoint{}, id("id", want.ReverseNAT), id("id", old.ReverseNAT), "slot %d of %s says reverse-NAT id %d, want %d", key.Slot, name, old.ReverseNAT, want.ReverseNAT)
	}
	if old.Word == want.Word {
		if old.ReverseNAT == want.ReverseNAT {
			d.drift(WrongFlags, name, state.Endpoint{}, slotFlags(want), slotFlags(old), "slot %d of %s has flags %s, want %s", key.Slot, name, slotFlags(old), slotFlags(want))
		}
		return
	}
	b, found := d.row(name, old.Word)
	wanted := w.Slot(int(key.Slot) - 1)
	if !found {
		d.dangling(name, key.Slot, old.Word, wanted)
		return
	}
	stale, missing := !contains(w, b), !d.holds(name, wanted)
	if stale {
		d.staleBackend(name, b)
	}
	if missing {
		d.missingBackend(name, wanted)
	}
	if !stale && !missing {
		d.drift(WrongCount, name, wanted, slotText(key.Slot, wanted), slotText(key.Slot, b), "slot %d of %s leads to %s, want %s", key.Slot, name, b, wanted)
	}
}

func slotFlags(s layout.Service) string { return fmt.Sprintf("%02x%02x", s.Flags, s.Flags2) }

func (d *differ) dangling(name state.FrontendName, slot uint16, backendID uint32, wanted state.Endpoint) {
	want := "no entry"
	if wanted.Address.IsValid() {
		want = slotText(slot, wanted)
	}
	d.drift(DanglingBackend, name, wanted, want, id("backend", backendID), "slot %d of %s holds backend id %d, of which there is no row: connections that pick it fail", slot, name, backendID)
}

// row finds the held row of a backend id, in the frontend's family.
func (d *differ) row(name state.FrontendName, backendID uint32) (state.Endpoint, bool) {
	rows := layout.Backends4
	if !name.Address.Is4() {
		rows = layout.Backends6
	}
	value, ok := d.have.Tables[rows].Find(layout.BackendID(backendID))
	if !ok {
		return state.Endpoint{}, false
	}
	b, _ := layout.DecodeBackend(value)
	return b.Endpoint, true
}
