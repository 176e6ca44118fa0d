// SPDX-License-Identifier: Apache-2.0

package state

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var compareValues = cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})

const sampleText = `layout cilium/1.17
frontend 10.96.0.10:53/UDP type=ClusterIP flags=non-routable alg=random affinity=0 service=kube-system/kube-dns port=dns backends=10.244.0.2:53/UDP,10.244.0.3:53/UDP inactive=-
frontend 192.168.1.10:30080/TCP type=NodePort flags=Local,two-scopes,affinity alg=random affinity=300 service=- port=- backends=10.244.1.21:8080/TCP inactive=- revnat=7 ids=10.244.1.21:8080/TCP=3
frontend 192.168.1.10:30080/TCP/i type=NodePort flags=two-scopes,l7 alg=undef affinity=0 l7port=10500 service=test/nodeport port="odd \"name\", x=1" backends=- inactive=?:0/ANY revnat=8 ids=-
frontend [fd00:10:96::10]:0/ANY type=ClusterIP flags=non-routable alg=undef affinity=0 service=test/six port=- backends=- inactive=-
backend 10.244.0.2:53/UDP state=active zone=0
backend [fd00:10:244::61]:8080/TCP state=maintenance zone=7
range 203.0.113.30:80/TCP cidr=192.0.2.0/25
range 203.0.113.30:80/TCP cidr=203.0.113.0/24
affinity 192.168.1.10:30080/TCP/i backend=10.244.1.21:8080/TCP
maglev 203.0.113.30:80/TCP size=251 digest=9f86d081 slots=10.244.1.21:8080/TCP=126,[fd00::1]:80/TCP=125
attachment cil_from_netdev attach=tcx_ingress target=dev:eth0 copies=1 stale="cilium_lb4_services_v2=7/9,cilium_lb4_reverse_nat=8/0"
attachment plumb_connect4 attach=cgroup_inet4_connect target=/run/cilium/cgroupv2
attachment plumb_connect6 attach=cgroup_inet6_connect target=-
map cilium_lb4_services_v2 type=hash key=12 value=12 max=65536 flags=0x1
`

func TestTextIsCanonical(t *testing.T) {
	s, err := Parse(sampleText)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sampleText, s.String()); diff != "" {
		t.Errorf("String(Parse(x)) (-want +got):\n%s", diff)
	}
	if f := s.Frontends[2]; f.PortName != `odd "name", x=1` || f.L7ProxyPort != 10500 || f.Scope != Internal {
		t.Errorf("third frontend is %+v", f)
	}
}

