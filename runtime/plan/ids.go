// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"errors"
	"net/netip"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/schema/state"
)

// ErrNoFreeID is returned where every id is taken.
var ErrNoFreeID = errors.New("no free id")

// maxReverseNAT is the last reverse-NAT id: Cilium wraps before 0xffff.
const maxReverseNAT = 0xfffe

// assign gives every wanted frontend and backend its id. An id that is in use
// stays with what it stands for (I4): first by what we ourselves gave before
// (known), then by what the kernel holds, and only what is new gets a new one.
func assign(have *Have, dec *layout.Decoded, want *state.State, known *layout.Ledger) (*layout.Ledger, error) {
	out := layout.LedgerFor(len(want.Frontends), len(want.Backends))
	a := assigner{have: have, dec: dec, want: want, known: known, out: out, cold: known == nil}
	if known == nil {
		a.known = layout.NewLedger()
	}
	a.scan()
	return a.out, errors.Join(a.frontends(), a.backends())
}

type assigner struct {
	have  *Have
	dec   *layout.Decoded
	want  *state.State
	known *layout.Ledger
	cold  bool // nothing is known but what the kernel holds
	out   *layout.Ledger

	rows         map[netip.AddrPort][]uint16 // reverse-NAT rows, ids ascending
	takenRevNAT  map[uint16]bool             // every id that any map mentions
	takenBackend map[uint32]bool
	users        map[uint32][]state.FrontendName // whose slots hold a backend id
	wanted       map[state.FrontendName]*state.Frontend
}

// scan notes every id that is mentioned anywhere: none of them is free.
func (a *assigner) scan() {
	a.rows, a.takenRevNAT = map[netip.AddrPort][]uint16{}, map[uint16]bool{}
	n := len(a.dec.State.Backends)
	a.takenBackend, a.users = make(map[uint32]bool, n), make(map[uint32][]state.FrontendName, n)
	a.wanted = frontendsByName(a.want)
	for _, id := range []layout.MapID{layout.ReverseNAT4, layout.ReverseNAT6} {
		for key, value := range a.have.Tables[id].All() {
			n, _ := layout.DecodeReverseNATID(key)
			ap, _ := layout.DecodeReverseNAT(value)
			a.rows[ap] = append(a.rows[ap], n)
			a.takenRevNAT[n] = true
		}
	}
	for _, id := range []layout.MapID{layout.Backends4, layout.Backends6} {
		for key := range a.have.Tables[id].All() {
			n, _ := layout.DecodeBackendID(key)
			a.takenBackend[n] = true
		}
	}
	for _, id := range []layout.MapID{layout.Services4, layout.Services6} {
		for key, value := range a.have.Tables[id].All() {
			k, _ := layout.DecodeServiceKey(key)
			s, _ := layout.DecodeService(value)
			a.takenRevNAT[s.ReverseNAT] = true
			if k.Slot > 0 {
				a.takenBackend[s.Word] = true
				a.users[s.Word] = append(a.users[s.Word], k.FrontendName)
			}
		}
	}
	a.out.LastBackend, a.out.LastFrontend = a.known.LastBackend, a.known.LastFrontend
	for n := range a.takenBackend {
		a.out.LastBackend = max(a.out.LastBackend, n)
	}
	for n := range a.takenRevNAT {
		if n <= maxReverseNAT {
			a.out.LastFrontend = max(a.out.LastFrontend, n)
		}
	}
}

// frontends assigns in two rounds, so that no damaged frontend takes the id of
// a sound one.
func (a *assigner) frontends() error {
	claimed := map[uint16]bool{}
	claim := func(name state.FrontendName, id uint16) {
		a.out.Frontends[name], claimed[id] = id, true
	}
	var rest []state.FrontendName
	for i := range a.want.Frontends {
		f := &a.want.Frontends[i]
		if f.Wildcard() {
			continue
		}
		if id, ok := a.soundID(f.FrontendName); ok && !claimed[id] {
			claim(f.FrontendName, id)
		} else {
			rest = append(rest, f.FrontendName)
		}
	}
	for _, name := range rest {
		id, ok := a.likelyID(name, claimed)
		if !ok {
			var err error
			if id, err = a.newReverseNAT(claimed); err != nil {
				return err
			}
		}
		claim(name, id)
	}
	return nil
}

