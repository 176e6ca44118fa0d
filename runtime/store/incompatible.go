// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/schema/state"
)

// Difference is one property in which a pinned map is not as the layout, or the
// environment, has it.
type Difference struct {
	Map      string `json:"map"` // the pin's name, or a pattern of names
	Property string `json:"property"`
	Want     string `json:"want"`
	Have     string `json:"have"`
}

// String gives "map cilium_lb4_services_v2: value size 16, want 12".
func (d Difference) String() string {
	return fmt.Sprintf("map %s: %s %s, want %s", d.Map, d.Property, d.Have, d.Want)
}

// IncompatibleError says every difference between pinned maps and a layout (I7).
// It wraps ErrIncompatible.
type IncompatibleError struct {
	Layout      state.Layout
	Differences []Difference // never empty, sorted by map and property
	// Fits are the known layouts that explain everything that was seen; none
	// means that the maps are of no layout that is known.
	Fits []state.Layout
	// Hint says what to do where that is not a matter of the layout.
	Hint string
}

// Error gives a line per difference, and what would fit.
func (e *IncompatibleError) Error() string {
	var b strings.Builder
	if e.Layout == state.LayoutNone {
		b.WriteString("maps are of no layout that is known:")
	} else {
		fmt.Fprintf(&b, "maps are incompatible with the layout %s:", e.Layout)
	}
	for _, d := range e.Differences {
		fmt.Fprintf(&b, "\n  %s", d)
	}
	fmt.Fprintf(&b, "\n  %s", cmp.Or(e.Hint, e.fit()))
	return b.String()
}

// Unwrap gives ErrIncompatible.
func (e *IncompatibleError) Unwrap() error { return ErrIncompatible }

func (e *IncompatibleError) fit() string {
	if len(e.Fits) == 0 {
		return "no known layout is so: " + texts(knownLayouts()) + " are known"
	}
	return "they are of " + texts(e.Fits) + ": give the environment that chart version, or name the layout by --layout"
}

// incompatible makes the error, or nil where nothing differs.
func incompatible(l state.Layout, list []Difference, fits []state.Layout, hint string) error {
	if len(list) == 0 {
		return nil
	}
	slices.SortFunc(list, func(a, b Difference) int {
		return cmp.Or(cmp.Compare(a.Map, b.Map), cmp.Compare(a.Property, b.Property), cmp.Compare(a.Have, b.Have))
	})
	return &IncompatibleError{Layout: l, Differences: slices.Compact(list), Fits: fits, Hint: hint}
}

func knownLayouts() []state.Layout { return layout.Fits(nil) }

func texts(list []state.Layout) string {
	var names []string
	for _, l := range list {
		names = append(names, l.String())
	}
	if n := len(names); n > 1 {
		return strings.Join(names[:n-1], ", ") + " or " + names[n-1]
	}
	return strings.Join(names, "")
}

// disagreements are the differences of evidence that a layout does not explain.
func disagreements(l state.Layout, list []layout.Evidence) []Difference {
	var out []Difference
	for _, e := range layout.Against(l, list) {
		out = append(out, Difference{e.Map, e.Property, fmt.Sprintf("as %s has it", l), fmt.Sprintf("%s, as %s has it", e.Have, texts(e.Of))})
	}
	return out
}
