// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/runtime/audit"
	"plumbline.dev/plumbline/runtime/store"
	"plumbline.dev/plumbline/schema/state"
)

// pinNode makes the node's maps of a layout as Cilium has them, and gives a way
// to write into them.
func pinNode(t *testing.T, dir string, l state.Layout, changed func(*layout.NodeDesc)) func(id layout.NodeMap, key, value []byte) {
	t.Helper()
	maps := map[layout.NodeMap]*ebpf.Map{}
	for _, d := range layout.NodeMaps(l) {
		id := d.ID
		if changed != nil {
			changed(&d)
		}
		kinds := map[string]ebpf.MapType{"hash": ebpf.Hash, "lpm-trie": ebpf.LPMTrie, "array": ebpf.Array}
		s := &ebpf.MapSpec{Type: kinds[d.Type], KeySize: uint32(d.KeySize), ValueSize: uint32(d.ValueSize), MaxEntries: 4096, Flags: 1}
		if s.Type == ebpf.Array {
			s.Flags, s.MaxEntries = 0, 256
		}
		m, err := ebpf.NewMap(s)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { m.Close() })
		if err := m.Pin(filepath.Join(dir, d.Name)); err != nil {
			t.Fatal(err)
		}
		maps[id] = m
	}
	return func(id layout.NodeMap, key, value []byte) {
		t.Helper()
		if err := maps[id].Put(key, value); err != nil {
			t.Fatal(err)
		}
	}
}

func readNode(t *testing.T, root string, l state.Layout) (*audit.Held, error) {
	t.Helper()
	k, err := store.Open(root, l, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	have, err := k.Read(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return k.ReadNode(context.Background(), have)
}

// Every entry of the node's maps is read, of either shape that the ipcache has.
func TestPrivilegedReadNode(t *testing.T) {
	for _, l := range []state.Layout{state.Cilium117, state.Cilium118, state.Cilium119, state.Cilium120} {
		t.Run(l.String(), func(t *testing.T) {
			root, dir := globals(t)
			pinMap(t, filepath.Join(dir, "cilium_lb4_services_v2"), spec(layout.Services4))
			put := pinNode(t, dir, l, nil)
			const addresses = 2000
			for i := range uint16(addresses) {
				a := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
				put(layout.IPCache, layout.IPCacheKey{Prefix: netip.PrefixFrom(a, 32)}.Bytes(), layout.IPCacheEntry{Identity: uint32(i)}.Bytes(l))
			}
			pod := layout.EndpointKey{Address: netip.MustParseAddr("10.0.0.1")}.Bytes()
			put(layout.Endpoints, pod, layout.EndpointInfo{ID: 7}.Bytes())
			put(layout.RuntimeConfig, layout.LivenessKey(), binary.LittleEndian.AppendUint64(nil, 42))
			held, err := readNode(t, root, l)
			if err != nil {
				t.Fatal(err)
			}
			if n := held.Tables[layout.IPCache].Len(); n != addresses {
				t.Errorf("%d addresses, want %d", n, addresses)
			}
			if value, ok := held.Tables[layout.Endpoints].Find(pod); !ok || value[6] != 7 {
				t.Errorf("endpoint: %x, %v", value, ok)
			}
			if value, _ := held.Tables[layout.RuntimeConfig].Find(layout.LivenessKey()); len(value) != 8 || value[0] != 42 {
				t.Errorf("heartbeat: %x", value)
			}
			var now unix.Timespec
			if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
				t.Fatal(err)
			}
			if held.Now <= 0 || int64(held.Now) > now.Nano() {
				t.Errorf("clock %s, now %d ns", held.Now, now.Nano())
			}
		})
	}
}

// I1: what is not pinned is not there, and I7: what is of another shape is refused
// with every difference.
func TestPrivilegedInvariantI7NodeMaps(t *testing.T) {
	root, dir := globals(t)
	pinMap(t, filepath.Join(dir, "cilium_lb4_services_v2"), spec(layout.Services4))
	held, err := readNode(t, root, state.Cilium118)
	if err != nil || len(held.Tables) != 0 {
		t.Errorf("nothing pinned gives %v, %v", held, err)
	}
	pinNode(t, dir, state.Cilium118, func(d *layout.NodeDesc) {
		switch d.ID {
		case layout.Endpoints:
			d.ValueSize = 40
		case layout.RuntimeConfig:
			d.Type = "hash"
		}
	})
	_, err = readNode(t, root, state.Cilium118)
	e := incompatibility(t, err)
	if len(e.Differences) != 2 || !errors.Is(err, store.ErrIncompatible) {
		t.Errorf("have %v, want two differences", e)
	}
}
