// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"fmt"
	"math"
	"net/netip"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/schema/state"
)

// maxIDs is how many frontends the 16-bit ids can tell apart: 1 to 65534.
const maxIDs = math.MaxUint16 - 1

var settingsOwner = owner{object: "Settings"}

// settingsUsable judges the settings; without a known layout nothing can be
// compiled.
func (c *compiler) settingsUsable() bool {
	s := c.settings
	if !layout.Known(s.Layout) {
		c.notice(state.Error, "settings/layout", &settingsOwner, "layout", "choose a supported chart version", "layout %q is not known; nothing is compiled", s.Layout)
		return false
	}
	if !s.IPv4 && !s.IPv6 {
		c.notice(state.Error, "settings/families", &settingsOwner, "ipv4", "", "neither IPv4 nor IPv6 is on: there is nothing to write")
	}
	c.judgeRelease(patchOf(s.ChartVersion))
	c.judgeMaglev()
	return true
}

// judgeRelease says where a patch release was not read for what the settings turn
// on, and its neighbour is taken.
func (c *compiler) judgeRelease(patch int) {
	if unverified(c.settings, patch) {
		c.notice(state.Warning, "settings/unverified-release", &settingsOwner, "chartVersion", "",
			"what %s writes for local redirect policies or algorithms by annotation was not verified; other patches of its minor differ there", c.settings.ChartVersion)
	}
}

func (c *compiler) judgeMaglev() {
	lb := &c.settings.LoadBalancer
	if lb.Algorithm != state.Maglev && !lb.AlgorithmAnnotation {
		return
	}
	if !c.seeded() {
		c.notice(state.Error, "settings/maglev-table-size", &settingsOwner, "loadBalancer.maglevTableSize", fmt.Sprintf("want one of %v", TableSizes), "%d is no table size; no Maglev table is compiled", lb.MaglevTableSize)
	}
	var err error
	if c.seed, err = MaglevSeed(lb.MaglevHashSeed); err != nil {
		c.notice(state.Error, "settings/maglev-seed", &settingsOwner, "loadBalancer.maglevHashSeed", "", "%v; no Maglev table is compiled", err)
		return
	}
	c.tabled = c.seeded()
}

// judgeNode says where node ports have nowhere to be.
func (c *compiler) judgeNode() {
	o := owner{object: fmt.Sprintf("Node %q", c.node.Name)}
	if c.node.Name == "" {
		c.notice(state.Error, "snapshot/no-node-name", &o, "name", "name the node", "without the node's name no endpoint is known to be local, and no host port to be its own")
	}
	for i, a := range c.node.Addresses {
		if !usable(a) {
			c.notice(state.Error, "snapshot/bad-address", &o, fmt.Sprintf("addresses[%d]", i), "", "%s is no address that a node can have; it is left out", a)
		}
	}
	if c.settings.KubeProxyReplacement && len(c.node4)+len(c.node6) == 0 {
		c.notice(state.Warning, "snapshot/no-node-address", &o, "addresses", "give the node's addresses", "without an address of the node its node ports have no entries but the unspecified one")
	}
	c.judgeDevices(&o)
}

// judgeSizes compares the entries with what the maps and ids can hold.
func (c *compiler) judgeSizes(s *state.State) {
	for i := range s.Frontends {
		c.judgeSlots(&s.Frontends[i])
	}
	c.judgeUsage(usageOf(s))
}

// judgeSlots says where a frontend has more slots than its master can count.
func (c *compiler) judgeSlots(f *state.Frontend) {
	if n := len(f.Backends) + len(f.Inactive); n > math.MaxUint16 {
		o := owner{object: "Service " + f.Service}
		c.notice(state.Error, "snapshot/too-many-backends", &o, "", "split the service", "%s has %d backends; an entry holds %d at most", f.FrontendName, n, math.MaxUint16)
	}
}

func (c *compiler) judgeUsage(u usage) {
	if ids := u.reverse[0] + u.reverse[1]; ids > maxIDs {
		c.notice(state.Error, "snapshot/too-many-frontends", &settingsOwner, "", "", "%d frontends exceed the %d ids of a node", ids, maxIDs)
	}
	for _, f := range u.fills(c.settings) {
		c.full(f)
	}
}

// Fill is how many entries of a map a State takes. MaxEntries of 0 is not known.
type Fill struct {
	Map        layout.MapID
	Entries    int
	MaxEntries int
}

// Fills counts the entries that a State takes of each map whose size the settings
// state.
func Fills(settings *state.Settings, s *state.State) []Fill { return usageOf(s).fills(settings) }

// usage counts the entries of maps, those of IPv4 first.
type usage struct {
	services, reverse, backends, maglev, ranges [2]int
	matches                                     int
}

func usageOf(s *state.State) (u usage) {
	for i := range s.Frontends {
		u.frontend(&s.Frontends[i], 1)
	}
	for i := range s.Backends {
		u.backends[of(s.Backends[i].Address)]++
	}
	u.details(s.Maglev, s.SourceRanges, s.AffinityMatches, 1)
	return u
}

// frontend counts a frontend in, or out where sign is -1.
func (u *usage) frontend(f *state.Frontend, sign int) {
	u.services[of(f.Address)] += sign * (1 + len(f.Backends) + len(f.Inactive))
	if !f.Wildcard() {
		u.reverse[of(f.Address)] += sign
	}
}

func (u *usage) details(tables []state.MaglevTable, ranges []state.SourceRange, matches []state.AffinityMatch, sign int) {
	for i := range tables {
		u.maglev[of(tables[i].Frontend.Address)] += sign
	}
	for i := range ranges {
		u.ranges[of(ranges[i].Frontend.Address)] += sign
	}
	u.matches += sign * len(matches)
}

func (u usage) fills(settings *state.Settings) []Fill {
	m := &settings.Maps
	var list []Fill
	pair := func(id layout.MapID, count [2]int, size uint32) {
		list = append(list, Fill{id, count[0], int(size)}, Fill{id + 1, count[1], int(size)})
	}
	pair(layout.Services4, u.services, m.Services)
	pair(layout.Backends4, u.backends, m.Backends)
	pair(layout.ReverseNAT4, u.reverse, m.ReverseNAT)
	pair(layout.Maglev4, u.maglev, m.Maglev)
	pair(layout.SourceRange4, u.ranges, m.SourceRanges)
	return append(list, Fill{layout.AffinityMatch, u.matches, int(m.Affinity)})
}

func of(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

// full says where a map can't hold the entries, or is filled to nine tenths.
func (c *compiler) full(f Fill) {
	if size := f.MaxEntries; size > 0 && f.Entries > size {
		c.notice(state.Error, "snapshot/map-full", &settingsOwner, "maps", "raise bpf.lbMapMax", "map %q: %d entries exceed max_entries %d", f.Map, f.Entries, size)
	} else if size > 0 && f.Entries*10 > size*9 {
		c.notice(state.Warning, "snapshot/map-nearly-full", &settingsOwner, "maps", "raise bpf.lbMapMax", "map %q: %d entries of max_entries %d", f.Map, f.Entries, size)
	}
}
