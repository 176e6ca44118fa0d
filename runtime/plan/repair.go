// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/schema/state"
)

// Repair is what may be written into maps that another agent owns and goes on
// writing, and what may not. Its plan
//
//   - ends confirmed drifts alone (I5);
//   - writes no id that the maps, or a reading of them that was in sync, do not
//     have already: the owner would give the same one to something else (I4);
//   - deletes only what no agent believes in, as no lookup finds it. An entry
//     that the owner believes in it would write again at its restart at the
//     earliest;
//   - is safe in every prefix, as every Plan is (I3), so that it may be cut.
type Repair struct {
	Plan Plan
	// Left are the confirmed drifts that Plan does not end.
	Left []Unmended
}

// Unmended is a drift that no write of ours ends, and why.
type Unmended struct {
	Drift
	Why string `json:"why"`
}

// Mend plans the repair of confirmed drifts. memory are the ids of a reading that
// was in sync, or nil: by them is mended what has gone as a whole. The errors are
// those of Diff.
func Mend(have *Have, want *state.State, memory *layout.Ledger, confirmed []Drift) (*Repair, error) {
	full, err := diff(have, want, nil)
	if err != nil {
		return nil, err
	}
	m := newMender(have, want, confirmed, full)
	if m.remember(memory) {
		if full, err = diff(have, want, m.ids); err != nil {
			return nil, err
		}
		m.ids = full.Ledger()
		m.fresh()
	}
	result, err := diff(have, m.reduced(), m.ids)
	if err != nil {
		return nil, err
	}
	repair := &Repair{Plan: m.choose(result)}
	after, err := diff(applied(have, repair.Plan), want, m.ids)
	if err != nil {
		return nil, err
	}
	repair.Left = m.left(after.Drifts)
	return repair, nil
}

// mender is the making of one Repair.
type mender struct {
	have *Have
	want *state.State
	ids  *layout.Ledger
	held *mentions

	// What the drifts concern: frontends without their scope, as the external
	// entry of two refers to the internal one, and backends.
	confirmedKeys                      map[string]bool
	confirmed, pending                 map[string]bool // frontends
	confirmedBackends, pendingBackends map[string]bool
	pendingKeys                        map[string]bool
	doubtful                           map[string]bool // of both

	// What the owner would have to give an id.
	freshFrontends map[state.FrontendName]bool
	freshBackends  map[state.Endpoint]bool
}

func newMender(have *Have, want *state.State, confirmed []Drift, full *Result) *mender {
	m := &mender{
		have: have, want: want, ids: full.Ledger(), held: mentioned(have.Tables),
		confirmedKeys: map[string]bool{}, confirmed: map[string]bool{}, pending: map[string]bool{},
		confirmedBackends: map[string]bool{}, pendingBackends: map[string]bool{}, pendingKeys: map[string]bool{}, doubtful: map[string]bool{},
	}
	for _, d := range confirmed {
		m.confirmedKeys[d.Key()] = true
		m.confirmed[bare(d.Frontend)], m.confirmedBackends[d.Backend] = true, true
	}
	for _, d := range full.Drifts {
		if !m.confirmedKeys[d.Key()] {
			m.pendingKeys[d.Key()] = true
			m.pending[bare(d.Frontend)], m.pendingBackends[d.Backend] = true, true
		}
	}
	for _, set := range []map[string]bool{m.confirmed, m.pending, m.confirmedBackends, m.pendingBackends} {
		delete(set, "")
	}
	m.fresh()
	return m
}

// bare is a frontend's name without its scope.
func bare(name string) string { return strings.TrimSuffix(name, "/i") }

// mentions are the ids that entries mention, by what they mention them as.
type mentions struct {
	reverseNAT map[uint16]bool
	backends   map[uint32]bool
	rows       map[uint32]state.Endpoint
	users      map[uint32][]state.FrontendName
	// owners are the frontends whose entries have a reverse-NAT id, addresses
	// what its row says.
	owners    map[uint16][]state.FrontendName
	addresses map[uint16]netip.AddrPort
	masters   map[state.FrontendName]uint16
}

