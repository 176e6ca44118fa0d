// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"bufio"
	"context"
	"encoding/hex"
	"net/netip"
	"os"
	"strings"
	"testing"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/runtime/source"
	"plumbline.dev/plumbline/schema/state"
)

// What four Cilium minors wrote for one set of objects is what the same objects
// compile to: there is no drift, under whatever ids Cilium chose.
func TestVectorsAreInSync(t *testing.T) {
	for version, l := range map[string]state.Layout{"1.17.2": state.Cilium117, "1.18.6": state.Cilium118, "1.19.0": state.Cilium119, "1.20.2": state.Cilium120} {
		t.Run(version, func(t *testing.T) {
			want := compileVector(t, version, l)
			have := &plan.Have{Layout: l, Tables: readVector(t, "../../fixtures/vectors/cilium-"+version[:4]+"-basic.txt")}
			want.Maps, want.Attachments = nil, nil // the vectors are entries only
			result, err := plan.Diff(have, want, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range result.Drifts {
				t.Errorf("%s\n  want %s\n  have %s", d, d.Want, d.Have)
			}
			if len(result.Plan) > 0 {
				t.Errorf("plan:\n%s", result.Plan)
			}
		})
	}
}

func compileVector(t *testing.T, version string, l state.Layout) *state.State {
	t.Helper()
	settings := &state.Settings{
		ChartVersion: version, Layout: l, IPv4: true, IPv6: true, KubeProxyReplacement: true, SocketLB: true,
		NodePortMin: 30000, NodePortMax: 32767,
		LoadBalancer: state.LoadBalancerSettings{
			Algorithm: state.Random, Mode: "snat", MaglevTableSize: 16381, MaglevHashSeed: "JLfvgnHc2kaSUFaI", SessionAffinity: true,
			SourceRangeCheck: true, InternalTrafficPolicy: true, TerminatingEndpoints: true, DefaultIPAM: "lbipam", WildcardEntries: true,
		},
	}
	node := state.Node{Name: "testnode", Addresses: []netip.Addr{netip.MustParseAddr("192.168.1.10")}}
	compiled := &Compiled{Settings: settings, Snapshot: func(context.Context) (*state.Snapshot, []state.Notice, error) {
		return source.Files([]string{"../../fixtures/vectors/basic.yaml"}, node)
	}}
	want, err := compiled.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return want
}

func readVector(t *testing.T, file string) layout.Tables {
	t.Helper()
	f, err := os.Open(file)
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
		if table == nil {
			continue
		}
		key, kerr := hex.DecodeString(fields[0])
		value, verr := hex.DecodeString(fields[1])
		if kerr != nil || verr != nil {
			t.Fatal(kerr, verr)
		}
		table.Append(key, value)
	}
	for _, table := range tables {
		table.Sort()
	}
	return tables
}
