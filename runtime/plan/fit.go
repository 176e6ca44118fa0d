// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/schema/state"
)

// Fitting is what of a wanted State there is room for in maps of a fixed size.
type Fitting struct {
	// Want is what there is room for: the wanted State itself where all of it fits.
	Want *state.State
	// First is what is to be held before that, to make room: a part of what is held,
	// so that getting there only deletes. Nil where there is room for old and new.
	First *state.State
	// Left says what there is no room for, a drift for each service.
	Left []Drift
}

// Fit chooses what of a wanted State is written where the maps that are held have
// no room for all of it, by importance (see weigh). What is written over counts as
// old and new, as both are there for a while (I3): a change in a full map may thus
// cost what matters least its place, until the next round. An address of both
// scopes is written whole or not at all.
func Fit(have *Have, want *state.State) (*Fitting, error) {
	whole := &Fitting{Want: want}
	limits := limitsOf(have)
	used := usage{}
	used.addAll(want)
	if used.within(limits, have) {
		return whole, nil
	}
	dec, err := layout.Decode(have.Layout, have.Tables)
	if err != nil {
		return nil, err
	}
	f := &fitter{limits: limits, used: usage{}, backends: map[state.Endpoint]bool{}, held: dec.State, want: want, kept: map[state.FrontendName]bool{}}
	f.choose()
	whole.First = f.first(have)
	if len(f.left) > 0 {
		whole.Want, whole.Left = f.part(want), f.drifts()
	}
	return whole, nil
}

// usage counts entries.
type usage map[layout.MapID]int

// limitsOf gives how many entries each map has room for; one that is of no size
// known has no limit.
func limitsOf(have *Have) usage {
	limits := usage{}
	for _, m := range have.Maps {
		if d, ok := layout.ByName(m.Name); ok && d.Content() && m.MaxEntries > 0 {
			limits[d.ID] = int(m.MaxEntries)
		}
	}
	return limits
}

// within tells whether there is room for as much more as has been counted.
func (u usage) within(limits usage, have *Have) bool {
	for id, n := range u {
		if limit, ok := limits[id]; ok && n+have.Tables[id].Rows() > limit {
			return false
		}
	}
	return true
}

func (u usage) addAll(st *state.State) {
	for i := range st.Frontends {
		u.frontend(&st.Frontends[i], 0)
	}
	for _, b := range st.Backends {
		u[pick(b.Address.Is4(), layout.Backends4, layout.Backends6)]++
	}
	u[layout.AffinityMatch] += len(st.AffinityMatches)
	for _, r := range st.SourceRanges {
		u[pick(r.CIDR.Addr().Is4(), layout.SourceRange4, layout.SourceRange6)]++
	}
	for _, t := range st.Maglev {
		u[pick(t.Frontend.Address.Is4(), layout.Maglev4, layout.Maglev6)]++
	}
}

// frontend counts a frontend's own entries, with slots at least.
func (u usage) frontend(f *state.Frontend, slots int) {
	v4 := f.Address.Is4()
	u[pick(v4, layout.Services4, layout.Services6)] += 1 + max(slots, len(f.Backends)+len(f.Inactive))
	if !f.Wildcard() {
		u[pick(v4, layout.ReverseNAT4, layout.ReverseNAT6)]++
	}
}

func pick(first bool, a, b layout.MapID) layout.MapID {
	if first {
		return a
	}
	return b
}

// fitter fills maps with what matters most.
type fitter struct {
	limits     usage
	used       usage
	backends   map[state.Endpoint]bool // that have been counted
	held, want *state.State
	kept       map[state.FrontendName]bool // by the name of the external scope
	left       []*unit
}

// unit is what is written whole or not at all: a frontend, with its entry of the
// internal scope.
type unit struct {
	frontends []*state.Frontend
	weight    int
	full      layout.MapID // the map that has no room for it
}

func (f *fitter) choose() {
	units := f.units()
	slices.SortStableFunc(units, func(a, b *unit) int {
		return cmp.Or(cmp.Compare(a.weight, b.weight), cmp.Compare(a.frontends[0].Service, b.frontends[0].Service), a.frontends[0].Compare(b.frontends[0].FrontendName))
	})
	for _, u := range units {
		if !f.take(u) {
			f.left = append(f.left, u)
		}
	}
}

// external names what both scopes of an address go by.
func external(n state.FrontendName) state.FrontendName {
	n.Scope = state.External
	return n
}

// units are those of the wanted State.
func (f *fitter) units() []*unit {
	var units []*unit
	of := map[state.FrontendName]*unit{}
	for i := range f.want.Frontends {
		frontend := &f.want.Frontends[i]
		name := external(frontend.FrontendName)
		u := of[name]
		if u == nil {
			u = &unit{}
			of[name], units = u, append(units, u)
		}
		u.frontends = append(u.frontends, frontend)
	}
	for _, u := range units {
		_, held := findFrontend(f.held, u.frontends[0].FrontendName)
		u.weight = weigh(u.frontends[0], held)
	}
	return units
}

// weigh gives how much a frontend matters, less for what matters more: the API
// server's service, by which everything else is mended; DNS, without which nobody
// finds anything; the rest of kube-system; then what is held already, as connections
// lead through it; then cluster IPs, and what is for clients from outside in the
// order of the types; an address's entry for its other ports last.
func weigh(f *state.Frontend, held bool) int {
	switch {
	case f.Wildcard():
		return 100
	case f.Service == "default/kubernetes":
		return 0
	case strings.HasPrefix(f.Service, "kube-system/") && f.Port == 53:
		return 1
	case strings.HasPrefix(f.Service, "kube-system/"):
		return 2
	case held:
		return 3
	}
	return 4 + int(f.Type)
}

