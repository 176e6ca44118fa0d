// SPDX-License-Identifier: Apache-2.0

package source

import (
	"maps"
	"reflect"
	"slices"

	"plumbline.dev/plumbline/schema/state"
)

// Delta says what a Snapshot has otherwise than the one before it, name by name; a
// nil before is nothing at all. An object that stands elsewhere in its file has
// changed: what is said about it names its line. Changed objects are copied, so
// that the Delta does not keep the whole Snapshot in memory.
//
// What Cilium itself says of pods and nodes has no bearing on what is compiled and
// is not compared.
func Delta(before, after *state.Snapshot) *state.Delta {
	if before == nil {
		return state.Whole(after)
	}
	d := &state.Delta{}
	if !SameNode(&before.Node, &after.Node) {
		node := after.Node
		d.Node = &node
	}
	differing(before.Services, after.Services, func(s *state.Service) state.Name { return state.Name{Namespace: s.Namespace, Name: s.Name} }, sameService, d.SetService)
	differing(before.Slices, after.Slices, func(s *state.EndpointSlice) state.Name { return state.Name{Namespace: s.Namespace, Name: s.Name} }, sameSlice, d.SetSlice)
	differing(before.Pods, after.Pods, func(p *state.Pod) state.Name { return state.Name{Namespace: p.Namespace, Name: p.Name} }, samePod, d.SetPod)
	differing(before.RedirectPolicies, after.RedirectPolicies, func(p *state.RedirectPolicy) state.Name { return state.Name{Namespace: p.Namespace, Name: p.Name} }, sameRedirect, d.SetRedirect)
	differing(before.EnvoyConfigs, after.EnvoyConfigs, func(e *state.EnvoyConfig) state.Name { return state.Name{Namespace: e.Namespace, Name: e.Name} }, sameEnvoy, d.SetEnvoy)
	return d
}

// differing sets each name under which the objects differ.
func differing[T any](before, after []T, name func(*T) state.Name, same func(a, b *T) bool, set func(state.Name, ...*T)) {
	old, now := byName(before, name), byName(after, name)
	for n, list := range now {
		if !slices.EqualFunc(old[n], list, same) {
			set(n, copies(list)...)
		}
	}
	for n := range old {
		if now[n] == nil {
			set(n)
		}
	}
}

func byName[T any](list []T, name func(*T) state.Name) map[state.Name][]*T {
	// One array of pointers serves all names that one object has.
	pointers, m := make([]*T, len(list)), make(map[state.Name][]*T, len(list))
	for i := range list {
		pointers[i] = &list[i]
		n := name(&list[i])
		if have := m[n]; have != nil {
			m[n] = append(have, &list[i])
			continue
		}
		m[n] = pointers[i : i+1 : i+1]
	}
	return m
}

func copies[T any](list []*T) []*T {
	out := make([]*T, len(list))
	for i, p := range list {
		o := *p
		out[i] = &o
	}
	return out
}

// SameNode compares nodes.
func SameNode(a, b *state.Node) bool {
	return a.Name == b.Name && a.Zone == b.Zone && slices.Equal(a.Addresses, b.Addresses) &&
		(a.Labels == nil) == (b.Labels == nil) && maps.Equal(a.Labels, b.Labels) && slices.EqualFunc(a.Devices, b.Devices, SameDevice)
}

// SameDevice compares devices.
func SameDevice(a, b state.Device) bool {
	return a.Name == b.Name && a.Kind == b.Kind && slices.Equal(a.Addresses, b.Addresses) && a.Up == b.Up && a.Inner == b.Inner && a.DefaultRoute == b.DefaultRoute
}

func sameService(a, b *state.Service) bool {
	return a.Namespace == b.Namespace && a.Name == b.Name && a.Pos == b.Pos && a.Type == b.Type && a.Headless == b.Headless &&
		maps.Equal(a.Labels, b.Labels) && maps.Equal(a.Annotations, b.Annotations) &&
		slices.Equal(a.ClusterIPs, b.ClusterIPs) && slices.Equal(a.IPFamilies, b.IPFamilies) && slices.Equal(a.ExternalIPs, b.ExternalIPs) &&
		slices.Equal(a.LoadBalancerIPs, b.LoadBalancerIPs) && samePointee(a.LoadBalancerClass, b.LoadBalancerClass) &&
		slices.Equal(a.SourceRanges, b.SourceRanges) && slices.Equal(a.Ports, b.Ports) &&
		a.ExternalTrafficPolicy == b.ExternalTrafficPolicy && a.InternalTrafficPolicy == b.InternalTrafficPolicy &&
		a.TrafficDistribution == b.TrafficDistribution && a.SessionAffinity == b.SessionAffinity &&
		a.AffinityTimeoutSeconds == b.AffinityTimeoutSeconds && a.HealthCheckNodePort == b.HealthCheckNodePort
}

func sameSlice(a, b *state.EndpointSlice) bool {
	return a.Namespace == b.Namespace && a.Name == b.Name && a.Pos == b.Pos && a.Service == b.Service && a.IPv6 == b.IPv6 && samePointee(a.Weight, b.Weight) &&
		slices.Equal(a.Ports, b.Ports) && slices.EqualFunc(a.Endpoints, b.Endpoints, sameEndpoint)
}

func sameEndpoint(a, b state.EndpointSpec) bool {
	return slices.Equal(a.Addresses, b.Addresses) && a.NodeName == b.NodeName && a.Zone == b.Zone &&
		samePointee(a.Ready, b.Ready) && samePointee(a.Serving, b.Serving) && samePointee(a.Terminating, b.Terminating) &&
		slices.Equal(a.HintZones, b.HintZones)
}

func samePod(a, b *state.Pod) bool {
	return a.Namespace == b.Namespace && a.Name == b.Name && a.Pos == b.Pos && a.UID == b.UID && a.NodeName == b.NodeName &&
		a.HostNetwork == b.HostNetwork && a.Running == b.Running && a.Ended == b.Ended && maps.Equal(a.Labels, b.Labels) &&
		slices.Equal(a.IPs, b.IPs) && slices.Equal(a.HostPorts, b.HostPorts) && a.Ready == b.Ready && slices.Equal(a.Ports, b.Ports)
}

func sameRedirect(a, b *state.RedirectPolicy) bool { return reflect.DeepEqual(a, b) }

func sameEnvoy(a, b *state.EnvoyConfig) bool { return reflect.DeepEqual(a, b) }

func samePointee[T comparable](a, b *T) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}
