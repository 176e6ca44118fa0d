// SPDX-License-Identifier: Apache-2.0

package lookup

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/schema/state"
)

// choice says how a slot is chosen. A socket asks neither for the algorithm nor
// for source ranges; the programs at devices do.
func (f *follower) choice(m found) {
	step := f.add(Choice, "choice")
	step.say("from a socket", f.socketChoice(m))
	if f.outside() {
		step.say("from outside", f.outsideChoice(m))
	}
}

func (f *follower) socketChoice(m found) string {
	switch {
	case f.goesInside(m):
		return fmt.Sprintf("none here: that of %s/i", m.FrontendName)
	case m.says.Flags&state.L7 != 0:
		return fmt.Sprintf("the L7 proxy at port %d", m.says.L7ProxyPort)
	case m.Count == 0:
		return "no slot"
	case f.query.Frontend.Protocol == state.TCP:
		return fmt.Sprintf("by chance, slots 1 to %d", m.Count)
	case f.query.Frontend.Protocol == state.UDP:
		return fmt.Sprintf("the socket's cookie modulo %d, plus 1: a socket stays with its slot", m.Count)
	}
	return onlySockets
}

// onlySockets is what socket programs do of any other protocol.
const onlySockets = "not translated: sockets of TCP and UDP alone are"

// goesInside tells whether sockets, which are all in the cluster, are led to the
// internal entry instead of the external one at hand.
func (f *follower) goesInside(m found) bool {
	return f.outside() && m.says.Flags&state.TwoScopes != 0
}

func (f *follower) outsideChoice(m found) string {
	algorithm, whose := m.says.Algorithm, "the master's"
	if algorithm == state.Undef {
		algorithm, whose = f.settings.LoadBalancer.Algorithm, "the agent's"
	}
	switch {
	case m.says.Flags&state.L7 != 0:
		return fmt.Sprintf("the L7 proxy at port %d", m.says.L7ProxyPort)
	case m.says.Flags&state.NonRoutable != 0:
		return "none: the frontend is not routable"
	case m.Count == 0:
		return "no slot"
	case algorithm == state.Maglev:
		return fmt.Sprintf("the Maglev table's position hash(client, ports) modulo its size (%s algorithm)", whose)
	case algorithm == state.Random:
		return fmt.Sprintf("by chance, slots 1 to %d (%s algorithm)", m.Count, whose)
	}
	return "by the agent's algorithm, which the maps do not say"
}

// maglev says the frontend's table, where it has one.
func (f *follower) maglev(m found) {
	for _, t := range f.maps.Maglev {
		if t.Frontend != m.FrontendName {
			continue
		}
		step := f.add(Maglev, "Maglev table")
		step.Map, step.Key = f.byFamily(layout.Maglev4, layout.Maglev6).String(), groups(layout.ReverseNATID(m.ReverseNAT), 2)
		step.say("positions", fmt.Sprint(t.TableSize))
		for _, b := range slices.Sorted(maps.Keys(t.Slots)) {
			step.say(b, fmt.Sprintf("%d positions", t.Slots[b]))
		}
		step.say("digest", fmt.Sprintf("%.12s", t.Digest))
	}
}

// sourceRanges says which clients outside are let in.
func (f *follower) sourceRanges(m found) {
	id := f.byFamily(layout.SourceRange4, layout.SourceRange6)
	var ranges []netip.Prefix
	for key := range f.maps.Tables[id].All() {
		if k, err := layout.DecodeRangeKey(key); err == nil && k.ReverseNAT == m.ReverseNAT && !m.Wildcard() {
			ranges = append(ranges, k.CIDR)
		}
	}
	checked := m.says.Flags&state.SourceRangeFlag != 0
	if !checked && len(ranges) == 0 {
		return
	}
	slices.SortFunc(ranges, netip.Prefix.Compare)
	step := f.add(SourceRange, "source ranges")
	step.Map = id.String()
	denies := m.says.Flags&state.SourceRangeDeny != 0
	step.say("checked", yes(checked, yes(denies, "yes, from outside: they deny", "yes, from outside: they allow"), "no: the master has no flag source-range"))
	for _, r := range ranges {
		step.say("range "+r.String(), groups(layout.RangeKey{ReverseNAT: m.ReverseNAT, CIDR: r}.Bytes(), 4, 2, 2))
	}
	if f.query.Client.IsValid() {
		step.say("client "+f.query.Client.String(), clientVerdict(ranges, f.query.Client, checked, denies))
	}
}

