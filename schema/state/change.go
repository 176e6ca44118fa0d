// SPDX-License-Identifier: Apache-2.0

package state

import (
	"maps"
	"slices"
	"sort"
)

// Change is what one State has otherwise than the one before it, as two partial
// States in canonical order: Before has what differs as it was, After as it is.
//
// A frontend stands in one of them, or in both, where anything of it differs; with
// it stand all of its source ranges, affinity matches and its Maglev table. A
// frontend stands in both, too, where the row of a backend of its slots differs.
// A backend stands there where its own row differs. Attachments and maps follow
// from the settings alone and stand in neither.
type Change struct{ Before, After *State }

// Empty tells whether nothing differs.
func (c *Change) Empty() bool {
	return len(c.Before.Frontends)+len(c.Before.Backends)+len(c.After.Frontends)+len(c.After.Backends) == 0
}

// Between compares two canonical States of one layout. It costs what they are
// large; who compiles can tell for less.
func Between(before, after *State) *Change {
	names := changedFrontends(before, after)
	rows := changedBackends(before.Backends, after.Backends)
	kept := map[Endpoint]bool{}
	for _, b := range rows {
		kept[b] = !isNew(before.Backends, b) && !isNew(after.Backends, b)
	}
	if slices.Contains(slices.Collect(maps.Values(kept)), true) {
		for i := range after.Frontends {
			if f := &after.Frontends[i]; f.LeadsTo(kept) {
				names = append(names, f.FrontendName)
			}
		}
	}
	slices.SortFunc(names, FrontendName.Compare)
	names = slices.Compact(names)
	return &Change{Before: before.part(names, rows), After: after.part(names, rows)}
}

// LeadsTo tells whether any slot leads to a backend of the set.
func (f *Frontend) LeadsTo(set map[Endpoint]bool) bool {
	for i := range len(f.Backends) + len(f.Inactive) {
		if set[f.Slot(i)] {
			return true
		}
	}
	return false
}

func isNew(list []Backend, e Endpoint) bool {
	_, found := slices.BinarySearchFunc(list, e, Backend.compareEndpoint)
	return !found
}

func (b Backend) compareEndpoint(e Endpoint) int { return b.Endpoint.Compare(e) }

// part gives a State's frontends of the names, with what hangs on them, and the
// backends; names and backends are sorted, and not all need be there.
func (s *State) part(names []FrontendName, backends []Endpoint) *State {
	out := &State{Layout: s.Layout}
	for _, n := range names {
		if i, found := slices.BinarySearchFunc(s.Frontends, n, func(f Frontend, n FrontendName) int { return f.Compare(n) }); found {
			out.Frontends = append(out.Frontends, s.Frontends[i])
		}
		out.SourceRanges = append(out.SourceRanges, Of(s.SourceRanges, n)...)
		out.AffinityMatches = append(out.AffinityMatches, Of(s.AffinityMatches, n)...)
		out.Maglev = append(out.Maglev, Of(s.Maglev, n)...)
	}
	for _, e := range backends {
		if i, found := slices.BinarySearchFunc(s.Backends, e, Backend.compareEndpoint); found {
			out.Backends = append(out.Backends, s.Backends[i])
		}
	}
	return out
}

// belonging is what hangs on a frontend.
type belonging interface {
	SourceRange | AffinityMatch | MaglevTable
	on() FrontendName
}

func (r SourceRange) on() FrontendName   { return r.Frontend }
func (m AffinityMatch) on() FrontendName { return m.Frontend }
func (t MaglevTable) on() FrontendName   { return t.Frontend }

// Of gives the part of a sorted list that hangs on a frontend; it is the list's own.
func Of[T belonging](list []T, n FrontendName) []T {
	i, found := slices.BinarySearchFunc(list, n, func(x T, n FrontendName) int { return x.on().Compare(n) })
	if !found {
		return nil
	}
	j := i
	for j < len(list) && list[j].on() == n {
		j++
	}
	return list[i:j:j]
}

func changedFrontends(before, after *State) []FrontendName {
	var names []FrontendName
	a, b := before.Frontends, after.Frontends
	for len(a) > 0 || len(b) > 0 {
		switch c := compareHeads(a, b, func(x, y *Frontend) int { return x.Compare(y.FrontendName) }); {
		case c < 0:
			names, a = append(names, a[0].FrontendName), a[1:]
		case c > 0:
			names, b = append(names, b[0].FrontendName), b[1:]
		default:
			if n := a[0].FrontendName; !a[0].Same(&b[0]) || !sameBelongings(before, after, n) {
				names = append(names, n)
			}
			a, b = a[1:], b[1:]
		}
	}
	return names
}

