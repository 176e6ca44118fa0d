// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"plumbline.dev/plumbline/schema/state"
)

// Why a drift is not mended, and what to do instead. What Cilium heals at a
// restart and what it prunes by itself has been tried with live agents of 1.17
// and 1.20.
const (
	whyNoID      = "no map has an id for it, and Cilium alone gives one: `kubectl annotate service` with any new value makes the agent write the service again, a restart of the agent everything"
	whyDeletion  = "only a deletion ends it, and the agent may believe in the entry, which it would write again at its restart at the earliest: since 1.18 it removes what it does not know within 30 minutes, and in any version at its restart"
	whyMatch     = "only a deletion ends it, and its ids are in use: the agent may believe in it, though no version ever removes one"
	whyMaglev    = "a Maglev table is computed by the agent: `kubectl annotate service` with any new value makes it write the table again"
	whyMap       = "a map is the agent's to make: a restart of it does"
	whyFull      = "there is no room: entries are not removed to make some; raise the map's size in the values"
	whyProgram   = "programs are the agent's to attach: a restart of it does"
	whyTogether  = "what it needs is not confirmed yet, or could not be written either"
	whyDoubt     = "two entries claim the same id or address, and which of them is damaged can't be told: a restart of the agent writes both"
	whyNoBackend = "none of the backends that it should have is in the maps: what it leads to was left alone, as no backend at all is no better"
)

// why says it for one drift.
func (m *mender) why(d Drift) string {
	switch d.Kind {
	case MaglevDrift:
		return whyMaglev
	case MapMissing, MapParameters:
		return whyMap
	case MapFull:
		return whyFull
	case ProgramDetached, WrongCgroup:
		return whyProgram
	case ExtraFrontend, OrphanBackend, UnknownEntry:
		return whyDeletion
	}
	switch {
	case m.doubtful[bare(d.Frontend)], m.doubtful[d.Backend]:
		return whyDoubt
	case m.needsID(d):
		return whyNoID
	case d.Want == "absent", d.Want == "no entry", d.Want == "no match", m.surplus(d):
		if m.bereft(d) {
			return whyNoBackend
		}
		if d.Kind == AffinityDrift {
			return whyMatch
		}
		return whyDeletion
	case m.isFull():
		return whyFull
	}
	return whyTogether
}

// needsID tells whether the drift's frontend or backend has no id yet.
func (m *mender) needsID(d Drift) bool {
	var name state.FrontendName
	if d.Frontend != "" && name.UnmarshalText([]byte(d.Frontend)) == nil && m.freshFrontends[name] {
		return true
	}
	var b state.Endpoint
	return d.Backend != "" && d.Want != "absent" && b.UnmarshalText([]byte(d.Backend)) == nil && m.freshBackends[b]
}

// surplus tells whether the drift is of a reverse-NAT row that nothing wants.
func (m *mender) surplus(d Drift) bool {
	return d.Kind == ReverseNATDrift && d.Frontend == ""
}

// bereft tells whether no backend that the frontend should have has an id.
func (m *mender) bereft(d Drift) bool {
	var name state.FrontendName
	if d.Frontend == "" || name.UnmarshalText([]byte(d.Frontend)) != nil {
		return false
	}
	f := frontendsByName(m.want)[name]
	if f == nil || len(f.Backends) == 0 {
		return false
	}
	for _, b := range f.Backends {
		if !m.freshBackends[b] {
			return false
		}
	}
	return true
}

// isFull tells whether any map is.
func (m *mender) isFull() bool {
	for _, held := range m.have.Maps {
		if held.MaxEntries > 0 && held.Entries >= held.MaxEntries {
			return true
		}
	}
	return false
}
