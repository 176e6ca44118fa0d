// SPDX-License-Identifier: Apache-2.0

package source_test

import (
	"net/netip"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"plumbline.dev/plumbline/runtime/source"
	"plumbline.dev/plumbline/schema/state"
)

func TestDeltaNamesWhatChanged(t *testing.T) {
	service := func(name, kind string) state.Service { return state.Service{Namespace: "n", Name: name, Type: kind} }
	slice := func(name, of string) state.EndpointSlice {
		return state.EndpointSlice{Namespace: "n", Name: name, Service: of}
	}
	before := &state.Snapshot{
		Services: []state.Service{service("same", "A"), service("gone", "A"), service("other", "A"), service("twice", "A")},
		Slices:   []state.EndpointSlice{slice("same", "a"), slice("moved", "a")},
		Pods:     []state.Pod{{Namespace: "n", Name: "gone"}},
	}
	after := &state.Snapshot{
		Node:     state.Node{Name: "node"},
		Services: []state.Service{service("new", "A"), service("twice", "A"), service("other", "B"), service("same", "A"), service("twice", "B")},
		Slices:   []state.EndpointSlice{slice("moved", "b"), slice("same", "a")},
	}
	name := func(n string) state.Name { return state.Name{Namespace: "n", Name: n} }
	want := &state.Delta{
		Node: &after.Node,
		Services: map[state.Name][]*state.Service{
			name("new"): {&after.Services[0]}, name("gone"): nil, name("other"): {&after.Services[2]}, name("twice"): {&after.Services[1], &after.Services[4]},
		},
		Slices: map[state.Name][]*state.EndpointSlice{name("moved"): {&after.Slices[0]}},
		Pods:   map[state.Name][]*state.Pod{name("gone"): nil},
	}
	got := source.Delta(before, after)
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("Delta (-want +got):\n%s", diff)
	}
	if got.Services[name("new")][0] == &after.Services[0] {
		t.Error("the Delta keeps the Snapshot in memory")
	}
	if d := source.Delta(after, after); !d.Empty() {
		t.Errorf("Delta of equal Snapshots: %+v", d)
	}
	if d := source.Delta(nil, after); len(d.Services) != 4 || d.Node == nil {
		t.Errorf("Delta from nothing: %+v", d)
	}
}

// No field is forgotten: whatever of an object differs is a change.
func TestDeltaLooksAtEachField(t *testing.T) {
	endpoint := state.EndpointSpec{Addresses: []netip.Addr{{}}}
	base := state.Snapshot{
		Services: []state.Service{{Name: "s"}}, Pods: []state.Pod{{Name: "p"}}, RedirectPolicies: []state.RedirectPolicy{{Name: "r"}},
		Slices: []state.EndpointSlice{{Name: "x", Endpoints: []state.EndpointSpec{endpoint}}},
	}
	clone := func() *state.Snapshot {
		c := base
		c.Services, c.Pods = []state.Service{base.Services[0]}, []state.Pod{base.Pods[0]}
		c.RedirectPolicies = []state.RedirectPolicy{base.RedirectPolicies[0]}
		c.Slices = []state.EndpointSlice{{Name: "x", Endpoints: []state.EndpointSpec{endpoint}}}
		return &c
	}
	for kind, of := range map[string]func(*state.Snapshot) any{
		"Node":          func(s *state.Snapshot) any { return &s.Node },
		"Service":       func(s *state.Snapshot) any { return &s.Services[0] },
		"EndpointSlice": func(s *state.Snapshot) any { return &s.Slices[0] },
		"EndpointSpec":  func(s *state.Snapshot) any { return &s.Slices[0].Endpoints[0] },
		"Redirect":      func(s *state.Snapshot) any { return &s.RedirectPolicies[0] },
		"Pod":           func(s *state.Snapshot) any { return &s.Pods[0] },
	} {
		fields := reflect.TypeOf(of(clone())).Elem()
		for i := range fields.NumField() {
			changed := clone()
			field := reflect.ValueOf(of(changed)).Elem().Field(i)
			if !other(field) {
				t.Fatalf("%s.%s: do not know how to change it", kind, fields.Field(i).Name)
			}
			if d := source.Delta(&base, changed); d.Empty() {
				t.Errorf("%s.%s makes no difference", kind, fields.Field(i).Name)
			}
		}
	}
}

// other gives a field another value.
func other(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Uint16, reflect.Uint32, reflect.Uint8:
		v.SetUint(v.Uint() + 1)
	case reflect.Int:
		v.SetInt(v.Int() + 1)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case reflect.Slice:
		v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("k"), reflect.ValueOf("v"))
	case reflect.Struct:
		return other(v.Field(0))
	default:
		return false
	}
	return true
}
