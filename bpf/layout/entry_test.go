// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"plumbline.dev/plumbline/schema/state"
)

// Bytes as Cilium 1.17 wrote them, field by field, so that a mistake that
// encoder and decoder share is seen.
func TestEntryBytes(t *testing.T) {
	name := state.FrontendName{Endpoint: endpoint("10.96.0.20:80/TCP")}
	six := state.FrontendName{Endpoint: endpoint("[fd00:10:96::10]:80/TCP"), Scope: state.Internal}
	for _, test := range []struct {
		what, want string
		have       []byte
	}{
		{"service key", "0a6000140050020006000000", ServiceKey{FrontendName: name, Slot: 2}.Bytes()},
		{"service key, IPv6, internal", "fd0000100096000000000000000000100050000106010000", ServiceKey{FrontendName: six, Slot: 256}.Bytes()},
		{"master", "2c0100010100000456200100", Service{Word: 300 | 1<<24, Count: 1, ReverseNAT: 4, Flags: 0x56, Flags2: 0x20, QCount: 1}.Bytes()},
		{"backend id", "0d000000", BackendID(13)},
		{"backend", "0af4020d1f90060100000700", Backend{Endpoint: endpoint("10.244.2.13:8080/TCP"), State: state.Terminating, Zone: 7}.Bytes()},
		{"reverse-NAT id", "0010", ReverseNATID(16)},
		{"reverse-NAT row", "c0a8010a7580", ReverseNAT(netip.MustParseAddrPort("192.168.1.10:30080"))},
		{"affinity match", "0700000000030000", AffinityKey{Backend: 7, ReverseNAT: 3}.Bytes()},
		{"source range", "3900000000090000c0000200", RangeKey{ReverseNAT: 9, CIDR: netip.MustParsePrefix("192.0.2.0/25")}.Bytes()},
		{"source range with host bits", "3800000000090000cb007100", RangeKey{ReverseNAT: 9, CIDR: netip.MustParsePrefix("203.0.113.77/24")}.Bytes()},
	} {
		if diff := cmp.Diff(unhex(t, test.want), test.have); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.what, diff)
		}
	}
}

func endpoint(text string) state.Endpoint {
	var e state.Endpoint
	if err := e.UnmarshalText([]byte(text)); err != nil {
		panic(err)
	}
	return e
}

// decoders decode and encode again, by map: every content map is here.
var decoders = map[MapID]func(key, value []byte) ([]byte, []byte, error){
	Services4: reService, Services6: reService,
	Backends4: reBackend, Backends6: reBackend,
	ReverseNAT4: reReverseNAT, ReverseNAT6: reReverseNAT,
	AffinityMatch: func(key, value []byte) ([]byte, []byte, error) {
		k, err := DecodeAffinityKey(key)
		return k.Bytes(), value, err
	},
	SourceRange4: reRange, SourceRange6: reRange,
}

func reService(key, value []byte) ([]byte, []byte, error) {
	k, err := DecodeServiceKey(key)
	if err != nil {
		return nil, nil, err
	}
	s, err := DecodeService(value)
	return k.Bytes(), s.Bytes(), err
}

func reBackend(key, value []byte) ([]byte, []byte, error) {
	id, err := DecodeBackendID(key)
	if err != nil {
		return nil, nil, err
	}
	b, err := DecodeBackend(value)
	if err != nil {
		return nil, nil, err
	}
	return BackendID(id), b.Bytes(), nil
}

func reReverseNAT(key, value []byte) ([]byte, []byte, error) {
	id, err := DecodeReverseNATID(key)
	if err != nil {
		return nil, nil, err
	}
	ap, err := DecodeReverseNAT(value)
	if err != nil {
		return nil, nil, err
	}
	return ReverseNATID(id), ReverseNAT(ap), nil
}

func reRange(key, value []byte) ([]byte, []byte, error) {
	k, err := DecodeRangeKey(key)
	if err != nil {
		return nil, nil, err
	}
	return k.Bytes(), value, nil
}

