// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"

	"plumbline.dev/plumbline/bpf/layout"
)

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

func containsText(text, part string) bool { return strings.Contains(text, part) }

// bpf/layout describes the maps as the programs declare them.
func TestMapsAreAsLayoutHasThem(t *testing.T) {
	specs, err := MapSpecs()
	if err != nil {
		t.Fatal(err)
	}
	types := map[ebpf.MapType]string{ebpf.Hash: "hash", ebpf.LRUHash: "lru-hash"}
	for name, spec := range specs {
		d, ok := layout.ByName(name)
		if !ok {
			t.Errorf("bpf/layout knows no map %s", name)
			continue
		}
		if types[spec.Type] != d.Type || int(spec.KeySize) != d.KeySize || int(spec.ValueSize) != d.ValueSize {
			t.Errorf("%s: programs have %v %d/%d, bpf/layout %s %d/%d", name, spec.Type, spec.KeySize, spec.ValueSize, d.Type, d.KeySize, d.ValueSize)
		}
	}
	if len(specs) != 11 {
		t.Errorf("%d maps are declared, want 11", len(specs))
	}
}

// The fields that bpf/layout encodes by hand lie where the compiler put them:
// names, offsets and sizes in bytes, from the object's BTF.
func TestLayoutAgreesWithBTF(t *testing.T) {
	spec, err := loadSock()
	if err != nil {
		t.Fatal(err)
	}
	type field struct {
		Name         string
		Offset, Size uint32
	}
	for name, want := range map[string][]field{
		"lb4_key":           {{"address", 0, 4}, {"dport", 4, 2}, {"backend_slot", 6, 2}, {"proto", 8, 1}, {"scope", 9, 1}, {"pad", 10, 2}},
		"lb6_key":           {{"address", 0, 16}, {"dport", 16, 2}, {"backend_slot", 18, 2}, {"proto", 20, 1}, {"scope", 21, 1}, {"pad", 22, 2}},
		"lb_service":        {{"word", 0, 4}, {"count", 4, 2}, {"rev_nat_index", 6, 2}, {"flags", 8, 1}, {"flags2", 9, 1}, {"qcount", 10, 2}},
		"lb4_backend":       {{"address", 0, 4}, {"port", 4, 2}, {"proto", 6, 1}, {"flags", 7, 1}, {"cluster_id", 8, 2}, {"zone", 10, 1}, {"pad", 11, 1}},
		"lb6_backend":       {{"address", 0, 16}, {"port", 16, 2}, {"proto", 18, 1}, {"flags", 19, 1}, {"cluster_id", 20, 2}, {"zone", 22, 1}, {"pad", 23, 1}},
		"lb4_reverse_nat":   {{"address", 0, 4}, {"port", 4, 2}},
		"lb6_reverse_nat":   {{"address", 0, 16}, {"port", 16, 2}},
		"lb_affinity_match": {{"backend_id", 0, 4}, {"rev_nat_index", 4, 2}, {"pad", 6, 2}},
		"lb4_sock_key":      {{"cookie", 0, 8}, {"address", 8, 4}, {"port", 12, 2}, {"pad", 14, 2}},
		"lb4_sock_value":    {{"address", 0, 4}, {"port", 4, 2}, {"rev_nat_index", 6, 2}},
		"lb6_sock_key":      {{"cookie", 0, 8}, {"address", 8, 16}, {"port", 24, 2}, {"pad", 26, 6}},
		"lb6_sock_value":    {{"address", 0, 16}, {"port", 16, 2}, {"rev_nat_index", 18, 2}},
		"lb4_affinity_key":  {{"client", 0, 8}, {"rev_nat_index", 8, 2}, {"netns_cookie", 10, 1}, {"pad", 11, 5}},
		"lb6_affinity_key":  {{"client", 0, 8}, {"client_high", 8, 8}, {"rev_nat_index", 16, 2}, {"netns_cookie", 18, 1}, {"pad", 19, 5}},
		"lb_affinity":       {{"last_used", 0, 8}, {"backend_id", 8, 4}, {"pad", 12, 4}},
	} {
		var s *btf.Struct
		if err := spec.Types.TypeByName(name, &s); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var have []field
		var total uint32
		for _, m := range s.Members {
			size, err := btf.Sizeof(m.Type)
			if err != nil {
				t.Fatal(err)
			}
			have = append(have, field{m.Name, m.Offset.Bytes(), uint32(size)})
			total += uint32(size)
		}
		if diff := cmp.Diff(want, have); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		// Bytes that no field covers would be random, and in a key part of the hash.
		if total != s.Size {
			t.Errorf("%s has %d bytes, its fields %d", name, s.Size, total)
		}
	}
}

// A byte of each field, set by bpf/layout, is found at the field's offset: this
// ties the table above to the encoder.
func TestEncoderFollowsTheTable(t *testing.T) {
	service := layout.Service{Word: 0x04030201, Count: 0x0605, ReverseNAT: 0x0708, Flags: 9, Flags2: 10, QCount: 0x0c0b}.Bytes()
	if diff := cmp.Diff([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, service); diff != "" {
		t.Errorf("service (-want +got):\n%s", diff)
	}
}

// The objects tell nothing of the machine that they were built on.
func TestObjectsHaveNoPaths(t *testing.T) {
	for _, part := range []string{"/root", "/home", "/usr/", "/tmp", "/work"} {
		if bytes.Contains(_SockBytes, []byte(part)) || bytes.Contains(_EntriesBytes, []byte(part)) {
			t.Errorf("an object contains %q", part)
		}
	}
}
