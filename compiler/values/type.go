// SPDX-License-Identifier: Apache-2.0

package values

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Kind is what a value is. The zero Kind is a value that is not known: an
// unresolved CUE expression.
type Kind uint8

// The kinds of YAML and JSON values.
const (
	Unknown Kind = iota
	Null
	Bool
	Int
	Number
	String
	List
	Object
)

var kindNames = [...]string{"unknown", "null", "bool", "int", "num", "str", "list", "map"}

var kindPhrases = [...]string{
	"no concrete value", "null", "a boolean", "an integer", "a number", "a string", "a list", "an object",
}

// String gives the kind as tables write it.
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
	for i, name := range kindNames {
		if name == string(text) {
			*k = Kind(i)
			return nil
		}
	}
	return fmt.Errorf("unknown kind %q: want one of %s", text, strings.Join(kindNames[:], ", "))
}

// Kinds is a set of kinds.
type Kinds uint8

// Of makes a set.
func Of(kinds ...Kind) Kinds {
	var s Kinds
	for _, k := range kinds {
		s |= 1 << k
	}
	return s
}

// anyKind is the set of everything that has a value.
const anyKind = Kinds(0xfe)

// Has tells whether k is in the set. An integer is a number too.
func (s Kinds) Has(k Kind) bool {
	return s&(1<<k) != 0 || k == Int && s&(1<<Number) != 0
}

// Type is what a key takes. Its text is one line without spaces, alternatives
// joined with "|": null|int(0..255), str("a","b"), list(str), map(str), obj.
type Type struct {
	Kinds Kinds
	// Closed says that an object takes the names listed in the table and no others.
	Closed bool
	// Words are the only strings taken; none means every string.
	Words []string
	// Min and Max bound integers where Bounded.
	Bounded  bool
	Min, Max int64
	// Items are the kinds that the elements of a list may have; 0 is any.
	Items Kinds
	// Each are the kinds that the values of an open object may have; 0 is any.
	Each Kinds
}

// IsZero tells whether the type takes nothing.
func (t Type) IsZero() bool { return t.Kinds == 0 }

// String gives the text that ParseType reads.
func (t Type) String() string {
	if t.Kinds == anyKind && !t.Closed {
		return "any"
	}
	var parts []string
	for k := Null; k <= Object; k++ {
		if t.Kinds&(1<<k) != 0 {
			parts = append(parts, t.part(k))
		}
	}
	return strings.Join(parts, "|")
}

func (t Type) part(k Kind) string {
	switch {
	case k == Object && t.Closed:
		return "obj"
	case k == Object && t.Each != 0:
		return "map(" + Type{Kinds: t.Each}.String() + ")"
	case k == List && t.Items != 0:
		return "list(" + Type{Kinds: t.Items}.String() + ")"
	case k == String && t.Words != nil:
		return "str(" + quoteAll(t.Words, ",") + ")"
	case k == Int && t.Bounded:
		return fmt.Sprintf("int(%d..%d)", t.Min, t.Max)
	}
	return k.String()
}

func quoteAll(words []string, sep string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = strconv.Quote(w)
	}
	return strings.Join(quoted, sep)
}

// ParseType reads what String gives.
func ParseType(text string) (Type, error) {
	var t Type
	if text == "any" {
		return Type{Kinds: anyKind}, nil
	}
	for rest := text; ; {
		part, after, more, err := cutPart(rest)
		if err != nil {
			return Type{}, fmt.Errorf("type %q: %w", text, err)
		}
		if err := t.add(part); err != nil {
			return Type{}, fmt.Errorf("type %q: %w", text, err)
		}
		if !more {
			return t, nil
		}
		rest = after
	}
}

// cutPart cuts the first alternative off, honouring brackets and quotes.
func cutPart(text string) (part, after string, more bool, err error) {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			quoted, err := strconv.QuotedPrefix(text[i:])
			if err != nil {
				return "", "", false, fmt.Errorf("unclosed quote at byte %d", i)
			}
			i += len(quoted) - 1
		case '(':
			depth++
		case ')':
			depth--
		case '|':
			if depth == 0 {
				return text[:i], text[i+1:], true, nil
			}
		}
	}
	return text, "", false, nil
}

