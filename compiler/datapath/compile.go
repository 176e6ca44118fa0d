// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"plumbline.dev/plumbline/schema/state"
)

// Compile gives the State that the node of the snapshot should hold, and what
// there is to say about the input. The State is complete as far as the input
// could be understood; whoever prunes by it must look for an Error among the
// Notices first (I2). Neither argument is changed, and the State's frontends
// share slices of backends: they are to be read, not sorted.
func Compile(settings *state.Settings, snapshot *state.Snapshot) (*state.State, []state.Notice) {
	if settings == nil {
		settings = &state.Settings{}
	}
	if snapshot == nil {
		snapshot = &state.Snapshot{}
	}
	c := newCompiler(settings, snapshot)
	if !c.settingsUsable() {
		return &state.State{Layout: settings.Layout}, sortNotices(c.notices)
	}
	c.run(snapshot)
	if contested := c.contests(); len(contested) > 0 {
		lost, notices := c.settle(contested)
		c = newCompiler(settings, snapshot)
		c.settingsUsable()
		c.lost, c.notices = lost, append(c.notices, notices...)
		c.run(snapshot)
	}
	return c.finish(), sortNotices(c.notices)
}

// compiler collects entries in the order in which it meets their services;
// finish brings them into the State's.
type compiler struct {
	settings *state.Settings
	rules    rules
	node     *state.Node
	node4    []netip.Addr // that get a node-port entry, sorted
	node6    []netip.Addr

	owners    []owner
	frontends []frontend
	rows      rows
	ranges    []state.SourceRange
	matches   []state.AffinityMatch
	tables    []state.MaglevTable
	wildcards []wildcard
	notices   []state.Notice
	sorted    []int32 // see order
	lost      []bool  // which frontends, as they are made, a first run found to be another's
	made      int     // how many frontends were made, or lost

	// redirects are the sound policies that name a service, by its key, and
	// addressed those that name an address; each in the order of their names.
	redirects map[string][]*redirect
	addressed []*redirect
	// proxied is what Envoy configurations say of services, by their keys.
	proxied map[string]*envoy

	candidates []candidate // of the current service
	chosen     []candidate // of the current pick
	picks      []pick      // of the current service
	arena      []state.Endpoint
	block      int                     // how many slots are reserved at once
	seed       uint32                  // of Maglev's hash
	taken      map[state.Endpoint]bool // ClusterIPs of the current service that are a policy's
	tabled     bool                    // the settings allow for Maglev tables
	texts      *texts                  // of a Compiler's packed slices
}

// owner is whoever a frontend is written for.
type owner struct {
	object string // as Notices name it
	key    string // "namespace/name"
	pos    state.Position
}

// frontend is an entry with its owner. An expanded one was made from the entry
// of the unspecified address, for an address of the node.
type frontend struct {
	state.Frontend
	owner    int
	expanded bool
	redirect bool // of a policy's own address
}

type wildcard struct {
	address netip.Addr
	typ     state.FrontendType
	service string
}

func newCompiler(settings *state.Settings, snapshot *state.Snapshot) *compiler {
	c := &compiler{
		settings: settings,
		rules:    rulesOf(settings, patchOf(settings.ChartVersion)),
		node:     &snapshot.Node,
		block:    wholeBlock,
	}
	n := len(snapshot.Services)
	c.owners = make([]owner, 0, n)
	c.frontends = make([]frontend, 0, n+n/2)
	endpoints := 0
	for i := range snapshot.Slices {
		endpoints += len(snapshot.Slices[i].Endpoints) * len(snapshot.Slices[i].Ports)
	}
	c.rows.v4 = make([]row4, 0, endpoints)
	c.nodeAddresses()
	return c
}

// nodeAddresses finds the addresses that get a node-port entry: with
// nodePort.addresses set those inside its CIDRs, else every one that was given.
func (c *compiler) nodeAddresses() {
	for _, a := range c.node.Addresses {
		if !usable(a) {
			continue
		}
		if list := c.settings.NodePortAddresses; len(list) > 0 {
			if !slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) }) {
				continue
			}
		} else if a.IsLoopback() {
			continue
		}
		if a.Is4() {
			c.node4 = append(c.node4, a)
		} else {
			c.node6 = append(c.node6, a)
		}
	}
	c.node4, c.node6 = sortAddresses(c.node4), sortAddresses(c.node6)
}

func sortAddresses(list []netip.Addr) []netip.Addr {
	slices.SortFunc(list, netip.Addr.Compare)
	return slices.Compact(list)
}

