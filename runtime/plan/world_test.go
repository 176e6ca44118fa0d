// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/schema/state"
)

// world is a kernel's content maps, in the plainest form: what a Plan is
// applied to here shares no code with any store.
type world map[layout.MapID]map[string]string

func newWorld(t layout.Tables) world {
	w := world{}
	for _, d := range layout.Content() {
		w[d.ID] = map[string]string{}
		for key, value := range t[d.ID].All() {
			w[d.ID][string(key)] = string(value)
		}
	}
	return w
}

func (w world) tables() layout.Tables {
	return w.tablesOf(func(d layout.Desc) int { return d.ValueSize })
}

func (w world) tablesOf(valueSize func(layout.Desc) int) layout.Tables {
	t := layout.Tables{}
	for id, entries := range w {
		d := id.Desc()
		t[id] = layout.NewTable(d.KeySize, valueSize(d), len(entries))
		for key, value := range entries {
			t[id].Append([]byte(key), []byte(value))
		}
		t[id].Sort()
	}
	return t
}

func (w world) apply(s Step) {
	switch s.Op {
	case Put:
		w[s.Map][string(s.Key)] = string(s.New)
	case Delete:
		delete(w[s.Map], string(s.Key))
	}
}

// resolve does what the socket programs do for an in-cluster client: it gives
// what each selectable slot leads to; a slot that leads nowhere is the zero
// Endpoint. The bool says whether there is a service at all.
func (w world) resolve(name state.FrontendName) ([]state.Endpoint, bool) {
	services, rows := w[layout.Services4], w[layout.Backends4]
	if !name.Address.Is4() {
		services, rows = w[layout.Services6], w[layout.Backends6]
	}
	name.Scope = state.External
	value, ok := services[string(layout.ServiceKey{FrontendName: name}.Bytes())]
	if !ok {
		return nil, false
	}
	master, _ := layout.DecodeService([]byte(value))
	if master.Flags2&0x20 != 0 { // two scopes: the internal entry answers, or none
		name.Scope = state.Internal
		if value, ok = services[string(layout.ServiceKey{FrontendName: name}.Bytes())]; !ok {
			return nil, false
		}
		master, _ = layout.DecodeService([]byte(value))
	}
	backends := []state.Endpoint{}
	for slot := uint16(1); slot <= master.Count && slot != 0; slot++ {
		var b layout.Backend
		if value, ok := services[string(layout.ServiceKey{FrontendName: name, Slot: slot}.Bytes())]; ok {
			s, _ := layout.DecodeService([]byte(value))
			b, _ = layout.DecodeBackend([]byte(rows[string(layout.BackendID(s.Word))]))
		}
		backends = append(backends, b.Endpoint)
	}
	return backends, true
}

// randomState draws a State over a small universe, so that two of them overlap.
func randomState(r *rand.Rand, l state.Layout) *state.State {
	st := &state.State{Layout: l}
	used := map[state.Endpoint]bool{}
	for i := range 1 + r.IntN(6) {
		f := randomFrontend(r, i)
		st.Frontends = append(st.Frontends, f)
		if f.Flags&state.TwoScopes != 0 {
			g := f
			g.Scope = state.Internal
			g.Backends, g.Inactive = randomSlots(r, f.Address.Is4())
			st.Frontends = append(st.Frontends, g)
		}
	}
	for i := range st.Frontends {
		f := &st.Frontends[i]
		for s := range len(f.Backends) + len(f.Inactive) {
			b := f.Slot(s)
			if f.Flags&state.Affinity != 0 {
				st.AffinityMatches = append(st.AffinityMatches, state.AffinityMatch{Frontend: f.FrontendName, Backend: b})
			}
			if !used[b] {
				used[b] = true
				st.Backends = append(st.Backends, state.Backend{Endpoint: b, State: state.BackendState(r.IntN(2)), Zone: uint8(r.IntN(2))})
			}
		}
		if f.Flags&state.SourceRangeFlag != 0 && f.Address.Is4() {
			st.SourceRanges = append(st.SourceRanges, state.SourceRange{Frontend: f.FrontendName, CIDR: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(r.IntN(4)), 0, 0}), 16)})
		}
	}
	st.Sort()
	return st
}

