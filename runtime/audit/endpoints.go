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

// endpoints compares the pods that the API says are on this node with the map by
// which packets find them.
func (c *comparer) endpoints() {
	switch {
	case len(c.snapshot.CiliumEndpoints) == 0:
		c.unjudged("audit/no-endpoints", "CiliumEndpoint", "the snapshot has none: this node's endpoints are not judged")
		return
	case len(c.local) == 0:
		c.unjudged("audit/no-node-address", "Node "+c.snapshot.Node.Name, "no address of the node is known: which endpoints are its own is not either, and they are not judged")
		return
	}
	want, held := c.localEndpoints(), c.heldEndpoints()
	for _, a := range slices.SortedFunc(maps.Keys(want), netip.Addr.Compare) {
		e, object := want[a], "CiliumEndpoint "+want[a].Key()
		have, ok := held[a]
		switch {
		case !ok:
			c.drift(EndpointMissing, object, a.String(), "absent", "%s of %s is on this node, but not in map %s: packets to it leave the node or are dropped", a, object, c.mapName(layout.Endpoints))
		case e.Identity != 0 && have.Identity != 0 && have.Identity != e.Identity:
			c.drift(EndpointIdentity, object, fmt.Sprintf("%s identity %d", a, e.Identity), fmt.Sprintf("%s identity %d", a, have.Identity), "%s of %s has identity %d in map %s, want %d: policies judge its traffic as another's", a, object, have.Identity, c.mapName(layout.Endpoints), e.Identity)
		}
	}
	others := c.agentsOwn()
	for _, a := range slices.SortedFunc(maps.Keys(held), netip.Addr.Compare) {
		e := held[a]
		if want[a] == nil && e.Flags&layout.EndpointHost == 0 && !others[a] && e.Identity != identityHealth && e.Identity != identityIngress {
			c.drift(EndpointStale, "", fmt.Sprintf("no %s", a), fmt.Sprintf("%s endpoint %d", a, e.ID), "%s leads to endpoint %d (interface %d), but no pod of this node has that address", a, e.ID, e.Interface)
		}
	}
}

// localEndpoints are the pods' addresses of this node.
func (c *comparer) localEndpoints() map[netip.Addr]*state.CiliumEndpoint {
	out := map[netip.Addr]*state.CiliumEndpoint{}
	for i := range c.snapshot.CiliumEndpoints {
		e := &c.snapshot.CiliumEndpoints[i]
		if !c.local[e.Node] {
			continue
		}
		for _, a := range e.Addresses {
			if c.family(a) {
				out[a] = e
			}
		}
	}
	return out
}

// agentsOwn are addresses of endpoints that the agent makes for itself.
func (c *comparer) agentsOwn() map[netip.Addr]bool {
	out := map[netip.Addr]bool{}
	if n := localNode(c.snapshot); n != nil {
		for _, a := range slices.Concat(n.Health, n.Ingress, n.Addresses) {
			out[a] = true
		}
	}
	return out
}

func (c *comparer) heldEndpoints() map[netip.Addr]layout.EndpointInfo {
	out := map[netip.Addr]layout.EndpointInfo{}
	for key, value := range c.have.Tables[layout.Endpoints].All() {
		k, err := layout.DecodeEndpointKey(key)
		var e layout.EndpointInfo
		if err == nil {
			e, err = layout.DecodeEndpointInfo(value)
		}
		if err != nil {
			c.drift(plan.UnknownEntry, "", fmt.Sprintf("no key %x", key), fmt.Sprintf("%x", value), "map %s: %v", c.mapName(layout.Endpoints), err)
			continue
		}
		if k.ClusterID == 0 {
			out[k.Address] = e
		}
	}
	return out
}
