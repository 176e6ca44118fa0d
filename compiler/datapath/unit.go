// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"cmp"
	"slices"
	"sync"

	"plumbline.dev/plumbline/schema/state"
)

// unitKind orders units as Compile goes through what they stand for.
type unitKind uint8

const (
	ofServices  unitKind = iota // services of one name, and the slices that name it
	ofSettings                  // all services that the settings declare
	ofPods                      // pods of one name
	ofRedirects                 // all policies that name an address
)

type unitKey struct {
	kind unitKind
	state.Name
}

func (k unitKey) compare(o unitKey) int {
	return cmp.Or(cmp.Compare(k.kind, o.kind), k.Name.Compare(o.Name))
}

// unit is the least that is compiled by itself, and what came of it.
type unit struct {
	unitKey
	services []*state.Service
	slices   []*keptSlice
	pods     []*state.Pod

	*outcome
	// lost are the frontends, as they are made, that are another's; nil is none.
	// claimed are all that were made then.
	lost      []bool
	claimed   []state.FrontendName
	contested []state.Notice // about them
}

func (u *unit) empty() bool {
	return u.kind != ofSettings && u.kind != ofRedirects && len(u.services)+len(u.slices)+len(u.pods) == 0
}

// claim calls f with each frontend that the unit would make if it were alone; with
// one that it makes in two roles, twice.
func (u *unit) claim(f func(state.FrontendName)) {
	if u.claimed != nil {
		for _, n := range u.claimed {
			f(n)
		}
		return
	}
	for i := range u.frontends {
		f(u.frontends[i].FrontendName)
	}
}

// outcome is what a unit adds to the State. Each list is sorted as a State's.
type outcome struct {
	frontends []state.Frontend
	ranges    []state.SourceRange
	matches   []state.AffinityMatch
	tables    []state.MaglevTable
	rows      rows
	wildcards []wildcard // one an address
	notices   []state.Notice
}

var nothing = &outcome{}

// reset makes a compiler ready for the next unit; what it reserved stays.
func (c *compiler) reset(lost []bool) {
	c.owners, c.frontends, c.sorted = c.owners[:0], c.frontends[:0], nil
	c.rows.v4, c.rows.v6 = c.rows.v4[:0], c.rows.v6[:0]
	c.ranges, c.matches, c.tables, c.wildcards = c.ranges[:0], c.matches[:0], c.tables[:0], c.wildcards[:0]
	c.notices, c.lost, c.made = nil, lost, 0
}

// unit compiles a unit in addition to what is there.
func (c *compiler) unit(u *unit) {
	switch u.kind {
	case ofSettings:
		c.declared()
	case ofRedirects:
		c.addresses()
	case ofPods:
		slices.SortFunc(u.pods, comparePods)
		c.pods(u.pods)
	default:
		slices.SortFunc(u.services, compareServices)
		slices.SortFunc(u.slices, func(a, b *keptSlice) int { return cmp.Compare(a.name, b.name) }) // all of one service
		list := make([]*state.EndpointSlice, len(u.slices))
		for i, k := range u.slices {
			list[i] = k.open(c.texts)
		}
		c.walk(u.services, list)
	}
}

// recompile compiles a unit by itself.
func (c *compiler) recompile(u *unit) {
	c.reset(u.lost)
	c.unit(u)
	u.outcome = c.outcome()
}

// alone compiles each of many units by itself: half of them beside the other half, as
// none knows of another.
func (c *compiler) alone(list []*unit) {
	half := len(list)
	var other sync.WaitGroup
	if len(list) >= manyUnits {
		half /= 2
		twin := c.twin()
		other.Go(func() {
			for _, u := range list[half:] {
				twin.recompile(u)
			}
		})
	}
	for _, u := range list[:half] {
		c.recompile(u)
	}
	other.Wait()
}

// twin is a compiler of the same, with nothing collected. What both have in common
// is not written while units are compiled.
func (c *compiler) twin() *compiler {
	return &compiler{
		settings: c.settings, rules: c.rules, node: c.node, node4: c.node4, node6: c.node6,
		redirects: c.redirects, addressed: c.addressed, proxied: c.proxied,
		block: c.block, seed: c.seed, tabled: c.tabled, texts: c.texts,
	}
}

// outcome copies what was collected, no larger than it is.
func (c *compiler) outcome() *outcome {
	o := &outcome{frontends: make([]state.Frontend, len(c.frontends)), wildcards: c.firstWildcards()}
	for i := range c.frontends {
		o.frontends[i] = c.frontends[i].Frontend
		c.judgeSlots(&o.frontends[i])
	}
	s := state.State{Frontends: o.frontends, SourceRanges: c.ranges, AffinityMatches: c.matches, Maglev: c.tables}
	s.Sort()
	o.ranges, o.matches, o.tables = exact(slices.Compact(c.ranges)), exact(c.matches), exact(c.tables)
	c.rows.compact()
	o.rows = rows{v4: exact(c.rows.v4), v6: exact(c.rows.v6)}
	o.notices = c.notices
	return o
}

// exact copies a list; of an empty one nothing is kept.
func exact[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	out := make([]T, len(list))
	copy(out, list)
	return out
}

// firstWildcards gives the wildcard of each address that rules.
func (c *compiler) firstWildcards() []wildcard {
	slices.SortFunc(c.wildcards, compareWildcards)
	return exact(slices.CompactFunc(c.wildcards, func(a, b wildcard) bool { return a.address == b.address }))
}

// part is a frontend of an outcome, and what hangs on it; the zero part is none.
type part struct {
	*outcome
	at int
}

func (p part) frontend() *state.Frontend {
	if p.outcome == nil {
		return nil
	}
	return &p.frontends[p.at]
}

func (p part) ranges(n state.FrontendName) []state.SourceRange {
	if p.outcome == nil {
		return nil
	}
	return state.Of(p.outcome.ranges, n)
}

func (p part) matches(n state.FrontendName) []state.AffinityMatch {
	if p.outcome == nil {
		return nil
	}
	return state.Of(p.outcome.matches, n)
}

func (p part) tables(n state.FrontendName) []state.MaglevTable {
	if p.outcome == nil {
		return nil
	}
	return state.Of(p.outcome.tables, n)
}

// same compares two parts of one name.
func (p part) same(o part) bool {
	a, b := p.frontend(), o.frontend()
	if a == nil || b == nil {
		return a == b
	}
	n := a.FrontendName
	return a.Same(b) && slices.Equal(p.ranges(n), o.ranges(n)) && slices.Equal(p.matches(n), o.matches(n)) &&
		slices.EqualFunc(p.tables(n), o.tables(n), state.MaglevTable.Same)
}