// usable tells whether a map can hold the address of a frontend or backend.
func usable(a netip.Addr) bool {
	return a.IsValid() && a.Zone() == "" && !a.Is4In6() && !a.IsUnspecified()
}

// enabled tells whether the agent serves the family of the address.
func (c *compiler) enabled(v6 bool) bool {
	if v6 {
		return c.settings.IPv6
	}
	return c.settings.IPv4
}

func (c *compiler) run(snapshot *state.Snapshot) {
	c.judgeNode()
	pods := pointers(snapshot.Pods, comparePods)
	c.policies(pointers(snapshot.RedirectPolicies, comparePolicies), pods)
	c.envoyConfigs(pointers(snapshot.EnvoyConfigs, compareEnvoy))
	c.services(snapshot)
	c.declared()
	c.pods(pods)
	c.addresses()
}

// finish sorts what was collected into a State and judges its size.
func (c *compiler) finish() *state.State {
	s := &state.State{
		Layout:          c.settings.Layout,
		Backends:        c.rows.merge(),
		SourceRanges:    c.ranges,
		AffinityMatches: c.matches,
		Maglev:          c.tables,
		Attachments:     Attachments(c.settings, c.node),
		Maps:            Maps(c.settings),
	}
	order := c.order()
	s.Frontends = make([]state.Frontend, 0, len(order)+len(c.wildcards))
	for _, i := range order {
		s.Frontends = append(s.Frontends, c.frontends[i].Frontend)
	}
	s.Frontends = append(s.Frontends, c.wildcardFrontends()...)
	if len(s.Frontends) == 0 {
		s.Frontends = nil
	}
	s.Sort()
	s.SourceRanges = slices.Compact(s.SourceRanges)
	c.judgeSizes(s)
	return s
}

// order gives the frontends' indices in the order of their names, then of their
// making.
func (c *compiler) order() []int32 {
	if len(c.sorted) == len(c.frontends) {
		return c.sorted
	}
	c.sorted = make([]int32, len(c.frontends))
	for i := range c.sorted {
		c.sorted[i] = int32(i)
	}
	slices.SortFunc(c.sorted, func(a, b int32) int {
		fa, fb := &c.frontends[a], &c.frontends[b]
		return cmp.Or(fa.Compare(fb.FrontendName), cmp.Compare(a, b))
	})
	return c.sorted
}

// wildcardFrontends makes one entry of each address; the first service by name
// gives it its type. Its flag bytes hold the type alone, so it is non-routable.
func (c *compiler) wildcardFrontends() []state.Frontend {
	slices.SortFunc(c.wildcards, compareWildcards)
	list := make([]state.Frontend, 0, len(c.wildcards))
	for i, w := range c.wildcards {
		if i > 0 && c.wildcards[i-1].address == w.address {
			continue
		}
		list = append(list, w.frontend())
	}
	return list
}

func compareWildcards(a, b wildcard) int {
	return cmp.Or(a.address.Compare(b.address), cmp.Compare(a.service, b.service), cmp.Compare(a.typ, b.typ))
}

func (w wildcard) frontend() state.Frontend {
	return state.Frontend{
		FrontendName: state.FrontendName{Endpoint: state.Endpoint{Address: w.address}},
		Type:         w.typ, Flags: state.NonRoutable, Service: w.service,
	}
}

// owner remembers who the following frontends are for.
func (c *compiler) owner(object, key string, pos state.Position) int {
	c.owners = append(c.owners, owner{object, key, pos})
	return len(c.owners) - 1
}

func (c *compiler) notice(severity state.Severity, code string, o *owner, field, hint, format string, args ...any) {
	c.notices = append(c.notices, state.Notice{
		Code: code, Severity: severity, Object: o.object, Field: field, Pos: o.pos,
		Message: fmt.Sprintf(format, args...), Hint: hint,
	})
}

// sortNotices orders by place, object, field, code and message, and drops
// repetitions.
func sortNotices(list []state.Notice) []state.Notice {
	slices.SortFunc(list, func(a, b state.Notice) int {
		return cmp.Or(
			cmp.Compare(a.Pos.File, b.Pos.File), cmp.Compare(a.Pos.Line, b.Pos.Line),
			cmp.Compare(a.Object, b.Object), cmp.Compare(a.Field, b.Field),
			cmp.Compare(a.Code, b.Code), cmp.Compare(a.Message, b.Message),
			cmp.Compare(a.Severity, b.Severity), cmp.Compare(a.Hint, b.Hint))
	})
	return slices.Compact(list)
}
