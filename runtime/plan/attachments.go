// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"plumbline.dev/plumbline/schema/state"
)

// place is where a program hangs, whatever it hangs there by: a device's hook
// has one place for tcx and filters. All cgroups are one, as a program should
// hang at one of them only.
type place struct{ program, at string }

func placeOf(a state.Attachment) place {
	if device, ok := a.Device(); ok {
		return place{a.Program, device + " " + direction(a.Attach)}
	}
	return place{a.Program, "cgroup"}
}

// direction is a device's hook: ingress, egress, or XDP.
func direction(attach string) string {
	if strings.HasPrefix(attach, "xdp") {
		return "xdp"
	}
	_, way, _ := strings.Cut(attach, "_")
	return way
}

// attachments compares programs. A program of ours that nobody wants is
// detached; of another's nothing is said, but that it hangs twice or works on
// maps that nobody writes.
func (d *differ) attachments() {
	if d.have.AttachmentsUnread != nil {
		return
	}
	held := map[place][]state.Attachment{}
	for _, a := range d.have.Attachments {
		held[placeOf(a)] = append(held[placeOf(a)], a)
	}
	for _, want := range d.want.Attachments {
		d.attachment(held[placeOf(want)], want)
		delete(held, placeOf(want))
	}
	for _, a := range d.have.Attachments {
		list, unwanted := held[placeOf(a)]
		switch {
		case !unwanted:
		case strings.HasPrefix(a.Program, "plumb_"):
			d.plan = append(d.plan, Step{Op: Detach, Attachment: &a})
			d.found.add(Drift{Kind: WrongCgroup, Want: "detached", Have: a.Target, Message: fmt.Sprintf("program %s hangs at %s, want it nowhere", a.Program, a.Target)})
		default:
			d.duplicate(list, "")
			d.stale(a)
		}
	}
}

// attachment compares a wanted program with all that hangs in its place.
func (d *differ) attachment(held []state.Attachment, want state.Attachment) {
	have, ok := nearest(held, want)
	d.duplicate(held, want.Attach)
	_, device := want.Device()
	switch {
	case ok && have.Attach == want.Attach && have.Target == want.Target:
		if have.StaleMaps == "" {
			return
		}
		d.stale(have)
	case device:
		d.device(have, want, ok)
	default:
		d.found.add(cgroupDrift(have, want, ok))
	}
	if !device { // no one but its agent can attach another's program at a device
		d.plan = append(d.plan, Step{Op: Attach, Attachment: &want})
	}
}

// nearest finds what is most like it is wanted.
func nearest(held []state.Attachment, want state.Attachment) (state.Attachment, bool) {
	if len(held) == 0 {
		return state.Attachment{}, false
	}
	return slices.MaxFunc(held, func(a, b state.Attachment) int { return cmp.Compare(likeness(a, want), likeness(b, want)) }), true
}

func likeness(have, want state.Attachment) int {
	n := 0
	if have.Target == want.Target {
		n += 4
	}
	if have.Attach == want.Attach {
		n += 2
	}
	if have.StaleMaps == "" {
		n++
	}
	return n
}

// cgroupDrift is of a program that does not hang at its cgroup.
func cgroupDrift(have, want state.Attachment, pinned bool) Drift {
	x := Drift{Kind: ProgramDetached, Want: want.Program + " at " + want.Target}
	switch {
	case !pinned:
		x.Have = "no link"
		x.Message = fmt.Sprintf("program %s (%s) is not attached to %s: no link is pinned", want.Program, want.Attach, want.Target)
	case have.Target == "":
		x.Have = "detached"
		x.Message = fmt.Sprintf("program %s (%s) has been detached from %s: connections are not translated", want.Program, want.Attach, want.Target)
	default:
		x.Kind, x.Have = WrongCgroup, have.Target
		x.Message = fmt.Sprintf("program %s (%s) hangs at %s, want %s", want.Program, have.Attach, have.Target, want.Target)
	}
	return x
}

