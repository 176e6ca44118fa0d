// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"slices"

	"plumbline.dev/plumbline/schema/state"
)

// arrange gives the wanted State with each frontend's slots in the positions in
// which the kernel already holds them. Which selectable slot a backend has is
// without meaning to the datapath (it picks one by chance or by the socket's
// cookie), so the order is taken over and a removed backend costs two writes,
// not a rewrite of all that come after it.
func arrange(have, want *state.State) *state.State {
	held := frontendsByName(have)
	out := *want
	out.Frontends = slices.Clone(want.Frontends)
	for i := range out.Frontends {
		f := &out.Frontends[i]
		if h := held[f.FrontendName]; h != nil {
			held := slices.Concat(h.Backends, h.Inactive) // whatever the master counts
			if unknownPort(f) && h.Flags&state.L7 != 0 {
				f.L7ProxyPort = h.L7ProxyPort // the agent's choice
			}
			f.Backends = keepPlaces(held, f.Backends)
			f.Inactive = keepPlaces(held[min(len(f.Backends), len(held)):], f.Inactive)
		}
	}
	return &out
}

// keepPlaces permutes want: what have holds at a place that want has too stays
// there, and the rest fills the places between in want's order.
func keepPlaces(have, want []state.Endpoint) []state.Endpoint {
	if slices.Equal(have, want) {
		return want
	}
	loose := make(map[state.Endpoint]bool, len(want))
	for _, b := range want {
		loose[b] = true
	}
	placed := make([]bool, len(want))
	out := make([]state.Endpoint, len(want))
	for i := range min(len(have), len(want)) {
		if loose[have[i]] {
			out[i], placed[i] = have[i], true
			delete(loose, have[i])
		}
	}
	next := 0
	for _, b := range want {
		if !loose[b] {
			continue
		}
		for placed[next] {
			next++
		}
		out[next], placed[next] = b, true
	}
	return out
}

func frontendsByName(st *state.State) map[state.FrontendName]*state.Frontend {
	byName := make(map[state.FrontendName]*state.Frontend, len(st.Frontends))
	for i := range st.Frontends {
		byName[st.Frontends[i].FrontendName] = &st.Frontends[i]
	}
	return byName
}
