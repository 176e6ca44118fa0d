// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"

	"github.com/cilium/ebpf"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/schema/state"
)

var mapTypes = map[ebpf.MapType]string{
	ebpf.Hash: "hash", ebpf.LRUHash: "lru-hash", ebpf.LPMTrie: "lpm-trie", ebpf.HashOfMaps: "hash-of-maps", ebpf.Array: "array",
}

func mapTypeNamed(name string) (ebpf.MapType, error) {
	for t, n := range mapTypes {
		if n == name {
			return t, nil
		}
	}
	return 0, fmt.Errorf("map type %q is not known", name)
}

// parameters are a map's, as the kernel says them.
func parameters(name string, m *ebpf.Map) (state.Map, error) {
	info, err := m.Info()
	if err != nil {
		return state.Map{}, fmt.Errorf("map %s: %w", name, err)
	}
	kind, ok := mapTypes[info.Type]
	if !ok {
		kind = info.Type.String()
	}
	return state.Map{Name: name, Type: kind, KeySize: info.KeySize, ValueSize: info.ValueSize, MaxEntries: info.MaxEntries, Flags: info.Flags}, nil
}

// readable compares what decides how a map's entries are read (I7).
func readable(have state.Map, d layout.Desc) []Difference {
	want := have
	want.Type, want.KeySize, want.ValueSize = d.Type, uint32(d.KeySize), uint32(d.ValueSize)
	return writable(have, want)
}

// writable compares a map with the one that the environment wants: of one of
// ours nothing may differ. Wanted entries of 0 are any number.
func writable(have, want state.Map) []Difference {
	var list []Difference
	differ := func(what string, h, w any) {
		if h != w {
			list = append(list, Difference{want.Name, what, fmt.Sprint(w), fmt.Sprint(h)})
		}
	}
	differ("type", have.Type, want.Type)
	differ("key size", have.KeySize, want.KeySize)
	differ("value size", have.ValueSize, want.ValueSize)
	if want.MaxEntries != 0 {
		differ("max entries", have.MaxEntries, want.MaxEntries)
	}
	differ("flags", have.Flags, want.Flags)
	return list
}