// take counts a unit where there is room for all of it.
func (f *fitter) take(u *unit) bool {
	more, rows := usage{}, map[state.Endpoint]bool{}
	f.count(u, more, rows)
	for _, d := range layout.Content() {
		if limit, ok := f.limits[d.ID]; ok && more[d.ID] > 0 && f.used[d.ID]+more[d.ID] > limit {
			u.full = d.ID
			return false
		}
	}
	for id, n := range more {
		f.used[id] += n
	}
	for e := range rows {
		f.backends[e] = true
	}
	f.kept[external(u.frontends[0].FrontendName)] = true
	return true
}

// count adds what an address needs while what is held of it is written over.
func (f *fitter) count(u *unit, more usage, rows map[state.Endpoint]bool) {
	for _, scope := range []state.Scope{state.External, state.Internal} {
		name := u.frontends[0].FrontendName
		name.Scope = scope
		var both []*state.Frontend
		for _, st := range []*state.State{f.want, f.held} {
			if i, ok := findFrontend(st, name); ok {
				both = append(both, &st.Frontends[i])
			}
		}
		if len(both) == 0 {
			continue
		}
		last := both[len(both)-1]
		more.frontend(both[0], len(last.Backends)+len(last.Inactive))
		f.hanging(name, more)
		for _, frontend := range both {
			f.rows(frontend, more, rows)
		}
	}
}

// rows counts backends that have not been counted yet.
func (f *fitter) rows(frontend *state.Frontend, more usage, rows map[state.Endpoint]bool) {
	for i := range len(frontend.Backends) + len(frontend.Inactive) {
		e := frontend.Slot(i)
		if e.Address.IsValid() && !f.backends[e] && !rows[e] {
			rows[e] = true
			more[pick(e.Address.Is4(), layout.Backends4, layout.Backends6)]++
		}
	}
}

// hanging counts what hangs on a frontend, or did.
func (f *fitter) hanging(name state.FrontendName, more usage) {
	matches, ranges := map[state.Endpoint]bool{}, map[netip.Prefix]bool{}
	tables := 0
	for _, st := range []*state.State{f.want, f.held} {
		for _, m := range state.Of(st.AffinityMatches, name) {
			matches[m.Backend] = true
		}
		for _, r := range state.Of(st.SourceRanges, name) {
			ranges[r.CIDR] = true
		}
		tables = max(tables, len(state.Of(st.Maglev, name)))
	}
	more[layout.AffinityMatch] += len(matches)
	for cidr := range ranges {
		more[pick(cidr.Addr().Is4(), layout.SourceRange4, layout.SourceRange6)]++
	}
	more[pick(name.Address.Is4(), layout.Maglev4, layout.Maglev6)] += tables
}

// first gives the part of what is held that stays; nil where there is room for what
// goes as well.
func (f *fitter) first(have *Have) *state.State {
	st := f.part(f.held)
	st.Attachments = have.Attachments
	stay := usage{}
	stay.addAll(st)
	for id, limit := range f.limits {
		if goes := have.Tables[id].Rows() - stay[id]; goes > 0 && f.used[id]+goes > limit {
			return st
		}
	}
	return nil
}

// part gives what a State has of the frontends that are kept.
func (f *fitter) part(st *state.State) *state.State {
	out := &state.State{Layout: st.Layout, Attachments: st.Attachments, Maps: st.Maps}
	rows := map[state.Endpoint]bool{}
	for i := range st.Frontends {
		frontend := st.Frontends[i]
		if !f.kept[external(frontend.FrontendName)] {
			continue
		}
		out.Frontends = append(out.Frontends, frontend)
		for _, e := range slices.Concat(frontend.Backends, frontend.Inactive) {
			rows[e] = true
		}
		out.SourceRanges = append(out.SourceRanges, state.Of(st.SourceRanges, frontend.FrontendName)...)
		out.AffinityMatches = append(out.AffinityMatches, state.Of(st.AffinityMatches, frontend.FrontendName)...)
		out.Maglev = append(out.Maglev, state.Of(st.Maglev, frontend.FrontendName)...)
	}
	for _, b := range st.Backends {
		if rows[b.Endpoint] {
			out.Backends = append(out.Backends, b)
		}
	}
	return out
}

// drifts says, for each service, how much of it there is no room for, and where.
func (f *fitter) drifts() []Drift {
	found := newDrifts()
	of := map[string][]*unit{}
	for _, u := range f.left {
		of[u.frontends[0].Service] = append(of[u.frontends[0].Service], u)
	}
	for service, units := range of {
		first := units[0].frontends[0].FrontendName
		found.add(Drift{Kind: MapFull, Frontend: first.String(), Service: service, Want: fmt.Sprintf("%d frontends", len(units)), Have: "no room in " + units[0].full.String(),
			Message: fmt.Sprintf("map %s of %d entries has no room for %s, and what matters more comes first: %d frontends of %d backends in all are not there", units[0].full, f.limits[units[0].full], service, len(units), backendsOf(units))})
	}
	return found.sorted()
}

func backendsOf(units []*unit) int {
	all := map[state.Endpoint]bool{}
	for _, u := range units {
		for _, frontend := range u.frontends {
			for _, e := range frontend.Backends {
				all[e] = true
			}
		}
	}
	return len(all)
}