func mentioned(t layout.Tables) *mentions {
	m := &mentions{
		map[uint16]bool{}, map[uint32]bool{}, map[uint32]state.Endpoint{}, map[uint32][]state.FrontendName{},
		map[uint16][]state.FrontendName{}, map[uint16]netip.AddrPort{}, map[state.FrontendName]uint16{},
	}
	for _, id := range []layout.MapID{layout.Services4, layout.Services6} {
		for key, value := range t[id].All() {
			k, _ := layout.DecodeServiceKey(key)
			s, _ := layout.DecodeService(value)
			m.reverseNAT[s.ReverseNAT] = true
			m.owners[s.ReverseNAT] = append(m.owners[s.ReverseNAT], k.FrontendName)
			if k.Slot == 0 {
				m.masters[k.FrontendName] = s.ReverseNAT
			} else {
				m.backends[s.Word] = true
				m.users[s.Word] = append(m.users[s.Word], k.FrontendName)
			}
		}
	}
	for _, id := range []layout.MapID{layout.ReverseNAT4, layout.ReverseNAT6} {
		for key, value := range t[id].All() {
			n, _ := layout.DecodeReverseNATID(key)
			m.reverseNAT[n] = true
			m.addresses[n], _ = layout.DecodeReverseNAT(value)
		}
	}
	for _, id := range []layout.MapID{layout.Backends4, layout.Backends6} {
		for key, value := range t[id].All() {
			n, _ := layout.DecodeBackendID(key)
			b, _ := layout.DecodeBackend(value)
			m.backends[n], m.rows[n] = true, b.Endpoint
		}
	}
	return m
}

// fresh notes what has an id that nothing mentions: it is ours, not the owner's.
func (m *mender) fresh() {
	before := m.freshFrontends != nil
	frontends, backends := map[state.FrontendName]bool{}, map[state.Endpoint]bool{}
	for name, id := range m.ids.Frontends {
		frontends[name] = !m.held.reverseNAT[id] && (!before || m.freshFrontends[name])
	}
	for b, id := range m.ids.Backends.All() {
		backends[b] = !m.held.backends[id] && (!before || m.freshBackends[b])
	}
	m.freshFrontends, m.freshBackends = frontends, backends
}

// remember takes ids from memory for what would need fresh ones, or ones that the
// maps only hint at, and tells whether there were any.
func (m *mender) remember(memory *layout.Ledger) bool {
	if memory == nil {
		memory = layout.NewLedger()
	}
	m.doubtFrontends(memory)
	agreed := func(name state.FrontendName, id uint16) bool { return m.sound(name, id, memory) }
	frontends, a := settle(m.ids.Frontends, m.freshFrontends, agreed, func(name state.FrontendName) (uint16, bool) {
		id, ok := m.likely(name, memory)
		return id, ok && m.held.ownedBy(id, name)
	})
	known := func(b state.Endpoint) (uint32, bool) {
		id, ok := memory.Backends.Find(b)
		return id, ok
	}
	m.doubt(known)
	sound := func(b state.Endpoint, id uint32) bool {
		old, ok := known(b)
		return m.held.rows[id] == b && (!ok || old == id || m.held.rows[old] != b)
	}
	backends, b := settle(maps.Collect(m.ids.Backends.All()), m.freshBackends, sound, func(b state.Endpoint) (uint32, bool) {
		id, ok := known(b)
		return id, ok && m.still(id, b, known)
	})
	if a || b {
		m.ids = &layout.Ledger{
			Frontends: frontends, Backends: layout.BackendIDsOf(backends),
			LastFrontend: max(m.ids.LastFrontend, memory.LastFrontend), LastBackend: max(m.ids.LastBackend, memory.LastBackend),
		}
	}
	return a || b
}

