// SPDX-License-Identifier: Apache-2.0

package datapath_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"plumbline.dev/plumbline/compiler/datapath"
	"plumbline.dev/plumbline/schema/state"
)

// redirected is a node with a service, its policy, and the pod that it selects.
func redirected(change func(*state.RedirectPolicy)) *state.Snapshot {
	p := state.RedirectPolicy{
		Namespace: "t", Name: "r", Selector: "app=x",
		Service: &state.RedirectService{Namespace: "t", Name: "s"},
		ToPorts: []state.RedirectPort{{Port: "8080", Protocol: "TCP"}},
	}
	change(&p)
	return &state.Snapshot{
		Node:     state.Node{Name: "n1", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}},
		Services: []state.Service{{Namespace: "t", Name: "s", Type: "ClusterIP", ClusterIPs: []netip.Addr{netip.MustParseAddr("10.96.0.1")}, Ports: []state.ServicePort{{Protocol: state.TCP, Port: 80}}}},
		Slices:   []state.EndpointSlice{{Namespace: "t", Name: "s-1", Service: "s"}},
		Pods: []state.Pod{{
			Namespace: "t", Name: "p", NodeName: "n1", Running: true, Ready: true, Labels: map[string]string{"app": "x"},
			IPs: []netip.Addr{netip.MustParseAddr("10.0.0.1")}, Ports: []state.EndpointPort{{Protocol: state.TCP, Port: 8080}},
		}},
		RedirectPolicies: []state.RedirectPolicy{p},
	}
}

// A policy is in force in every release, or it is said why it is not: nothing of a
// bad one is guessed.
func TestRedirectPolicyIsJudged(t *testing.T) {
	address := func(ip string, ports ...state.RedirectPort) func(*state.RedirectPolicy) {
		return func(p *state.RedirectPolicy) {
			p.Service, p.Address = nil, &state.RedirectAddress{IP: ip, Ports: ports}
		}
	}
	http := state.RedirectPort{Port: "80", Protocol: "TCP"}
	for name, c := range map[string]struct {
		change func(*state.RedirectPolicy)
		field  string // of the error; "" is none
	}{
		"sound":                      {func(*state.RedirectPolicy) {}, ""},
		"an address":                 {address("169.254.1.1", http), ""},
		"hexadecimal port":           {address("169.254.1.1", state.RedirectPort{Port: "0x50", Protocol: "tcp"}), ""},
		"no matcher":                 {func(p *state.RedirectPolicy) { p.Service = nil }, "spec.redirectFrontend"},
		"two matchers":               {func(p *state.RedirectPolicy) { p.Address = &state.RedirectAddress{} }, "spec.redirectFrontend"},
		"no namespace":               {func(p *state.RedirectPolicy) { p.Namespace = "" }, "metadata.namespace"},
		"foreign namespace":          {func(p *state.RedirectPolicy) { p.Service.Namespace = "u" }, "spec.redirectFrontend.serviceMatcher.namespace"},
		"no service name":            {func(p *state.RedirectPolicy) { p.Service.Name = "" }, "spec.redirectFrontend.serviceMatcher.serviceName"},
		"no address":                 {address("here", http), "spec.redirectFrontend.addressMatcher.ip"},
		"unspecified address":        {address("::", http), "spec.redirectFrontend.addressMatcher.ip"},
		"no port of the address":     {address("169.254.1.1"), "spec.redirectFrontend.addressMatcher.toPorts"},
		"port 0":                     {address("169.254.1.1", state.RedirectPort{Port: "0", Protocol: "TCP"}), "spec.redirectFrontend.addressMatcher.toPorts[0].port"},
		"port beyond the last":       {address("169.254.1.1", state.RedirectPort{Port: "65536", Protocol: "TCP"}), "spec.redirectFrontend.addressMatcher.toPorts[0].port"},
		"unknown protocol":           {address("169.254.1.1", state.RedirectPort{Port: "80", Protocol: "ICMP"}), "spec.redirectFrontend.addressMatcher.toPorts[0].protocol"},
		"several ports, one no name": {address("169.254.1.1", state.RedirectPort{Port: "80", Protocol: "TCP", Name: "a"}, http), "spec.redirectFrontend.addressMatcher.toPorts[1].name"},
		"other protocol behind":      {address("169.254.1.1", state.RedirectPort{Port: "80", Protocol: "UDP"}), "spec.redirectBackend.toPorts[0].protocol"},
		"no ports of the pods":       {func(p *state.RedirectPolicy) { p.ToPorts = nil }, "spec.redirectBackend.toPorts"},
		"no selector":                {func(p *state.RedirectPolicy) { p.Selector = "a in" }, "spec.redirectBackend.localEndpointSelector"},
	} {
		for _, release := range append(releases, "1.20.0", "1.17.15") {
			settings := settingsOf(release)
			settings.LoadBalancer.LocalRedirectPolicy = true
			got, notices := datapath.Compile(settings, redirected(c.change))
			field := ""
			for _, n := range notices {
				if n.Severity == state.Error && (field == "" || n.Field == c.field) {
					field = n.Field
				}
			}
			if field != c.field {
				t.Errorf("%s, %s: error at %q, want %q: %v", name, release, field, c.field, notices)
			}
			flagged := slices.ContainsFunc(got.Frontends, func(f state.Frontend) bool {
				return f.Flags&state.LocalRedirect != 0 && len(f.Backends) == 1 && f.Backends[0].String() == "10.0.0.1:8080/TCP"
			})
			if flagged != (c.field == "") {
				t.Errorf("%s, %s: redirected %v:\n%s", name, release, flagged, got)
			}
		}
	}
}

// Without the setting nothing is redirected, which is said.
func TestRedirectPolicyOff(t *testing.T) {
	got, notices := datapath.Compile(settingsOf("1.19.0"), redirected(func(*state.RedirectPolicy) {}))
	if text := got.String(); strings.Contains(text, "local-redirect") {
		t.Errorf("redirected:\n%s", text)
	}
	if !slices.ContainsFunc(notices, func(n state.Notice) bool { return n.Code == "snapshot/redirect-off" }) {
		t.Errorf("notices %v", notices)
	}
}

// Only 1.17 writes a Maglev table for a policy's own frontend.
func TestRedirectMaglev(t *testing.T) {
	for release, want := range map[string]int{"1.17.2": 1, "1.18.6": 0, "1.20.2": 0} {
		settings := settingsOf(release)
		settings.LoadBalancer.LocalRedirectPolicy, settings.LoadBalancer.Algorithm, settings.LoadBalancer.MaglevTableSize = true, state.Maglev, 251
		got, _ := datapath.Compile(settings, redirected(func(p *state.RedirectPolicy) {
			p.Service, p.Address = nil, &state.RedirectAddress{IP: "169.254.1.1", Ports: []state.RedirectPort{{Port: "80", Protocol: "TCP"}}}
		}))
		if len(got.Maglev) != want {
			t.Errorf("%s: %d tables, want %d", release, len(got.Maglev), want)
		}
	}
}
