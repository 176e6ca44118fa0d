// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"cmp"
	"slices"

	"plumbline.dev/plumbline/schema/state"
)

// contest is one address that was written more than once, by the frontends'
// indices: the order in which they were made.
type contest []int32

// contests finds the addresses that were written more than once.
func (c *compiler) contests() []contest {
	order := c.order()
	var found []contest
	for i := 0; i < len(order); {
		j := i + 1
		for j < len(order) && c.frontends[order[j]].FrontendName == c.frontends[order[i]].FrontendName {
			j++
		}
		if j > i+1 {
			found = append(found, slices.Clone(order[i:j]))
		}
		i = j
	}
	return found
}

func (c *compiler) ownerOf(i int32) int { return c.frontends[i].owner }

// before orders claims by their owners' names.
func (c *compiler) before(a, b int32) int {
	oa, ob := &c.owners[c.frontends[a].owner], &c.owners[c.frontends[b].owner]
	return cmp.Or(cmp.Compare(oa.key, ob.key), cmp.Compare(oa.object, ob.object), cmp.Compare(a, b))
}

// settle gives each contested address to one frontend and says which of all
// frontends are not to be made. Where one owner has an address in two roles the
// later role holds. Of two owners' primary entries the one with the smaller name
// wins; up to 1.17 the other loses that address, later everything. An expanded
// entry then competes with what is left.
func (c *compiler) settle(contested []contest) ([]bool, []state.Notice) {
	c.notices = nil // a second run says them again
	j := judgement{compiler: c, lost: make([]bool, len(c.frontends)), rejected: map[int]bool{}, said: map[quarrel]bool{}}
	for i := range contested {
		contested[i] = j.sameOwner(contested[i])
	}
	if c.rules.rejectsWhole {
		j.rejectWhole(contested)
	}
	for _, claims := range contested {
		j.single(claims)
	}
	for i := range c.frontends {
		j.lost[i] = j.lost[i] || j.rejected[c.ownerOf(int32(i))]
	}
	return j.lost, c.notices
}

type judgement struct {
	*compiler
	lost     []bool       // by the frontends' indices
	rejected map[int]bool // owners that lose everything
	said     map[quarrel]bool
}

// sameOwner leaves one claim per owner, its last, ordered by the owners' names.
func (j *judgement) sameOwner(all contest) contest {
	slices.SortFunc(all, j.before)
	kept := all[:0]
	for n, i := range all {
		if n+1 == len(all) || j.ownerOf(all[n+1]) != j.ownerOf(i) {
			kept = append(kept, i)
			continue
		}
		j.lost[i] = true
		a, b := &j.frontends[i], &j.frontends[all[n+1]]
		switch o := &j.owners[a.owner]; {
		case a.Type != b.Type:
			j.notice(state.Info, "snapshot/two-roles", o, "", "", "%s is an address of type %s and of type %s; it is written as the latter", a.FrontendName, a.Type, b.Type)
		case a.PortName != b.PortName:
			j.notice(state.Error, "snapshot/duplicate-port", o, "", "remove one of them", "ports %q and %q are both %s; the latter is written", a.PortName, b.PortName, a.FrontendName)
		}
	}
	return kept
}

// rejectWhole goes through the owners by name: whoever claims a primary entry
// of an owner that stands already is rejected, and its other claims are void.
func (j *judgement) rejectWhole(contested []contest) {
	claims := map[int][]contest{}
	var claimants []int32
	for _, all := range contested {
		for _, i := range all {
			if j.frontends[i].expanded || j.frontends[i].redirect {
				continue
			}
			if claims[j.ownerOf(i)] == nil {
				claimants = append(claimants, i)
			}
			claims[j.ownerOf(i)] = append(claims[j.ownerOf(i)], all)
		}
	}
	slices.SortFunc(claimants, j.before)
	for _, i := range claimants {
		for _, all := range claims[j.ownerOf(i)] {
			if w := j.holder(all, i); w >= 0 {
				j.rejected[j.ownerOf(i)] = true
				j.say(i, w, "all of it is left out, as Cilium rejects it")
			}
		}
	}
}

// holder finds the primary claim, before loser's, that stands.
func (j *judgement) holder(all contest, loser int32) int32 {
	for _, i := range all {
		if j.ownerOf(i) == j.ownerOf(loser) {
			return -1
		}
		if !j.frontends[i].expanded && !j.frontends[i].redirect && !j.rejected[j.ownerOf(i)] {
			return i
		}
	}
	return -1
}

// single settles what is left of one address.
func (j *judgement) single(all contest) {
	left := slices.DeleteFunc(slices.Clone(all), func(i int32) bool { return j.rejected[j.ownerOf(i)] })
	if len(left) == 0 {
		return
	}
	winner := j.winner(left)
	for _, i := range left {
		if j.ownerOf(i) != j.ownerOf(winner) {
			j.lost[i] = true
			j.say(i, winner, "it is left out there")
		}
	}
}

// winner finds who has the address. A policy's own frontend yields to a service's;
// up to 1.17 it overrides one that is a ClusterIP.
func (j *judgement) winner(left contest) int32 {
	redirects := slices.DeleteFunc(slices.Clone(left), func(i int32) bool { return !j.frontends[i].redirect })
	services := slices.DeleteFunc(slices.Clone(left), func(i int32) bool { return j.frontends[i].redirect })
	other := func(i int32) bool { return j.frontends[i].Type != state.ClusterIP }
	switch {
	case len(services) == 0 || len(redirects) > 0 && j.rules.redirects.replaces && !slices.ContainsFunc(services, other):
		return redirects[0]
	case j.rules.nodePortsYield:
		return j.yield(services)
	case j.rules.lastWins:
		return services[len(services)-1]
	}
	return services[0]
}

// yield finds the winner where node-port entries give way (from 1.19.7 on): a
// primary entry wins over an expanded one.
func (j *judgement) yield(left contest) int32 {
	for _, i := range left {
		if !j.frontends[i].expanded {
			return i
		}
	}
	return left[0]
}

// quarrel is what is reported once, whatever the number of node addresses.
type quarrel struct {
	loser, winner int // owners
	port          uint16
	protocol      state.Protocol
}

// say reports a loss.
func (j *judgement) say(loser, winner int32, consequence string) {
	f := &j.frontends[loser]
	q := quarrel{f.owner, j.ownerOf(winner), f.Port, f.Protocol}
	if j.said[q] {
		return
	}
	j.said[q] = true
	w := &j.owners[q.winner]
	if f.expanded && !j.frontends[winner].expanded && j.rules.nodePortsYield {
		j.notice(state.Info, "snapshot/node-port-yields", &j.owners[q.loser], "", "", "%s is %s%s's own; the port is not written there", f.Endpoint, w.object, in(w.pos))
		return
	}
	if j.rules.redirects.replaces && j.frontends[winner].redirect {
		j.notice(state.Info, "snapshot/redirect-replaces", &j.owners[q.loser], "", "", "%s is led elsewhere by %s%s", f.Endpoint, w.object, in(w.pos))
		return
	}
	j.notice(state.Error, "snapshot/duplicate-frontend", &j.owners[q.loser], "", "give one of them another address or port",
		"%s is claimed by %s%s too; %s", f.Endpoint, w.object, in(w.pos), consequence)
}

func in(pos state.Position) string {
	if pos.File == "" {
		return ""
	}
	return " (" + pos.String() + ")"
}
