// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/schema/state"
)

var addr = netip.MustParseAddr

// now is the kernel's clock in these tests.
const now = 100 * time.Hour

// node is what one node's maps hold, before it is encoded.
type node struct {
	layout   state.Layout
	ipcache  map[string]layout.IPCacheEntry // by prefix
	lxc      map[string]layout.EndpointInfo // by address
	beat     time.Duration
	settings *state.Settings
	snapshot *state.Snapshot
	without  []layout.NodeMap // not pinned
	raw      func(h *Held)
}

// healthy is a node of a cluster of two, all as the objects say.
func healthy(l state.Layout) *node {
	here, there := addr("192.168.1.10"), addr("192.168.1.11")
	n := &node{
		layout: l, beat: now - time.Second,
		settings: &state.Settings{Layout: l, IPv4: true, IPv6: true, Routing: "tunnel", Audits: state.Audits{IPCache: true, Endpoints: true, Liveness: true, Fill: true}},
		snapshot: &state.Snapshot{
			Node: state.Node{Name: "n1", Addresses: []netip.Addr{here}},
			Slices: []state.EndpointSlice{{Namespace: "default", Service: "kubernetes",
				Endpoints: []state.EndpointSpec{{Addresses: []netip.Addr{addr("192.168.1.12")}}}}},
			CiliumEndpoints: []state.CiliumEndpoint{
				{Namespace: "test", Name: "local", Identity: 1001, Node: here, Addresses: []netip.Addr{addr("10.0.1.1"), addr("fd00::11")}},
				{Namespace: "test", Name: "remote", Identity: 1002, Node: there, Addresses: []netip.Addr{addr("10.0.2.1")}},
				{Namespace: "test", Name: "pending", Node: there},
			},
			CiliumNodes: []state.CiliumNode{
				{Name: "n1", Internal: here, Addresses: []netip.Addr{here, addr("10.0.1.254")}, Health: []netip.Addr{addr("10.0.1.200")}},
				{Name: "n2", Internal: there, Addresses: []netip.Addr{there}, Health: []netip.Addr{addr("10.0.2.200")}, Ingress: []netip.Addr{addr("10.0.2.201")}},
				{Name: "api", Internal: addr("192.168.1.12"), Addresses: []netip.Addr{addr("192.168.1.12")}},
			},
		},
		ipcache: map[string]layout.IPCacheEntry{
			"10.0.1.1/32": {Identity: 1001}, "fd00::11/128": {Identity: 1001}, "10.0.2.1/32": {Identity: 1002, Tunnel: there},
			"192.168.1.10/32": {Identity: 1}, "10.0.1.254/32": {Identity: 1}, "192.168.1.11/32": {Identity: 6}, "192.168.1.12/32": {Identity: 7},
			"10.0.1.200/32": {Identity: 4}, "10.0.2.200/32": {Identity: 4, Tunnel: there}, "10.0.2.201/32": {Identity: 8, Tunnel: there},
			"0.0.0.0/0": {Identity: 2}, "10.0.2.0/24": {Identity: 2, Tunnel: there}, "1.1.1.1/32": {Identity: 1<<24 + 5}, "172.16.0.9/32": {Identity: 3},
		},
		lxc: map[string]layout.EndpointInfo{
			"10.0.1.1": {ID: 7, Identity: 1001}, "fd00::11": {ID: 7, Identity: 1001}, "10.0.1.200": {ID: 9, Identity: 4},
			"192.168.1.10": {Flags: layout.EndpointHost}, "10.0.1.254": {Flags: layout.EndpointHost},
		},
	}
	return n
}

