// SPDX-License-Identifier: Apache-2.0

// Package audit compares what Cilium's maps say of the node and the cluster with
// what the API's objects say: addresses and their identities, local endpoints,
// the agent's heartbeat, and how full those maps are. It is pure, it plans no
// write (only the agent can mend these), and services are runtime/plan's.
//
// Invariant that this package holds, by its name in docs/ARCHITECTURE.md:
//
//	I10 nothing is dropped silently: what is not judged is a Notice
package audit

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/schema/state"
)

// The kinds of drift that Compare finds, beside plan.MapMissing, plan.MapFull and
// plan.UnknownEntry.
const (
	IPCacheMissing   plan.Kind = "ipcache-missing"
	IPCacheStale     plan.Kind = "ipcache-stale"
	IPCacheIdentity  plan.Kind = "ipcache-identity"
	IPCacheTunnel    plan.Kind = "ipcache-tunnel"
	EndpointMissing  plan.Kind = "endpoint-missing"
	EndpointStale    plan.Kind = "endpoint-stale"
	EndpointIdentity plan.Kind = "endpoint-identity"
	AgentNotLive     plan.Kind = "agent-not-live"
	AgentConfig      plan.Kind = "agent-config"
)

// Kinds lists the kinds of this package.
func Kinds() []plan.Kind {
	return []plan.Kind{IPCacheMissing, IPCacheStale, IPCacheIdentity, IPCacheTunnel,
		EndpointMissing, EndpointStale, EndpointIdentity, AgentNotLive, AgentConfig}
}

// Held is what the node's maps hold at one moment, complete (I1): a map that is
// not among Tables is not pinned.
type Held struct {
	Layout state.Layout
	Tables map[layout.NodeMap]*layout.Table
	Maps   []plan.HeldMap
	// Now is the kernel's monotonic clock at the time of the read.
	Now time.Duration
}

// Compare judges what the settings ask for and the snapshot has facts of. The
// Notices say what was not judged, and why. Both are sorted.
func Compare(s *state.Settings, snapshot *state.Snapshot, have *Held) ([]plan.Drift, []state.Notice) {
	c := &comparer{settings: s, snapshot: snapshot, have: have, local: localAddresses(snapshot)}
	if s.Mode == state.Own || s.Audits == (state.Audits{}) {
		return nil, nil
	}
	if len(have.Tables) == 0 {
		c.unjudged("audit/no-maps", "Node "+snapshot.Node.Name, "none of Cilium's maps of the node is pinned: services alone are compared")
		return nil, c.notices
	}
	if s.Audits.IPCache && c.pinned(layout.IPCache) {
		c.ipcache()
	}
	if s.Audits.Endpoints && c.pinned(layout.Endpoints) {
		c.endpoints()
	}
	if s.Audits.Liveness && c.pinned(layout.RuntimeConfig) {
		c.liveness()
	}
	if s.Audits.Fill {
		c.fill()
	}
	slices.SortFunc(c.drifts, func(a, b plan.Drift) int {
		return cmp.Or(cmp.Compare(a.Severity, b.Severity), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Object, b.Object), cmp.Compare(a.Want, b.Want), cmp.Compare(a.Have, b.Have))
	})
	return c.drifts, c.notices
}

// Heed leaves out of the drifts of services what the settings switch off.
func Heed(a state.Audits, list []plan.Drift) []plan.Drift {
	return slices.DeleteFunc(list, func(d plan.Drift) bool { return d.Kind == plan.MapFull && !a.Fill })
}

type comparer struct {
	settings *state.Settings
	snapshot *state.Snapshot
	have     *Held
	local    map[netip.Addr]bool // the node's own addresses

	drifts  []plan.Drift
	notices []state.Notice
}

// unjudged says what nothing is said of for want of facts.
func (c *comparer) unjudged(code, object, format string, args ...any) {
	c.notices = append(c.notices, state.Notice{Code: code, Severity: state.Info, Object: object, Message: fmt.Sprintf(format, args...)})
}

