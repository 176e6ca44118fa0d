// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"net/netip"
	"slices"
	"strings"

	"plumbline.dev/plumbline/schema/state"
)

// update is one Delta on its way into a Compiler.
type update struct {
	*Compiler
	changed  map[*unit]bool     // whose objects changed
	affected map[*unit]bool     // them, and whoever contests an address with them, before or after
	old      map[*unit]*outcome // of those that come out anew
	untold   bool               // nobody asks what has changed
	said     []state.Notice     // about the node, and names that stand twice

	names map[state.FrontendName]*exchange
	rows  map[state.Endpoint]rowBefore
	wilds map[netip.Addr]state.Frontend // as they were; the zero Frontend is none
}

// exchange is a frontend before and after.
type exchange struct {
	before, after part
	named         bool // to stand in the Change in any case
}

type rowBefore struct {
	state.Backend
	found bool
}

// manyUnits is from how many units on slots are reserved in blocks. A block stays
// for as long as one of its slots is in use, so single units do without.
const manyUnits = 64

func newUpdate(c *Compiler, n int) *update {
	return &update{
		Compiler: c, changed: make(map[*unit]bool, n), affected: make(map[*unit]bool, n), old: make(map[*unit]*outcome, n),
		names: map[state.FrontendName]*exchange{}, rows: map[state.Endpoint]rowBefore{}, wilds: map[netip.Addr]state.Frontend{},
	}
}

// unit finds a unit, or makes an empty one.
func (c *Compiler) unit(key unitKey) *unit {
	u := c.units[key]
	if u == nil {
		u = &unit{unitKey: key, outcome: nothing}
		c.units[key] = u
	}
	return u
}

// take puts the changed objects into their units.
func (u *update) take(d *state.Delta) {
	if d.Node != nil {
		u.place(*d.Node)
		u.said = slices.Clone(u.Compiler.said)
		for _, each := range u.units {
			u.changed[each] = true
		}
	}
	for name, list := range d.Services {
		at := u.unit(unitKey{ofServices, name})
		at.services = slices.Clone(list)
		u.changed[at] = true
	}
	for name, list := range d.Slices {
		u.takeSlice(name, list)
	}
	for name, list := range d.Pods {
		at := u.unit(unitKey{ofPods, name})
		at.pods = slices.Clone(list)
		u.changed[at] = true
	}
	u.takeRedirects(d)
	u.takeEnvoys(d)
}

// takeRedirects judges the redirect policies anew where they, the pods or the node
// have changed: there are few, and each may depend on any pod of its namespace.
// The services that they name, before and after, are compiled again.
func (u *update) takeRedirects(d *state.Delta) {
	for name, list := range d.Redirects {
		if u.policies[name] = slices.Clone(list); len(list) == 0 {
			delete(u.policies, name)
		}
	}
	if d.Node == nil && len(d.Redirects) == 0 && (len(u.policies) == 0 || len(d.Pods) == 0) {
		return
	}
	u.touchRedirects()
	u.placeRedirects()
	u.touchRedirects()
	u.said = append(u.said, u.Compiler.redirect...)
}

// touchRedirects marks what policies have a hand in.
func (u *update) touchRedirects() {
	for _, list := range u.run.redirects {
		namespace, name, _ := strings.Cut(list[0].service, "/")
		u.changed[u.unit(unitKey{ofServices, state.Name{Namespace: namespace, Name: name}})] = true
	}
	if at := (unitKey{kind: ofRedirects}); len(u.run.addressed) > 0 || u.units[at] != nil {
		u.changed[u.unit(at)] = true
	}
}

// takeEnvoys judges all Envoy configurations anew where one or the node has
// changed, and marks the services that they name, before and after.
func (u *update) takeEnvoys(d *state.Delta) {
	for name, list := range d.Envoys {
		if u.envoys[name] = slices.Clone(list); len(list) == 0 {
			delete(u.envoys, name)
		}
	}
	if d.Node == nil && len(d.Envoys) == 0 {
		return
	}
	u.touchProxied()
	var all []*state.EnvoyConfig
	for _, list := range u.envoys {
		all = append(all, list...)
	}
	slices.SortFunc(all, compareEnvoy)
	u.run.reset(nil)
	u.run.envoyConfigs(all)
	u.Compiler.envoy = u.run.notices
	u.touchProxied()
	u.said = append(u.said, u.Compiler.envoy...)
}

func (u *update) touchProxied() {
	for key := range u.run.proxied {
		u.changed[u.unit(unitKey{ofServices, envoyName(key)})] = true
	}
}

// placeRedirects judges all policies.
func (c *Compiler) placeRedirects() {
	var policies []*state.RedirectPolicy
	for _, list := range c.policies {
		policies = append(policies, list...)
	}
	slices.SortFunc(policies, comparePolicies)
	var pods []*state.Pod
	for key, u := range c.units {
		if key.kind == ofPods && len(policies) > 0 {
			pods = append(pods, u.pods...)
		}
	}
	slices.SortFunc(pods, comparePods)
	c.run.reset(nil)
	c.run.policies(policies, pods)
	c.redirect = c.run.notices
}