func (n *node) held() *Held {
	h := &Held{Layout: n.layout, Now: now, Tables: map[layout.NodeMap]*layout.Table{}}
	for _, d := range layout.NodeMaps(n.layout) {
		if slices.Contains(n.without, d.ID) {
			continue
		}
		t := layout.NewTable(d.KeySize, d.ValueSize, 0)
		switch d.ID {
		case layout.IPCache:
			for p, e := range n.ipcache {
				t.Append(layout.IPCacheKey{Prefix: netip.MustParsePrefix(p)}.Bytes(), e.Bytes(n.layout))
			}
		case layout.Endpoints:
			for a, e := range n.lxc {
				t.Append(layout.EndpointKey{Address: addr(a)}.Bytes(), e.Bytes())
			}
		case layout.RuntimeConfig:
			t.Append(layout.LivenessKey(), binary.LittleEndian.AppendUint64(nil, uint64(n.beat)))
		}
		h.Tables[d.ID] = t
		h.Maps = append(h.Maps, plan.HeldMap{Map: state.Map{Name: d.Name, Type: d.Type, MaxEntries: 1000}, Entries: uint32(t.Rows())})
	}
	if n.raw != nil {
		n.raw(h)
	}
	return h
}

func (n *node) compare() (drifts, notices []string) {
	found, said := Compare(n.settings, n.snapshot, n.held())
	for _, d := range found {
		drifts = append(drifts, d.String())
	}
	for _, s := range said {
		notices = append(notices, s.Severity.String()+" "+s.Code)
	}
	return drifts, notices
}

var layouts = []state.Layout{state.Cilium117, state.Cilium118, state.Cilium119, state.Cilium120}

// A node that is as the objects say has no drift, in any layout.
func TestHealthyNode(t *testing.T) {
	for _, l := range layouts {
		drifts, notices := healthy(l).compare()
		if len(drifts) > 0 || len(notices) > 0 {
			t.Errorf("%s: %v %v", l, drifts, notices)
		}
	}
}

