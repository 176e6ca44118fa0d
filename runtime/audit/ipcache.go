// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/schema/state"
)

// Numbers of identities (Cilium pkg/identity/numericidentity.go).
const (
	identityHost       = 1
	identityHealth     = 4
	identityRemoteNode = 6
	identityAPIServer  = 7
	identityIngress    = 8
	identityPods       = 100 // well-known ones from here, those of objects from 256 on
	identityLastPods   = 1<<16 - 1
	identityLocalScope = 1 << 24 // of CIDRs and selected nodes, numbered by each agent
)

// address is what the API says of one address.
type address struct {
	object   string
	identity uint32 // 0 is not given yet, and not judged
	// tunnel is where traffic is encapsulated to; judged only where tunnelKnown.
	tunnel      netip.Addr
	tunnelKnown bool
	isNode      bool // its identity may be a local one, if policies select nodes
}

// ipcache compares the identity and tunnel endpoint of every address of a pod or
// a node. Prefixes of policies are the agent's own affair.
func (c *comparer) ipcache() {
	if len(c.snapshot.CiliumEndpoints) == 0 {
		c.unjudged("audit/no-endpoints", "CiliumEndpoint", "the snapshot has none: pods' addresses in the ipcache are not judged")
	}
	if len(c.snapshot.CiliumNodes) == 0 {
		c.unjudged("audit/no-nodes", "CiliumNode", "the snapshot has none: nodes' addresses in the ipcache are not judged")
	}
	want := c.addresses()
	held := c.heldAddresses()
	for _, a := range slices.SortedFunc(maps.Keys(want), netip.Addr.Compare) {
		have, ok := held[a]
		if !ok {
			c.drift(IPCacheMissing, want[a].object, wantText(a, want[a]), "absent", "%s of %s is not in the ipcache: its traffic counts as the world's, and policies judge it so", a, want[a].object)
			continue
		}
		c.compareAddress(a, want[a], have)
	}
	for _, a := range slices.SortedFunc(maps.Keys(held), netip.Addr.Compare) {
		if _, wanted := want[a]; !wanted && c.stale(held[a].Identity) {
			c.drift(IPCacheStale, "", fmt.Sprintf("no %s", a), heldText(a, held[a]), "%s has identity %d in the ipcache, but no object has that address: whoever gets it next counts as another", a, held[a].Identity)
		}
	}
}

func (c *comparer) compareAddress(a netip.Addr, want address, have layout.IPCacheEntry) {
	if want.identity != 0 && have.Identity != want.identity && !(want.isNode && have.Identity >= identityLocalScope) {
		c.drift(IPCacheIdentity, want.object, wantText(a, want), heldText(a, have), "%s of %s has identity %d in the ipcache, want %d: policies judge its traffic as another's", a, want.object, have.Identity, want.identity)
	}
	if want.tunnelKnown && have.Tunnel != want.tunnel {
		c.drift(IPCacheTunnel, want.object, fmt.Sprintf("%s via %s", a, viaText(want.tunnel)), fmt.Sprintf("%s via %s", a, viaText(have.Tunnel)), "traffic to %s of %s is sent %s, want %s", a, want.object, sentText(have.Tunnel), sentText(want.tunnel))
	}
}

func wantText(a netip.Addr, w address) string {
	if w.identity == 0 {
		return a.String()
	}
	return fmt.Sprintf("%s identity %d", a, w.identity)
}

func heldText(a netip.Addr, e layout.IPCacheEntry) string {
	return fmt.Sprintf("%s identity %d", a, e.Identity)
}

func viaText(a netip.Addr) string {
	if !a.IsValid() {
		return "no tunnel"
	}
	return a.String()
}

func sentText(a netip.Addr) string {
	if !a.IsValid() {
		return "without a tunnel"
	}
	return "through the tunnel to " + a.String()
}

