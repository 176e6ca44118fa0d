// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"

	"plumbline.dev/plumbline/schema/state"
)

// claims say which units would make a frontend.
type claims struct {
	sole      map[state.FrontendName]*unit
	contested map[state.FrontendName][]*unit // two at least; a unit may stand there twice
}

func newClaims() claims {
	return claims{map[state.FrontendName]*unit{}, map[state.FrontendName][]*unit{}}
}

func (c *claims) add(n state.FrontendName, u *unit) {
	if list := c.contested[n]; list != nil {
		c.contested[n] = append(list, u)
		return
	}
	if first := c.sole[n]; first != nil {
		delete(c.sole, n)
		c.contested[n] = []*unit{first, u}
		return
	}
	c.sole[n] = u
}

func (c *claims) drop(n state.FrontendName, u *unit) {
	list := c.contested[n]
	if list == nil {
		delete(c.sole, n)
		return
	}
	if at := slices.Index(list, u); at >= 0 {
		list = slices.Delete(list, at, at+1)
	}
	if c.contested[n] = list; len(list) == 1 {
		delete(c.contested, n)
		c.sole[n] = list[0]
	}
}

// reach adds to seen all units that contest an address with u, or with one that
// does, and gives those that were not there, u first.
func (c *claims) reach(u *unit, seen map[*unit]bool) []*unit {
	if seen[u] {
		return nil
	}
	seen[u] = true
	found := []*unit{u}
	if len(c.contested) == 0 {
		return found
	}
	for i := 0; i < len(found); i++ {
		found[i].claim(func(n state.FrontendName) {
			for _, other := range c.contested[n] {
				if !seen[other] {
					seen[other] = true
					found = append(found, other)
				}
			}
		})
	}
	return found
}

// contests tells whether any frontend of the unit is claimed twice.
func (c *claims) contests(u *unit) (found bool) {
	if len(c.contested) > 0 {
		u.claim(func(n state.FrontendName) { found = found || c.contested[n] != nil })
	}
	return found
}

// share is a backend as one unit sees it.
type share struct {
	unit  *unit
	state state.BackendState
	zone  uint8
}

func (s share) compare(o share) int {
	return cmp.Or(cmp.Compare(s.state, o.state), cmp.Compare(o.zone, s.zone))
}

// sharedRows say how each unit sees a backend. Nearly all backends have one unit.
type sharedRows struct {
	v4   map[uint64]share // by address, port and protocol
	v6   map[state.Endpoint]share
	more map[state.Endpoint][]share // beside the first
}

func newSharedRows() sharedRows {
	return sharedRows{map[uint64]share{}, map[state.Endpoint]share{}, map[state.Endpoint][]share{}}
}

// keyOf gives the key of an IPv4 backend: row4's without its state.
func keyOf(e state.Endpoint) uint64 {
	a := e.Address.As4()
	return uint64(binary.BigEndian.Uint32(a[:]))<<24 | uint64(e.Port)<<8 | uint64(e.Protocol)
}

func (r *sharedRows) first(e state.Endpoint) (share, bool) {
	if e.Address.Is4() {
		s, found := r.v4[keyOf(e)]
		return s, found
	}
	s, found := r.v6[e]
	return s, found
}

func (r *sharedRows) set(e state.Endpoint, s share) {
	if e.Address.Is4() {
		r.v4[keyOf(e)] = s
		return
	}
	r.v6[e] = s
}

// add notes how a unit sees a backend; each does once.
func (r *sharedRows) add(u *unit, b state.Backend) {
	s := share{u, b.State, b.Zone}
	if _, found := r.first(b.Endpoint); found {
		r.more[b.Endpoint] = append(r.more[b.Endpoint], s)
		return
	}
	r.set(b.Endpoint, s)
}

func (r *sharedRows) drop(u *unit, e state.Endpoint) {
	first, _ := r.first(e)
	more := r.more[e]
	switch {
	case first.unit != u:
		more = slices.DeleteFunc(more, func(s share) bool { return s.unit == u })
	case len(more) > 0:
		r.set(e, more[len(more)-1])
		more = more[:len(more)-1]
	case e.Address.Is4():
		delete(r.v4, keyOf(e))
	default:
		delete(r.v6, e)
	}
	if len(more) > 0 {
		r.more[e] = more
	} else if r.more != nil {
		delete(r.more, e)
	}
}

// find gives a backend as all units together see it: see rows.merge.
func (r *sharedRows) find(e state.Endpoint) (state.Backend, bool) {
	best, found := r.first(e)
	for _, s := range r.more[e] {
		if s.compare(best) < 0 {
			best = s
		}
	}
	return state.Backend{Endpoint: e, State: best.state, Zone: best.zone}, found
}

// users calls f with each unit that has the backend.
func (r *sharedRows) users(e state.Endpoint, f func(*unit)) {
	if first, found := r.first(e); found {
		f(first.unit)
	}
	for _, s := range r.more[e] {
		f(s.unit)
	}
}

// merged gives all backends, sorted.
func (r *sharedRows) merged() []state.Backend {
	if len(r.more)+len(r.v6) == 0 {
		return r.alone()
	}
	all := rows{v4: make([]row4, 0, len(r.v4))}
	for key, s := range r.v4 {
		all.v4 = append(all.v4, row4{key<<8 | uint64(s.state), s.zone})
	}
	for e, s := range r.v6 {
		all.v6 = append(all.v6, state.Backend{Endpoint: e, State: s.state, Zone: s.zone})
	}
	for e, list := range r.more {
		for _, s := range list {
			all.add(state.Backend{Endpoint: e, State: s.state, Zone: s.zone})
		}
	}
	return all.merge()
}

// alone is merged where each backend has one unit and is of IPv4, as a rule: then
// numbers alone are sorted.
func (r *sharedRows) alone() []state.Backend {
	if len(r.v4) == 0 {
		return nil
	}
	keys := make([]uint64, 0, len(r.v4))
	for key, s := range r.v4 {
		keys = append(keys, key<<8|uint64(s.state))
	}
	slices.Sort(keys)
	list := make([]state.Backend, len(keys))
	for i, key := range keys {
		list[i] = row4{key, r.v4[key>>8].zone}.backend()
	}
	return list
}

// wildcards hold who has an address for all of its ports.
type wildcards map[netip.Addr][]wildcardOf

type wildcardOf struct {
	*unit
	wildcard
}

func (w wildcards) add(u *unit, of wildcard) {
	w[of.address] = append(w[of.address], wildcardOf{u, of})
}

func (w wildcards) drop(u *unit, of wildcard) {
	list := slices.DeleteFunc(w[of.address], func(x wildcardOf) bool { return x.unit == u })
	if w[of.address] = list; len(list) == 0 {
		delete(w, of.address)
	}
}

// frontend gives an address' entry.
func (w wildcards) frontend(a netip.Addr) (state.Frontend, bool) {
	list := w[a]
	if len(list) == 0 {
		return state.Frontend{}, false
	}
	first := slices.MinFunc(list, func(a, b wildcardOf) int { return compareWildcards(a.wildcard, b.wildcard) })
	return first.frontend(), true
}