// Each kind, by the one change that makes it; nothing else is said.
func TestEachKind(t *testing.T) {
	seen := map[plan.Kind]bool{}
	for _, c := range []struct {
		name   string
		change func(*node)
		want   string // of the one line: severity, kind, object
		why    string
	}{
		{"pod missing", func(n *node) { delete(n.ipcache, "10.0.2.1/32") }, "error ipcache-missing test/remote", "counts as the world's"},
		{"node missing", func(n *node) { delete(n.ipcache, "192.168.1.11/32") }, "error ipcache-missing n2", "counts as the world's"},
		{"pod's identity", func(n *node) { n.ipcache["10.0.1.1/32"] = layout.IPCacheEntry{Identity: 1002} }, "error ipcache-identity test/local", "identity 1002 in the ipcache, want 1001"},
		{"a CIDR's identity shadows a pod's", func(n *node) { n.ipcache["10.0.1.1/32"] = layout.IPCacheEntry{Identity: 1<<24 + 1} }, "error ipcache-identity test/local", "want 1001"},
		{"node's identity", func(n *node) { n.ipcache["192.168.1.11/32"] = layout.IPCacheEntry{Identity: 2} }, "error ipcache-identity n2", "want 6"},
		{"tunnel elsewhere", func(n *node) {
			n.ipcache["10.0.2.1/32"] = layout.IPCacheEntry{Identity: 1002, Tunnel: addr("192.168.1.99")}
		}, "error ipcache-tunnel test/remote", "through the tunnel to 192.168.1.99, want through the tunnel to 192.168.1.11"},
		{"no tunnel", func(n *node) { n.ipcache["10.0.2.1/32"] = layout.IPCacheEntry{Identity: 1002} }, "error ipcache-tunnel test/remote", "without a tunnel"},
		{"tunnel to itself", func(n *node) {
			n.ipcache["10.0.1.1/32"] = layout.IPCacheEntry{Identity: 1001, Tunnel: addr("192.168.1.10")}
		}, "error ipcache-tunnel test/local", "want without a tunnel"},
		{"pod stale", func(n *node) { n.ipcache["10.0.2.9/32"] = layout.IPCacheEntry{Identity: 1009} }, "warning ipcache-stale -", "no object has that address"},
		{"node stale", func(n *node) { n.ipcache["192.168.1.77/32"] = layout.IPCacheEntry{Identity: 6} }, "warning ipcache-stale -", "no object has that address"},
		{"endpoint missing", func(n *node) { delete(n.lxc, "10.0.1.1") }, "error endpoint-missing test/local", "not in map cilium_lxc"},
		{"endpoint stale", func(n *node) { n.lxc["10.0.1.9"] = layout.EndpointInfo{ID: 12, Interface: 33} }, "warning endpoint-stale -", "endpoint 12 (interface 33)"},
		{"endpoint's identity", func(n *node) { n.lxc["10.0.1.1"] = layout.EndpointInfo{ID: 7, Identity: 1009} }, "error endpoint-identity test/local", "identity 1009 in map cilium_lxc, want 1001"},
		{"agent silent", func(n *node) { n.beat = now - 34*time.Second }, "error agent-not-live -", "no heartbeat for 34s"},
		{"agent never there", func(n *node) { n.beat = 0 }, "error agent-not-live -", "never written a heartbeat"},
		{"heartbeat of the future", func(n *node) { n.beat = now + time.Hour }, "error agent-config -", "later than the kernel's clock"},
		{"no place for a heartbeat", func(n *node) {
			n.raw = func(h *Held) { h.Tables[layout.RuntimeConfig] = layout.NewTable(4, 8, 0) }
		}, "error agent-config -", "no place for the agent's heartbeat"},
		{"a map taken away", func(n *node) { n.without = []layout.NodeMap{layout.Endpoints} }, "error map-missing -", "map cilium_lxc is not pinned"},
		{"a map nearly full", func(n *node) {
			n.raw = func(h *Held) { h.Maps[0].Entries = 900 }
		}, "warning map-full -", "holds 900 of 1000"},
		{"a map full", func(n *node) {
			n.raw = func(h *Held) { h.Maps[0].Entries = 1000 }
		}, "error map-full -", "holds 1000 of 1000"},
		{"a key that is none", func(n *node) {
			n.raw = func(h *Held) {
				h.Tables[layout.IPCache].Append(make([]byte, 24), layout.IPCacheEntry{}.Bytes(n.layout))
			}
		}, "warning unknown-entry -", "family 0"},
	} {
		for _, l := range layouts {
			n := healthy(l)
			c.change(n)
			found, _ := Compare(n.settings, n.snapshot, n.held())
			if len(found) != 1 {
				t.Errorf("%s, %s: %v, want one drift", l, c.name, found)
				continue
			}
			seen[found[0].Kind] = true
			if line := found[0].String(); !strings.HasPrefix(line, c.want+" ") || !strings.Contains(line, c.why) {
				t.Errorf("%s, %s: %q, want %q … %q", l, c.name, line, c.want, c.why)
			}
			if found[0].Want == "" || found[0].Have == "" {
				t.Errorf("%s: %+v tells neither what is wanted nor what is held", c.name, found[0])
			}
		}
	}
	for _, k := range Kinds() {
		if !seen[k] {
			t.Errorf("no case has kind %s", k)
		}
	}
}