func TestParseTakesAnyOrder(t *testing.T) {
	lines := strings.SplitAfter(sampleText, "\n")
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	s, err := Parse("# a comment\n\n   " + strings.Join(lines, ""))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sampleText, s.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseReportsEveryError(t *testing.T) {
	_, err := Parse(`layout cilium/1.99
frontend 10.0.0.1:80 type=Cluster flags=routable alg=best affinity=-1 service=a port=b backends=10.0.0.2:80 inactive=-
backend 10.0.0.2:80/TCP state=active
backend 10.0.0.3:80/TCP state=active zone=0 colour=red
backend 10.0.0.3:80/TCP state=active zone=0 zone=1
backend ?:80/TCP state=active zone=0
backend fe80::1%eth0:80/TCP state=active zone=0

wire 1 a=b
map "m type=hash
range 10.0.0.1:80/TCP/x cidr=10.0.0.0/33
maglev 10.0.0.1:80/TCP size=x digest=- slots=a,b=1,b=2
lonely
backend 10.0.0.4:80/TCP state=active zone=0
backend 10.0.0.4:80/TCP state=active zone=1
attachment a attach=b target=dev:c copies=0 stale=-
`)
	want := `line 1: layout cilium/1.99: unknown layout "cilium/1.99": want one of cilium/1.17, cilium/1.18, cilium/1.19, cilium/1.20
line 2: frontend 10.0.0.1:80: endpoint "10.0.0.1:80": want ADDR:PORT/PROTO
line 2: frontend 10.0.0.1:80: type: unknown frontend type "Cluster": want one of ClusterIP, NodePort, LoadBalancer, ExternalIPs, HostPort
line 2: frontend 10.0.0.1:80: flags: unknown flag "routable": want one of non-routable, Local, InternalLocal, two-scopes, affinity, source-range, source-range-deny, local-redirect, l7, l7-delegate, loopback, 46x64, dsr
line 2: frontend 10.0.0.1:80: alg: unknown algorithm "best": want one of undef, random, maglev
line 2: frontend 10.0.0.1:80: affinity: strconv.ParseUint: parsing "-1": invalid syntax
line 2: frontend 10.0.0.1:80: backends: endpoint "10.0.0.2:80": want ADDR:PORT/PROTO
line 3: backend 10.0.0.2:80/TCP: zone is missing
line 4: backend 10.0.0.3:80/TCP: unknown key "colour"
line 5: backend 10.0.0.3:80/TCP: "zone=1": want key=value, each key once
line 6: backend ?:80/TCP: want an address
line 7: backend fe80::1%eth0:80/TCP: endpoint "fe80::1%eth0:80/TCP": want ADDR:PORT/PROTO: invalid ip:port "fe80::1%eth0:80", IPv6 addresses must be surrounded by square brackets
line 9: unknown kind "wire": want one of layout, frontend, backend, range, affinity, maglev, attachment, map
line 10: "map \"m type=hash": a quote is not closed
line 11: range 10.0.0.1:80/TCP/x: frontend "10.0.0.1:80/TCP/x": unknown scope "x": want /i or none
line 11: range 10.0.0.1:80/TCP/x: cidr: netip.ParsePrefix("10.0.0.0/33"): prefix length out of range
line 12: maglev 10.0.0.1:80/TCP: size: strconv.ParseUint: parsing "x": invalid syntax
line 12: maglev 10.0.0.1:80/TCP: slots: "a": want NAME=NUMBER
line 12: maglev 10.0.0.1:80/TCP: slots: "b" is given twice
line 13: "lonely": want a kind, a name and key=value pairs
line 15: backend 10.0.0.4:80/TCP: repeats line 14
line 16: attachment a: copies is 0: leave it out
line 16: attachment a: stale is empty: leave it out`
	if err == nil {
		t.Fatal("no error")
	}
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(err.Error(), "\n")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseWantsALayout(t *testing.T) {
	if s, err := Parse("backend 10.0.0.2:80/TCP state=active zone=0"); err == nil || !strings.Contains(err.Error(), "no layout line") {
		t.Errorf("got %v, %v", s, err)
	}
}

// Parse(String(x)) == x, and JSON likewise, for States as a kernel may hold
// them, damaged ones included.
func TestRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 11))
	for range 300 {
		want := randomState(r)
		got, err := Parse(want.String())
		if err != nil {
			t.Fatalf("%v\n%s", err, want)
		}
		if diff := cmp.Diff(want, got, compareValues); diff != "" {
			t.Fatalf("text (-want +got):\n%s\n%s", diff, want)
		}
		data, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		got = &State{}
		if err := json.Unmarshal(data, got); err != nil {
			t.Fatalf("%v\n%s", err, data)
		}
		if diff := cmp.Diff(want, got, compareValues); diff != "" {
			t.Fatalf("JSON (-want +got):\n%s\n%s", diff, data)
		}
	}
}