func (t *Type) add(part string) error {
	name, args, hasArgs := strings.Cut(part, "(")
	if hasArgs {
		var closed bool
		if args, closed = strings.CutSuffix(args, ")"); !closed {
			return fmt.Errorf("%q has no closing bracket", part)
		}
	}
	if name == "obj" {
		name, t.Closed = "map", true
	}
	var k Kind
	if err := k.UnmarshalText([]byte(name)); err != nil {
		return err
	}
	if k == Unknown || t.Kinds&(1<<k) != 0 {
		return fmt.Errorf("%q is out of place", part)
	}
	t.Kinds |= 1 << k
	if !hasArgs {
		return nil
	}
	return t.addArgs(k, args)
}

func (t *Type) addArgs(k Kind, args string) (err error) {
	switch k {
	case String:
		t.Words, err = unquoteAll(args)
		return err
	case Int:
		return t.bound(args)
	case List, Object:
		inner, err := ParseType(args)
		if err != nil || t.Closed && k == Object || inner.String() != (Type{Kinds: inner.Kinds}).String() {
			return fmt.Errorf("%q is no set of kinds", args)
		}
		if k == List {
			t.Items = inner.Kinds
		} else {
			t.Each = inner.Kinds
		}
		return nil
	}
	return fmt.Errorf("%s takes no argument", k)
}

func (t *Type) bound(args string) error {
	low, high, ok := strings.Cut(args, "..")
	var errLow, errHigh error
	t.Min, errLow = strconv.ParseInt(low, 10, 64)
	t.Max, errHigh = strconv.ParseInt(high, 10, 64)
	if !ok || errLow != nil || errHigh != nil || t.Min > t.Max {
		return fmt.Errorf("%q is no range of integers", args)
	}
	t.Bounded = true
	return nil
}

func unquoteAll(text string) ([]string, error) {
	words := []string{}
	for {
		quoted, err := strconv.QuotedPrefix(text)
		if err != nil {
			return nil, fmt.Errorf("%q is no list of quoted words", text)
		}
		word, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, fmt.Errorf("%q is no quoted word", quoted)
		}
		words = append(words, word)
		text = text[len(quoted):]
		if text == "" {
			return words, nil
		}
		var comma bool
		if text, comma = strings.CutPrefix(text, ","); !comma {
			return nil, fmt.Errorf("%q stands where a comma should", text)
		}
	}
}

// phrase says in words what the type takes.
func (t Type) phrase() string {
	if t.Kinds == anyKind {
		return "any value"
	}
	var parts []string
	for k := Bool; k <= Object; k++ {
		if t.Kinds&(1<<k) != 0 {
			parts = append(parts, t.phraseOf(k)...)
		}
	}
	if t.Kinds&(1<<Null) != 0 {
		parts = append(parts, "null")
	}
	return orList(parts)
}

func (t Type) phraseOf(k Kind) []string {
	switch {
	case k == String && t.Words != nil:
		return strings.Split(quoteAll(t.Words, "\x00"), "\x00")
	case k == Int && t.Bounded:
		return []string{fmt.Sprintf("an integer from %d to %d", t.Min, t.Max)}
	case k == List && t.Items == Of(String):
		return []string{"a list of strings"}
	case k == Object && t.Each == Of(String):
		return []string{"an object of strings"}
	}
	return []string{kindPhrases[k]}
}

func orList(parts []string) string {
	if len(parts) < 2 {
		return strings.Join(parts, "")
	}
	last := len(parts) - 1
	return strings.Join(parts[:last], ", ") + " or " + parts[last]
}

// takesWord tells whether the string is one of the words.
func (t Type) takesWord(s string) bool { return t.Words == nil || slices.Contains(t.Words, s) }

// takesInt tells whether the integer is inside the bounds.
func (t Type) takesInt(n json.Number) bool {
	f, err := n.Float64()
	return !t.Bounded || err == nil && float64(t.Min) <= f && f <= float64(t.Max)
}
