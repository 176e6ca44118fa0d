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
	return arrangedAs(func(n state.FrontendName) *state.Frontend { return held[n] }, want)
}

// arrangedAs is arrange by what is held under a name; nil is nothing. A State that
// is arranged as it should be is its own.
func arrangedAs(held func(state.FrontendName) *state.Frontend, want *state.State) *state.State {
	out := want
	for i := range want.Frontends {
		h := held(want.Frontends[i].FrontendName)
		if h == nil {
			continue
		}
		if f, other := arrangeFrontend(h, want.Frontends[i]); other {
			if out == want {
				changed := *want
				changed.Frontends = slices.Clone(want.Frontends)
				out = &changed
			}
			out.Frontends[i] = f
		}
	}
	return out
}

// arrangeFrontend arranges one, and tells whether it is another then.
func arrangeFrontend(h *state.Frontend, f state.Frontend) (state.Frontend, bool) {
	other := unknownPort(&f) && h.Flags&state.L7 != 0
	if other {
		f.L7ProxyPort = h.L7ProxyPort // the agent's choice
	}
	if slices.Equal(h.Backends, f.Backends) && slices.Equal(h.Inactive, f.Inactive) {
		return f, other
	}
	held := slices.Concat(h.Backends, h.Inactive) // whatever the master counts
	f.Backends = keepPlaces(held, f.Backends)
	f.Inactive = keepPlaces(held[min(len(f.Backends), len(held)):], f.Inactive)
	return f, true
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
