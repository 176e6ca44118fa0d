// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"cmp"
	"fmt"
	"slices"

	"plumbline.dev/plumbline/schema/state"
)

// condition is what an endpoint's conditions make of it, best first.
type condition uint8

const (
	active      condition = iota
	terminating           // still serving: used where no endpoint is active
	gone                  // terminating and no longer serving: a slot that is never used
	maintenance           // neither: a row in the backends map and no slot
)

// backendState is the condition as the backend's row says it.
func (c condition) backendState() state.BackendState {
	switch c {
	case active:
		return state.Active
	case maintenance:
		return state.Maintenance
	}
	return state.Terminating
}

// judge gives an endpoint's condition; false means that it is not written. A
// condition that is unset means what the API says: ready, serving as ready, not
// terminating; but that who says nothing of serving serves, wherever Cilium keeps
// unready endpoints (ParseEndpointConditionsV1, pkg/k8s/endpoints.go).
func (c *compiler) judge(e *state.EndpointSpec) (condition, bool) {
	ready := e.Ready == nil || *e.Ready
	serving := ready || c.rules.keepsUnready
	if e.Serving != nil {
		serving = *e.Serving
	}
	ending := e.Terminating != nil && *e.Terminating
	switch {
	case ready:
		return active, true
	case !c.rules.keepsUnready:
		return c.judgeUnready(serving, ending)
	case ending && !serving:
		return gone, true
	case ending:
		return terminating, true
	}
	return maintenance, true
}

// judgeUnready is the rule up to 1.18.0: only who serves is written, and who
// serves without terminating counts as active.
func (c *compiler) judgeUnready(serving, ending bool) (condition, bool) {
	if c.rules.settingsDecide && !c.settings.LoadBalancer.TerminatingEndpoints {
		return 0, false
	}
	if ending {
		return terminating, serving
	}
	return active, serving
}

// candidate is an endpoint under one port of its slice.
type candidate struct {
	state.Endpoint
	port      string
	condition condition
	local     bool // on this node, or on none
	zone      uint8
	weight    uint16
	// rank is the place of slice and endpoint among the service's: of two that hold
	// one address and port, the later one has it (from 1.18 on). In 1.17 all have 0.
	rank uint64
	spec *state.EndpointSpec // for its hints
}

// onNode is a candidate that no slice tells of: it is active, and this node's.
func onNode(at state.Endpoint) candidate {
	return candidate{Endpoint: at, local: true, weight: defaultWeight, spec: &state.EndpointSpec{}}
}

func compareCandidates(a, b candidate) int {
	return cmp.Or(a.Compare(b.Endpoint), cmp.Compare(b.rank, a.rank), cmp.Compare(a.condition, b.condition), cmp.Compare(a.port, b.port))
}

// gather collects the current service's endpoints from its slices.
func (c *compiler) gather(list []*state.EndpointSlice) {
	c.candidates, c.picks = c.candidates[:0], c.picks[:0]
	for n, slice := range list {
		o := sliceOwner(slice)
		weight := c.weigh(slice, &o)
		for i := range slice.Endpoints {
			e := &slice.Endpoints[i]
			b := candidate{spec: e, weight: weight}
			written := false
			if b.condition, written = c.judge(e); !written {
				continue
			}
			if weight == 0 {
				b.condition = maintenance
			}
			switch {
			case c.rules.mergesSlices:
			case c.rules.firstInSlice:
				b.rank = uint64(n)<<32 | uint64(len(slice.Endpoints)-i)
			default:
				b.rank = uint64(n)<<32 | uint64(i)
			}
			for j, addr := range e.Addresses {
				field := fmt.Sprintf("endpoints[%d].addresses[%d]", i, j)
				if !usable(addr) {
					c.notice(state.Error, "snapshot/bad-address", &o, field, "", "%s is no address that a backend can have; the endpoint is left out", addr)
					continue
				}
				if addr.Is6() != slice.IPv6 {
					c.notice(state.Warning, "snapshot/address-family", &o, field, "move it to a slice of its family",
						"%s stands in a slice of %s addresses; Cilium takes it all the same", addr, family(slice.IPv6))
				}
				b.Address = addr
				for p := range slice.Ports {
					c.candidate(&slice.Ports[p], b)
				}
			}
		}
		c.judgeSlicePorts(slice, &o)
	}
	slices.SortStableFunc(c.candidates, compareCandidates)
}

// candidate adds an endpoint under one port; a port that a backend can't have
// is said once for the slice, by judgeSlicePorts.
func (c *compiler) candidate(p *state.EndpointPort, b candidate) {
	if p.Port == 0 || !transport(p.Protocol) || !c.enabled(b.Address.Is6()) {
		return
	}
	b.Port, b.Protocol, b.port = p.Port, p.Protocol, p.Name
	b.local = b.spec.NodeName == "" || b.spec.NodeName == c.node.Name
	b.zone = c.settings.LoadBalancer.Zones[b.spec.Zone]
	c.candidates = append(c.candidates, b)
}

