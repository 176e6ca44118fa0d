// SPDX-License-Identifier: Apache-2.0

package state

import (
	"cmp"
	"fmt"
)

// Name is an object's namespace and name; its kind is said beside it.
type Name struct{ Namespace, Name string }

// String gives "namespace/name".
func (n Name) String() string { return fmt.Sprintf("%s/%s", n.Namespace, n.Name) }

// Compare orders by namespace, then by name.
func (n Name) Compare(o Name) int {
	return cmp.Or(cmp.Compare(n.Namespace, o.Namespace), cmp.Compare(n.Name, o.Name))
}

// Delta is what a Snapshot has otherwise than the one before it. Under the name
// of whatever changed stand all objects that have the name now; none is a
// deletion. An API server has one at most. A folder of YAML may have more, which
// is worth a Notice, so they must not be lost here (I10). The zero Delta is no
// change. Objects that a Delta was given are not to be changed any more.
type Delta struct {
	Node     *Node // nil: as before
	Services map[Name][]*Service
	Slices   map[Name][]*EndpointSlice
	Pods     map[Name][]*Pod
	// Redirects are the redirect policies.
	Redirects map[Name][]*RedirectPolicy
	// Envoys are the Envoy configurations, those of the cluster without a namespace.
	Envoys map[Name][]*EnvoyConfig
}

// SetService notes the services of a name; none deletes it.
func (d *Delta) SetService(name Name, list ...*Service) { set(&d.Services, name, list) }

// SetSlice notes the EndpointSlices of a name, which is the slice's own; none
// deletes it.
func (d *Delta) SetSlice(name Name, list ...*EndpointSlice) { set(&d.Slices, name, list) }

// SetPod notes the pods of a name; none deletes it.
func (d *Delta) SetPod(name Name, list ...*Pod) { set(&d.Pods, name, list) }

// SetRedirect notes the redirect policies of a name; none deletes it.
func (d *Delta) SetRedirect(name Name, list ...*RedirectPolicy) { set(&d.Redirects, name, list) }

// SetEnvoy notes the Envoy configurations of a name; none deletes it.
func (d *Delta) SetEnvoy(name Name, list ...*EnvoyConfig) { set(&d.Envoys, name, list) }

func set[T any](m *map[Name][]*T, name Name, list []*T) {
	if *m == nil {
		*m = map[Name][]*T{}
	}
	(*m)[name] = list
}

// Empty tells whether nothing has changed.
func (d *Delta) Empty() bool {
	return d.Node == nil && len(d.Services)+len(d.Slices)+len(d.Pods)+len(d.Redirects)+len(d.Envoys) == 0
}

// Whole is the Delta from nothing to a Snapshot, whose objects it refers to.
func Whole(s *Snapshot) *Delta {
	d := &Delta{Node: &s.Node, Services: make(map[Name][]*Service, len(s.Services)), Slices: make(map[Name][]*EndpointSlice, len(s.Slices))}
	for i := range s.Services {
		o := &s.Services[i]
		n := Name{o.Namespace, o.Name}
		d.Services[n] = append(d.Services[n], o)
	}
	for i := range s.Slices {
		o := &s.Slices[i]
		n := Name{o.Namespace, o.Name}
		d.Slices[n] = append(d.Slices[n], o)
	}
	for i := range s.Pods {
		o := &s.Pods[i]
		n := Name{o.Namespace, o.Name}
		d.SetPod(n, append(d.Pods[n], o)...)
	}
	for i := range s.RedirectPolicies {
		o := &s.RedirectPolicies[i]
		n := Name{o.Namespace, o.Name}
		d.SetRedirect(n, append(d.Redirects[n], o)...)
	}
	for i := range s.EnvoyConfigs {
		o := &s.EnvoyConfigs[i]
		n := Name{o.Namespace, o.Name}
		d.SetEnvoy(n, append(d.Envoys[n], o)...)
	}
	return d
}
