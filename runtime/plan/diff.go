// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"slices"
	"strconv"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/schema/state"
)

// Result is what Diff finds.
type Result struct {
	Drifts []Drift
	// Plan ends the drifts of entries and programs. What no write of ours can
	// mend (a map that is missing, full or of other parameters) has no step.
	Plan Plan
	// Target is the wanted State as bytes, once the plan has been carried out.
	Target *Target
	// Stray are held entries that belong to nothing; the plan deletes them.
	Stray []layout.Stray

	ids func() *layout.Ledger
	// tables are the writes of Maglev tables that the plan does not have yet.
	tables []tableEdit
}

// Ledger are the ids that the plan gives or keeps, for the next Diff.
func (r *Result) Ledger() *layout.Ledger { return r.ids() }

// Diff compares what a kernel holds with what it should hold. known are the ids
// that an earlier Diff of this process gave, or nil: then the kernel's own word
// is taken for them. Diff(x, x) is empty, and applying the plan to have gives
// want. The error is of layouts that differ or are unknown, of bytes of the
// wrong size, or of ids that ran out; all that is wrong is in it.
func Diff(have *Have, want *state.State, known *layout.Ledger) (*Result, error) {
	if have.Layout != want.Layout {
		return nil, fmt.Errorf("diff: the kernel holds layout %s, the environment wants %s", have.Layout, want.Layout)
	}
	if result, err := fresh(have, want, known); result != nil || err != nil {
		return result, err
	}
	if known == nil {
		if result := cold(have, want); result != nil {
			return result, nil
		}
	}
	return diff(have, want, known)
}

// diff is Diff by decoding all that is held.
func diff(have *Have, want *state.State, known *layout.Ledger) (*Result, error) {
	tables, strange := layout.Sift(have.Tables)
	held := have.Tables
	have = &Have{Layout: have.Layout, Tables: tables, Maps: have.Maps, Attachments: have.Attachments, NoTCX: have.NoTCX, Devices: have.Devices, AttachmentsUnread: have.AttachmentsUnread}
	dec, err := layout.Decode(have.Layout, have.Tables)
	if err != nil {
		return nil, err
	}
	ids, err := assign(have, dec, want, known)
	if err != nil {
		return nil, fmt.Errorf("assign ids: %w", err)
	}
	want = arrange(dec.State, want)
	tables, err = layout.Encode(want, ids)
	if err != nil {
		return nil, err
	}
	d := newDiffer(have, dec, want, ids)
	for _, desc := range layout.Content() {
		if maglevMap(desc.ID) {
			continue // compared by digest: a State does not hold the tables
		}
		for e := range layout.Edits(have.Tables[desc.ID], tables[desc.ID]) {
			d.edit(desc.ID, e)
		}
	}
	d.proxies()
	d.strange(held, strange)
	d.maglev()
	d.maps()
	d.attachments()
	order(d.plan)
	given := func() *layout.Ledger { return ids }
	return &Result{Drifts: d.found.sorted(), Plan: d.plan, ids: given, tables: d.tables, Target: newTarget(want, given, tables), Stray: append(strange, dec.Stray...)}, nil
}

// differ turns edits of bytes into drifts that a person understands.
type differ struct {
	have  *Have
	dec   *layout.Decoded
	want  *state.State
	ids   *layout.Ledger
	plan  Plan
	found *drifts
	// tables are edits of Maglev tables.
	tables []tableEdit
	told   state.FrontendName // the last that whole reported: its slots follow each other

	haveF, wantF   map[state.FrontendName]*state.Frontend
	haveID, wantID map[uint16]state.FrontendName // by reverse-NAT id
	haveUses       map[uint32][]state.FrontendName
	wantUses       map[state.Endpoint][]state.FrontendName
	wantRow        map[uint32]state.Endpoint
}

func newDiffer(have *Have, dec *layout.Decoded, want *state.State, ids *layout.Ledger) *differ {
	d := &differ{
		have: have, dec: dec, want: want, ids: ids, found: newDrifts(),
		haveF: frontendsByName(dec.State), wantF: frontendsByName(want),
		haveID: map[uint16]state.FrontendName{}, wantID: map[uint16]state.FrontendName{},
		haveUses: make(map[uint32][]state.FrontendName, len(dec.State.Backends)),
		wantUses: make(map[state.Endpoint][]state.FrontendName, len(want.Backends)),
		wantRow:  make(map[uint32]state.Endpoint, len(want.Backends)),
	}
	for name, id := range dec.Ledger.Frontends {
		d.haveID[id] = name
	}
	for name, id := range ids.Frontends {
		d.wantID[id] = name
	}
	for b, id := range ids.Backends.All() {
		d.wantRow[id] = b
	}
	for i := range want.Frontends {
		f := &want.Frontends[i]
		for s := range len(f.Backends) + len(f.Inactive) {
			d.wantUses[f.Slot(s)] = append(d.wantUses[f.Slot(s)], f.FrontendName)
		}
	}
	d.scanUses(layout.Services4)
	d.scanUses(layout.Services6)
	return d
}