// soundID is an id that we gave, or that master and reverse-NAT row agree on.
func (a *assigner) soundID(name state.FrontendName) (uint16, bool) {
	if id, ok := a.known.Frontends[name]; ok {
		return id, true
	}
	id, ok := a.dec.Ledger.Frontends[name]
	return id, ok && a.rowIs(id, name)
}

func (a *assigner) rowIs(id uint16, name state.FrontendName) bool {
	for _, n := range a.rows[netip.AddrPortFrom(name.Address, name.Port)] {
		if n == id {
			return true
		}
	}
	return false
}

// likelyID finds the id of a frontend whose entries contradict each other: the
// id of its slots if a row confirms it, a row that nobody claims, its master's.
func (a *assigner) likelyID(name state.FrontendName, claimed map[uint16]bool) (uint16, bool) {
	for _, id := range a.slotIDs(name) {
		if !claimed[id] && a.rowIs(id, name) {
			return id, true
		}
	}
	for _, id := range a.rows[netip.AddrPortFrom(name.Address, name.Port)] {
		if !claimed[id] && !a.heldByOther(id, name) {
			return id, true
		}
	}
	id, ok := a.dec.Ledger.Frontends[name]
	return id, ok && id != 0 && id <= maxReverseNAT && !claimed[id]
}

func (a *assigner) heldByOther(id uint16, name state.FrontendName) bool {
	for other, n := range a.dec.Ledger.Frontends {
		if n == id && other != name {
			return true
		}
	}
	return false
}

// slotIDs lists the reverse-NAT ids that the frontend's slots carry, in slot order.
func (a *assigner) slotIDs(name state.FrontendName) []uint16 {
	table := a.have.Tables[layout.Services4]
	if !name.Address.Is4() {
		table = a.have.Tables[layout.Services6]
	}
	var ids []uint16
	for slot := uint16(1); ; slot++ {
		value, ok := table.Find(layout.ServiceKey{FrontendName: name, Slot: slot}.Bytes())
		if !ok {
			return ids
		}
		s, _ := layout.DecodeService(value)
		ids = append(ids, s.ReverseNAT)
	}
}

func (a *assigner) newReverseNAT(claimed map[uint16]bool) (uint16, error) {
	for range maxReverseNAT {
		a.out.LastFrontend = a.out.LastFrontend%maxReverseNAT + 1
		if id := a.out.LastFrontend; !a.takenRevNAT[id] && !claimed[id] {
			return id, nil
		}
	}
	return 0, errors.Join(ErrNoFreeID, errors.New("all 65534 reverse-NAT ids are taken: fewer frontends must be wanted"))
}

// backends assigns ids to backends.
func (a *assigner) backends() error {
	held := a.heldBackends()
	rest := make([]state.Endpoint, 0, max(0, len(a.want.Backends)-held.Len()))
	for _, b := range a.want.Backends {
		if id, ok := a.known.Backends.Find(b.Endpoint); ok {
			a.out.Backends.Set(b.Endpoint, id)
		} else if id, ok := held.Find(b.Endpoint); ok {
			a.out.Backends.Set(b.Endpoint, id)
		} else {
			rest = append(rest, b.Endpoint)
		}
	}
	lost := map[state.Endpoint]uint32{}
	if a.cold && len(rest) > 0 {
		lost = a.lostIDs(rest)
	}
	for _, b := range rest {
		id, ok := lost[b]
		if !ok {
			var err error
			if id, err = a.newBackend(); err != nil {
				return err
			}
		}
		a.out.Backends.Set(b, id)
	}
	return nil
}

// heldBackends maps endpoints to the ids that the kernel holds them under; of
// two rows for one endpoint, the one that slots use.
func (a *assigner) heldBackends() layout.BackendIDs {
	held := layout.LedgerFor(0, a.dec.Ledger.Backends.Len()).Backends
	for _, table := range []layout.MapID{layout.Backends4, layout.Backends6} {
		for key, value := range a.have.Tables[table].All() {
			id, _ := layout.DecodeBackendID(key)
			b, _ := layout.DecodeBackend(value)
			if first, ok := held.Find(b.Endpoint); !ok || len(a.users[id]) > 0 && len(a.users[first]) == 0 {
				held.Set(b.Endpoint, id)
			}
		}
	}
	return held
}

