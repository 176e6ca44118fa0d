// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/values"
)

// Kind is what a Change is about.
type Kind uint8

// The kinds, in the order of a report.
const (
	// Step is the way itself: minors left out, a way back.
	Step Kind = iota
	// Key is a key set here that is refused, ignored, renamed or deprecated.
	Key
	// Value is a value set here, a type or a word, that is not taken any more.
	Value
	// Environment is any other finding of the environment at the new version.
	Environment
	// Behaviour is what Cilium does otherwise although nothing here is wrong.
	Behaviour
	// Default is a default of the chart that differs.
	Default
	// Layout is the form of the kernel's maps.
	Layout
	// Setting is a datapath setting that comes out otherwise.
	Setting
)

var kindNames = [...]string{"step", "key", "value", "environment", "behaviour", "default", "layout", "setting"}

// String gives the kind's name, such as "behaviour".
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// MarshalText gives String.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText accepts exactly what String gives.
func (k *Kind) UnmarshalText(text []byte) error {
	i := slices.Index(kindNames[:], string(text))
	if i < 0 {
		return fmt.Errorf("unknown kind %q: want one of %s", text, strings.Join(kindNames[:], ", "))
	}
	*k = Kind(i)
	return nil
}

// Change is one thing that the new version changes.
type Change struct {
	Kind Kind `json:"kind"`
	// Severity is Error where the environment would not compile, or the chart not
	// render; Warning where something may break; Info for what is only good to know.
	Severity diag.Severity `json:"severity"`
	// Code is that of the finding that plumb vet would have; "" if it has none.
	Code string `json:"code,omitempty"`
	// Path is the Helm value's; of a Setting the field's.
	Path    string `json:"path,omitempty"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	// Effect is what a Key does at the new version: deprecated, ignored, fails or
	// breaks.
	Effect string `json:"effect,omitempty"`
	// Replacement are the keys to use instead; Now says that the version at hand
	// takes them all, so that they can be changed ahead.
	Replacement []string `json:"replacement,omitempty"`
	Now         bool     `json:"replacementKnownNow,omitempty"`
	// Since is the minor from which on it is so.
	Since string `json:"since,omitempty"`
	// From and To are a default or a setting before and after; neither is there
	// for the other kinds, and "absent" stands for what has no value.
	From      string          `json:"from,omitempty"`
	To        string          `json:"to,omitempty"`
	Positions []diag.Position `json:"positions"`
	URL       string          `json:"url,omitempty"`
}

// String gives the change on one line, its severity aside. Long values are cut.
func (c Change) String() string {
	var parts []string
	if c.From != "" {
		text := short(c.From) + " -> " + short(c.To)
		if c.Kind != Layout {
			text = c.Path + ": " + text
		}
		parts = append(parts, text)
	}
	if c.Message != "" {
		parts = append(parts, c.Message)
	}
	text := c.Kind.String() + ": " + strings.Join(parts, ": ")
	if c.Kind == Behaviour {
		text += fmt.Sprintf(" (since %s)", c.Since)
	}
	if c.Hint != "" {
		text += "; " + c.Hint
	}
	return text
}

// short cuts a value that would fill the line.
func short(text string) string {
	const longest = 60
	if r := []rune(text); len(r) > longest {
		return string(r[:longest]) + "…"
	}
	return text
}

func sortChanges(list []Change) {
	slices.SortStableFunc(list, func(a, b Change) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Severity, b.Severity), values.CompareVersions(a.Since, b.Since), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Message, b.Message))
	})
}