func randomFrontend(r *rand.Rand, i int) state.Frontend {
	f := state.Frontend{Service: fmt.Sprintf("test/s%d", i), PortName: "p"}
	f.Address, f.Port, f.Protocol = netip.AddrFrom4([4]byte{10, 96, 0, byte(i)}), uint16(80+r.IntN(2)), state.TCP
	if r.IntN(3) == 0 {
		f.Address = netip.AddrFrom16([16]byte{0xfd, 15: byte(i)})
	}
	if r.IntN(4) == 0 {
		f.Protocol = state.UDP
	}
	f.Flags = state.NonRoutable
	f.Algorithm = state.Random
	switch r.IntN(5) {
	case 0:
		f.Type, f.Flags = state.NodePort, state.TwoScopes|state.Local
	case 1:
		f.Flags |= state.Affinity
		f.AffinityTimeoutSeconds = uint32(1 + r.IntN(3))
	case 2:
		f.Type, f.Flags = state.LoadBalancer, state.SourceRangeFlag
	}
	f.Backends, f.Inactive = randomSlots(r, f.Address.Is4())
	return f
}

func randomSlots(r *rand.Rand, v4 bool) (active, inactive []state.Endpoint) {
	pool := make([]state.Endpoint, 7)
	for i := range pool {
		pool[i] = state.Endpoint{Address: netip.AddrFrom4([4]byte{10, 244, 0, byte(i)}), Port: uint16(8080 + r.IntN(2)), Protocol: state.TCP}
		if !v4 {
			pool[i].Address = netip.AddrFrom16([16]byte{0xfd, 1, 15: byte(i)})
		}
	}
	r.Shuffle(len(pool), func(i, j int) { pool[i], pool[j] = pool[j], pool[i] })
	n := r.IntN(5)
	return slices.Clone(pool[:n]), slices.Clone(pool[n : n+r.IntN(3)])
}

// randomLedger gives ids in a random order, with gaps.
func randomLedger(r *rand.Rand, st *state.State) *layout.Ledger {
	l := layout.NewLedger()
	ids := r.Perm(200)
	for i, b := range st.Backends {
		l.Backends.Set(b.Endpoint, uint32(ids[i]+1))
	}
	ids = r.Perm(200)
	for i, f := range st.Frontends {
		if !f.Wildcard() {
			l.Frontends[f.FrontendName] = uint16(ids[i] + 1)
		}
	}
	return l
}

func mustEncode(t testing.TB, st *state.State, ids *layout.Ledger) layout.Tables {
	t.Helper()
	tables, err := layout.Encode(st, ids)
	if err != nil {
		t.Fatal(err)
	}
	return tables
}

func mustDiff(t testing.TB, have *Have, want *state.State, known *layout.Ledger) *Result {
	t.Helper()
	result, err := Diff(have, want, known)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// damage changes a few bytes, keys or rows of the world.
func damage(r *rand.Rand, w world) {
	for range 1 + r.IntN(4) {
		id := layout.Content()[r.IntN(9)].ID
		keys := make([]string, 0, len(w[id]))
		for key := range w[id] {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		d := id.Desc()
		switch {
		case len(keys) > 0 && r.IntN(3) == 0:
			delete(w[id], keys[r.IntN(len(keys))])
		case len(keys) > 0 && r.IntN(2) == 0 && d.ValueSize > 1:
			key := keys[r.IntN(len(keys))]
			value := []byte(w[id][key])
			value[r.IntN(len(value))] ^= byte(1 << r.IntN(8))
			w[id][key] = string(value)
		default:
			strayEntry(r, w, d)
		}
	}
}

// strayEntry adds an entry that is well-formed and belongs to nothing.
func strayEntry(r *rand.Rand, w world, d layout.Desc) {
	key, value := make([]byte, d.KeySize), make([]byte, d.ValueSize)
	for i := range key {
		key[i] = byte(r.UintN(256))
	}
	if d.ID == layout.SourceRange4 || d.ID == layout.SourceRange6 {
		key[0], key[1], key[2], key[3] = 48, 0, 0, 0
		clear(key[10:])
	}
	w[d.ID][string(key)] = string(value)
}