// lostIDs finds the ids of wanted backends whose rows are damaged: the row is
// gone and exactly one backend of the frontend can be meant, or the row has the
// backend's address with another port or protocol and nobody wants that.
func (a *assigner) lostIDs(rest []state.Endpoint) map[state.Endpoint]uint32 {
	if len(a.takenBackend) == 0 && len(a.users) == 0 {
		return map[state.Endpoint]uint32{} // no row and no slot holds an id that could be lost
	}
	missing := map[state.Endpoint]bool{}
	for _, b := range rest {
		missing[b] = true
	}
	ids := a.byAddress(missing)
	given := map[uint32]bool{}
	for _, id := range ids {
		given[id] = true
	}
	for i := range a.want.Frontends {
		f := &a.want.Frontends[i]
		b, id, ok := a.onlyDangling(f, missing)
		if _, has := ids[b]; ok && !has && !given[id] && a.allWant(id, b) {
			ids[b], given[id] = id, true
		}
	}
	return ids
}

func (a *assigner) byAddress(missing map[state.Endpoint]bool) map[state.Endpoint]uint32 {
	wanted := map[state.Endpoint]bool{}
	byAddr := map[netip.Addr][]state.Endpoint{}
	for _, b := range a.want.Backends {
		wanted[b.Endpoint] = true
		if missing[b.Endpoint] {
			byAddr[b.Address] = append(byAddr[b.Address], b.Endpoint)
		}
	}
	ids := map[state.Endpoint]uint32{}
	for _, b := range a.dec.State.Backends {
		candidates := byAddr[b.Address]
		if wanted[b.Endpoint] || len(candidates) != 1 {
			continue
		}
		id, _ := a.dec.Ledger.Backends.Find(b.Endpoint)
		if _, has := ids[candidates[0]]; !has && a.allWant(id, candidates[0]) {
			ids[candidates[0]] = id
		}
	}
	return ids
}

// allWant tells whether every frontend that holds the id wants the backend:
// else the repaired row would lead some other frontend to it for a moment (I3).
func (a *assigner) allWant(id uint32, b state.Endpoint) bool {
	for _, name := range a.users[id] {
		if f := a.wanted[name]; f == nil || !contains(f, b) {
			return false
		}
	}
	return len(a.users[id]) > 0
}

// onlyDangling pairs a frontend's one missing backend with its one dangling id.
func (a *assigner) onlyDangling(f *state.Frontend, missing map[state.Endpoint]bool) (b state.Endpoint, id uint32, ok bool) {
	n := 0
	for i := range len(f.Backends) + len(f.Inactive) {
		if e := f.Slot(i); missing[e] {
			b, n = e, n+1
		}
	}
	if n != 1 {
		return b, 0, false
	}
	services, rows := a.have.Tables[layout.Services4], a.have.Tables[layout.Backends4]
	if !f.Address.Is4() {
		services, rows = a.have.Tables[layout.Services6], a.have.Tables[layout.Backends6]
	}
	dangling := 0
	for slot := uint16(1); ; slot++ {
		value, found := services.Find(layout.ServiceKey{FrontendName: f.FrontendName, Slot: slot}.Bytes())
		if !found {
			return b, id, dangling == 1
		}
		s, _ := layout.DecodeService(value)
		if _, there := rows.Find(layout.BackendID(s.Word)); !there && s.Word != 0 {
			id, dangling = s.Word, dangling+1
		}
	}
}

func (a *assigner) newBackend() (uint32, error) {
	for range 1 << 20 {
		a.out.LastBackend++
		if id := a.out.LastBackend; id != 0 && !a.takenBackend[id] {
			return id, nil // and never again, as ids only grow
		}
	}
	return 0, errors.Join(ErrNoFreeID, errors.New("a million backend ids in a row are taken"))
}
