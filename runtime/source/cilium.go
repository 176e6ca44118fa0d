// SPDX-License-Identifier: Apache-2.0

package source

import (
	"fmt"
	"math"
	"net/netip"

	"plumbline.dev/plumbline/schema/state"
)

// What is read of Cilium's own objects: a few fields, which no release from 1.17
// to 1.20 has moved (pkg/k8s/apis/cilium.io). All others are left out on purpose.

type objectMeta struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// CiliumEndpointObject is cilium.io/v2 CiliumEndpoint.
type CiliumEndpointObject struct {
	Metadata objectMeta `json:"metadata"`
	Status   struct {
		Identity struct {
			ID int64 `json:"id"`
		} `json:"identity"`
		Networking ciliumNetworking `json:"networking"`
	} `json:"status"`
}

type ciliumNetworking struct {
	Addressing []ciliumPair `json:"addressing"`
	Node       string       `json:"node"` // its address
}

// ciliumPair is an address of each family, either of which may be missing.
type ciliumPair struct {
	IPv4 string `json:"ipv4"`
	IPv6 string `json:"ipv6"`
}

// CiliumEndpointSliceObject is cilium.io/v2alpha1 CiliumEndpointSlice.
type CiliumEndpointSliceObject struct {
	Metadata  objectMeta `json:"metadata"`
	Namespace string     `json:"namespace"` // of the endpoints; the slice itself has none
	Endpoints []struct {
		Name       string           `json:"name"`
		ID         int64            `json:"id"` // of the identity
		Networking ciliumNetworking `json:"networking"`
	} `json:"endpoints"`
}

// CiliumNodeObject is cilium.io/v2 CiliumNode.
type CiliumNodeObject struct {
	Metadata objectMeta `json:"metadata"`
	Spec     struct {
		Addresses []struct {
			Type string `json:"type"` // InternalIP, ExternalIP, CiliumInternalIP, …
			IP   string `json:"ip"`
		} `json:"addresses"`
		Health  ciliumPair `json:"health"`
		Ingress ciliumPair `json:"ingress"`
		IPAM    struct {
			PodCIDRs []string `json:"podCIDRs"`
		} `json:"ipam"`
	} `json:"spec"`
}

// CiliumEndpoint converts a CiliumEndpoint.
func CiliumEndpoint(in *CiliumEndpointObject) (state.CiliumEndpoint, []state.Notice) {
	n := &notes{object: "CiliumEndpoint " + in.Metadata.Namespace + "/" + in.Metadata.Name}
	out := state.CiliumEndpoint{
		Namespace: in.Metadata.Namespace, Name: in.Metadata.Name,
		Identity: n.identity("status.identity.id", in.Status.Identity.ID),
	}
	out.Addresses, out.Node = n.networking("status.networking", &in.Status.Networking)
	return out, n.list
}

// CiliumEndpointSlice converts a CiliumEndpointSlice.
func CiliumEndpointSlice(in *CiliumEndpointSliceObject) ([]state.CiliumEndpoint, []state.Notice) {
	n := &notes{object: "CiliumEndpointSlice " + in.Metadata.Name}
	var list []state.CiliumEndpoint
	for i := range in.Endpoints {
		e, field := &in.Endpoints[i], fmt.Sprintf("endpoints[%d]", i)
		out := state.CiliumEndpoint{Namespace: in.Namespace, Name: e.Name, Identity: n.identity(field+".id", e.ID)}
		out.Addresses, out.Node = n.networking(field+".networking", &e.Networking)
		list = append(list, out)
	}
	return list, n.list
}

// CiliumNode converts a CiliumNode.
func CiliumNode(in *CiliumNodeObject) (state.CiliumNode, []state.Notice) {
	n := &notes{object: "CiliumNode " + in.Metadata.Name}
	out := state.CiliumNode{
		Name:    in.Metadata.Name,
		Health:  n.pair("spec.health", in.Spec.Health),
		Ingress: n.pair("spec.ingress", in.Spec.Ingress),
	}
	for i, a := range in.Spec.Addresses {
		ip, ok := n.address(fmt.Sprintf("spec.addresses[%d].ip", i), a.IP)
		if !ok {
			continue
		}
		out.Addresses = append(out.Addresses, ip)
		if a.Type == "InternalIP" && !out.Internal.IsValid() {
			out.Internal = ip
		}
	}
	for i, text := range in.Spec.IPAM.PodCIDRs {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			n.add(state.Error, "snapshot/bad-cidr", fmt.Sprintf("spec.ipam.podCIDRs[%d]", i), "want a CIDR, such as 10.244.1.0/24", "%q is no CIDR; it is left out", text)
			continue
		}
		out.PodCIDRs = append(out.PodCIDRs, prefix.Masked())
	}
	return out, n.list
}

func (n *notes) networking(field string, in *ciliumNetworking) (addresses []netip.Addr, node netip.Addr) {
	for i, p := range in.Addressing {
		addresses = append(addresses, n.pair(fmt.Sprintf("%s.addressing[%d]", field, i), p)...)
	}
	if in.Node != "" {
		node, _ = n.address(field+".node", in.Node)
	}
	return addresses, node
}

func (n *notes) pair(field string, p ciliumPair) []netip.Addr {
	var list []netip.Addr
	for _, one := range []struct{ name, text string }{{".ipv4", p.IPv4}, {".ipv6", p.IPv6}} {
		if one.text == "" {
			continue
		}
		if ip, ok := n.address(field+one.name, one.text); ok {
			list = append(list, ip)
		}
	}
	return list
}

func (n *notes) identity(field string, id int64) uint32 {
	if id < 0 || id > math.MaxUint32 {
		n.add(state.Error, "snapshot/bad-identity", field, "want a number of 32 bits", "%d is no identity; it is taken for none", id)
		return 0
	}
	return uint32(id)
}
