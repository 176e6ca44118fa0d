// SPDX-License-Identifier: Apache-2.0

package datapath_test

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"plumbline.dev/plumbline/compiler/datapath"
	"plumbline.dev/plumbline/runtime/source"
	"plumbline.dev/plumbline/schema/state"
)

var compareValues = cmp.Options{
	cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}),
	cmpopts.EquateEmpty(),
}

// settingsOf are the settings under which the vectors were made.
func settingsOf(version string) *state.Settings {
	layout, err := state.LayoutOf(version)
	if err != nil {
		panic(err)
	}
	return &state.Settings{
		ChartVersion: version, Layout: layout, IPv4: true, IPv6: true,
		KubeProxyReplacement: true, SocketLB: true, BindProtection: true,
		CgroupRoot: "/run/cilium/cgroupv2", BPFRoot: "/sys/fs/bpf",
		NodePortMin: 30000, NodePortMax: 32767,
		LoadBalancer: state.LoadBalancerSettings{
			Algorithm: state.Random, Mode: "snat", MaglevTableSize: 16381, MaglevHashSeed: "JLfvgnHc2kaSUFaI",
			SessionAffinity: true, SourceRangeCheck: true, InternalTrafficPolicy: true, TerminatingEndpoints: true,
			DefaultIPAM: "lbipam", WildcardEntries: true,
		},
		Maps: state.MapSettings{Services: 4096, Backends: 4096, ReverseNAT: 4096, Affinity: 4096, SourceRanges: 4096, Maglev: 4096},
	}
}

func readSnapshot(t testing.TB, node state.Node, paths ...string) *state.Snapshot {
	t.Helper()
	snapshot, notices, err := source.Files(paths, node)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range notices {
		if n.Severity == state.Error {
			t.Errorf("unexpected notice: %s", n)
		}
	}
	return snapshot
}

// Compile must give what Cilium itself wrote for the same objects. The vectors
// hold its maps, byte for byte; they are decoded here, apart from the product's
// own codec.
func TestVectors(t *testing.T) {
	node := state.Node{Name: "testnode", Addresses: []netip.Addr{netip.MustParseAddr("192.168.1.10")}}
	for version, file := range map[string]string{
		"1.17.2": "cilium-1.17-basic.txt", "1.18.6": "cilium-1.18-basic.txt",
		"1.19.0": "cilium-1.19-basic.txt", "1.20.2": "cilium-1.20-basic.txt",
	} {
		t.Run(version, func(t *testing.T) {
			dir := filepath.Join("..", "..", "fixtures", "vectors")
			snapshot := readSnapshot(t, node, filepath.Join(dir, "basic.yaml"))
			want := decodeVector(t, filepath.Join(dir, file))
			got, notices := datapath.Compile(settingsOf(version), snapshot)
			for _, n := range notices {
				if n.Severity == state.Error {
					t.Errorf("unexpected notice: %s", n)
				}
			}
			got.Attachments = nil // not in a map
			for i := range got.Frontends {
				got.Frontends[i].Service, got.Frontends[i].PortName = "", ""
			}
			for i := range got.Maps {
				if strings.HasSuffix(got.Maps[i].Name, "_reverse_sk") {
					got.Maps[i].MaxEntries = 65536 // sized by the agent from memory
				}
			}
			want.Layout = got.Layout
			if diff := cmp.Diff(want, got, compareValues); diff != "" {
				t.Errorf("(-Cilium +Compile):\n%s", diff)
			}
		})
	}
}

// vector is the content of one file: maps by name, entries as bytes.
type vector struct {
	parameters []state.Map
	entries    map[string][][2][]byte
}

func decodeVector(t *testing.T, path string) *state.State {
	t.Helper()
	v := readVector(t, path)
	d := &vectorDecoder{backends: map[uint32]state.Backend{}, names: map[uint16]state.FrontendName{}, slots: map[state.FrontendName]map[uint16]state.Endpoint{}}
	d.state.Maps = v.parameters
	for _, f := range []string{"4", "6"} {
		d.decodeBackends(v.entries["cilium_lb"+f+"_backends_v3"])
	}
	for _, f := range []string{"4", "6"} {
		d.decodeServices(v.entries["cilium_lb"+f+"_services_v2"])
		d.checkReverse(t, v.entries["cilium_lb"+f+"_reverse_nat"])
		d.decodeRanges(v.entries["cilium_lb"+f+"_source_range"])
	}
	for _, e := range v.entries["cilium_lb_affinity_match"] {
		d.state.AffinityMatches = append(d.state.AffinityMatches, state.AffinityMatch{
			Frontend: d.names[binary.BigEndian.Uint16(e[0][4:])],
			Backend:  d.backends[binary.LittleEndian.Uint32(e[0])].Endpoint,
		})
	}
	d.fillSlots(t)
	d.state.Sort()
	return &d.state
}

func readVector(t *testing.T, path string) vector {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	v := vector{entries: map[string][][2][]byte{}}
	name := ""
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		line := lines.Text()
		if header, ok := strings.CutPrefix(line, "## "); ok {
			m := parseHeader(t, header)
			name = m.Name
			v.parameters = append(v.parameters, m)
			continue
		}
		key, value, _ := strings.Cut(line, " ")
		v.entries[name] = append(v.entries[name], [2][]byte{unhex(t, key), unhex(t, value)})
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return v
}

