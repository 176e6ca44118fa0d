// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"plumbline.dev/plumbline/schema/state"
)

// A packed slice is what it was, whatever is in it.
func TestKeptSlice(t *testing.T) {
	at := func(texts ...string) (list []netip.Addr) {
		for _, text := range texts {
			list = append(list, netip.MustParseAddr(text))
		}
		return list
	}
	whole := &state.EndpointSlice{
		Namespace: "a", Name: "b-1", Service: "b", IPv6: true, Weight: new("30"), Pos: state.Position{File: "x.yaml", Line: 7},
		Ports: []state.EndpointPort{{Name: "http", Protocol: state.TCP, Port: 0xfedc}, {Protocol: state.SCTP}, {Name: "http", Protocol: 250, Port: 1}},
		Endpoints: []state.EndpointSpec{
			{Addresses: at("10.0.0.1")},
			{Addresses: at("fd00::1"), Ready: new(true), Serving: new(false), NodeName: "n1", Zone: "z"},
			{Addresses: at("fe80::1%eth0", "::ffff:10.0.0.1", "10.0.0.2"), Terminating: new(true), NodeName: "n2", HintZones: []string{"z", "y"}},
			{Addresses: []netip.Addr{{}}, Ready: new(false), Terminating: new(false)},
			{NodeName: "n1"},
		},
	}
	texts, kept := newTexts(), keep(whole)
	kept.pack(texts)
	if kept.whole != nil {
		t.Error("it is kept as it was")
	}
	if diff := cmp.Diff(whole, kept.open(texts), cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-packed +unpacked):\n%s", diff)
	}
}

// Names of nodes that are gone are forgotten, and those that are there are not.
func TestTextsAreForgotten(t *testing.T) {
	c := New(&state.Settings{Layout: state.Cilium117, ChartVersion: "1.17.2", IPv4: true, KubeProxyReplacement: true})
	name := state.Name{Namespace: "a", Name: "b"}
	for i := range 5000 {
		d := &state.Delta{}
		d.SetService(name, &state.Service{Namespace: "a", Name: "b", Type: "ClusterIP", ClusterIPs: []netip.Addr{netip.MustParseAddr("10.96.0.1")}, Ports: []state.ServicePort{{Protocol: state.TCP, Port: 80}}})
		d.SetSlice(name, &state.EndpointSlice{Namespace: "a", Name: "b", Service: "b", Ports: []state.EndpointPort{{Protocol: state.TCP, Port: 80}},
			Endpoints: []state.EndpointSpec{{Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, NodeName: fmt.Sprint("node-", i)}}})
		c.Apply(d)
	}
	if n := len(c.texts.list); n > 2000 {
		t.Errorf("%d names are kept, of which one is in use", n)
	}
	if got := c.slices[name].open(c.texts).Endpoints[0].NodeName; got != "node-4999" {
		t.Errorf("the slice names node %q", got)
	}
	c.Apply(&state.Delta{Node: &state.Node{Name: "n"}})
	if len(c.State().Backends) != 1 {
		t.Errorf("backends %v", c.State().Backends)
	}
}