// settle gives each name its id: that of a sound one stays, then goes what is
// remembered, then what was assigned. A name whose id is taken, or fresh, has
// none, and is noted as fresh.
func settle[N, I comparable](assigned map[N]I, fresh map[N]bool, sound func(N, I) bool, remembered func(N) (I, bool)) (ids map[N]I, changed bool) {
	ids = make(map[N]I, len(assigned))
	taken := make(map[I]bool, len(assigned))
	give := func(name N, id I) {
		ids[name], taken[id] = id, true
	}
	for name, id := range assigned {
		if sound(name, id) {
			give(name, id)
		}
	}
	for name, id := range assigned {
		if old, ok := remembered(name); ok && !sound(name, id) && !taken[old] {
			give(name, old)
			changed = changed || old != id
			fresh[name] = false
		}
	}
	for name, id := range assigned {
		if _, has := ids[name]; has || fresh[name] {
			continue
		}
		if fresh[name] = taken[id]; !taken[id] {
			give(name, id)
		}
	}
	return ids, changed
}

// sound tells whether a frontend's master and a reverse-NAT row agree on its id,
// and its slots do not hold the one that is remembered, with a row of the same
// address: the two entries of a service with two scopes have the same address.
func (m *mender) sound(name state.FrontendName, id uint16, memory *layout.Ledger) bool {
	old, ok := memory.Frontends[name]
	return m.held.masters[name] == id && m.held.isAt(id, name) &&
		!(ok && old != id && m.held.isAt(old, name) && slices.Contains(m.held.owners[old], name))
}

func (h *mentions) isAt(id uint16, name state.FrontendName) bool {
	return h.addresses[id] == netip.AddrPortFrom(name.Address, name.Port)
}

// doubtFrontends leaves alone frontends of one address that have the same id, where
// it is not remembered whose it is.
func (m *mender) doubtFrontends(memory *layout.Ledger) {
	for id, owners := range m.held.owners {
		names := map[state.FrontendName]bool{}
		known := true
		for _, name := range owners {
			if m.held.isAt(id, name) {
				_, remembered := memory.Frontends[name]
				names[name], known = true, known && remembered
			}
		}
		if len(names) < 2 || known {
			continue
		}
		for name := range names {
			m.doubtful[bare(name.String())], m.pending[bare(name.String())] = true, true
		}
	}
}

// doubt leaves alone what leads to one of two rows of the same backend, where it is
// not known which of them is the damaged one: both are in use, and neither is
// remembered.
func (m *mender) doubt(known func(state.Endpoint) (uint32, bool)) {
	rows := map[state.Endpoint][]uint32{}
	for id, b := range m.held.rows {
		if len(m.held.users[id]) > 0 {
			rows[b] = append(rows[b], id)
		}
	}
	for b, ids := range rows {
		if old, ok := known(b); len(ids) < 2 || ok && slices.Contains(ids, old) {
			continue
		}
		m.doubtful[b.String()], m.pendingBackends[b.String()] = true, true
		for _, id := range ids {
			for _, name := range m.held.users[id] {
				m.doubtful[bare(name.String())], m.pending[bare(name.String())] = true, true
			}
		}
	}
}

// likely is the id that is remembered of a frontend, or that all its entries have.
func (m *mender) likely(name state.FrontendName, memory *layout.Ledger) (uint16, bool) {
	if id, ok := memory.Frontends[name]; ok {
		return id, true
	}
	found, n := uint16(0), 0
	for id, owners := range m.held.owners {
		if id != 0 && slices.Contains(owners, name) {
			found, n = id, n+1
		}
	}
	return found, n == 1
}

// ownedBy tells whether nothing but the frontend's own entries mention an id.
func (h *mentions) ownedBy(id uint16, name state.FrontendName) bool {
	if a, there := h.addresses[id]; there && a != netip.AddrPortFrom(name.Address, name.Port) {
		return false
	}
	return !slices.ContainsFunc(h.owners[id], func(n state.FrontendName) bool { return n != name })
}