func (c *comparer) drift(kind plan.Kind, object, want, have, format string, args ...any) {
	x := plan.Drift{Kind: kind, Object: object, Want: want, Have: have, Message: fmt.Sprintf(format, args...)}
	switch kind {
	case IPCacheStale, EndpointStale, plan.UnknownEntry:
		x.Severity = state.Warning // no connection of today's is misled
	}
	c.drifts = append(c.drifts, x)
}

// pinned tells whether a map is there, and reports one that is not: beside others
// of Cilium's it has been taken away.
func (c *comparer) pinned(id layout.NodeMap) bool {
	if c.have.Tables[id] != nil {
		return true
	}
	name := c.mapName(id)
	c.drift(plan.MapMissing, "", name, "no pin", "map %s is not pinned, others of the agent's are: nothing can be said of the %s", name, id)
	return false
}

func (c *comparer) mapName(id layout.NodeMap) string {
	for _, d := range layout.NodeMaps(c.have.Layout) {
		if d.ID == id {
			return d.Name
		}
	}
	return id.String()
}

// localAddresses are those by which objects name this node.
func localAddresses(s *state.Snapshot) map[netip.Addr]bool {
	local := map[netip.Addr]bool{}
	for _, a := range s.Node.Addresses {
		local[a] = true
	}
	if n := localNode(s); n != nil {
		for _, a := range n.Addresses {
			local[a] = true
		}
	}
	return local
}

func localNode(s *state.Snapshot) *state.CiliumNode {
	for i := range s.CiliumNodes {
		if s.CiliumNodes[i].Name == s.Node.Name {
			return &s.CiliumNodes[i]
		}
	}
	return nil
}

// family tells whether the environment has the address' family at all.
func (c *comparer) family(a netip.Addr) bool {
	return a.Is4() && c.settings.IPv4 || a.Is6() && c.settings.IPv6
}

// silence is how long an agent may go without a heartbeat: it writes one a second.
const silence = 10 * time.Second

// liveness judges the agent's heartbeat.
func (c *comparer) liveness() {
	value, ok := c.have.Tables[layout.RuntimeConfig].Find(layout.LivenessKey())
	beat, err := layout.DecodeRuntimeConfig(value)
	if !ok || err != nil {
		c.drift(AgentConfig, "", "a heartbeat", "no value", "map %s has no place for the agent's heartbeat", c.mapName(layout.RuntimeConfig))
		return
	}
	last := time.Duration(beat)
	switch age := c.have.Now - last; {
	case last == 0:
		c.drift(AgentNotLive, "", "a heartbeat", "none", "the agent of this node has never written a heartbeat: nothing that changes in the cluster reaches the kernel")
	case last < 0 || age < -time.Second:
		c.drift(AgentConfig, "", "a heartbeat of the past", "one of the future", "the agent's heartbeat is later than the kernel's clock: something else than the agent has written %s", c.mapName(layout.RuntimeConfig))
	case age > silence:
		c.drift(AgentNotLive, "", "a heartbeat", "none", "the agent of this node has written no heartbeat for %s: nothing that changes in the cluster reaches the kernel", age.Round(time.Second))
	}
}

// fill reports maps from 90 % on. The runtime config is an array, always full.
func (c *comparer) fill() {
	for _, m := range c.have.Maps {
		if m.Type == "array" || m.MaxEntries == 0 || uint64(m.Entries)*10 < uint64(m.MaxEntries)*9 {
			continue
		}
		x := plan.Drift{Kind: plan.MapFull, Severity: state.Warning, Want: m.Name + " below 90 %", Have: fmt.Sprintf("%d of %d", m.Entries, m.MaxEntries)}
		if m.Entries >= m.MaxEntries {
			x.Severity = state.Error
		}
		x.Message = fmt.Sprintf("map %s holds %d of %d entries", m.Name, m.Entries, m.MaxEntries)
		c.drifts = append(c.drifts, x)
	}
}
