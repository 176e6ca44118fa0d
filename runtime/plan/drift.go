// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"plumbline.dev/plumbline/schema/state"
)

// Kind is what sort of difference a Drift is. The words are stable: they are in
// the JSON, in metrics and in the status of resources.
type Kind string

// The kinds of drift.
const (
	MissingFrontend Kind = "missing-frontend"
	ExtraFrontend   Kind = "extra-frontend"
	MissingBackend  Kind = "missing-backend" // of a frontend
	StaleBackend    Kind = "stale-backend"   // of a frontend, unknown to the API
	WrongBackend    Kind = "wrong-backend"   // right id, wrong address
	WrongFlags      Kind = "wrong-flags"
	WrongCount      Kind = "wrong-count"
	SlotGap         Kind = "slot-gap"            // the master counts a slot that is not there
	DanglingBackend Kind = "dangling-backend-id" // a slot leads to a row that is not there
	OrphanBackend   Kind = "orphan-backend"      // a row that no slot leads to and nobody wants
	ReverseNATDrift Kind = "reverse-nat"
	StateDrift      Kind = "backend-state"
	AffinityDrift   Kind = "affinity"
	RangeDrift      Kind = "source-range"
	MaglevDrift     Kind = "maglev"
	MapMissing      Kind = "map-missing"
	MapParameters   Kind = "map-parameters"
	MapFull         Kind = "map-full"
	ProgramDetached Kind = "program-detached"
	WrongCgroup     Kind = "program-wrong-cgroup"
	ProgramTwice    Kind = "program-duplicate" // at one hook
	UnknownEntry    Kind = "unknown-entry"     // of bytes that no lookup builds
)

// Kinds lists every kind, in the order of DESIGN's list.
func Kinds() []Kind {
	return []Kind{MissingFrontend, ExtraFrontend, MissingBackend, StaleBackend, WrongBackend, WrongFlags,
		WrongCount, SlotGap, DanglingBackend, OrphanBackend, ReverseNATDrift, StateDrift, AffinityDrift,
		RangeDrift, MaglevDrift, MapMissing, MapParameters, MapFull, ProgramDetached, WrongCgroup, ProgramTwice, UnknownEntry}
}

// Drift is one difference between the State wanted and the State held, named
// by what a person knows: the service, its frontend, the backend.
type Drift struct {
	Kind     Kind   `json:"kind"`
	Frontend string `json:"frontend"` // ADDR:PORT/PROTO, "/i" behind it for the internal scope; may be empty
	Backend  string `json:"backend"`  // ADDR:PORT/PROTO; may be empty
	Service  string `json:"service"`  // namespace/name of the service that owns the frontend; may be empty
	// Object is the API's object that a drift beside the services concerns, such as
	// "CiliumEndpoint test/web-1"; it may be empty.
	Object   string         `json:"object,omitempty"`
	Want     string         `json:"want"`
	Have     string         `json:"have"`
	Severity state.Severity `json:"severity"`
	Message  string         `json:"message"`
}

// Key identifies a drift over time: the same difference seen again has the same key.
func (d Drift) Key() string {
	return string(d.Kind) + "|" + d.Frontend + "|" + d.Backend + "|" + d.Want + "|" + d.Have
}

// String gives one line: kind, service (or its key, if another object is
// concerned), frontend, message.
func (d Drift) String() string {
	service := d.Service
	if _, name, ok := strings.Cut(d.Object, " "); ok {
		service = name
	}
	if service == "" {
		service = "-"
	}
	frontend := d.Frontend
	if frontend == "" {
		frontend = "-"
	}
	return fmt.Sprintf("%s %s %s %s: %s", d.Severity, d.Kind, service, frontend, d.Message)
}

// warnings are the kinds by which no connection is misled.
var warnings = map[Kind]bool{OrphanBackend: true}

// drifts collects, without repetition.
type drifts struct {
	list []Drift
	seen map[difference]bool
	// onFrontend tells which frontends have a drift that says which backends
	// differ: a wrong count of theirs is a consequence.
	onFrontend map[string]bool
}

// difference is what is said once.
type difference struct {
	kind                    Kind
	frontend, backend, want string
}

func newDrifts() *drifts { return &drifts{seen: map[difference]bool{}, onFrontend: map[string]bool{}} }

func (d *drifts) add(x Drift) {
	if warnings[x.Kind] && x.Severity == state.Error {
		x.Severity = state.Warning
	}
	id := difference{x.Kind, x.Frontend, x.Backend, x.Want}
	if d.seen[id] {
		return
	}
	d.seen[id] = true
	if x.Kind == MissingBackend || x.Kind == StaleBackend || x.Kind == SlotGap || x.Kind == WrongBackend {
		d.onFrontend[x.Frontend] = true
	}
	d.list = append(d.list, x)
}

// sorted drops the wrong counts that another drift explains, and orders by
// severity, service, frontend, kind and backend.
func (d *drifts) sorted() []Drift {
	list := slices.DeleteFunc(d.list, func(x Drift) bool { return x.Kind == WrongCount && d.onFrontend[x.Frontend] })
	slices.SortFunc(list, func(a, b Drift) int {
		return cmp.Or(cmp.Compare(a.Severity, b.Severity), cmp.Compare(a.Service, b.Service),
			cmp.Compare(a.Frontend, b.Frontend), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Backend, b.Backend),
			cmp.Compare(a.Want, b.Want))
	})
	return list
}