// What there are no facts for is not judged, and that is said.
func TestWithoutFacts(t *testing.T) {
	for _, c := range []struct {
		name    string
		change  func(*node)
		notices []string
	}{
		{"no endpoints", func(n *node) { n.snapshot.CiliumEndpoints = nil }, []string{"info audit/no-endpoints", "info audit/no-endpoints"}},
		{"no nodes", func(n *node) { n.snapshot.CiliumNodes = nil }, []string{"info audit/no-nodes"}},
		{"no address of this node", func(n *node) {
			n.snapshot.Node.Addresses, n.snapshot.CiliumNodes = nil, nil
		}, []string{"info audit/no-nodes", "info audit/no-node-address"}},
		{"no map of the node", func(n *node) { n.raw = func(h *Held) { h.Tables = nil } }, []string{"info audit/no-maps"}},
		{"an unknown routing", func(n *node) {
			n.settings.Routing = ""
			n.ipcache["10.0.2.1/32"] = layout.IPCacheEntry{Identity: 1002}
		}, nil},
		{"an identity that is not given yet", func(n *node) {
			n.snapshot.CiliumEndpoints[0].Identity = 0
			n.ipcache["10.0.1.1/32"] = layout.IPCacheEntry{Identity: 5}
		}, nil},
		{"a node with an identity of its own", func(n *node) { n.ipcache["192.168.1.11/32"] = layout.IPCacheEntry{Identity: 1<<25 + 3} }, nil},
		{"another cluster's pods", func(n *node) {
			n.raw = func(h *Held) {
				h.Tables[layout.IPCache].Append(layout.IPCacheKey{ClusterID: 3, Prefix: netip.MustParsePrefix("10.0.1.1/32")}.Bytes(), layout.IPCacheEntry{Identity: 9}.Bytes(n.layout))
			}
		}, nil},
		{"IPv6 that is off", func(n *node) {
			n.settings.IPv6 = false
			delete(n.ipcache, "fd00::11/128")
			delete(n.lxc, "fd00::11")
		}, nil},
		{"mode own", func(n *node) { n.settings.Mode, n.beat = state.Own, 0 }, nil},
	} {
		n := healthy(state.Cilium119)
		c.change(n)
		drifts, notices := n.compare()
		if diff := cmp.Diff(c.notices, notices); diff != "" || len(drifts) > 0 {
			t.Errorf("%s: drifts %v, notices (-want +got):\n%s", c.name, drifts, diff)
		}
	}
}

// Native routing has no tunnel; only 1.17 writes the node nevertheless.
func TestNativeRouting(t *testing.T) {
	for _, l := range layouts {
		for _, tunnel := range []bool{true, false} {
			n := healthy(l)
			n.settings.Routing = "native"
			e := layout.IPCacheEntry{Identity: 1002}
			if tunnel {
				e.Tunnel = addr("192.168.1.11")
			}
			n.ipcache["10.0.2.1/32"] = e
			drifts, _ := n.compare()
			if want := tunnel != (l == state.Cilium117); (len(drifts) > 0) != want {
				t.Errorf("%s, tunnel %v: %v", l, tunnel, drifts)
			}
		}
	}
}

// Each audit is switched by itself.
func TestSwitches(t *testing.T) {
	broken := func() *node {
		n := healthy(state.Cilium120)
		delete(n.ipcache, "10.0.2.1/32")
		delete(n.lxc, "10.0.1.1")
		n.beat = 0
		n.raw = func(h *Held) { h.Maps[0].Entries = 999 }
		return n
	}
	for want, audits := range map[plan.Kind]state.Audits{
		IPCacheMissing: {IPCache: true}, EndpointMissing: {Endpoints: true}, AgentNotLive: {Liveness: true}, plan.MapFull: {Fill: true}, "": {},
	} {
		n := broken()
		n.settings.Audits = audits
		found, _ := Compare(n.settings, n.snapshot, n.held())
		var kinds []plan.Kind
		for _, d := range found {
			kinds = append(kinds, d.Kind)
		}
		if got := fmt.Sprint(kinds); want != "" && got != fmt.Sprint([]plan.Kind{want}) || want == "" && len(kinds) > 0 {
			t.Errorf("%+v: have %v, want %s", audits, got, want)
		}
	}
}

// Drifts have keys that tell them apart and stay from read to read.
func TestKeysAreStable(t *testing.T) {
	n := healthy(state.Cilium118)
	delete(n.ipcache, "10.0.2.1/32")
	delete(n.ipcache, "10.0.1.1/32")
	n.beat = now - 30*time.Second
	first, _ := Compare(n.settings, n.snapshot, n.held())
	n.beat -= 5 * time.Second
	second, _ := Compare(n.settings, n.snapshot, n.held())
	keys := map[string]bool{}
	for i := range first {
		if first[i].Key() != second[i].Key() {
			t.Errorf("%q has become %q", first[i].Key(), second[i].Key())
		}
		keys[first[i].Key()] = true
	}
	if len(keys) != 3 {
		t.Errorf("%d keys of 3 drifts: %v", len(keys), keys)
	}
}
