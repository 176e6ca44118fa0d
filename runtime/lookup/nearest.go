// SPDX-License-Identifier: Apache-2.0

package lookup

import (
	"cmp"
	"fmt"
	"slices"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/schema/state"
)

// Neighbour is a frontend that is there, and how it is near the one asked for.
type Neighbour struct {
	Frontend state.FrontendName `json:"frontend"`
	How      string             `json:"how"`
	In       string             `json:"in"` // "want", "have", "both"

	rank int
}

// mostNeighbours bounds the list of each kind of nearness.
const mostNeighbours = 4

// Nearest lists the frontends that differ from a name in one thing: the scope,
// the protocol, the port, or the address; the nearest first.
func Nearest(name state.FrontendName, want, have layout.Tables) []Neighbour {
	in := map[state.FrontendName]string{}
	for _, f := range masters(want) {
		in[f] = "want"
	}
	for _, f := range masters(have) {
		in[f] = cmp.Or(map[string]string{"want": "both"}[in[f]], "have")
	}
	var list []Neighbour
	for f, where := range in {
		if rank, how := nearness(name, f); rank > 0 {
			list = append(list, Neighbour{Frontend: f, How: how, In: where, rank: rank})
		}
	}
	slices.SortFunc(list, func(a, b Neighbour) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), a.Frontend.Compare(b.Frontend))
	})
	count := map[int]int{}
	return slices.DeleteFunc(list, func(n Neighbour) bool {
		count[n.rank]++
		return count[n.rank] > mostNeighbours
	})
}

func nearness(a, b state.FrontendName) (rank int, how string) {
	address, port, protocol := a.Address == b.Address, a.Port == b.Port, a.Protocol == b.Protocol
	switch {
	case b.Port == 0 && b.Protocol == state.Any:
		return 0, ""
	case a == b:
		return 1, "the entry itself, which no lookup reaches: there is no external one with the flag two-scopes"
	case address && port && protocol:
		return 1, fmt.Sprintf("the %s scope", b.Scope)
	case address && port:
		return 2, fmt.Sprintf("the same address and port, protocol %s", b.Protocol)
	case address && protocol:
		return 3, "the same address, another port"
	case address:
		return 4, "the same address, another port and protocol"
	case port && protocol && a.Address.Is4() == b.Address.Is4():
		return 5, "the same port, another address"
	}
	return 0, ""
}

// masters lists the frontends that have a master.
func masters(t layout.Tables) []state.FrontendName {
	var list []state.FrontendName
	for _, id := range []layout.MapID{layout.Services4, layout.Services6} {
		for key := range t[id].All() {
			if k, err := layout.DecodeServiceKey(key); err == nil && k.Slot == 0 {
				list = append(list, k.FrontendName)
			}
		}
	}
	return list
}
