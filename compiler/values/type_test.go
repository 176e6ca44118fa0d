// SPDX-License-Identifier: Apache-2.0

package values

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseType(t *testing.T) {
	for text, want := range map[string]Type{
		"bool":                     {Kinds: Of(Bool)},
		"null|int(0..255)":         {Kinds: Of(Null, Int), Bounded: true, Max: 255},
		`bool|str("true","a|b")`:   {Kinds: Of(Bool, String), Words: []string{"true", "a|b"}},
		"list(num|str)":            {Kinds: Of(List), Items: Of(String, Number)},
		"str|list(str)|map(str)":   {Kinds: Of(String, List, Object), Items: Of(String), Each: Of(String)},
		"obj":                      {Kinds: Of(Object), Closed: true},
		"any":                      {Kinds: anyKind},
		`str("","quote\"d","a,b")`: {Kinds: Of(String), Words: []string{"", `quote"d`, "a,b"}},
	} {
		got, err := ParseType(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", text, diff)
		}
		if got.String() != text {
			t.Errorf("%s comes back as %s", text, got)
		}
	}
}

func TestParseTypeRefuses(t *testing.T) {
	for _, text := range []string{
		"", "boolean", "bool|", "|bool", "bool|bool", "map|obj", "obj(str)", "int(1)", "int(2..1)", "int(a..b)",
		"str(true)", `str("a"`, `str("a" "b")`, `str("a",)`, "bool(x)", "list(str", "list(obj)", "map(list(str))", "unknown",
	} {
		if got, err := ParseType(text); err == nil {
			t.Errorf("%q is taken as %s", text, got)
		}
	}
}

func TestKindText(t *testing.T) {
	for k := Unknown; k <= Object; k++ {
		text, err := k.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var back Kind
		if err := back.UnmarshalText(text); err != nil || back != k {
			t.Errorf("%s comes back as %s: %v", text, back, err)
		}
	}
	for e := Deprecated; e <= Breaks; e++ {
		text, err := e.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var back Effect
		if err := back.UnmarshalText(text); err != nil || back != e {
			t.Errorf("%s comes back as %s: %v", text, back, err)
		}
	}
	if (new(Kind)).UnmarshalText([]byte("Bool")) == nil || (new(Effect)).UnmarshalText([]byte("")) == nil {
		t.Error("unknown names are taken")
	}
	if Kind(99).String() != "kind(99)" || Effect(99).String() != "effect(99)" {
		t.Errorf("values out of range are %s and %s", Kind(99), Effect(99))
	}
}

func TestKindsHas(t *testing.T) {
	if !Of(Number).Has(Int) || Of(Int).Has(Number) || Of(String).Has(Int) {
		t.Error("an integer is a number, and a number is no integer")
	}
}