// takeSlice replaces the slices of one name. A slice belongs to the service that
// it names.
func (u *update) takeSlice(name state.Name, list []*state.EndpointSlice) {
	if old := u.slices[name]; old != nil {
		from := u.unit(unitKey{ofServices, state.Name{Namespace: name.Namespace, Name: old.service}})
		at := slices.Index(from.slices, old)
		from.slices = slices.Delete(from.slices, at, at+1)
		u.changed[from] = true
		delete(u.slices, name)
		delete(u.repeated, name)
	}
	if len(list) > 1 {
		list = slices.Clone(list)
		slices.SortFunc(list, compareSlices)
		u.run.reset(nil)
		list = u.run.dropRepeatedSlices(list)
		u.repeated[name] = u.run.notices
		u.said = append(u.said, u.run.notices...)
	}
	for _, slice := range list {
		to := u.unit(unitKey{ofServices, state.Name{Namespace: name.Namespace, Name: slice.Service}})
		kept := keep(slice)
		to.slices = append(to.slices, kept)
		u.changed[to] = true
		u.slices[name] = kept
	}
}

// compile compiles the changed units as if each were alone.
func (u *update) compile() {
	for each := range u.changed {
		u.claims.reach(each, u.affected)
	}
	u.run.arena, u.run.block = nil, 0
	if len(u.changed) >= manyUnits {
		u.run.block = wholeBlock
	}
	list := make([]*unit, 0, len(u.changed))
	for each := range u.changed {
		each.claim(func(n state.FrontendName) { u.claims.drop(n, each) })
		each.lost, each.claimed = nil, nil
		u.old[each] = each.outcome
		list = append(list, each)
	}
	u.run.alone(list)
	for each := range u.changed {
		each.claim(func(n state.FrontendName) { u.claims.add(n, each) })
	}
}

// recompile compiles a unit but for the frontends that it has lost.
func (u *update) recompile(each *unit) {
	if _, again := u.old[each]; !again {
		u.old[each] = each.outcome
	}
	u.run.recompile(each)
}

// settle goes through the contests that any affected unit is in or was in.
func (u *update) settle() {
	seen := map[*unit]bool{}
	for each := range u.affected {
		group := u.claims.reach(each, seen)
		if len(group) > 1 || len(group) == 1 && u.claims.contests(each) {
			u.contest(group)
		} else if len(group) == 1 {
			u.contested(each, nil, nil)
			each.contested = nil
		}
	}
	u.affected = seen
}

// contest compiles all who contest addresses among each other together, as
// Compile does, and again without what each has lost.
func (u *update) contest(group []*unit) {
	slices.SortFunc(group, func(a, b *unit) int { return a.compare(b.unitKey) })
	u.run.reset(nil)
	ends := make([]int, len(group))
	for i, each := range group {
		u.run.unit(each)
		ends[i] = u.run.made
	}
	names := make([]state.FrontendName, len(u.run.frontends))
	for i := range names {
		names[i] = u.run.frontends[i].FrontendName
	}
	lost, said := u.run.settle(u.run.contests())
	from := 0
	for i, each := range group {
		u.contested(each, lost[from:ends[i]], names[from:ends[i]])
		each.contested, from = nil, ends[i]
	}
	group[0].contested = said
}

// contested says which of a unit's frontends are another's.
func (u *update) contested(each *unit, lost []bool, claimed []state.FrontendName) {
	if !slices.Contains(lost, true) {
		lost, claimed = nil, nil
	}
	if slices.Equal(lost, each.lost) {
		return
	}
	each.lost, each.claimed = slices.Clone(lost), slices.Clone(claimed)
	u.recompile(each)
}

// exchange puts the new outcomes in the place of the old.
func (u *update) exchange() {
	for each, old := range u.old {
		u.count(old, -1)
		u.drop(each, old)
	}
	for each := range u.old {
		u.count(each.outcome, 1)
		u.add(each)
	}
	for each := range u.affected {
		u.hear(each)
		if each.empty() {
			delete(u.units, each.unitKey)
		}
	}
}

// hear notes whether there is something to say about a unit.
func (u *update) hear(each *unit) {
	if u.noisy[each] {
		u.errors--
	}
	delete(u.noisy, each)
	if len(each.notices)+len(each.contested) == 0 {
		return
	}
	wrong := failed(each.notices) || failed(each.contested)
	if u.noisy[each] = wrong; wrong {
		u.errors++
	}
}

func (u *update) count(o *outcome, sign int) {
	for i := range o.frontends {
		u.usage.frontend(&o.frontends[i], sign)
	}
	u.usage.details(o.tables, o.ranges, o.matches, sign)
}

func (u *update) name(n state.FrontendName) *exchange {
	x := u.names[n]
	if x == nil {
		x = &exchange{}
		u.names[n] = x
	}
	return x
}