func (c *compiler) judgeSlicePorts(slice *state.EndpointSlice, o *owner) {
	for i, p := range slice.Ports {
		if p.Port == 0 {
			c.notice(state.Error, "snapshot/bad-port", o, fmt.Sprintf("ports[%d].port", i), "", "port 0 can't be reached; its endpoints are left out")
		}
		if !transport(p.Protocol) {
			c.notice(state.Error, "snapshot/unknown-protocol", o, fmt.Sprintf("ports[%d].protocol", i), "want TCP, UDP or SCTP",
				"protocol %s is not load-balanced; its endpoints are left out", p.Protocol)
		}
	}
}

// transport tells whether the maps hold services of the protocol.
func transport(p state.Protocol) bool {
	return p == state.TCP || p == state.UDP || p == state.SCTP
}

func family(v6 bool) string {
	if v6 {
		return "IPv6"
	}
	return "IPv4"
}

// want is which of a service's endpoints a frontend takes.
type want struct {
	port     string
	protocol state.Protocol
	v6       bool
	local    bool
	redirect *redirect // whose pods are taken instead; nil is none
}

// pick is the answer to a want: slots and who is behind them. Frontends with
// the same want share it.
type pick struct {
	want
	active   []state.Endpoint
	inactive []state.Endpoint
	// ready is how many of active are so by their own condition, and not for
	// want of better ones; they come first.
	ready int
	// weights are those of active; nil is that none differs.
	weights []uint16
	maglev  *maglevTable
}

// pick finds the backends for a want and writes their rows.
func (c *compiler) pick(w want, t topologyMode) *pick {
	for i := range c.picks {
		if c.picks[i].want == w {
			return &c.picks[i]
		}
	}
	var chosen []candidate
	if w.redirect != nil {
		chosen = c.choosePods(w)
	} else {
		chosen = c.choose(w, t)
	}
	var count [maintenance + 1]int
	for _, b := range chosen {
		count[b.condition]++
		c.rows.add(state.Backend{Endpoint: b.Endpoint, State: b.condition.backendState(), Zone: b.zone})
	}
	slots := c.reserve(len(chosen) - count[maintenance])
	var weights []uint16
	differ := slices.ContainsFunc(chosen, func(b candidate) bool { return b.weight != defaultWeight })
	for cond := active; cond < maintenance; cond++ {
		for _, b := range chosen {
			if b.condition != cond {
				continue
			}
			slots = append(slots, b.Endpoint)
			if differ {
				weights = append(weights, b.weight)
			}
		}
	}
	n := count[active]
	if n == 0 {
		n = count[terminating]
	}
	p := pick{
		want: w, active: nilIfEmpty(slots[:n:n]), inactive: nilIfEmpty(slots[n:len(slots):len(slots)]), ready: count[active],
		weights: weights[:min(n, len(weights))],
	}
	c.picks = append(c.picks, p)
	return &c.picks[len(c.picks)-1]
}

func nilIfEmpty(list []state.Endpoint) []state.Endpoint {
	if len(list) == 0 {
		return nil
	}
	return list
}

// wholeBlock is how many slots are reserved at once where all are made together.
const wholeBlock = 4096

// reserve gives room for n slots out of one large block: a slice per frontend
// would cost more than its content.
func (c *compiler) reserve(n int) []state.Endpoint {
	if cap(c.arena)-len(c.arena) < n {
		c.arena = make([]state.Endpoint, 0, max(n, c.block))
	}
	start := len(c.arena)
	c.arena = c.arena[:start+n]
	return c.arena[start : start : start+n]
}

// choose lists the candidates that a want takes, each endpoint once, ordered by
// address and port.
func (c *compiler) choose(w want, t topologyMode) []candidate {
	chosen := c.chosen[:0]
	for i := 0; i < len(c.candidates); {
		j := i + 1
		for j < len(c.candidates) && c.candidates[j].Endpoint == c.candidates[i].Endpoint {
			j++
		}
		same := c.candidates[i:j]
		for same[len(same)-1].rank != same[0].rank {
			same = same[:len(same)-1]
		}
		if c.takes(w, same) {
			chosen = append(chosen, same[0])
		}
		i = j
	}
	c.chosen = chosen
	return c.prefer(chosen, t)
}

// takes tells whether a want takes an endpoint, of which same has every port
// name. The endpoint is what its first candidate, the one in the best
// condition, says.
func (c *compiler) takes(w want, same []candidate) bool {
	e := &same[0]
	if e.Address.Is6() != w.v6 || e.Protocol != w.protocol || w.local && !e.local {
		return false
	}
	named := func(b candidate) bool { return b.port == w.port }
	if slices.ContainsFunc(same, named) {
		return true
	}
	if c.rules.exactPortName {
		return false
	}
	return w.port == "" || c.rules.unnamedPortMatches && !slices.ContainsFunc(same, func(b candidate) bool { return b.port != "" })
}