// addresses collects what the objects say. A pod goes before a node.
func (c *comparer) addresses() map[netip.Addr]address {
	out := map[netip.Addr]address{}
	servers := apiServers(c.snapshot)
	for i := range c.snapshot.CiliumNodes {
		c.nodeAddresses(&c.snapshot.CiliumNodes[i], servers, out)
	}
	for i := range c.snapshot.CiliumEndpoints {
		e := &c.snapshot.CiliumEndpoints[i]
		for _, a := range e.Addresses {
			if c.family(a) {
				w := address{object: "CiliumEndpoint " + e.Key(), identity: e.Identity}
				w.tunnel, w.tunnelKnown = c.tunnel(e.Node)
				out[a] = w
			}
		}
	}
	return out
}

func (c *comparer) nodeAddresses(n *state.CiliumNode, servers map[netip.Addr]bool, out map[netip.Addr]address) {
	put := func(list []netip.Addr, identity func(netip.Addr) uint32) {
		for _, a := range list {
			if c.family(a) {
				out[a] = address{object: "CiliumNode " + n.Name, identity: identity(a), isNode: true}
			}
		}
	}
	put(n.Addresses, func(a netip.Addr) uint32 {
		switch {
		case n.Name == c.snapshot.Node.Name:
			return identityHost
		case servers[a]:
			return identityAPIServer
		}
		return identityRemoteNode
	})
	put(n.Health, func(netip.Addr) uint32 { return identityHealth })
	put(n.Ingress, func(netip.Addr) uint32 { return identityIngress })
}

// apiServers are the addresses of the service default/kubernetes.
func apiServers(s *state.Snapshot) map[netip.Addr]bool {
	out := map[netip.Addr]bool{}
	for i := range s.Slices {
		if s.Slices[i].Namespace != "default" || s.Slices[i].Service != "kubernetes" {
			continue
		}
		for _, e := range s.Slices[i].Endpoints {
			for _, a := range e.Addresses {
				out[a] = true
			}
		}
	}
	return out
}

// tunnel says where traffic to a pod is encapsulated to: to its node, unless that
// is this one. 1.17 writes the node even where nothing is encapsulated; later
// releases only where the routing is a tunnel.
func (c *comparer) tunnel(node netip.Addr) (to netip.Addr, known bool) {
	switch {
	case !node.IsValid() || len(c.local) == 0:
		return netip.Addr{}, false
	case c.local[node]:
		return netip.Addr{}, true
	case c.have.Layout <= state.Cilium117:
		return node, node.Is4() // it has no room for another
	case c.settings.Routing == "tunnel":
		return node, true
	}
	return netip.Addr{}, c.settings.Routing == "native"
}

// heldAddresses decodes the entries of single addresses of this cluster. Bytes
// that are none are reported.
func (c *comparer) heldAddresses() map[netip.Addr]layout.IPCacheEntry {
	out := map[netip.Addr]layout.IPCacheEntry{}
	for key, value := range c.have.Tables[layout.IPCache].All() {
		k, err := layout.DecodeIPCacheKey(key)
		var e layout.IPCacheEntry
		if err == nil {
			e, err = layout.DecodeIPCacheEntry(value)
		}
		if err != nil {
			c.drift(plan.UnknownEntry, "", fmt.Sprintf("no key %x", key), fmt.Sprintf("%x", value), "map %s: %v", c.mapName(layout.IPCache), err)
			continue
		}
		if k.ClusterID == 0 && k.Prefix.IsSingleIP() {
			out[k.Prefix.Addr()] = e
		}
	}
	return out
}

// stale tells whether an address that no object has should be in no ipcache: its
// identity is one that only objects give, and the snapshot has such objects.
func (c *comparer) stale(identity uint32) bool {
	pods, nodes := len(c.snapshot.CiliumEndpoints) > 0, len(c.snapshot.CiliumNodes) > 0
	switch {
	case identity >= identityPods && identity <= identityLastPods:
		return pods
	case identity == identityRemoteNode, identity == identityHealth, identity == identityIngress:
		return nodes
	}
	return false
}
