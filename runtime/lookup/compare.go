// SPDX-License-Identifier: Apache-2.0

package lookup

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"plumbline.dev/plumbline/schema/state"
)

// Report is one connection's way through the wanted maps, the held ones, or
// both side by side.
type Report struct {
	Frontend state.FrontendName `json:"frontend"`
	Layout   state.Layout       `json:"layout"`
	Service  string             `json:"service,omitempty"` // namespace/name, where it is known
	// Want and Have are the two ways; nil is a side that was not asked for.
	Want *Path `json:"want,omitempty"`
	Have *Path `json:"have,omitempty"`
	// Partings are where the two differ, in the order of the steps.
	Partings []Parting `json:"partings"`
	// Nearest are frontends that are there, where this one is in neither.
	Nearest []Neighbour `json:"nearest,omitempty"`
}

// Parting is one difference between the two ways.
type Parting struct {
	Step  string `json:"step"`
	Field string `json:"field"`
	Want  string `json:"want"` // "" where the wanted way has no such field
	Have  string `json:"have"`
	Why   string `json:"why"` // what traffic sees of it
}

// Found tells whether any side has the frontend.
func (r *Report) Found() bool {
	return r.Want != nil && r.Want.Found || r.Have != nil && r.Have.Found
}

// Explain follows a connection through the wanted maps, the held ones, or both;
// a side that is nil is left out.
func Explain(q Query, s *state.Settings, want, have *Maps) *Report {
	r := &Report{Frontend: q.Frontend, Layout: s.Layout, Partings: []Parting{}}
	var sides [2]Maps
	for i, side := range []*Maps{want, have} {
		if side == nil {
			continue
		}
		sides[i] = *side
		path := Follow(*side, q, s)
		*[]**Path{&r.Want, &r.Have}[i] = &path
	}
	if r.Want != nil && r.Have != nil {
		r.Partings = Partings(r.Want, r.Have)
	}
	if !r.Found() {
		r.Nearest = Nearest(q.Frontend, sides[0].Tables, sides[1].Tables)
	}
	return r
}

// Confirm keeps the partings that an earlier report has too: what differed only
// once was a change under way.
func (r *Report) Confirm(earlier *Report) {
	seen := map[Parting]bool{}
	for _, p := range earlier.Partings {
		seen[p] = true
	}
	r.Partings = slices.DeleteFunc(r.Partings, func(p Parting) bool { return !seen[p] })
}

// Partings lists where the two ways part. Equal ways have none. What follows from
// a parting before it is not listed again: a slot that is not counted, or the
// fields of an entry that is not there.
func Partings(want, have *Path) []Parting {
	list := []Parting{}
	for _, name := range stepNames(want, have) {
		w, h := want.step(name), have.step(name)
		if w == nil || h == nil {
			if p, ok := lone(name, w, h); ok {
				list = append(list, p)
			}
			continue
		}
		before := len(list)
		for _, field := range fieldNames(w, h) {
			wanted, held := w.field(field), h.field(field)
			if wanted == held || field != answer && w.field(answer) != h.field(answer) {
				continue
			}
			p := Parting{Step: name, Field: field, Want: wanted, Have: held}
			p.Why = why(w.Kind, name, p, have)
			list = append(list, p)
		}
		if len(list) == before {
			list = append(list, unexplained(name, w, h, want, have)...)
		}
	}
	return list
}

// unexplained is the parting of a value whose bytes differ though nothing that is
// read of them does. What is read of a master's is said in a step of its own.
func unexplained(name string, w, h *Step, want, have *Path) []Parting {
	if w.Value == h.Value || w.Kind == Service && !equalFields(want.step("master"), have.step("master")) {
		return nil
	}
	return []Parting{{Step: name, Field: "value", Want: w.Value, Have: h.Value, Why: "bytes differ that decide nothing on this way"}}
}

func equalFields(a, b *Step) bool {
	return a != nil && b != nil && slices.Equal(a.Fields, b.Fields)
}

// answer is the field that says whether an entry is there.
const answer = "answer"

// lone is the parting of a step that only one way has, where nothing before it
// explains that: entries of ranges and Maglev tables come and go by themselves.
func lone(name string, want, have *Step) (Parting, bool) {
	p := Parting{Step: name, Want: "there", Have: "not there"}
	step := want
	if want == nil {
		p.Want, p.Have, step = "not there", "there", have
	}
	p.Why = why(step.Kind, name, p, nil)
	return p, step.Kind == SourceRange || step.Kind == Maglev
}

// step finds a step by name; nil where the way has none.
func (p *Path) step(name string) *Step {
	if p == nil {
		return nil
	}
	for i := range p.Steps {
		if p.Steps[i].Name == name {
			return &p.Steps[i]
		}
	}
	return nil
}

// stepNames merges the names of two ways' steps: each of them keeps its order.
func stepNames(a, b *Path) []string {
	var lists [2][]string
	for i, p := range []*Path{a, b} {
		if p != nil {
			for _, s := range p.Steps {
				lists[i] = append(lists[i], s.Name)
			}
		}
	}
	return merge(lists[0], lists[1])
}

func fieldNames(a, b *Step) []string {
	var lists [2][]string
	for i, s := range []*Step{a, b} {
		if s != nil {
			for _, f := range s.Fields {
				lists[i] = append(lists[i], f.Name)
			}
		}
	}
	return merge(lists[0], lists[1])
}

