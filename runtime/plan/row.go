// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/schema/state"
)

// backendEdit explains an edit of a backends map. What a slot's edit says
// already (a backend that is missing or stale) is not said again.
func (d *differ) backendEdit(e layout.Edit) {
	n, _ := layout.DecodeBackendID(e.Key)
	have, _ := layout.DecodeBackend(e.Old)
	want, _ := layout.DecodeBackend(e.New)
	switch {
	case e.Old == nil:
		d.rowMissing(n, want)
	case e.New == nil:
		if _, wanted := d.ids.Backends.Find(have.Endpoint); !wanted && len(d.haveUses[n]) == 0 {
			d.drift(OrphanBackend, state.FrontendName{}, have.Endpoint, "absent", rowText(n, have), "backend %s (id %d) is in the map, but no slot leads to it and no EndpointSlice has it", have.Endpoint, n)
		} else {
			d.staleRow(n, have)
		}
	case have.Endpoint != want.Endpoint:
		d.rowChanged(n, have, want)
	default:
		d.drift(StateDrift, d.firstUse(want.Endpoint), want.Endpoint, stateText(want), stateText(have), "backend %s is %s, want %s", want.Endpoint, stateText(have), stateText(want))
	}
}

// staleRow explains a row that has to go, and that slots lead to or that is the
// second one of a wanted backend.
func (d *differ) staleRow(n uint32, have layout.Backend) {
	for _, name := range d.haveUses[n] {
		if w := d.wantF[name]; w != nil && !contains(w, have.Endpoint) {
			d.staleBackend(name, have.Endpoint)
		}
	}
	if id, wanted := d.ids.Backends.Find(have.Endpoint); wanted {
		d.drift(OrphanBackend, state.FrontendName{}, have.Endpoint, rowText(id, have), rowText(n, have), "backend %s has a second row: id %d beside %d", have.Endpoint, n, id)
	}
}

func (d *differ) rowMissing(n uint32, want layout.Backend) {
	for _, name := range d.haveUses[n] {
		if w := d.wantF[name]; w != nil && contains(w, want.Endpoint) {
			d.drift(DanglingBackend, name, want.Endpoint, rowText(n, want), "no row", "%s holds backend id %d (%s), of which there is no row: connections that pick it fail", name, n, want.Endpoint)
		}
	}
	if len(d.wantUses[want.Endpoint]) == 0 {
		d.rowUnused(n, want)
	}
}

// rowUnused explains a missing row that no frontend leads to.
func (d *differ) rowUnused(n uint32, want layout.Backend) {
	d.drift(MissingBackend, state.FrontendName{}, want.Endpoint, rowText(n, want), "no row", "backend %s has no row", want.Endpoint)
}

// rowChanged explains a row that leads elsewhere than its id stands for.
func (d *differ) rowChanged(n uint32, have, want layout.Backend) {
	uses := d.wantUses[want.Endpoint]
	if len(uses) == 0 {
		uses = []state.FrontendName{{}}
	}
	for _, name := range uses {
		d.drift(WrongBackend, name, want.Endpoint, rowText(n, want), rowText(n, have), "backend id %d leads to %s, want %s", n, have.Endpoint, want.Endpoint)
	}
}

func (d *differ) firstUse(b state.Endpoint) state.FrontendName {
	if uses := d.wantUses[b]; len(uses) > 0 {
		return uses[0]
	}
	return state.FrontendName{}
}

func rowText(n uint32, b layout.Backend) string { return fmt.Sprintf("id %d: %s", n, b.Endpoint) }

func stateText(b layout.Backend) string {
	text := b.State.String()
	if b.Zone != 0 {
		text += fmt.Sprintf(" zone %d", b.Zone)
	}
	if b.ClusterID != 0 {
		text += fmt.Sprintf(" cluster %d", b.ClusterID)
	}
	return text
}

func (d *differ) reverseNATEdit(e layout.Edit) {
	n, _ := layout.DecodeReverseNATID(e.Key)
	name, wanted := d.wantID[n]
	if wanted && d.haveF[name] == nil {
		return // the frontend is missing as a whole
	}
	have, want := "no row", "no row"
	if e.Old != nil {
		have = layout.DescribeValue(layout.ReverseNAT4, e.Key, e.Old)
	}
	if e.New != nil {
		want = layout.DescribeValue(layout.ReverseNAT4, e.Key, e.New)
	}
	if held, ok := d.haveID[n]; !wanted && ok && d.wantF[held] == nil {
		return // its frontend is extra as a whole
	}
	d.drift(ReverseNATDrift, name, state.Endpoint{}, fmt.Sprintf("id %d: %s", n, want), fmt.Sprintf("id %d: %s", n, have),
		"reverse-NAT id %d is %s, want %s", n, have, want)
}

func (d *differ) affinityEdit(e layout.Edit) {
	k, _ := layout.DecodeAffinityKey(e.Key)
	if e.New != nil {
		name, b := d.wantID[k.ReverseNAT], d.wantRow[k.Backend]
		if e.Old == nil && !d.holds(name, b) {
			return // the frontend or its backend is missing as a whole
		}
		d.drift(AffinityDrift, name, b, "match", "no match", "%s has no affinity match for %s: clients do not stick to it", name, b)
		return
	}
	name, named := d.haveID[k.ReverseNAT]
	if b, found := d.row(name, k.Backend); named && found {
		if w := d.wantF[name]; w == nil || !contains(w, b) && d.holds(name, b) {
			return // the frontend is extra, or the backend stale
		}
	}
	d.drift(AffinityDrift, name, state.Endpoint{}, "no match", strayMatch(k),
		"an affinity match of backend id %d and reverse-NAT id %d is left over", k.Backend, k.ReverseNAT)
}

func strayMatch(k layout.AffinityKey) string {
	return fmt.Sprintf("backend id %d of reverse-NAT id %d", k.Backend, k.ReverseNAT)
}

func (d *differ) rangeEdit(e layout.Edit) {
	k, _ := layout.DecodeRangeKey(e.Key)
	name, wanted := d.wantID[k.ReverseNAT]
	if e.New == nil {
		if held, ok := d.haveID[k.ReverseNAT]; ok && d.wantF[held] == nil {
			return
		}
		d.drift(RangeDrift, name, state.Endpoint{}, "absent", k.CIDR.String(), "source range %s of reverse-NAT id %d is left over: it lets in what should not be", k.CIDR, k.ReverseNAT)
		return
	}
	if wanted && d.haveF[name] != nil {
		d.drift(RangeDrift, name, state.Endpoint{}, k.CIDR.String(), "absent", "%s does not have the source range %s: clients from there are refused", name, k.CIDR)
	}
}
