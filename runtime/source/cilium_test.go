// SPDX-License-Identifier: Apache-2.0

package source

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"plumbline.dev/plumbline/schema/state"
)

var cilium = `
-- cilium.yaml --
apiVersion: cilium.io/v2
kind: CiliumEndpoint
metadata: {name: web-1, namespace: test}
status:
  id: 12
  external-identifiers: {k8s-pod-name: web-1}
  identity: {id: 4711, labels: ["k8s:app=web"]}
  networking:
    addressing: [{ipv4: 10.0.1.1, ipv6: "fd00::11"}]
    node: 192.168.1.10
---
apiVersion: cilium.io/v2
kind: CiliumEndpoint
metadata: {name: starting, namespace: test}
status: {}
---
apiVersion: cilium.io/v2alpha1
kind: CiliumEndpointSlice
metadata: {name: ces-1}
namespace: shop
endpoints:
- {name: cart-1, id: 4712, networking: {addressing: [{ipv4: 10.0.2.1}], node: 192.168.1.11}, encryption: {key: 3}}
- {name: cart-2, id: 4712, networking: {addressing: [{ipv4: 10.0.2.2}], node: 192.168.1.11}}
---
apiVersion: cilium.io/v2
kind: CiliumNode
metadata: {name: n1}
spec:
  addresses:
  - {type: ExternalIP, ip: 198.51.100.1}
  - {type: InternalIP, ip: 192.168.1.10}
  - {type: CiliumInternalIP, ip: 10.0.1.254}
  health: {ipv4: 10.0.1.200}
  ingress: {ipv4: 10.0.1.201, ipv6: "fd00::201"}
  ipam: {podCIDRs: [10.0.1.0/24]}
  encryption: {}
`

var compareAddresses = cmp.Options{cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}), cmpopts.EquateEmpty(), cmpopts.IgnoreTypes(state.Position{})}

// Of Cilium's own objects the fields that the audits need are read, and the many
// others are no finding.
func TestCiliumObjects(t *testing.T) {
	s, notices := read(t, cilium, state.Node{Name: "n1"})
	if len(notices) > 0 {
		t.Errorf("notices %v", notices)
	}
	addr := netip.MustParseAddr
	endpoints := []state.CiliumEndpoint{
		{Namespace: "test", Name: "web-1", Identity: 4711, Node: addr("192.168.1.10"), Addresses: []netip.Addr{addr("10.0.1.1"), addr("fd00::11")}},
		{Namespace: "test", Name: "starting"},
		{Namespace: "shop", Name: "cart-1", Identity: 4712, Node: addr("192.168.1.11"), Addresses: []netip.Addr{addr("10.0.2.1")}},
		{Namespace: "shop", Name: "cart-2", Identity: 4712, Node: addr("192.168.1.11"), Addresses: []netip.Addr{addr("10.0.2.2")}},
	}
	if diff := cmp.Diff(endpoints, s.CiliumEndpoints, compareAddresses); diff != "" {
		t.Errorf("endpoints (-want +got):\n%s", diff)
	}
	nodes := []state.CiliumNode{{
		Name: "n1", Internal: addr("192.168.1.10"), Addresses: []netip.Addr{addr("198.51.100.1"), addr("192.168.1.10"), addr("10.0.1.254")},
		Health: []netip.Addr{addr("10.0.1.200")}, Ingress: []netip.Addr{addr("10.0.1.201"), addr("fd00::201")},
		PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.1.0/24")},
	}}
	if diff := cmp.Diff(nodes, s.CiliumNodes, compareAddresses); diff != "" {
		t.Errorf("nodes (-want +got):\n%s", diff)
	}
	if p := s.CiliumEndpoints[2].Pos; p.Line != 17 || p.File == "" {
		t.Errorf("an endpoint of a slice stands at %v, want the slice's line", p)
	}
}

// What is wrong in them is said with its place, as of any other object.
func TestCiliumObjectsThatAreWrong(t *testing.T) {
	_, notices := read(t, `
-- bad.yaml --
apiVersion: cilium.io/v2
kind: CiliumEndpoint
metadata: {name: web-1, namespace: test}
status:
  identity: {id: -1}
  networking: {addressing: [{ipv4: 10.0.1}], node: here}
---
apiVersion: cilium.io/v2
kind: CiliumNode
metadata: {name: n1}
spec:
  addresses: {ip: 10.0.0.1}
---
apiVersion: cilium.io/v2
kind: CiliumNode
metadata: {name: n2}
spec:
  ipam: {podCIDRs: [10.0.0.0/33]}
---
apiVersion: cilium.io/v3
kind: CiliumEndpoint
metadata: {name: new}
`, state.Node{}, "bad.yaml")
	want := []string{
		`error snapshot/bad-identity bad.yaml:5: CiliumEndpoint test/web-1: status.identity.id: -1 is no identity; it is taken for none; want a number of 32 bits`,
		`error snapshot/bad-address bad.yaml:6: CiliumEndpoint test/web-1: status.networking.addressing[0].ipv4: "10.0.1" is no IP address; it is left out`,
		`error snapshot/bad-address bad.yaml:6: CiliumEndpoint test/web-1: status.networking.node: "here" is no IP address; it is left out`,
		`error snapshot/bad-cidr bad.yaml:18: CiliumNode n2: spec.ipam.podCIDRs[0]: "10.0.0.0/33" is no CIDR; it is left out; want a CIDR, such as 10.244.1.0/24`,
		`error snapshot/unknown-version bad.yaml:20: CiliumEndpoint new: version cilium.io/v3 is not read; the object is left out; want cilium.io/v2`,
	}
	malformed := false
	var rest []string
	for _, n := range notices {
		if strings.HasPrefix(n, "error snapshot/malformed-object bad.yaml:8: CiliumNode n1: ") {
			malformed = true
			continue
		}
		rest = append(rest, n)
	}
	if diff := cmp.Diff(want, rest); diff != "" || !malformed {
		t.Errorf("malformed %v; notices (-want +got):\n%s", malformed, diff)
	}
}
