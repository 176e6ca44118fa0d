// SPDX-License-Identifier: Apache-2.0

package values

import (
	"fmt"
	"strings"
)

// Effect is what a key that is gone, renamed or deprecated does today.
type Effect uint8

// The effects, mildest first.
const (
	// Deprecated keys still work.
	Deprecated Effect = iota
	// Ignored keys render and change nothing.
	Ignored
	// FailsIfSet keys make the chart refuse to render, unless they are false,
	// zero or empty: then they are ignored.
	FailsIfSet
	// Fails keys make the chart refuse to render, whatever they hold.
	Fails
	// Breaks keys render into something that the agent refuses to start with.
	Breaks
)

var effectNames = [...]string{"deprecated", "ignored", "fails-if-set", "fails", "breaks"}

// String gives the effect as tables write it.
func (e Effect) String() string {
	if int(e) < len(effectNames) {
		return effectNames[e]
	}
	return fmt.Sprintf("effect(%d)", uint8(e))
}

// MarshalText gives String.
func (e Effect) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText accepts exactly what String gives.
func (e *Effect) UnmarshalText(text []byte) error {
	for i, name := range effectNames {
		if name == string(text) {
			*e = Effect(i)
			return nil
		}
	}
	return fmt.Errorf("unknown effect %q: want one of %s", text, strings.Join(effectNames[:], ", "))
}