// padding are the bytes that no field covers: zero in every map, so an entry
// with other ones is not reproduced.
func padding(id MapID, key, value []byte) {
	switch id {
	case Services4, Services6:
		clear(key[len(key)-2:])
	case Backends4, Backends6:
		value[len(value)-1] = 0
		if id == Backends6 {
			clear(value[len(value)-1:])
		}
	case AffinityMatch:
		clear(key[6:])
	case SourceRange4, SourceRange6:
		clear(key[6:8])
		bits := int(key[0]) - rangeStatic
		key[1], key[2], key[3] = 0, 0, 0
		if bits < 0 || bits > 8*(len(key)-8) {
			key[0], bits = rangeStatic, 0
		}
		addr, _ := netip.AddrFromSlice(key[8:])
		copy(key[8:], netip.PrefixFrom(addr, bits).Masked().Addr().AsSlice())
	}
}

// Any bytes of the right size decode, and encode to the same.
func TestEntriesRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, d := range Content() {
		again, ok := decoders[d.ID]
		if !ok {
			if d.ID != Maglev4 && d.ID != Maglev6 {
				t.Errorf("no decoder for %s is tested", d.Name)
			}
			continue
		}
		for range 500 {
			key, value := make([]byte, d.KeySize), make([]byte, d.ValueSize)
			for _, b := range [][]byte{key, value} {
				for i := range b {
					b[i] = byte(r.UintN(256))
				}
			}
			padding(d.ID, key, value)
			k, v, err := again(key, value)
			if err != nil {
				t.Fatalf("%s: %v", d.Name, err)
			}
			if !bytes.Equal(k, key) || !bytes.Equal(v, value) {
				t.Fatalf("%s: %x %x became %x %x", d.Name, key, value, k, v)
			}
		}
	}
}

// Entries of any other size are refused, not misread.
func TestWrongSizesAreErrors(t *testing.T) {
	for _, d := range Content() {
		again, ok := decoders[d.ID]
		if !ok {
			continue
		}
		for _, size := range []int{0, 1, 5, 11, 13, 23, 25} {
			if size == d.KeySize {
				continue
			}
			if _, _, err := again(make([]byte, size), make([]byte, d.ValueSize)); err == nil && size != 2*d.KeySize {
				t.Errorf("%s: a key of %d bytes decoded", d.Name, size)
			}
		}
	}
}

func TestDescribe(t *testing.T) {
	key := ServiceKey{FrontendName: state.FrontendName{Endpoint: endpoint("10.96.0.20:80/TCP")}, Slot: 1}.Bytes()
	have := Describe(Services4, key, Service{Word: 7, ReverseNAT: 3}.Bytes())
	want := "cilium_lb4_services_v2 10.96.0.20:80/TCP slot 1: backend 7 reverse NAT 3 flags 0000"
	if have != want {
		t.Errorf("have %q, want %q", have, want)
	}
	for _, d := range Content() {
		if text := Describe(d.ID, []byte{1}, []byte{2}); !strings.Contains(text, d.Name) {
			t.Errorf("%s: bytes of the wrong size are described as %q", d.Name, text)
		}
	}
}

// A damaged map decodes to what it says, or is an error; it never panics, and
// what decodes without remainder encodes to the same bytes.
func FuzzDecodeState(f *testing.F) {
	f.Add(uint8(1), []byte("\x0a\x60\x00\x14\x00\x50\x00\x00\x06\x00\x00\x00\x00\x00\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00"), []byte("\x07\x00\x00\x00\x0a\xf4\x00\x01\x00\x50\x06\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, l uint8, services, backends []byte) {
		tables := Tables{Services4: fuzzTable(Services4, services), Backends4: fuzzTable(Backends4, backends), SourceRange4: fuzzTable(SourceRange4, services)}
		dec, err := Decode(state.Layout(l%6), tables)
		if err != nil {
			return
		}
		if _, err := Encode(dec.State, dec.Ledger); err != nil && len(dec.Stray) == 0 && !unresolved(dec.State) {
			t.Errorf("what decoded does not encode: %v", err)
		}
	})
}

func unresolved(st *state.State) bool {
	for i := range st.Frontends {
		f := &st.Frontends[i]
		for s := range len(f.Backends) + len(f.Inactive) {
			if !f.Slot(s).Address.IsValid() {
				return true
			}
		}
	}
	return false
}

func fuzzTable(id MapID, data []byte) *Table {
	d := id.Desc()
	t := NewTable(d.KeySize, d.ValueSize, 0)
	for stride := d.KeySize + d.ValueSize; len(data) >= stride; data = data[stride:] {
		t.Append(data[:d.KeySize], data[d.KeySize:stride])
	}
	t.Sort()
	return t
}