// String sorts what it prints and leaves its State alone.
func TestStringSorts(t *testing.T) {
	a := Backend{Endpoint: endpoint("10.0.0.9:80/TCP")}
	b := Backend{Endpoint: endpoint("10.0.0.10:80/TCP")}
	s := &State{Backends: []Backend{b, a}}
	want := "layout -\nbackend 10.0.0.9:80/TCP state=active zone=0\nbackend 10.0.0.10:80/TCP state=active zone=0\n"
	if diff := cmp.Diff(want, s.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if s.Backends[0] != b {
		t.Error("String sorted its receiver")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sampleText)
	f.Add("layout -\nmap \"a\\x00b\" type=- key=0 value=0 max=0 flags=0x0\n")
	f.Add("layout cilium/1.20\naffinity ?:0/ANY/9 backend=?:1/7\naffinity ?:0/ANY/9 backend=?:1/7\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			if s != nil {
				t.Fatal("a State beside an error")
			}
			return
		}
		again, err := Parse(s.String())
		if err != nil {
			t.Fatalf("%v\n%s", err, s)
		}
		if diff := cmp.Diff(s, again, compareValues); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

func endpoint(text string) (e Endpoint) {
	if err := e.UnmarshalText([]byte(text)); err != nil {
		panic(err)
	}
	return e
}

func randomState(r *rand.Rand) *State {
	s := &State{Layout: Layout(r.IntN(5))}
	for i := range r.IntN(4) {
		s.Frontends = append(s.Frontends, randomFrontend(r, i))
		s.Backends = append(s.Backends, Backend{randomEndpoint(r, i), BackendState(r.IntN(256)), uint8(r.IntN(256))})
		name := FrontendName{randomEndpoint(r, i), Scope(r.IntN(3))}
		s.SourceRanges = append(s.SourceRanges, SourceRange{name, netip.PrefixFrom(name.Address, r.IntN(33))})
		s.AffinityMatches = append(s.AffinityMatches, AffinityMatch{name, randomSlot(r, i)})
		s.Maglev = append(s.Maglev, MaglevTable{name, r.Uint32(), map[string]int{name.Endpoint.String(): r.IntN(9)}, randomWord(r)})
		s.Attachments = append(s.Attachments, Attachment{fmt.Sprint("p", i, randomWord(r)), "a" + randomWord(r), randomWord(r), r.Uint32N(3), randomWord(r)})
		s.Maps = append(s.Maps, Map{fmt.Sprint("m", i, randomWord(r)), "t" + randomWord(r), 4, r.Uint32(), r.Uint32(), r.Uint32()})
	}
	s.Sort()
	return s
}

func randomFrontend(r *rand.Rand, i int) Frontend {
	f := Frontend{
		FrontendName: FrontendName{randomEndpoint(r, i), Scope(r.IntN(3))},
		Type:         FrontendType(r.IntN(5)), Flags: Flags(r.IntN(1 << len(flagNames))), Algorithm: Algorithm(r.IntN(256)),
		AffinityTimeoutSeconds: uint32(r.IntN(1 << 24)), L7ProxyPort: uint16(r.IntN(2) * r.IntN(65536)),
		Service: randomWord(r), PortName: randomWord(r),
	}
	for j := range r.IntN(3) {
		f.Backends = append(f.Backends, randomSlot(r, j))
		f.Inactive = append(f.Inactive, randomSlot(r, j))
	}
	if r.IntN(2) == 0 {
		f.IDs = &FrontendIDs{ReverseNAT: uint16(r.IntN(65536)), Backends: map[string]uint32{}}
		for _, b := range f.Backends {
			f.IDs.Backends[b.String()] = r.Uint32()
		}
	}
	return f
}

func randomEndpoint(r *rand.Rand, i int) Endpoint {
	addr := netip.AddrFrom4([4]byte{10, byte(r.Uint32()), byte(r.Uint32()), byte(i)})
	if r.IntN(2) == 0 {
		addr = netip.AddrFrom16([16]byte{0xfd, 14: byte(r.Uint32()), 15: byte(i)})
	}
	return Endpoint{addr, uint16(r.IntN(65536)), Protocol(r.IntN(256))}
}

func randomSlot(r *rand.Rand, i int) Endpoint {
	e := randomEndpoint(r, i)
	if r.IntN(4) == 0 {
		e.Address = netip.Addr{}
	}
	return e
}

func randomWord(r *rand.Rand) string {
	words := []string{"", "-", "plain", "name/space", `"quoted"`, "a,b=c", "tab\there", "ümlaut", "#", "\\", "two words"}
	return words[r.IntN(len(words))]
}
