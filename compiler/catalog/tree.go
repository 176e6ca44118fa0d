// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// tree is nested values, as the chart sees them.
type tree map[string]any

// at gives what lies under a dotted path; nil is nothing.
func (t tree) at(path string) any {
	var v any = map[string]any(t)
	for name := range strings.SplitSeq(path, ".") {
		object, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = object[name]
	}
	return v
}

// text gives a scalar as a text; "" is nothing.
func (t tree) text(path string) string {
	switch v := t.at(path).(type) {
	case nil, map[string]any, []any:
		return ""
	default:
		return fmt.Sprint(v)
	}
}

// is tells whether a value is true.
func (t tree) is(path string) bool { return t.at(path) == true }

// flatten lists the leaves of nested values by their paths, sorted. A list is a
// leaf, and so is an object without fields.
func flatten(v any) []Setting {
	list := []Setting{}
	collect(&list, "", v)
	slices.SortFunc(list, func(a, b Setting) int { return strings.Compare(a.Path, b.Path) })
	return list
}

func collect(list *[]Setting, path string, v any) {
	object, ok := v.(map[string]any)
	if !ok || len(object) == 0 && path != "" {
		*list = append(*list, Setting{path, leaf(v)})
		return
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		below := name
		if strings.ContainsAny(name, ". ") {
			below = fmt.Sprintf("%q", name)
		}
		if path != "" {
			below = path + "." + below
		}
		collect(list, below, object[name])
	}
}

// leaf writes a value on one line: a text as it is, anything else as JSON.
func leaf(v any) string {
	if text, ok := v.(string); ok {
		return text
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Sprint(v)
	}
	return strings.TrimSpace(b.String())
}