// scanUses notes which frontends' slots hold which backend ids.
func (d *differ) scanUses(id layout.MapID) {
	for key, value := range d.have.Tables[id].All() {
		k, _ := layout.DecodeServiceKey(key)
		s, _ := layout.DecodeService(value)
		if k.Slot > 0 {
			d.haveUses[s.Word] = append(d.haveUses[s.Word], k.FrontendName)
		}
	}
}

func (d *differ) edit(id layout.MapID, e layout.Edit) {
	step := Step{Op: Put, Map: id, Key: e.Key, Old: e.Old, New: e.New}
	if e.New == nil {
		step.Op = Delete
	}
	d.plan = append(d.plan, step)
	switch id {
	case layout.Services4, layout.Services6:
		d.serviceEdit(e)
	case layout.Backends4, layout.Backends6:
		d.backendEdit(e)
	case layout.ReverseNAT4, layout.ReverseNAT6:
		d.reverseNATEdit(e)
	case layout.AffinityMatch:
		d.affinityEdit(e)
	case layout.SourceRange4, layout.SourceRange6:
		d.rangeEdit(e)
	}
}

// strange reports entries whose keys no lookup builds. None of them is found, but
// for a source range that is too short: it matches clients of other frontends.
func (d *differ) strange(held layout.Tables, list []layout.Stray) {
	for _, s := range list {
		old, _ := held[s.Map].Find(s.Key)
		d.plan = append(d.plan, Step{Op: Delete, Map: s.Map, Key: s.Key, Old: old})
		x := Drift{Kind: UnknownEntry, Severity: state.Warning, Want: fmt.Sprintf("no key %x", s.Key), Have: fmt.Sprintf("%x", old), Message: fmt.Sprintf("map %s: %s", s.Map, s.Why)}
		if s.Map == layout.SourceRange4 || s.Map == layout.SourceRange6 {
			x.Severity = state.Error
		}
		d.found.add(x)
	}
}

// drift reports on a frontend, with the service that owns it.
func (d *differ) drift(kind Kind, name state.FrontendName, backend state.Endpoint, want, have, format string, args ...any) {
	x := Drift{Kind: kind, Want: want, Have: have, Message: fmt.Sprintf(format, args...)}
	if name.Address.IsValid() {
		x.Frontend = name.String()
	}
	if backend.Address.IsValid() {
		x.Backend = backend.String()
	}
	if f := d.wantF[name]; f != nil {
		x.Service = f.Service
	}
	d.found.add(x)
}

// whole tells whether the frontend itself is missing or extra, and reports that.
func (d *differ) whole(name state.FrontendName) bool {
	if name == d.told {
		return true
	}
	want, have := d.wantF[name], d.haveF[name]
	if want == nil || have == nil {
		d.told = name
	}
	switch {
	case want == nil:
		d.drift(ExtraFrontend, name, state.Endpoint{}, "absent", "present", "frontend %s is in the map, but no service has it", name)
		return true
	case have == nil:
		d.missing(want)
		return true
	}
	return false
}

// missing reports a frontend that is missing. A first start has all of them, so it
// formats nothing.
func (d *differ) missing(want *state.Frontend) {
	name := want.FrontendName.String()
	d.found.add(Drift{
		Kind: MissingFrontend, Frontend: name, Service: want.Service,
		Want: want.Type.String() + ", " + strconv.Itoa(len(want.Backends)) + " backends", Have: "absent",
		Message: "frontend " + name + " of " + want.Service + " is not in the map: connections to it are not translated",
	})
}

// holds tells whether any slot of a held frontend leads to the backend, be the
// slot counted by the master or not.
func (d *differ) holds(name state.FrontendName, b state.Endpoint) bool {
	h := d.haveF[name]
	if h == nil || contains(h, b) {
		return h != nil
	}
	id, _ := d.dec.Ledger.Backends.Find(b)
	return slices.Contains(d.haveUses[id], name)
}

func contains(f *state.Frontend, b state.Endpoint) bool {
	for i := range len(f.Backends) + len(f.Inactive) {
		if f.Slot(i) == b {
			return true
		}
	}
	return false
}
