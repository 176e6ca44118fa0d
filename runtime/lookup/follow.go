// SPDX-License-Identifier: Apache-2.0

package lookup

import (
	"fmt"
	"net/netip"
	"slices"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/schema/state"
)

// Follow follows a connection through one set of maps. Of the settings it takes
// the layout, the node-port range and the algorithm, which are constants of the
// programs and in no map. It gives steps for whatever the maps hold, damaged
// entries included.
func Follow(m Maps, q Query, s *state.Settings) Path {
	f := &follower{maps: m, query: q, settings: s}
	if master, ok := f.service(); ok {
		f.path.Found = true
		f.follow(master)
	}
	return f.path
}

type follower struct {
	maps     Maps
	query    Query
	settings *state.Settings
	path     Path
	// live and dead count the slots that can be chosen, by whether they lead to a
	// backend.
	live, dead int
}

// found is the master that answers, under its own key.
type found struct {
	layout.ServiceKey
	layout.Service
	says layout.MasterFields
}

func (f *follower) v4() bool { return f.query.Frontend.Address.Is4() }

func (f *follower) byFamily(v4, v6 layout.MapID) layout.MapID {
	if f.v4() {
		return v4
	}
	return v6
}

// add adds a step; it may be filled in through the pointer until the next one.
func (f *follower) add(kind Kind, name string) *Step {
	f.path.Steps = append(f.path.Steps, Step{Kind: kind, Name: name})
	return &f.path.Steps[len(f.path.Steps)-1]
}

func (f *follower) outcome(socket, outside string) {
	step := f.add(Outcome, "outcome")
	step.say("from a socket", socket)
	if f.outside() {
		step.say("from outside", outside)
	}
}

// outside tells whether the way of a client outside the cluster is followed too:
// an internal entry is for those within.
func (f *follower) outside() bool { return f.query.Frontend.Scope == state.External }

// service finds the master: by the key itself, then by what the layout falls
// back to.
func (f *follower) service() (found, bool) {
	name := f.query.Frontend
	name.Scope = state.External
	if m, ok := f.try("service", name, "external scope: every lookup starts there"); ok {
		return f.scoped(m)
	}
	if f.settings.Layout <= state.Cilium118 && name.Protocol != state.Any {
		any := name
		any.Protocol = state.Any
		if m, ok := f.try("service, any protocol", any, "until 1.18 an entry of protocol ANY answers for every protocol"); ok {
			return f.scoped(m)
		}
	}
	if m, ok := f.surrogate(name); ok {
		return f.scoped(m)
	}
	f.missed(name)
	return found{}, false
}

// scoped goes on to the internal entry of a service with two scopes.
func (f *follower) scoped(m found) (found, bool) {
	if m.says.Flags&state.TwoScopes == 0 || f.query.Frontend.Scope != state.Internal {
		return m, true
	}
	name := m.FrontendName
	name.Scope = state.Internal
	inner, ok := f.try("service, internal scope", name, "the external entry has the flag two-scopes: a client in the cluster gets the internal entry, or none")
	if !ok {
		f.outcome("not translated: there is no internal entry", "not translated: there is no internal entry")
	}
	return inner, ok
}

// surrogate looks a port of the node's up under the address 0.0.0.0 or ::.
func (f *follower) surrogate(name state.FrontendName) (found, bool) {
	if !slices.Contains(f.query.NodeAddresses, name.Address) {
		return found{}, false
	}
	bit, what := state.HostPort, "host port"
	if name.Port >= f.settings.NodePortMin && name.Port <= f.settings.NodePortMax {
		bit, what = state.NodePort, "node port"
	}
	name.Address = netip.IPv4Unspecified()
	if !f.v4() {
		name.Address = netip.IPv6Unspecified()
	}
	m, ok := f.try("service, surrogate", name, "the address is the node's own: a socket's "+what+" answers at every address of the node")
	return m, ok && m.says.Type == bit
}

// missed says what becomes of a connection that no entry answers for.
func (f *follower) missed(name state.FrontendName) {
	socket, outside := "not translated: it goes to the address itself", "not translated: passed to the host"
	if f.settings.Layout >= state.Cilium119 {
		wildcard := state.FrontendName{Endpoint: state.Endpoint{Address: name.Address}}
		if _, ok := f.try("service, wildcard", wildcard, "from 1.19 on, an address of services has an entry of port 0 that catches every other port, for clients outside"); ok {
			outside = "dropped: the address is a service's, the port is none of its"
		}
	}
	f.outcome(socket, outside)
}