// merge puts what only b has behind what stands before it in b.
func merge(a, b []string) []string {
	in := map[string]bool{}
	for _, name := range b {
		in[name] = true
	}
	var out []string
	seen := map[string]bool{}
	take := func(name string) {
		if !seen[name] {
			seen[name] = true
			out = append(out, name)
		}
	}
	next := 0
	for _, name := range a {
		if in[name] {
			for ; next < len(b) && b[next] != name; next++ {
				if !slices.Contains(a, b[next]) {
					take(b[next])
				}
			}
		}
		take(name)
	}
	for _, name := range b {
		take(name)
	}
	return out
}

// why says what traffic sees of a difference.
func why(kind Kind, step string, p Parting, have *Path) string {
	switch kind {
	case Service:
		return serviceWhy(p)
	case Master:
		return masterWhy(p)
	case Slot, Backend:
		return slotWhy(p, have.step("slot "+strings.TrimPrefix(strings.TrimPrefix(step, "backend of "), "slot ")), have.step("master"))
	case ReverseNAT:
		return "answers are not translated back to the frontend: the client sees another peer than it asked for"
	case SourceRange:
		return "clients outside are let in or dropped against the service's source ranges"
	case Affinity:
		return affinityWhy(p)
	case Maglev:
		return "clients outside are led to other backends than by the table of every other node"
	case Choice:
		return "it follows from the master"
	}
	return "it follows from the steps before"
}

func serviceWhy(p Parting) string {
	switch {
	case p.Field != "answer":
		return "the way goes on to another entry"
	case p.Want == "there":
		return "the entry is missing: connections are not translated, or end with another service"
	case p.Have == "there":
		return "an entry answers that no service wants"
	}
	return "the lookup goes another way"
}

func masterWhy(p Parting) string {
	switch p.Field {
	case "count":
		want, werr := strconv.Atoi(p.Want)
		have, herr := strconv.Atoi(p.Have)
		switch {
		case werr != nil || herr != nil:
		case have == 0:
			return "no slot can be chosen: every connection fails"
		case have < want:
			return fmt.Sprintf("slots behind %d get no connection", have)
		default:
			return fmt.Sprintf("slots %d to %d are chosen although nobody wants them", want+1, have)
		}
	case "flags":
		return flagsWhy(p)
	case "reverse NAT id":
		return "answers are translated back by another id; open sockets lose their peer"
	case "type":
		return "the programs treat the frontend as one of another type"
	case "affinity timeout":
		return "clients stay with their backend for another time"
	case "algorithm":
		return "clients outside are spread by another algorithm"
	case "proxy port":
		return "connections are handed to another port, where no proxy may listen"
	}
	return "it changes no choice of a slot"
}

// flagMeanings say what traffic sees of a flag that is missing or too much.
var flagMeanings = map[string]string{
	"non-routable":      "whether clients outside reach the frontend",
	"Local":             "whether traffic from outside stays on the node",
	"InternalLocal":     "whether traffic of the cluster stays on the node",
	"two-scopes":        "whether clients in the cluster get the internal entry",
	"affinity":          "whether clients stay with their backend",
	"source-range":      "whether source ranges are checked",
	"source-range-deny": "whether source ranges allow or deny",
	"local-redirect":    "whether a local redirect policy rules",
	"l7":                "whether the L7 proxy answers",
	"l7-delegate":       "whether the L7 proxy is left to handle it",
	"loopback":          "whether the host port is for loopback clients alone",
	"46x64":             "whether backends are of the other IP family",
	"dsr":               "whether answers go directly to the client",
}

func flagsWhy(p Parting) string {
	names := func(text string) map[string]bool {
		list, _, _ := strings.Cut(text, " ")
		set := map[string]bool{}
		for name := range strings.SplitSeq(list, ",") {
			set[name] = true
		}
		return set
	}
	want, have := names(p.Want), names(p.Have)
	var parts []string
	for _, name := range state.Flags(1<<16 - 1).Names() {
		switch {
		case want[name] && !have[name]:
			parts = append(parts, name+" is missing: it says "+flagMeanings[name])
		case have[name] && !want[name]:
			parts = append(parts, name+" is too much: it says "+flagMeanings[name])
		}
	}
	if len(parts) == 0 {
		return "bits differ that have no name"
	}
	return strings.Join(parts, "; ")
}

// slotWhy says what a slot's, or its backend's, difference does to connections.
func slotWhy(p Parting, slot, master *Step) string {
	share := "no new connection: the slot is behind the count"
	if slot == nil || slot.field("can be chosen") == "yes" {
		share = fmt.Sprintf("one connection in %s", master.field("count"))
	}
	switch {
	case master == nil:
		return "there is no master that counts it"
	case p.Field == "answer" && p.Have == "not there":
		return share + " fails with EHOSTUNREACH"
	case p.Field == "leads to" || p.Field == "backend id":
		return share + " goes to another backend than is wanted"
	case p.Field == "state":
		return "a backend that is not active is left at the next new connection from outside"
	case p.Field == "reverse NAT id":
		return "answers are translated back by another id"
	}
	return share + " is concerned"
}

func affinityWhy(p Parting) string {
	switch {
	case p.Have == "":
		return "clients do not stay with it: each new connection is led anew"
	case p.Want == "":
		return "clients may stay with a backend that nobody wants"
	}
	return "clients stay by another rule"
}
