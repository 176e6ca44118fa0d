// SPDX-License-Identifier: Apache-2.0

package datapath_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"plumbline.dev/plumbline/compiler/datapath"
	"plumbline.dev/plumbline/schema/state"
)

// nth gives the n-th address of a /8.
func nth(first byte, n int) netip.Addr {
	return netip.AddrFrom4([4]byte{first, byte(n >> 16), byte(n >> 8), byte(n)})
}

// More services than there are ids, and more backends than a master can count, are
// said, and none is lost (I10).
func TestLimits(t *testing.T) {
	const many = 1 << 16
	services := &state.Snapshot{Node: state.Node{Name: "n1"}}
	for i := range many {
		name := fmt.Sprint("s", i)
		services.Services = append(services.Services, state.Service{
			Namespace: "t", Name: name, Type: "ClusterIP", ClusterIPs: []netip.Addr{nth(10, i+1)}, Ports: []state.ServicePort{{Protocol: state.TCP, Port: 80}},
		})
		services.Slices = append(services.Slices, state.EndpointSlice{Namespace: "t", Name: name, Service: name})
	}
	backends := &state.Snapshot{Node: services.Node, Services: services.Services[:1]}
	for i := 0; i < many; i += 1024 {
		slice := state.EndpointSlice{Namespace: "t", Name: fmt.Sprint("x", i), Service: "s0", Ports: []state.EndpointPort{{Protocol: state.TCP, Port: 8080}}}
		for j := range 1024 {
			slice.Endpoints = append(slice.Endpoints, state.EndpointSpec{Addresses: []netip.Addr{nth(11, i+j+1)}})
		}
		backends.Slices = append(backends.Slices, slice)
	}
	for _, c := range []struct {
		code                string
		snapshot            *state.Snapshot
		frontends, backends int
	}{
		{"snapshot/too-many-frontends", services, many, 0},
		{"snapshot/too-many-backends", backends, 1, many},
	} {
		settings := settingsOf("1.18.6") // without wildcards
		settings.Maps = state.MapSettings{}
		got, notices := datapath.Compile(settings, c.snapshot)
		if !slices.ContainsFunc(notices, func(n state.Notice) bool { return n.Code == c.code && n.Severity == state.Error }) {
			t.Errorf("%s is not said", c.code)
		}
		slots := 0
		for _, f := range got.Frontends {
			slots += len(f.Backends)
		}
		if len(got.Frontends) != c.frontends || slots != c.backends || len(got.Backends) != c.backends {
			t.Errorf("%s: %d frontends, %d slots, %d backends; want %d and %d", c.code, len(got.Frontends), slots, len(got.Backends), c.frontends, c.backends)
		}
	}
}