// still tells whether an id may stand for the backend as it did before: what its
// row says is this backend, one that nobody wants, or one that has its own row
// beside; and whoever has it in a slot wants this one.
func (m *mender) still(id uint32, b state.Endpoint, known func(state.Endpoint) (uint32, bool)) bool {
	if other, there := m.held.rows[id]; there && other != b {
		own, ok := known(other)
		if _, wanted := m.ids.Backends.Find(other); wanted && !(ok && own != id && m.held.rows[own] == other) {
			return false
		}
	}
	wanted := frontendsByName(m.want)
	for _, name := range m.held.users[id] {
		if f := wanted[name]; f == nil || !contains(f, b) {
			return false
		}
	}
	return true
}

// reduced is the wanted State without what only its owner can add. A frontend
// that would be left without a selectable backend is left as it is.
func (m *mender) reduced() *state.State {
	out := *m.want
	gone := map[string]bool{}
	isFresh := func(b state.Endpoint) bool { return m.freshBackends[b] }
	for _, f := range m.want.Frontends {
		if m.freshFrontends[f.FrontendName] || len(f.Backends) > 0 && !slices.ContainsFunc(f.Backends, func(b state.Endpoint) bool { return !isFresh(b) }) {
			gone[bare(f.FrontendName.String())] = true
		}
	}
	isGone := func(name state.FrontendName) bool { return gone[bare(name.String())] }
	out.Frontends = nil
	for _, f := range m.want.Frontends {
		if !isGone(f.FrontendName) {
			f.Backends = slices.DeleteFunc(slices.Clone(f.Backends), isFresh)
			f.Inactive = slices.DeleteFunc(slices.Clone(f.Inactive), isFresh)
			out.Frontends = append(out.Frontends, f)
		}
	}
	out.Backends = slices.DeleteFunc(slices.Clone(m.want.Backends), func(b state.Backend) bool { return isFresh(b.Endpoint) })
	out.SourceRanges = slices.DeleteFunc(slices.Clone(m.want.SourceRanges), func(r state.SourceRange) bool { return isGone(r.Frontend) })
	out.AffinityMatches = slices.DeleteFunc(slices.Clone(m.want.AffinityMatches), func(a state.AffinityMatch) bool { return isGone(a.Frontend) || isFresh(a.Backend) })
	out.Maglev = slices.DeleteFunc(slices.Clone(m.want.Maglev), func(t state.MaglevTable) bool { return isGone(t.Frontend) })
	return &out
}

// choose takes the steps that may be carried out, in the plan's order.
func (m *mender) choose(result *Result) Plan {
	names := map[uint16]state.FrontendName{}
	for name, id := range m.ids.Frontends {
		names[id] = name
	}
	blocked := m.blocked(result, names)
	var out Plan
	for _, s := range result.Plan {
		switch {
		case s.Op == Delete && m.nobodys(s), s.Op == Put && backends(s.Map) && m.rowAllowed(s):
			out = append(out, s)
		case s.Op == Put && !backends(s.Map):
			if name := bare(subject(s, names)); m.allowed(name) && !blocked[name] {
				out = append(out, s)
			}
		}
	}
	return out
}

func (m *mender) allowed(frontend string) bool {
	return m.confirmed[frontend] && !m.pending[frontend]
}

func backends(id layout.MapID) bool { return id == layout.Backends4 || id == layout.Backends6 }

// subject is the frontend that an entry belongs to.
func subject(s Step, names map[uint16]state.FrontendName) string {
	var name state.FrontendName
	switch s.Map {
	case layout.Services4, layout.Services6:
		k, _ := layout.DecodeServiceKey(s.Key)
		name = k.FrontendName
	case layout.ReverseNAT4, layout.ReverseNAT6:
		id, _ := layout.DecodeReverseNATID(s.Key)
		name = names[id]
	case layout.AffinityMatch:
		k, _ := layout.DecodeAffinityKey(s.Key)
		name = names[k.ReverseNAT]
	case layout.SourceRange4, layout.SourceRange6:
		k, _ := layout.DecodeRangeKey(s.Key)
		name = names[k.ReverseNAT]
	}
	if !name.Address.IsValid() {
		return ""
	}
	return name.String()
}