func parseHeader(t *testing.T, header string) state.Map {
	t.Helper()
	var m state.Map
	var kind, kernelName string
	_, err := fmt.Sscanf(header, "%s type=%s key=%d value=%d max=%d flags=0x%x kname=%q", &m.Name, &kind, &m.KeySize, &m.ValueSize, &m.MaxEntries, &m.Flags, &kernelName)
	types := map[string]string{"Hash": "hash", "LRUHash": "lru-hash", "LPMTrie": "lpm-trie", "HashOfMaps": "hash-of-maps"}
	if m.Type = types[kind]; err != nil || m.Type == "" {
		t.Fatalf("header %q: %v", header, err)
	}
	return m
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

type vectorDecoder struct {
	state    state.State
	backends map[uint32]state.Backend
	names    map[uint16]state.FrontendName // by reverse-NAT id
	slots    map[state.FrontendName]map[uint16]state.Endpoint
}

func (d *vectorDecoder) decodeBackends(entries [][2][]byte) {
	for _, e := range entries {
		n := len(e[1]) - 8
		addr, _ := netip.AddrFromSlice(e[1][:n])
		rest := e[1][n:]
		b := state.Backend{State: state.BackendState(rest[3]), Zone: rest[6]}
		b.Endpoint = state.Endpoint{Address: addr, Port: binary.BigEndian.Uint16(rest), Protocol: state.Protocol(rest[2])}
		d.backends[binary.LittleEndian.Uint32(e[0])] = b
		d.state.Backends = append(d.state.Backends, b)
	}
}

func (d *vectorDecoder) decodeServices(entries [][2][]byte) {
	for _, e := range entries {
		n := len(e[0]) - 8
		addr, _ := netip.AddrFromSlice(e[0][:n])
		rest, value := e[0][n:], e[1]
		name := state.FrontendName{Scope: state.Scope(rest[5])}
		name.Endpoint = state.Endpoint{Address: addr, Port: binary.BigEndian.Uint16(rest), Protocol: state.Protocol(rest[4])}
		word, id := binary.LittleEndian.Uint32(value), binary.BigEndian.Uint16(value[6:])
		if slot := binary.LittleEndian.Uint16(rest[2:]); slot > 0 {
			if d.slots[name] == nil {
				d.slots[name] = map[uint16]state.Endpoint{}
			}
			d.slots[name][slot] = d.backends[word].Endpoint
			continue
		}
		f := state.Frontend{FrontendName: name, Algorithm: state.Algorithm(word >> 24), AffinityTimeoutSeconds: word & 0xffffff}
		f.Type, f.Flags = decodeFlags(value[8], value[9])
		f.Backends = make([]state.Endpoint, binary.LittleEndian.Uint16(value[4:]))
		f.Inactive = make([]state.Endpoint, binary.LittleEndian.Uint16(value[10:]))
		if id != 0 {
			d.names[id] = name
		}
		d.state.Frontends = append(d.state.Frontends, f)
	}
}

func decodeFlags(a, b byte) (state.FrontendType, state.Flags) {
	types := map[byte]state.FrontendType{0x01: state.ExternalIPs, 0x02: state.NodePort, 0x08: state.HostPort, 0x20: state.LoadBalancer}
	typ := types[a&0x2b]
	var f state.Flags
	for _, bit := range []struct {
		on   bool
		flag state.Flags
	}{
		{a&0x40 == 0, state.NonRoutable}, {a&0x04 != 0, state.Local}, {b&0x10 != 0, state.InternalLocal},
		{b&0x20 != 0, state.TwoScopes}, {a&0x10 != 0, state.Affinity}, {a&0x80 != 0, state.SourceRangeFlag},
		{b&0x40 != 0, state.SourceRangeDeny}, {b&0x01 != 0, state.LocalRedirect}, {b&0x04 != 0, state.L7},
		{b&0x08 != 0 && typ == state.HostPort, state.Loopback}, {b&0x08 != 0 && typ != state.HostPort, state.L7Delegate},
		{b&0x02 != 0, state.NAT46x64}, {b&0x80 != 0, state.DSR},
	} {
		if bit.on {
			f |= bit.flag
		}
	}
	return typ, f
}

func (d *vectorDecoder) fillSlots(t *testing.T) {
	t.Helper()
	for i := range d.state.Frontends {
		f := &d.state.Frontends[i]
		all := slices.Concat(f.Backends, f.Inactive)
		for n := range all {
			all[n] = d.slots[f.FrontendName][uint16(n+1)]
		}
		if len(d.slots[f.FrontendName]) != len(all) {
			t.Errorf("%s has %d slots and counts %d", f.FrontendName, len(d.slots[f.FrontendName]), len(all))
		}
		f.Backends, f.Inactive = all[:len(f.Backends):len(f.Backends)], all[len(f.Backends):]
	}
}

// checkReverse checks that each frontend has its own reverse-NAT row: a State
// does not hold them, because they follow from the frontends.
func (d *vectorDecoder) checkReverse(t *testing.T, entries [][2][]byte) {
	t.Helper()
	for _, e := range entries {
		n := len(e[1]) - 2
		addr, _ := netip.AddrFromSlice(e[1][:n])
		name := d.names[binary.BigEndian.Uint16(e[0])]
		if got := netip.AddrPortFrom(addr, binary.BigEndian.Uint16(e[1][n:])); got != netip.AddrPortFrom(name.Address, name.Port) {
			t.Errorf("reverse NAT %x is %s, its frontend %s", e[0], got, name)
		}
	}
}

func (d *vectorDecoder) decodeRanges(entries [][2][]byte) {
	for _, e := range entries {
		addr, _ := netip.AddrFromSlice(e[0][8:])
		d.state.SourceRanges = append(d.state.SourceRanges, state.SourceRange{
			Frontend: d.names[binary.BigEndian.Uint16(e[0][4:])],
			CIDR:     netip.PrefixFrom(addr, int(binary.LittleEndian.Uint32(e[0]))-32),
		})
	}
}