// device judges a program that does not hang at its device as it is wanted. That
// it hangs by another mechanism misleads no packet: a warning, and none where the
// kernel leaves no choice.
func (d *differ) device(have, want state.Attachment, hangs bool) {
	name, _ := want.Device()
	x := Drift{Kind: ProgramDetached, Want: fmt.Sprintf("%s by %s at %s", want.Program, want.Attach, want.Target), Have: "detached"}
	if !hangs {
		x.Message = fmt.Sprintf("program %s does not hang at device %s (%s): restart the agent, which attaches it", want.Program, name, want.Attach)
		if len(d.have.Devices) > 0 && !slices.Contains(d.have.Devices, name) {
			x.Message = fmt.Sprintf("program %s hangs nowhere, as there is no device %s: the agent has made none, or this is not the node's network namespace (hostNetwork)", want.Program, name)
		}
		d.found.add(x)
		return
	}
	d.stale(have)
	if d.have.NoTCX && strings.HasPrefix(want.Attach, "tcx_") {
		return
	}
	x.Severity, x.Have = state.Warning, have.Attach
	x.Message = fmt.Sprintf("program %s hangs at device %s by %s, want %s: the agent does not run with these settings", want.Program, name, have.Attach, want.Attach)
	d.found.add(x)
}

// duplicate reports a program that hangs more than once in its place: each packet
// or connection then passes it as often, and the older one may work on other
// state. Dead links do not count. attach is the wanted hook, or empty.
func (d *differ) duplicate(held []state.Attachment, attach string) {
	count := 0
	var places []string
	for _, a := range held {
		if a.Target == "" {
			continue
		}
		count += 1 + int(a.Copies)
		places = append(places, fmt.Sprintf("%d by %s at %s", 1+a.Copies, a.Attach, a.Target))
	}
	if count < 2 {
		return
	}
	program, at := held[0].Program, placeOf(held[0]).at
	slices.Sort(places)
	text := strings.Join(places, ", ")
	d.found.add(Drift{Kind: ProgramTwice, Want: program + " once, at " + at, Have: text,
		Message: fmt.Sprintf("program %s hangs %d times where it should hang once: %s; %s", program, count, text, detach(held, attach))})
}

// detach says how the one that is too many goes.
func detach(held []state.Attachment, attach string) string {
	device, atDevice := held[0].Device()
	filters := fmt.Sprintf("`tc filter show dev %s %s` has the pref and handle for `tc filter del`", device, direction(held[0].Attach))
	links := fmt.Sprintf("`bpftool net show dev %s` has the links' ids for `bpftool link detach id ID`", device)
	tc := slices.ContainsFunc(held, func(a state.Attachment) bool { return strings.HasPrefix(a.Attach, "tc_") })
	tcx := slices.ContainsFunc(held, func(a state.Attachment) bool { return strings.HasPrefix(a.Attach, "tcx_") })
	switch {
	case !atDevice:
		return "detach the older: `bpftool link show` has the ids for `bpftool link detach id ID`"
	case tc && tcx && strings.HasPrefix(attach, "tc_"):
		return "detach the link: " + links
	case tc && tcx:
		return "remove the filter: " + filters
	case tc:
		return "remove the older filter: " + filters
	}
	return "detach the older: " + links
}

// stale reports a program that works on other maps than those that are pinned: it
// hangs where it should and serves nothing that is written.
func (d *differ) stale(have state.Attachment) {
	if have.StaleMaps == "" {
		return
	}
	var ids, words []string
	for word := range strings.SplitSeq(have.StaleMaps, ",") {
		name, id, _ := strings.Cut(word, "=")
		held, pinned, _ := strings.Cut(id, "/")
		if pinned == "0" {
			pinned = "none"
		}
		ids = append(ids, fmt.Sprintf("%s %s", name, held))
		words = append(words, fmt.Sprintf("%s is map %s, pinned is %s", name, held, pinned))
	}
	d.found.add(Drift{
		Kind: ProgramDetached, Want: have.Program + " on the pinned maps at " + have.Target, Have: strings.Join(ids, ", "),
		Message: fmt.Sprintf("program %s (%s) at %s works on other maps than those that are pinned: %s", have.Program, have.Attach, have.Target, strings.Join(words, "; ")),
	})
}
