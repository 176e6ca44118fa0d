// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"net/netip"
	"slices"
	"testing"

	"plumbline.dev/plumbline/schema/state"
)

// What each release wrote tells it from those that write otherwise, and never
// speaks against itself.
func TestContentEvidenceOfVectors(t *testing.T) {
	for l, want := range map[state.Layout][]state.Layout{
		state.Cilium117: {state.Cilium117},
		state.Cilium118: since(state.Cilium118),
		state.Cilium119: since(state.Cilium119),
		state.Cilium120: since(state.Cilium119), // from 1.19 on entries are alike
	} {
		list := ContentEvidence(readVector(t, vectors[l]))
		if got := Fits(list); !slices.Equal(got, want) {
			t.Errorf("%s fits %v, want %v: %+v", l, got, want, list)
		}
		if against := Against(l, list); len(against) > 0 {
			t.Errorf("%s speaks against itself: %+v", l, against)
		}
	}
}

// One entry that is written otherwise is damage, not another layout; so is a
// handful of entries too few.
func TestContentEvidenceWantsAgreement(t *testing.T) {
	tables := readVector(t, vectors[state.Cilium117])
	damaged := ServiceKey{}
	damaged.Address, damaged.Port, damaged.Protocol = netip.MustParseAddr("10.9.9.9"), 80, state.TCP
	tables[Services4].Append(damaged.Bytes(), Service{Count: 0, ReverseNAT: 900}.Bytes())
	for _, e := range ContentEvidence(tables) {
		if e.Property == "algorithm of masters" {
			t.Errorf("two masters disagree, and yet there is %+v", e)
		}
	}
	few := Tables{Services4: NewTable(12, 12, 0)}
	for i := range byte(witnesses - 1) {
		damaged.Port = 80 + uint16(i)
		few[Services4].Append(damaged.Bytes(), Service{}.Bytes())
	}
	if list := ContentEvidence(few); len(list) > 0 {
		t.Errorf("%d masters are evidence: %+v", witnesses-1, list)
	}
	if list := ContentEvidence(nil); len(list) > 0 || len(Fits(list)) != 4 {
		t.Errorf("no entries are evidence: %+v", list)
	}
}

func TestPinEvidence(t *testing.T) {
	policy := func(name string, size uint32) Pin { return Pin{Name: name, ValueSize: size} }
	all := since(state.Cilium117)
	for _, c := range []struct {
		name string
		pins []Pin
		want []state.Layout
	}{
		{"nothing", nil, all},
		{"the old ipcache", []Pin{{Name: "cilium_ipcache"}}, []state.Layout{state.Cilium117}},
		{"the new ipcache", []Pin{{Name: "cilium_ipcache_v2"}}, since(state.Cilium118)},
		{"both, one of them left behind", []Pin{{Name: "cilium_ipcache"}, {Name: "cilium_ipcache_v2"}}, all},
		{"policy of 1.17", []Pin{policy("cilium_policy_v2_00012", 24)}, []state.Layout{state.Cilium117}},
		{"policy of 1.18", []Pin{policy("cilium_policy_v2_00012", 8)}, []state.Layout{state.Cilium118}},
		{"policy of 1.19", []Pin{policy("cilium_policy_v2_00012", 12)}, []state.Layout{state.Cilium119}},
		{"policy of 1.20", []Pin{policy("cilium_policy_v3_00012", 12)}, []state.Layout{state.Cilium120}},
		{"policy of two releases", []Pin{policy("cilium_policy_v2_00012", 24), policy("cilium_policy_v2_00013", 8)}, all},
		{"policy of an unknown size", []Pin{policy("cilium_policy_v2_00012", 16)}, all},
		{"closed to programs", []Pin{{Name: "cilium_lb4_services_v2", Flags: 0x81}}, []state.Layout{state.Cilium120}},
		{"open to programs, as an upgrade leaves it", []Pin{{Name: "cilium_lb4_services_v2", Flags: 0x1}}, all},
		{"another map that is closed", []Pin{{Name: "cilium_devices", Flags: 0x80}}, all},
		{"a contradiction", []Pin{{Name: "cilium_ipcache"}, {Name: "cilium_lb4_services_v2", Flags: 0x80}}, nil},
	} {
		if got := Fits(PinEvidence(c.pins)); !slices.Equal(got, c.want) {
			t.Errorf("%s: fits %v, want %v", c.name, got, c.want)
		}
	}
}
