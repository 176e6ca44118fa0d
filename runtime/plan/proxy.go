// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"slices"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/schema/state"
)

// unknownPort tells of a frontend that is led to the L7 proxy at a port that no
// object tells: the agent chooses one when it runs, and a port that is held is
// taken over. Where none is held only the agent can write the master.
func unknownPort(f *state.Frontend) bool { return f.Flags&state.L7 != 0 && f.L7ProxyPort == 0 }

func unknownPorts(list []state.Frontend) bool {
	return slices.ContainsFunc(list, func(f state.Frontend) bool { return unknownPort(&f) })
}

// proxies reports the frontends whose port nothing tells, and leaves what they
// hold alone: a master that leads to port 0 drops what it gets, and what the held
// one counts must stay while it does.
func (d *differ) proxies() {
	unknown := map[state.FrontendName]bool{}
	for i := range d.want.Frontends {
		f := &d.want.Frontends[i]
		if !unknownPort(f) {
			continue
		}
		unknown[f.FrontendName] = true
		if h := d.haveF[f.FrontendName]; h != nil && h.Flags&state.L7 != 0 {
			d.drift(WrongFlags, f.FrontendName, state.Endpoint{}, "a port of the L7 proxy", "port 0", "%s is led to the L7 proxy at port 0, where nothing listens", f.FrontendName)
		}
	}
	if len(unknown) > 0 {
		d.plan = slices.DeleteFunc(d.plan, func(s Step) bool { return d.concerns(s, unknown) })
	}
}

// concerns tells whether a step writes a master or a slot of the frontends, or
// takes away a row that they lead to.
func (d *differ) concerns(s Step, frontends map[state.FrontendName]bool) bool {
	switch s.Map {
	case layout.Services4, layout.Services6:
		key, err := layout.DecodeServiceKey(s.Key)
		return err == nil && frontends[key.FrontendName]
	case layout.Backends4, layout.Backends6:
		id, err := layout.DecodeBackendID(s.Key)
		return err == nil && s.Op == Delete && slices.ContainsFunc(d.haveUses[id], func(n state.FrontendName) bool { return frontends[n] })
	}
	return false
}
