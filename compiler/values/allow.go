// SPDX-License-Identifier: Apache-2.0

package values

import (
	"fmt"
	"slices"
	"strings"

	"plumbline.dev/plumbline/compiler/diag"
)

// Allow lets keys pass that the chart does not know. Pattern is a path; a *
// in a name stands for any text in that name. It covers the key it names and
// all below: "extras", "hubble.my*", "*.mirror".
type Allow struct {
	Pattern   string
	Reason    string // why; "" is told of
	Positions []diag.Position
}

type allowances struct {
	patterns []pattern
}

type pattern struct {
	Allow
	names []string
	used  bool
}

func (c *checker) parseAllow(allow []Allow) *allowances {
	out := &allowances{}
	for _, a := range allow {
		names, err := Split(a.Pattern)
		if err != nil {
			c.add(CodeAllowBad, "", a.Positions, "write a path such as hubble.mirror or extras.*",
				"allowUnknown %q is no pattern: want names with dots between", a.Pattern)
			continue
		}
		if a.Reason == "" {
			c.add(CodeAllowUnreasoned, "", a.Positions, fmt.Sprintf("write {path: %q, reason: \"…\"}", a.Pattern),
				"allowUnknown %q lets a value pass and says no reason", a.Pattern)
		}
		out.patterns = append(out.patterns, pattern{Allow: a, names: names})
	}
	return out
}

// allowed tells whether some pattern covers the path, and reports that it did:
// what is let pass is still said.
func (c *checker) allowed(path string, at []diag.Position) bool {
	if len(c.allow.patterns) == 0 {
		return false
	}
	names, err := Split(path)
	if err != nil {
		return false
	}
	first := ""
	for i := range c.allow.patterns {
		p := &c.allow.patterns[i]
		if p.covers(names) {
			p.used = true
			if first == "" {
				first = p.Pattern
			}
		}
	}
	if first == "" {
		return false
	}
	c.add(CodeAllowed, path, at, "", "%s does nothing in the Cilium %s chart; allowUnknown %q lets it pass", show(path), c.table.Minor, first)
	return true
}

// allowsBelow tells whether some pattern is about keys below the path: each of
// them is judged then, instead of the path as a whole.
func (c *checker) allowsBelow(path string) bool {
	names, err := Split(path)
	return err == nil && slices.ContainsFunc(c.allow.patterns, func(p pattern) bool {
		around := pattern{names: p.names[:min(len(names), len(p.names))]}
		return len(p.names) > len(names) && around.covers(names)
	})
}

func (p *pattern) covers(names []string) bool {
	if len(names) < len(p.names) {
		return false
	}
	for i, glob := range p.names {
		if !matchName(glob, names[i]) {
			return false
		}
	}
	return true
}

// matchName matches a name against a glob whose * is any text.
func matchName(glob, name string) bool {
	parts := strings.Split(glob, "*")
	if len(parts) == 1 {
		return glob == name
	}
	rest, ok := strings.CutPrefix(name, parts[0])
	if !ok {
		return false
	}
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(rest, part)
		if i < 0 {
			return false
		}
		rest = rest[i+len(part):]
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}

func (c *checker) unusedAllow() {
	for i := range c.allow.patterns {
		if p := &c.allow.patterns[i]; !p.used {
			c.add(CodeAllowUnused, "", p.Positions, "take it out", "allowUnknown %q matches no key of the values", p.Pattern)
		}
	}
}
