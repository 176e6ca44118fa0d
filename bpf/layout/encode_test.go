// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"math"
	"net/netip"
	"strings"
	"testing"

	"plumbline.dev/plumbline/schema/state"
)

// A slot's number has 16 bits, and 0 is the master: what does not fit is an error,
// never a master that is written over.
func TestEncodeTooManySlots(t *testing.T) {
	f := state.Frontend{FrontendName: state.FrontendName{Endpoint: state.Endpoint{Address: netip.MustParseAddr("10.0.0.1"), Port: 80, Protocol: state.TCP}}}
	ids := &Ledger{Frontends: map[state.FrontendName]uint16{f.FrontendName: 1}}
	for i := range math.MaxUint16 {
		b := state.Endpoint{Address: netip.AddrFrom4([4]byte{11, 0, byte(i >> 8), byte(i)}), Port: 80, Protocol: state.TCP}
		f.Backends = append(f.Backends, b)
		ids.Backends.Set(b, uint32(i+1))
	}
	st := &state.State{Layout: state.Cilium120, Frontends: []state.Frontend{f}}
	if _, err := Encode(st, ids); err != nil {
		t.Errorf("%d slots: %v", math.MaxUint16, err)
	}
	f.Inactive = f.Backends[:1]
	st.Frontends[0] = f
	if _, err := Encode(st, ids); err == nil || !strings.Contains(err.Error(), "65536 backends exceed the 65535 slots") {
		t.Errorf("65536 slots: %v", err)
	}
}