// try looks one key up and says it.
func (f *follower) try(name string, frontend state.FrontendName, why string) (found, bool) {
	id := f.byFamily(layout.Services4, layout.Services6)
	key := layout.ServiceKey{FrontendName: frontend}
	raw := key.Bytes()
	value, ok := f.maps.Tables[id].Find(raw)
	step := f.add(Service, name)
	step.Map, step.Key = id.String(), serviceKeyHex(raw)
	step.say("looked up", fmt.Sprintf("%s, slot 0, %s", frontend.Endpoint, frontend.Scope))
	step.Note = why
	if !ok {
		step.say("answer", "not there")
		return found{}, false
	}
	step.Value = serviceValueHex(value)
	service, err := layout.DecodeService(value)
	if err != nil {
		step.say("answer", err.Error())
		return found{}, false
	}
	step.say("answer", "there")
	return found{key, service, service.Fields()}, true
}

// follow goes from the master to the backends.
func (f *follower) follow(m found) {
	f.master(m)
	f.choice(m)
	f.maglev(m)
	for n := 1; n <= int(m.Count)+int(m.QCount); n++ {
		f.slot(m, n)
	}
	f.reverseNAT(m)
	f.sourceRanges(m)
	f.affinity(m)
	f.end(m)
}

func (f *follower) master(m found) {
	step := f.add(Master, "master")
	step.say("type", m.says.Type.String())
	step.say("flags", fmt.Sprintf("%s (0x%02x 0x%02x)", m.says.Flags, m.Flags, m.Flags2))
	step.say("count", fmt.Sprint(m.Count))
	step.say("inactive", fmt.Sprint(m.QCount))
	step.say("reverse NAT id", fmt.Sprint(m.ReverseNAT))
	if m.says.Flags&state.L7 != 0 {
		step.say("proxy port", fmt.Sprint(m.says.L7ProxyPort))
		return
	}
	step.say("algorithm", m.says.Algorithm.String())
	step.say("affinity timeout", fmt.Sprintf("%d s", m.says.AffinityTimeoutSeconds))
}

// slot says a slot's entry and the backend's row that it leads to.
func (f *follower) slot(m found, n int) {
	services := f.byFamily(layout.Services4, layout.Services6)
	key := layout.ServiceKey{FrontendName: m.FrontendName, Slot: uint16(n)}.Bytes()
	value, ok := f.maps.Tables[services].Find(key)
	step := f.add(Slot, fmt.Sprintf("slot %d", n))
	step.Map, step.Key = services.String(), serviceKeyHex(key)
	chosen := n <= int(m.Count)
	step.say("can be chosen", yes(chosen, "yes", "no: it is behind the count"))
	slot, err := layout.DecodeService(value)
	if !ok || err != nil {
		step.say("answer", "not there")
		f.count(chosen, false)
		return
	}
	step.Value = serviceValueHex(value)
	step.say("answer", "there")
	step.say("backend id", fmt.Sprint(slot.Word))
	step.say("reverse NAT id", fmt.Sprint(slot.ReverseNAT))
	f.count(chosen, f.backend(n, slot.Word))
}

func (f *follower) count(chosen, live bool) {
	switch {
	case chosen && live:
		f.live++
	case chosen:
		f.dead++
	}
}

// backend says the row of a slot's backend and tells whether there is one.
func (f *follower) backend(n int, id uint32) bool {
	rows := f.byFamily(layout.Backends4, layout.Backends6)
	key := layout.BackendID(id)
	value, ok := f.maps.Tables[rows].Find(key)
	step := f.add(Backend, fmt.Sprintf("backend of slot %d", n))
	step.Map, step.Key = rows.String(), groups(key, 4)
	row, err := layout.DecodeBackend(value)
	if !ok || err != nil {
		step.say("answer", "not there")
		return false
	}
	step.Value = backendHex(value)
	step.say("answer", "there")
	step.say("leads to", row.Endpoint.String())
	step.say("state", row.State.String())
	step.say("zone", fmt.Sprint(row.Zone))
	return true
}

func (f *follower) reverseNAT(m found) {
	if m.Wildcard() {
		return
	}
	id := f.byFamily(layout.ReverseNAT4, layout.ReverseNAT6)
	key := layout.ReverseNATID(m.ReverseNAT)
	value, ok := f.maps.Tables[id].Find(key)
	step := f.add(ReverseNAT, "reverse NAT")
	step.Map, step.Key = id.String(), groups(key, 2)
	to, err := layout.DecodeReverseNAT(value)
	if !ok || err != nil {
		step.say("answer", "not there")
		return
	}
	step.Value = reverseNATHex(value)
	step.say("answer", "there")
	step.say("answers come from", to.String())
}

// Wildcard tells whether the master answers for every port of its address.
func (m found) Wildcard() bool { return m.Port == 0 && m.Protocol == state.Any }

func yes(is bool, then, otherwise string) string {
	if is {
		return then
	}
	return otherwise
}
