// SPDX-License-Identifier: Apache-2.0

// Package testvector reads what Cilium itself wrote, from fixtures/vectors, and
// compiles what it wrote that for. It is for tests alone.
package testvector

import (
	"bufio"
	"encoding/hex"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/compiler/datapath"
	"plumbline.dev/plumbline/runtime/source"
	"plumbline.dev/plumbline/schema/state"
)

// Versions are the releases that there is a vector of, with their layouts.
var Versions = map[string]state.Layout{
	"1.17.2": state.Cilium117, "1.18.6": state.Cilium118, "1.19.0": state.Cilium119, "1.20.2": state.Cilium120,
}

// Node is the node that the vectors were written on.
var Node = state.Node{Name: "testnode", Addresses: []netip.Addr{netip.MustParseAddr("192.168.1.10")}}

func path(name string) string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", "..", "fixtures", "vectors", name)
}

// Settings are those under which the vector was written.
func Settings(version string) *state.Settings {
	return &state.Settings{
		ChartVersion: version, Layout: Versions[version], IPv4: true, IPv6: true, KubeProxyReplacement: true, SocketLB: true,
		NodePortMin: 30000, NodePortMax: 32767,
		LoadBalancer: state.LoadBalancerSettings{
			Algorithm: state.Random, Mode: "snat", MaglevTableSize: 16381, MaglevHashSeed: "JLfvgnHc2kaSUFaI", SessionAffinity: true,
			SourceRangeCheck: true, InternalTrafficPolicy: true, TerminatingEndpoints: true, DefaultIPAM: "lbipam", WildcardEntries: true,
		},
	}
}

// Want compiles the objects that the vector was written for; without maps and
// attachments, which the vectors do not have.
func Want(t testing.TB, version string) *state.State {
	t.Helper()
	snapshot, _, err := source.Files([]string{path("basic.yaml")}, Node)
	if err != nil {
		t.Fatal(err)
	}
	want, notices := datapath.Compile(Settings(version), snapshot)
	for _, n := range notices {
		if n.Severity == state.Error {
			t.Errorf("unexpected notice: %s", n)
		}
	}
	want.Maps, want.Attachments = nil, nil
	return want
}

// Tables reads the vector's content maps.
func Tables(t testing.TB, version string) layout.Tables {
	t.Helper()
	f, err := os.Open(path("cilium-" + version[:4] + "-basic.txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tables := layout.Tables{}
	var table *layout.Table
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if fields[0] == "##" {
			table = nil
			if d, ok := layout.ByName(fields[1]); ok && d.Content() {
				table = layout.NewTable(d.KeySize, d.ValueSize, 0)
				tables[d.ID] = table
			}
			continue
		}
		if table != nil {
			table.Append(unhex(t, fields[0]), unhex(t, fields[1]))
		}
	}
	for _, table := range tables {
		table.Sort()
	}
	return tables
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