// rowAllowed tells whether a backend's row may be written: a confirmed drift
// concerns it, or a frontend that leads to it, and nothing unconfirmed does.
func (m *mender) rowAllowed(s Step) bool {
	b, err := layout.DecodeBackend(s.New)
	if err != nil || m.pendingBackends[b.Endpoint.String()] || !m.room(s, nil) {
		return false
	}
	if m.confirmedBackends[b.Endpoint.String()] {
		return true
	}
	return slices.ContainsFunc(m.want.Frontends, func(f state.Frontend) bool {
		return m.allowed(bare(f.FrontendName.String())) && contains(&f, b.Endpoint)
	})
}

// blocked are the frontends of which a part could not be written: a slot that is
// written before its backend's row fails connections, a master before its slots.
func (m *mender) blocked(result *Result, names map[uint16]state.FrontendName) map[string]bool {
	blocked := map[string]bool{}
	refused := map[state.Endpoint]bool{}
	used := map[layout.MapID]int{}
	for _, s := range result.Plan {
		switch {
		case s.Op != Put:
		case backends(s.Map):
			if !m.rowAllowed(s) {
				b, _ := layout.DecodeBackend(s.New)
				refused[b.Endpoint] = true
			}
		case m.allowed(bare(subject(s, names))) && !m.room(s, used):
			blocked[bare(subject(s, names))] = true
		}
	}
	for i := range m.want.Frontends {
		f := &m.want.Frontends[i]
		for s := range len(f.Backends) + len(f.Inactive) {
			if refused[f.Slot(s)] {
				blocked[bare(f.FrontendName.String())] = true
			}
		}
	}
	return blocked
}

// room tells whether a map is there, and has room for a step's entry beside those
// that are counted in used already.
func (m *mender) room(s Step, used map[layout.MapID]int) bool {
	if m.have.Tables[s.Map] == nil {
		return false
	}
	if s.Old != nil {
		return true
	}
	for _, held := range m.have.Maps {
		if held.Name == s.Map.String() && held.MaxEntries > 0 && int(held.Entries)+used[s.Map] >= int(held.MaxEntries) {
			return false
		}
	}
	if used != nil {
		used[s.Map]++
	}
	return true
}

// nobodys tells whether a confirmed deletion is of an entry that no agent
// believes in: a key that no lookup builds, or an affinity match of ids that
// nothing else mentions, which no agent ever removes.
func (m *mender) nobodys(s Step) bool {
	if s.Map == layout.AffinityMatch {
		k, err := layout.DecodeAffinityKey(s.Key)
		if err == nil && (!m.held.reverseNAT[k.ReverseNAT] || !m.held.backends[k.Backend]) {
			return m.saw(AffinityDrift, strayMatch(k))
		}
	}
	for key := range m.confirmedKeys {
		if strings.HasPrefix(key, fmt.Sprintf("%s|||no key %x|", UnknownEntry, s.Key)) {
			return true
		}
	}
	return false
}

func (m *mender) saw(kind Kind, have string) bool {
	for key := range m.confirmedKeys {
		if strings.HasPrefix(key, string(kind)+"|") && strings.HasSuffix(key, "|"+have) {
			return true
		}
	}
	return false
}

// applied is what would be held after a plan.
func applied(have *Have, p Plan) *Have {
	changes := map[layout.MapID]map[string][]byte{}
	for _, s := range p {
		if changes[s.Map] == nil {
			changes[s.Map] = map[string][]byte{}
		}
		changes[s.Map][string(s.Key)] = s.New
	}
	out := *have
	out.Tables = maps.Clone(have.Tables)
	for id, values := range changes {
		out.Tables[id] = have.Tables[id].With(values)
	}
	return &out
}

// left says why what remains does remain; what was not confirmed before is none
// of it.
func (m *mender) left(remaining []Drift) []Unmended {
	var list []Unmended
	for _, d := range remaining {
		if !m.pendingKeys[d.Key()] {
			list = append(list, Unmended{d, m.why(d)})
		}
	}
	return list
}
