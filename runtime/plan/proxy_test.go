// SPDX-License-Identifier: Apache-2.0

package plan_test

import (
	"net/netip"
	"testing"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/schema/state"
)

// The proxy's port is the agent's: whichever is held is taken over. A frontend
// that has the flag without a port, or neither, is a drift that no write of ours
// ends, and one that has a port without the flag as well.
func TestProxyPorts(t *testing.T) {
	at := func(text string) state.Endpoint {
		a := netip.MustParseAddrPort(text)
		return state.Endpoint{Address: a.Addr(), Port: a.Port(), Protocol: state.TCP}
	}
	world := func(l state.Layout, flags state.Flags, port uint16, backends ...state.Endpoint) *state.State {
		s := &state.State{Layout: l, Frontends: []state.Frontend{{
			FrontendName: state.FrontendName{Endpoint: at("10.96.0.1:80")}, Flags: state.NonRoutable | flags, L7ProxyPort: port, Service: "n/s", Backends: backends,
		}}}
		for _, b := range backends {
			s.Backends = append(s.Backends, state.Backend{Endpoint: b})
		}
		return s
	}
	one, two := at("10.0.0.1:80"), at("10.0.0.2:80")
	for l := state.Cilium117; l <= state.Cilium120; l++ {
		for _, c := range []struct {
			name       string
			have       *state.State
			backend    state.Endpoint
			drift, fix bool
			port       uint16 // of the master that is written, if any
		}{
			{"the agent's port", world(l, state.L7, 11234, one), one, false, false, 0},
			{"the agent's port, another backend", world(l, state.L7, 11234, one), two, true, true, 11234},
			{"the agent's port, no backend yet", world(l, state.L7, 11234), one, true, true, 11234},
			{"no port", world(l, state.L7, 0, one), one, true, false, 0},
			{"no flag", world(l, 0, 0, one), one, true, false, 0},
			{"no flag, fewer backends", world(l, 0, 0, one, two), one, true, false, 0},
			{"nothing", &state.State{Layout: l}, state.Endpoint{}, true, true, 0},
		} {
			ids := &layout.Ledger{Backends: layout.BackendIDsOf(map[state.Endpoint]uint32{one: 1, two: 2}), Frontends: map[state.FrontendName]uint16{{Endpoint: at("10.96.0.1:80")}: 1}}
			tables, err := layout.Encode(c.have, ids)
			if err != nil {
				t.Fatal(err)
			}
			have := &plan.Have{Layout: l, Tables: tables}
			want := world(l, state.L7, 0)
			if c.backend.Port != 0 {
				want = world(l, state.L7, 0, c.backend)
			}
			result, err := plan.Diff(have, want, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := len(result.Drifts) > 0; got != c.drift || plan.InSync(have, want) && c.drift {
				t.Errorf("%s, %s: drifts %v", l, c.name, result.Drifts)
			}
			if got := len(result.Plan) > 0; got != c.fix {
				t.Errorf("%s, %s: plan\n%s", l, c.name, result.Plan)
			}
			if held := result.Target.Holds(have); held == c.drift {
				t.Errorf("%s, %s: held is %v", l, c.name, held)
			}
			for _, step := range result.Plan {
				if key, err := layout.DecodeServiceKey(step.Key); step.Map != layout.Services4 || err != nil || key.Slot != 0 {
					continue
				}
				value, err := layout.DecodeService(step.New)
				if port := uint16(value.Word)<<8 | uint16(value.Word)>>8; err != nil || port != c.port {
					t.Errorf("%s, %s: a master with port %d is written, want %d", l, c.name, port, c.port)
				}
			}
		}
	}
}
