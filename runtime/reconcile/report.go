// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"encoding/json"
	"fmt"
	"time"

	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/schema/state"
)

// Status is what one round came to. It is a closed set.
type Status uint8

// The statuses. Unknown is the zero value: what has not been looked at is never
// healthy.
const (
	Unknown       Status = iota // the kernel could not be read
	Uninitialized               // there is no complete wanted State yet: nothing is compared, nothing written
	Incompatible                // the maps are of a layout that is not the environment's
	OutOfSync                   // a wanted change, or a repair, has not reached the kernel
	Drifted                     // the kernel differs, confirmed (I5)
	InSync
)

var statusNames = [...]string{"Unknown", "Uninitialized", "Incompatible", "OutOfSync", "Drifted", "InSync"}

// Statuses lists them.
func Statuses() []Status {
	return []Status{Unknown, Uninitialized, Incompatible, OutOfSync, Drifted, InSync}
}

// String gives the status' name.
func (s Status) String() string {
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return fmt.Sprintf("status(%d)", uint8(s))
}

// MarshalText gives String.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText accepts exactly what String gives.
func (s *Status) UnmarshalText(text []byte) error {
	for i, name := range statusNames {
		if name == string(text) {
			*s = Status(i)
			return nil
		}
	}
	return fmt.Errorf("unknown status %q", text)
}

// Reason says why a round came to its Status. It is a closed set.
type Reason string

// The reasons.
const (
	ReasonInSync         Reason = "InSync"
	ReasonApplied        Reason = "Applied"        // the plan was carried out
	ReasonUnconfirmed    Reason = "Unconfirmed"    // a difference, seen once or for less than the grace
	ReasonDriftDetected  Reason = "DriftDetected"  // confirmed, and the mode writes nothing
	ReasonDriftCorrected Reason = "DriftCorrected" // confirmed, and mended
	ReasonApplyFailed    Reason = "ApplyFailed"
	ReasonSourceFailed   Reason = "SourceFailed"
	ReasonEmpty          Reason = "EmptyWantedState"
	ReasonReadFailed     Reason = "ReadFailed"
	ReasonLayout         Reason = "LayoutMismatch"
)

// Reasons lists them.
func Reasons() []Reason {
	return []Reason{ReasonInSync, ReasonApplied, ReasonUnconfirmed, ReasonDriftDetected, ReasonDriftCorrected, ReasonApplyFailed,
		ReasonSourceFailed, ReasonEmpty, ReasonReadFailed, ReasonLayout, ReasonSuspended, ReasonChanged, ReasonUnmended}
}

// Drift is a plan.Drift with its history.
type Drift struct {
	plan.Drift
	// Since is when it was first seen, AgeSeconds how long ago that was at the
	// time of the Report.
	Since      time.Time `json:"since"`
	AgeSeconds float64   `json:"ageSeconds"`
}

// Report is what one round found and did.
type Report struct {
	Time   time.Time  `json:"time"`
	Mode   state.Mode `json:"mode"`
	Status Status     `json:"status"`
	Reason Reason     `json:"reason"`
	Drifts []Drift    `json:"drifts"` // confirmed ones, never null
	// Notices say what the audits did not judge, for want of facts.
	Notices []state.Notice `json:"notices,omitempty"`
	Digest  DigestPair     `json:"digest"`
	Counts  Counts         `json:"counts"`
	// Suspended tells that writing is switched off.
	Suspended bool `json:"suspended,omitempty"`
	// Left are the drifts that a repair does not end, and why.
	Left []plan.Unmended `json:"left,omitempty"`
	// Planned and Applied count steps; Applied is less where a step failed.
	Planned int `json:"planned"`
	Applied int `json:"applied"`
	// Maps are those that the round has read, with how full they are.
	Maps []MapFill `json:"maps,omitempty"`
	// Seconds is how long the round took.
	Seconds float64 `json:"seconds"`
	// WantAgeSeconds is how old the wanted State is: above 0 where the source
	// failed and the last complete one is held to.
	WantAgeSeconds float64 `json:"wantAgeSeconds"`
	Error          string  `json:"error,omitempty"`
	// Err is Error as a value.
	Err error `json:"-"`
}

// MapFill is how full a map is.
type MapFill struct {
	Name       string `json:"name"`
	Entries    uint32 `json:"entries"`
	MaxEntries uint32 `json:"maxEntries"`
}

// DigestPair are the digests of the wanted and the held State.
type DigestPair struct {
	Want string `json:"want"`
	Have string `json:"have"`
}

// Counts sum up a wanted State, and how much of it differs unconfirmed.
type Counts struct {
	Frontends   int `json:"frontends"`
	Backends    int `json:"backends"`
	Unconfirmed int `json:"unconfirmed"`
}

// MarshalJSON writes an absent list of drifts as an empty one.
func (r Report) MarshalJSON() ([]byte, error) {
	type bare Report
	if r.Drifts == nil {
		r.Drifts = []Drift{}
	}
	if r.Err != nil {
		r.Error = r.Err.Error()
	}
	return json.Marshal(bare(r))
}
