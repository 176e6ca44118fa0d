// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/rogpeppe/go-internal/testscript"
)

// vectorCommand is the script command `vector FILE DIR`: it makes the maps of a
// vector with the parameters that Cilium gave them, fills them, and pins them in
// a folder of a bpffs.
func vectorCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: vector FILE DIR")
	}
	ts.Check(pinVector(ts.MkAbs(args[0]), ts.MkAbs(args[1])))
}

var vectorHeader = regexp.MustCompile(`^## (\S+) type=(\S+) key=(\d+) value=(\d+) max=(\d+) flags=0x([0-9a-f]+)`)

func pinVector(file, dir string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	var m *ebpf.Map
	defer func() { m.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := lines.Text()
		if strings.HasPrefix(line, "##") {
			m.Close()
			if m, err = vectorMap(line, dir); err != nil {
				return err
			}
			continue
		}
		fields := strings.Fields(line)
		if len(fields) != 2 || m == nil {
			continue // an empty line, or a map of maps
		}
		key, kerr := hex.DecodeString(fields[0])
		value, verr := hex.DecodeString(fields[1])
		if kerr != nil || verr != nil {
			return fmt.Errorf("%s: %v %v", line, kerr, verr)
		}
		if err := m.Put(key, value); err != nil {
			return fmt.Errorf("%s: %w", line, err)
		}
	}
	return nil
}

// vectorMap makes and pins the map of a header line. One of a name alone is a map
// that is pinned already, to which entries are added.
func vectorMap(line, dir string) (*ebpf.Map, error) {
	if name := strings.TrimPrefix(line, "## "); !strings.Contains(name, " ") {
		return ebpf.LoadPinnedMap(filepath.Join(dir, name), nil)
	}
	parts := vectorHeader.FindStringSubmatch(line)
	if parts == nil {
		return nil, fmt.Errorf("not a header: %q", line)
	}
	number := func(text string, base int) uint32 {
		n, _ := strconv.ParseUint(text, base, 32) // the expression matched digits
		return uint32(n)
	}
	types := map[string]ebpf.MapType{"Hash": ebpf.Hash, "LRUHash": ebpf.LRUHash, "LPMTrie": ebpf.LPMTrie, "HashOfMaps": ebpf.HashOfMaps, "Array": ebpf.Array}
	kind, ok := types[parts[2]]
	if !ok {
		return nil, fmt.Errorf("%s: unknown type", line)
	}
	spec := &ebpf.MapSpec{Type: kind, KeySize: number(parts[3], 10), ValueSize: number(parts[4], 10), MaxEntries: number(parts[5], 10), Flags: number(parts[6], 16)}
	if kind == ebpf.HashOfMaps {
		spec.InnerMap = &ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4 * 16381, MaxEntries: 1}
	}
	m, err := ebpf.NewMap(spec)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", line, err)
	}
	return m, m.Pin(filepath.Join(dir, parts[1]))
}