func (u *update) drop(each *unit, o *outcome) {
	for i := range o.frontends {
		if !u.untold {
			u.name(o.frontends[i].FrontendName).before = part{o, i}
		}
	}
	o.rows.each(func(b state.Backend) {
		u.note(b.Endpoint)
		u.Compiler.rows.drop(each, b.Endpoint)
	})
	for _, w := range o.wildcards {
		u.noteWildcard(w.address)
		u.wild.drop(each, w)
	}
}

func (u *update) add(each *unit) {
	for i := range each.frontends {
		if !u.untold {
			u.name(each.frontends[i].FrontendName).after = part{each.outcome, i}
		}
	}
	each.outcome.rows.each(func(b state.Backend) {
		u.note(b.Endpoint)
		u.Compiler.rows.add(each, b)
	})
	for _, w := range each.wildcards {
		u.noteWildcard(w.address)
		u.wild.add(each, w)
	}
}

// note remembers what a row was before it is touched.
func (u *update) note(e state.Endpoint) {
	if _, noted := u.rows[e]; !noted && !u.untold {
		b, found := u.Compiler.rows.find(e)
		u.rows[e] = rowBefore{b, found}
	}
}

func (u *update) noteWildcard(a netip.Addr) {
	if _, noted := u.wilds[a]; !noted {
		u.wilds[a], _ = u.wild.frontend(a)
	}
}

// change gives what has changed, and remembers it for State.
func (u *update) change() *state.Change {
	c := &state.Change{Before: &state.State{Layout: u.settings.Layout}, After: &state.State{Layout: u.settings.Layout}}
	if len(u.changed) > len(u.units)/2 {
		u.last = nil // to put it together anew is less work
	}
	u.changeRows(c)
	for n, x := range u.names {
		if x.before.same(x.after) {
			if x.before.outcome != x.after.outcome { // share what is equal
				*x.after.frontend() = *x.before.frontend()
			}
			if !x.named {
				continue
			}
		} else if u.last != nil {
			u.Compiler.changed[n] = x.after
		}
		x.before.put(c.Before)
		x.after.put(c.After)
	}
	for a, before := range u.wilds {
		u.changeWildcard(a, before, c)
	}
	c.Before.Sort()
	c.After.Sort()
	return c
}

// put adds a part to a State.
func (p part) put(s *state.State) {
	if f := p.frontend(); f != nil {
		n := f.FrontendName
		s.Frontends = append(s.Frontends, *f)
		s.SourceRanges = append(s.SourceRanges, p.ranges(n)...)
		s.AffinityMatches = append(s.AffinityMatches, p.matches(n)...)
		s.Maglev = append(s.Maglev, p.tables(n)...)
	}
}

func (u *update) changeWildcard(a netip.Addr, before state.Frontend, c *state.Change) {
	after, found := u.wild.frontend(a)
	was := before.Address.IsValid()
	if was == found && before.Same(&after) {
		return
	}
	if was {
		c.Before.Frontends = append(c.Before.Frontends, before)
		u.usage.frontend(&before, -1)
	}
	if found {
		c.After.Frontends = append(c.After.Frontends, after)
		u.usage.frontend(&after, 1)
	}
	if u.last != nil {
		u.Compiler.changed[wildcardAt(a)] = part{}
	}
}

// changeRows gives the rows that differ, and names the frontends that lead to one
// that differs and is there before and after.
func (u *update) changeRows(c *state.Change) {
	differing, users := map[state.Endpoint]bool{}, map[*unit]bool{}
	for e, before := range u.rows {
		after, found := u.Compiler.rows.find(e)
		if found == before.found && after == before.Backend {
			continue
		}
		if u.last != nil {
			u.changedRows[e] = true
		}
		if before.found {
			c.Before.Backends = append(c.Before.Backends, before.Backend)
			u.usage.backends[of(e.Address)]--
		}
		if found {
			c.After.Backends = append(c.After.Backends, after)
			u.usage.backends[of(e.Address)]++
		}
		if before.found && found {
			differing[e] = true
			u.Compiler.rows.users(e, func(each *unit) { users[each] = true })
		}
	}
	for each := range users {
		u.nameUses(each, differing)
	}
}

func (u *update) nameUses(each *unit, differing map[state.Endpoint]bool) {
	for i := range each.frontends {
		if f := &each.frontends[i]; f.LeadsTo(differing) {
			x := u.names[f.FrontendName]
			if x == nil {
				x = u.name(f.FrontendName)
				x.before, x.after = part{each.outcome, i}, part{each.outcome, i}
			}
			x.named = true
		}
	}
}

// notices gives what there is to say about the units that were concerned.
func (u *update) notices() []state.Notice {
	list := append(u.said, u.sizes()...)
	for each := range u.affected {
		list = append(append(list, each.notices...), each.contested...)
	}
	return sortNotices(list)
}
