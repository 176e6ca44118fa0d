// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"net/netip"
	"slices"

	"plumbline.dev/plumbline/schema/state"
)

// Compiler compiles what Compile does and then again only what a change
// concerns: the services whose objects changed and those that contest an address
// with them. After any Deltas its State and Notices are those that Compile gives
// for the Snapshot that they add up to (I9). It is pure as Compile is, and used by
// one goroutine at a time. A change of the node recompiles everything, since each
// service may depend on it.
type Compiler struct {
	settings *state.Settings
	node     state.Node
	run      *compiler // what a unit is compiled with
	usable   bool      // the settings allow for entries at all
	said     []state.Notice

	units    map[unitKey]*unit
	slices   map[state.Name]*keptSlice     // the one of each name that counts
	texts    *texts                        // of the slices
	repeated map[state.Name][]state.Notice // about the others
	noisy    map[*unit]bool                // of whom there is something to say; true: an Error
	errors   int                           // how many of them

	policies map[state.Name][]*state.RedirectPolicy
	redirect []state.Notice // about them
	envoys   map[state.Name][]*state.EnvoyConfig
	envoy    []state.Notice // about them

	claims claims
	rows   sharedRows
	wild   wildcards
	usage  usage

	// last is what State gave last; nil is nothing. changed and changedRows are
	// what has changed since.
	last        *state.State
	changed     map[state.FrontendName]part
	changedRows map[state.Endpoint]bool
}

// New makes a Compiler of an empty Snapshot: without a node, services and pods.
// The settings must not be changed while it is in use.
func New(settings *state.Settings) *Compiler {
	if settings == nil {
		settings = &state.Settings{}
	}
	c := &Compiler{
		settings: settings, units: map[unitKey]*unit{}, slices: map[state.Name]*keptSlice{}, texts: newTexts(),
		repeated: map[state.Name][]state.Notice{}, noisy: map[*unit]bool{},
		policies: map[state.Name][]*state.RedirectPolicy{}, envoys: map[state.Name][]*state.EnvoyConfig{},
		claims: newClaims(), rows: newSharedRows(), wild: wildcards{},
		changed: map[state.FrontendName]part{}, changedRows: map[state.Endpoint]bool{},
	}
	c.place(state.Node{})
	c.placeRedirects()
	if len(settings.Services) > 0 {
		c.unit(unitKey{kind: ofSettings})
		c.Apply(&state.Delta{Node: &state.Node{}})
	}
	return c
}

// place puts the Compiler on a node.
func (c *Compiler) place(node state.Node) {
	c.node, c.last = node, nil // its devices' programs are others
	before := c.run
	c.run = newCompiler(c.settings, &state.Snapshot{Node: node})
	c.run.node = &c.node
	c.run.texts = c.texts
	if before != nil { // for what they had a hand in
		c.run.redirects, c.run.addressed, c.run.proxied = before.redirects, before.addressed, before.proxied
	}
	if c.usable = c.run.settingsUsable(); c.usable {
		c.run.judgeNode()
	}
	c.said = slices.Clone(c.run.notices)
}

// Apply takes a Delta in. It gives what the State has otherwise now, and what
// there is to say about what was recompiled and about the sizes of the maps;
// Notices gives all that there is to say.
func (c *Compiler) Apply(d *state.Delta) (*state.Change, []state.Notice) {
	u := newUpdate(c, 0)
	u.take(d)
	if !c.usable {
		return u.change(), sortNotices(slices.Clone(c.said))
	}
	u.compile()
	u.settle()
	u.exchange()
	c.pack(u.changed)
	return u.change(), u.notices()
}

// Load takes a Delta in as Apply does, for less where it is most of the Snapshot: it
// does not tell what the State has otherwise.
func (c *Compiler) Load(d *state.Delta) {
	c.expect(d)
	u := newUpdate(c, len(d.Services))
	u.untold = true
	u.take(d)
	c.last, c.changed, c.changedRows = nil, map[state.FrontendName]part{}, map[state.Endpoint]bool{}
	if !c.usable {
		return
	}
	u.compile()
	u.settle()
	packed := make(chan struct{})
	go func() { // which looks at nothing that exchange does
		c.pack(u.changed)
		close(packed)
	}()
	u.exchange()
	<-packed
	c.usage.backends = [2]int{len(c.rows.v4), len(c.rows.v6)}
	for a, before := range u.wilds {
		u.changeWildcard(a, before, &state.Change{Before: &state.State{}, After: &state.State{}})
	}
}

