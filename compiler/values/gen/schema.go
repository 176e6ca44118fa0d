// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// schema is the part of JSON Schema that Cilium's values.schema.json uses. A
// keyword that is not here is an error, so that none is dropped.
type schema struct {
	Schema     string             `json:"$schema"`
	Type       names              `json:"type"`
	Properties map[string]*schema `json:"properties"`
	Items      *schema            `json:"items"`
	AnyOf      []*schema          `json:"anyOf"`
	OneOf      []*schema          `json:"oneOf"`
	Enum       []string           `json:"enum"`
	Minimum    *int64             `json:"minimum"`
	Maximum    *int64             `json:"maximum"`
}

var schemaKeywords = []string{
	"$schema", "type", "properties", "items", "anyOf", "oneOf", "enum", "minimum", "maximum",
}

// UnmarshalJSON refuses keywords that it does not know.
func (s *schema) UnmarshalJSON(data []byte) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		if !slices.Contains(schemaKeywords, name) {
			errs = append(errs, fmt.Errorf("keyword %q of JSON Schema is not supported", name))
		}
	}
	type plain schema
	return errors.Join(append(errs, json.Unmarshal(data, (*plain)(s)))...)
}

// names is one string or a list of them.
type names []string

func (n *names) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*n = names{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(n))
}