func sameBelongings(a, b *State, n FrontendName) bool {
	return slices.Equal(Of(a.SourceRanges, n), Of(b.SourceRanges, n)) &&
		slices.Equal(Of(a.AffinityMatches, n), Of(b.AffinityMatches, n)) &&
		slices.EqualFunc(Of(a.Maglev, n), Of(b.Maglev, n), MaglevTable.Same)
}

// Same compares tables; a digest stands for its slots.
func (t MaglevTable) Same(o MaglevTable) bool {
	return t.Frontend == o.Frontend && t.TableSize == o.TableSize && t.Digest == o.Digest
}

// Same compares all but ids.
func (f *Frontend) Same(o *Frontend) bool {
	return f.FrontendName == o.FrontendName && f.Type == o.Type && f.Flags == o.Flags && f.Algorithm == o.Algorithm &&
		f.AffinityTimeoutSeconds == o.AffinityTimeoutSeconds && f.L7ProxyPort == o.L7ProxyPort && f.Service == o.Service &&
		f.PortName == o.PortName && slices.Equal(f.Backends, o.Backends) && slices.Equal(f.Inactive, o.Inactive)
}

func changedBackends(a, b []Backend) []Endpoint {
	var list []Endpoint
	for len(a) > 0 || len(b) > 0 {
		switch c := compareHeads(a, b, func(x, y *Backend) int { return x.Compare(y.Endpoint) }); {
		case c < 0:
			list, a = append(list, a[0].Endpoint), a[1:]
		case c > 0:
			list, b = append(list, b[0].Endpoint), b[1:]
		default:
			if a[0] != b[0] {
				list = append(list, a[0].Endpoint)
			}
			a, b = a[1:], b[1:]
		}
	}
	return list
}

// compareHeads compares the first of two lists; a list that has ended is last.
func compareHeads[T any](a, b []T, compare func(a, b *T) int) int {
	switch {
	case len(a) == 0:
		return 1
	case len(b) == 0:
		return -1
	}
	return compare(&a[0], &b[0])
}

// Do gives the State that a canonical one becomes by the change. It costs what the
// State is large; neither is changed.
func (c *Change) Do(old *State) *State { return old.replace(c.Before, c.After) }

// Undo gives the State of which Do made this one.
func (c *Change) Undo(now *State) *State { return now.replace(c.After, c.Before) }

// replace gives the State without what was and with what is. Lists without
// anything are nil.
func (s *State) replace(was, is *State) *State {
	names := make([]FrontendName, 0, len(was.Frontends)+len(is.Frontends))
	rows := make([]Endpoint, 0, len(was.Backends)+len(is.Backends))
	for _, part := range []*State{was, is} {
		for i := range part.Frontends {
			names = append(names, part.Frontends[i].FrontendName)
		}
		for i := range part.Backends {
			rows = append(rows, part.Backends[i].Endpoint)
		}
	}
	slices.SortFunc(names, FrontendName.Compare)
	slices.SortFunc(rows, Endpoint.Compare)
	names, rows = slices.Compact(names), slices.Compact(rows)
	out := *s
	out.Frontends = splice(s.Frontends, is.Frontends, names, func(f *Frontend, n FrontendName) int { return f.Compare(n) })
	out.Backends = splice(s.Backends, is.Backends, rows, func(b *Backend, e Endpoint) int { return b.Compare(e) })
	out.SourceRanges = splice(s.SourceRanges, is.SourceRanges, names, func(r *SourceRange, n FrontendName) int { return r.Frontend.Compare(n) })
	out.AffinityMatches = splice(s.AffinityMatches, is.AffinityMatches, names, func(m *AffinityMatch, n FrontendName) int { return m.Frontend.Compare(n) })
	out.Maglev = splice(s.Maglev, is.Maglev, names, func(t *MaglevTable, n FrontendName) int { return t.Frontend.Compare(n) })
	return &out
}

// splice copies a sorted list, with what is under the keys replaced by what is
// under them in the other; all three are sorted.
func splice[T, K any](old, now []T, keys []K, compare func(*T, K) int) []T {
	if len(old)+len(now) == 0 {
		return nil
	}
	under := func(list []T, k K) int {
		i := 0
		for i < len(list) && compare(&list[i], k) == 0 {
			i++
		}
		return i
	}
	out := make([]T, 0, len(old)+len(now))
	for _, k := range keys {
		at := sort.Search(len(old), func(i int) bool { return compare(&old[i], k) >= 0 })
		out = append(out, old[:at]...)
		old = old[at+under(old[at:], k):]
		n := under(now, k)
		out, now = append(out, now[:n]...), now[n:]
	}
	if out = append(out, old...); len(out) == 0 {
		return nil
	}
	return out
}