// expect makes room for the first objects: maps that grow cost more than what is put
// into them.
func (c *Compiler) expect(d *state.Delta) {
	if len(c.units) > 0 {
		return
	}
	endpoints := 0
	for _, list := range d.Slices {
		for _, s := range list {
			endpoints += len(s.Endpoints) * len(s.Ports)
		}
	}
	c.units, c.slices = make(map[unitKey]*unit, len(d.Services)), make(map[state.Name]*keptSlice, len(d.Slices))
	c.claims.sole = make(map[state.FrontendName]*unit, len(d.Services))
	c.rows.v4 = make(map[uint64]share, endpoints)
}

// Notices gives all that there is to say about the Snapshot, as Compile does.
func (c *Compiler) Notices() []state.Notice {
	list := slices.Clone(c.said)
	if c.usable {
		list = append(append(list, c.redirect...), c.envoy...)
	}
	for u := range c.noisy {
		list = append(append(list, u.notices...), u.contested...)
	}
	if !c.usable {
		return sortNotices(list)
	}
	for _, said := range c.repeated {
		list = append(list, said...)
	}
	return sortNotices(append(list, c.sizes()...))
}

// Failed tells whether any of Notices is an Error: then something of the Snapshot
// was not understood, and nothing may be pruned by the State (I2).
func (c *Compiler) Failed() bool {
	return c.errors > 0 || len(c.repeated) > 0 || failed(c.said) || c.usable && (failed(c.redirect) || failed(c.envoy) || failed(c.sizes()))
}

func failed(list []state.Notice) bool {
	return slices.ContainsFunc(list, func(n state.Notice) bool { return n.Severity == state.Error })
}

// sizes compares the entries with what the maps can hold.
func (c *Compiler) sizes() []state.Notice {
	c.run.reset(nil)
	c.run.judgeUsage(c.usage)
	return c.run.notices
}

// State gives the whole State. It costs what is large, but for a second call
// without a change between; who follows the Changes needs it for audits only. It
// must not be changed.
func (c *Compiler) State() *state.State {
	switch {
	case !c.usable:
		return &state.State{Layout: c.settings.Layout}
	case c.last == nil:
		c.last = c.assemble()
	case len(c.changed)+len(c.changedRows) > 0:
		c.last = c.catchUp(c.last)
	}
	if len(c.changed)+len(c.changedRows) > 0 { // a map that was cleared keeps its room
		c.changed, c.changedRows = map[state.FrontendName]part{}, map[state.Endpoint]bool{}
	}
	return c.last
}

// assemble makes the State of all units.
func (c *Compiler) assemble() *state.State {
	backends := make(chan []state.Backend)
	go func() { backends <- c.rows.merged() }()
	s := &state.State{Layout: c.settings.Layout, Attachments: Attachments(c.settings, &c.node), Maps: Maps(c.settings)}
	s.Frontends = make([]state.Frontend, 0, c.usage.reverse[0]+c.usage.reverse[1]+len(c.wild))
	for _, u := range c.units {
		s.Frontends = append(s.Frontends, u.frontends...)
		s.SourceRanges = append(s.SourceRanges, u.ranges...)
		s.AffinityMatches = append(s.AffinityMatches, u.matches...)
		s.Maglev = append(s.Maglev, u.tables...)
	}
	for a := range c.wild {
		f, _ := c.wild.frontend(a)
		s.Frontends = append(s.Frontends, f)
	}
	s.Sort()
	s.Backends = <-backends // which are sorted
	return whole(s)
}

// whole gives a State in the form of Compile's: without lists that are empty.
func whole(s *state.State) *state.State {
	if len(s.Frontends) == 0 {
		s.Frontends = nil
	}
	if len(s.Backends) == 0 {
		s.Backends = nil
	}
	if len(s.SourceRanges) == 0 {
		s.SourceRanges = nil
	}
	if len(s.AffinityMatches) == 0 {
		s.AffinityMatches = nil
	}
	if len(s.Maglev) == 0 {
		s.Maglev = nil
	}
	return s
}

// catchUp gives the State that was and what has changed since.
func (c *Compiler) catchUp(old *state.State) *state.State {
	change := &state.Change{Before: &state.State{}, After: &state.State{}}
	for n, p := range c.changed {
		change.Before.Frontends = append(change.Before.Frontends, state.Frontend{FrontendName: n})
		if !wildcardName(n) {
			p.put(change.After)
		} else if f, found := c.wild.frontend(n.Address); found {
			change.After.Frontends = append(change.After.Frontends, f)
		}
	}
	for e := range c.changedRows {
		change.Before.Backends = append(change.Before.Backends, state.Backend{Endpoint: e})
		if b, found := c.rows.find(e); found {
			change.After.Backends = append(change.After.Backends, b)
		}
	}
	change.After.Sort()
	return change.Do(old)
}

func wildcardName(n state.FrontendName) bool { return n.Port == 0 && n.Protocol == state.Any }

func wildcardAt(a netip.Addr) state.FrontendName {
	return state.FrontendName{Endpoint: state.Endpoint{Address: a}}
}
