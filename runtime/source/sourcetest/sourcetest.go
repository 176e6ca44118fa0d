// SPDX-License-Identifier: Apache-2.0

// Package sourcetest makes a cluster's Services and EndpointSlices for benchmarks,
// as an API server gives them. It is no model of a cluster: nothing in it changes.
package sourcetest

import (
	"fmt"
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"plumbline.dev/plumbline/runtime/source"
	"plumbline.dev/plumbline/schema/state"
)

// Objects are what an informer's first lists hold.
type Objects struct {
	Services *corev1.ServiceList
	Slices   *discoveryv1.EndpointSliceList
}

// New makes n services of the type ClusterIP, each with one slice of that many
// ready endpoints, all of them other addresses.
func New(n, endpoints int) Objects {
	o := Objects{Services: &corev1.ServiceList{}, Slices: &discoveryv1.EndpointSliceList{}}
	for i := range n {
		meta := metav1.ObjectMeta{
			Namespace: fmt.Sprintf("team-%d", i%50), Name: fmt.Sprintf("service-%05d", i), ResourceVersion: fmt.Sprint(i + 1),
			UID: types.UID(fmt.Sprintf("6f1c3a52-0000-4000-8000-%012x", i)), Labels: map[string]string{"app": fmt.Sprintf("service-%05d", i)},
		}
		o.Services.Items = append(o.Services.Items, service(meta, i))
		o.Slices.Items = append(o.Slices.Items, slice(meta, i, endpoints))
	}
	return o
}

func service(meta metav1.ObjectMeta, i int) corev1.Service {
	ip := address(10<<24 | 96<<16 | uint32(i+1))
	return corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeClusterIP, ClusterIP: ip, ClusterIPs: []string{ip}, IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol},
		Selector: meta.Labels, SessionAffinity: corev1.ServiceAffinityNone,
		Ports: []corev1.ServicePort{{Name: "http", Protocol: corev1.ProtocolTCP, Port: 80}},
	}}
}

func slice(meta metav1.ObjectMeta, i, endpoints int) discoveryv1.EndpointSlice {
	name, yes, no := meta.Name, true, false
	port, portName, protocol := int32(8080), "http", corev1.ProtocolTCP
	out := discoveryv1.EndpointSlice{ObjectMeta: meta, AddressType: discoveryv1.AddressTypeIPv4}
	out.Name += "-abcde"
	out.Labels = map[string]string{discoveryv1.LabelServiceName: name, discoveryv1.LabelManagedBy: "endpointslice-controller.k8s.io"}
	out.Ports = []discoveryv1.EndpointPort{{Name: &portName, Protocol: &protocol, Port: &port}}
	for j := range endpoints {
		node := fmt.Sprintf("node-%d", j)
		out.Endpoints = append(out.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{address(10<<24 | 128<<16 + uint32(i*endpoints+j))}, NodeName: &node,
			Conditions: discoveryv1.EndpointConditions{Ready: &yes, Serving: &yes, Terminating: &no},
			TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: meta.Namespace, Name: fmt.Sprintf("%s-%d", name, j)},
		})
	}
	return out
}

func address(n uint32) string {
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}).String()
}

// Snapshot converts the objects for a node of the cluster.
func (o Objects) Snapshot(t testing.TB) *state.Snapshot {
	t.Helper()
	s := &state.Snapshot{Node: state.Node{Name: "node-0", Addresses: []netip.Addr{netip.MustParseAddr("192.168.1.10")}}}
	s.Services = make([]state.Service, 0, len(o.Services.Items))
	s.Slices = make([]state.EndpointSlice, 0, len(o.Slices.Items))
	var notices []state.Notice
	for i := range o.Services.Items {
		service, said := source.Service(&o.Services.Items[i])
		s.Services, notices = append(s.Services, service), append(notices, said...)
	}
	for i := range o.Slices.Items {
		slice, said := source.EndpointSlice(&o.Slices.Items[i])
		s.Slices, notices = append(s.Slices, slice), append(notices, said...)
	}
	if len(notices) > 0 {
		t.Fatalf("%d notices, the first: %s", len(notices), notices[0])
	}
	return s
}

// Settings are those of a node without kube-proxy, for the layout of Cilium 1.17.
// The folders are the caller's.
func Settings() *state.Settings {
	return &state.Settings{
		ChartVersion: "1.17.2", Layout: state.Cilium117, Mode: state.Own, IPv4: true, KubeProxyReplacement: true, SocketLB: true,
		NodePortMin: 30000, NodePortMax: 32767,
		LoadBalancer: state.LoadBalancerSettings{Algorithm: state.Random, Mode: "snat", DefaultIPAM: "lbipam", TerminatingEndpoints: true},
	}
}