// clientVerdict is the longest match of the client, turned round where ranges deny.
func clientVerdict(ranges []netip.Prefix, client netip.Addr, checked, denies bool) string {
	var match netip.Prefix
	for _, r := range ranges {
		if r.Contains(client) && (!match.IsValid() || r.Bits() > match.Bits()) {
			match = r
		}
	}
	text := "in no range"
	if match.IsValid() {
		text = "in " + match.String()
	}
	return text + yes(!checked || match.IsValid() != denies, ": let in", ": dropped")
}

// affinity says which of the backends a client may stick to.
func (f *follower) affinity(m found) {
	if m.says.Flags&state.Affinity == 0 {
		return
	}
	step := f.add(Affinity, "affinity")
	step.Map = layout.AffinityMatch.String()
	step.Note = "a client is known by its network namespace's cookie from a socket, by its address from outside"
	step.say("a client stays", fmt.Sprintf("%d s after its last connection", m.says.AffinityTimeoutSeconds))
	var ids []uint32
	for key := range f.maps.Tables[layout.AffinityMatch].All() {
		if k, err := layout.DecodeAffinityKey(key); err == nil && k.ReverseNAT == m.ReverseNAT {
			ids = append(ids, k.Backend)
		}
	}
	slices.Sort(ids)
	rows := f.maps.Tables[f.byFamily(layout.Backends4, layout.Backends6)]
	for _, id := range ids {
		name := fmt.Sprintf("backend %d", id)
		if value, ok := rows.Find(layout.BackendID(id)); ok {
			if row, err := layout.DecodeBackend(value); err == nil {
				name = row.Endpoint.String()
			}
		}
		step.say("may stay with "+name, groups(layout.AffinityKey{Backend: id, ReverseNAT: m.ReverseNAT}.Bytes(), 4, 2, 2))
	}
}

// end says what becomes of the connection.
func (f *follower) end(m found) {
	outside := f.ending(m)
	socket := outside
	switch p := f.query.Frontend.Protocol; {
	case f.goesInside(m):
		socket = fmt.Sprintf("led to %s/i", m.FrontendName)
	case p != state.TCP && p != state.UDP:
		socket = onlySockets
	}
	switch {
	case m.says.Flags&state.NonRoutable != 0:
		outside = "dropped: the frontend is not routable"
	case f.rejected():
		outside = "dropped: the source ranges do not let the client in"
	case m.Count == 0 && m.says.Flags&state.L7 == 0:
		outside = "refused or dropped: no backend"
	}
	f.outcome(socket, outside)
}

func (f *follower) ending(m found) string {
	switch {
	case m.says.Flags&state.L7 != 0:
		return fmt.Sprintf("the L7 proxy at port %d answers", m.says.L7ProxyPort)
	case m.Count == 0:
		return "fails with EHOSTUNREACH: no backend"
	case f.live == 0:
		return "fails with EHOSTUNREACH: no slot leads anywhere"
	case f.dead > 0:
		return fmt.Sprintf("%d in %d fail with EHOSTUNREACH: the slot leads nowhere", f.dead, f.dead+f.live)
	}
	return fmt.Sprintf("one of %s", plural(f.live, "backend"))
}

// rejected tells whether the source-range step has turned the client down.
func (f *follower) rejected() bool {
	if !f.query.Client.IsValid() {
		return false
	}
	for i := range f.path.Steps {
		if s := &f.path.Steps[i]; s.Kind == SourceRange {
			return strings.HasSuffix(s.field("client "+f.query.Client.String()), ": dropped")
		}
	}
	return false
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
