// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestSchemaTypes(t *testing.T) {
	for text, want := range map[string]string{
		`{"type":"boolean"}`:                                                       "bool",
		`{"type":["null","integer","string"]}`:                                     "null|int|str",
		`{"type":["null","integer"],"minimum":0,"maximum":255}`:                    "null|int(0..255)",
		`{"enum":["a","b"]}`:                                                       `str("a","b")`,
		`{"oneOf":[{"type":"null"},{"enum":["a"]}]}`:                               `null|str("a")`,
		`{"type":"array","items":{}}`:                                              "list",
		`{"type":"array","items":{"anyOf":[{"type":"string"},{"type":"string"}]}}`: "list(str)",
		`{"type":"array","items":{"anyOf":[{"type":"string"},{"type":"object"}]}}`: "list",
		`{"type":"array","items":{"anyOf":[{"properties":{}}]}}`:                   "list",
		`{"type":"object"}`:                                                        "map",
	} {
		var s schema
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			t.Fatal(err)
		}
		typ, err := s.valueType()
		if err != nil || typ.String() != want {
			t.Errorf("%s: want %s, have %s %v", text, want, typ, err)
		}
	}
}

// TestSchemaRefuses checks that nothing in a schema is dropped unseen.
func TestSchemaRefuses(t *testing.T) {
	for text, want := range map[string]string{
		`{"type":"string","pattern":"x"}`:                           `"pattern" of JSON Schema is not supported`,
		`{"properties":{"a":{"additionalProperties":false}}}`:       `"additionalProperties"`,
		`{"type":"object","required":["a"],"patternProperties":{}}`: `"required"`,
	} {
		var s schema
		if err := json.Unmarshal([]byte(text), &s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: want an error with %s, have %v", text, want, err)
		}
	}
	for text, want := range map[string]string{
		`{"type":"text"}`:                `unknown type "text"`,
		`{}`:                             "no type",
		`{"type":"integer","minimum":1}`: "only one of",
		`{"anyOf":[{"type":"string"}]}`:  "anyOf stands outside",
		`{"oneOf":[{"type":"wrong"}]}`:   `unknown type "wrong"`,
	} {
		var s schema
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			t.Fatal(err)
		}
		if _, err := s.valueType(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: want an error with %s, have %v", text, want, err)
		}
	}
}
