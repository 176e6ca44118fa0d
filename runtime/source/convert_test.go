// SPDX-License-Identifier: Apache-2.0

package source

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"plumbline.dev/plumbline/schema/state"
)

func ptr[T any](v T) *T { return &v }

func addresses(texts ...string) []netip.Addr {
	var list []netip.Addr
	for _, text := range texts {
		list = append(list, netip.MustParseAddr(text))
	}
	return list
}

// Every field that the datapath depends on arrives, and labels and annotations
// that it does not depend on do not.
func TestService(t *testing.T) {
	local, vip := corev1.ServiceInternalTrafficPolicyLocal, corev1.LoadBalancerIPModeProxy
	in := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Name: "a", Namespace: "n",
			Labels:      map[string]string{"app": "a", "service.kubernetes.io/service-proxy-name": "p"},
			Annotations: map[string]string{"service.cilium.io/type": "NodePort", "io.cilium/global-service": "true", "meta.helm.sh/release-name": "r"},
		},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, ClusterIP: "10.96.0.1", ClusterIPs: []string{"10.96.0.1", "fd00::1"}, ExternalIPs: []string{"198.51.100.1"},
			LoadBalancerClass: ptr("c"), LoadBalancerSourceRanges: []string{"10.0.0.0/8"},
			ExternalTrafficPolicy: corev1.ServiceExternalTrafficPolicyLocal, InternalTrafficPolicy: &local,
			TrafficDistribution: ptr("PreferClose"), SessionAffinity: corev1.ServiceAffinityClientIP, HealthCheckNodePort: 32000,
			SessionAffinityConfig: &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: ptr(int32(60))}},
			Ports:                 []corev1.ServicePort{{Name: "http", Protocol: corev1.ProtocolTCP, Port: 80, NodePort: 30080}, {Name: "dns", Protocol: corev1.ProtocolUDP, Port: 53}},
		},
		Status: corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{IP: "203.0.113.1"}, {IP: "203.0.113.2", IPMode: &vip}}}},
	}
	want := state.Service{
		Namespace: "n", Name: "a", Type: "LoadBalancer",
		Labels:      map[string]string{"service.kubernetes.io/service-proxy-name": "p"},
		Annotations: map[string]string{"service.cilium.io/type": "NodePort", "io.cilium/global-service": "true"},
		ClusterIPs:  addresses("10.96.0.1", "fd00::1"), ExternalIPs: addresses("198.51.100.1"),
		LoadBalancerIPs:   []state.LoadBalancerIP{{IP: netip.MustParseAddr("203.0.113.1")}, {IP: netip.MustParseAddr("203.0.113.2"), IPMode: "Proxy"}},
		LoadBalancerClass: ptr("c"), SourceRanges: []string{"10.0.0.0/8"}, ExternalTrafficPolicy: "Local", InternalTrafficPolicy: "Local",
		TrafficDistribution: "PreferClose", SessionAffinity: true, AffinityTimeoutSeconds: 60, HealthCheckNodePort: 32000,
		Ports: []state.ServicePort{{Name: "http", Protocol: state.TCP, Port: 80, NodePort: 30080}, {Name: "dns", Protocol: state.UDP, Port: 53}},
	}
	got, notices := Service(in)
	if diff := cmp.Diff(want, got, compareValues); diff != "" || len(notices) > 0 {
		t.Errorf("notices %v (-want +got):\n%s", notices, diff)
	}
}

func TestEndpointSlice(t *testing.T) {
	sctp := corev1.ProtocolSCTP
	in := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: "a-1", Namespace: "n", Labels: map[string]string{discoveryv1.LabelServiceName: "a"}},
		AddressType: discoveryv1.AddressTypeIPv6,
		Ports:       []discoveryv1.EndpointPort{{Name: ptr("s"), Port: ptr(int32(9)), Protocol: &sctp}, {Port: ptr(int32(80))}},
		Endpoints: []discoveryv1.Endpoint{{
			Addresses: []string{"fd00::1", "fd00::2"}, NodeName: ptr("w"), Zone: ptr("z"),
			Conditions: discoveryv1.EndpointConditions{Ready: ptr(false), Terminating: ptr(true)},
			Hints:      &discoveryv1.EndpointHints{ForZones: []discoveryv1.ForZone{{Name: "z"}}, ForNodes: []discoveryv1.ForNode{{Name: "w"}}},
		}},
	}
	want := state.EndpointSlice{
		Namespace: "n", Name: "a-1", Service: "a", IPv6: true,
		Ports: []state.EndpointPort{{Name: "s", Protocol: state.SCTP, Port: 9}, {Protocol: state.TCP, Port: 80}},
		Endpoints: []state.EndpointSpec{{
			Addresses: addresses("fd00::1", "fd00::2"), Ready: ptr(false), Terminating: ptr(true), NodeName: "w", Zone: "z",
			HintZones: []string{"z"},
		}},
	}
	got, notices := EndpointSlice(in)
	if diff := cmp.Diff(want, got, compareValues); diff != "" || len(notices) > 0 {
		t.Errorf("notices %v (-want +got):\n%s", notices, diff)
	}
}

func TestPod(t *testing.T) {
	in := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "n", UID: "u"},
		Spec: corev1.PodSpec{
			NodeName:       "w",
			InitContainers: []corev1.Container{{Ports: []corev1.ContainerPort{{ContainerPort: 1, HostPort: 81, Protocol: corev1.ProtocolUDP}}}},
			Containers: []corev1.Container{
				{Ports: []corev1.ContainerPort{{ContainerPort: 2}, {ContainerPort: 3, HostPort: 82, HostIP: "127.0.0.1"}}},
				{Ports: []corev1.ContainerPort{{ContainerPort: 4, HostPort: 83, HostIP: "here"}}},
			},
		},
		Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}, Phase: corev1.PodRunning, PodIP: "10.0.0.1", PodIPs: []corev1.PodIP{{IP: "10.0.0.1"}, {IP: "fd00::1"}}},
	}
	want := state.Pod{
		Namespace: "n", Name: "p", UID: "u", NodeName: "w", Running: true, IPs: addresses("10.0.0.1", "fd00::1"),
		HostPorts: []state.HostPortSpec{
			{HostPort: 81, ContainerPort: 1, Protocol: state.UDP},
			{HostPort: 82, ContainerPort: 3, Protocol: state.TCP, HostIP: netip.MustParseAddr("127.0.0.1")},
		},
		Ports: []state.EndpointPort{{Protocol: state.TCP, Port: 2}, {Protocol: state.TCP, Port: 3}, {Protocol: state.TCP, Port: 4}}, Ready: true,
	}
	got, notices := Pod(in)
	if diff := cmp.Diff(want, got, compareValues); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(notices) != 1 || notices[0].Field != "spec.containers[1].ports[0].hostIP" {
		t.Errorf("notices %v", notices)
	}
}
