// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"encoding/json"
	"reflect"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"plumbline.dev/plumbline/compiler/compare"
)

// at gives what stands at a path, or nil.
func at(o map[string]any, path ...string) any {
	var v any = o
	for _, name := range path {
		object, _ := v.(map[string]any)
		v = object[name]
	}
	return v
}

func text(o map[string]any, path ...string) string {
	s, _ := at(o, path...).(string)
	return s
}

func mapOf(o map[string]any, path ...string) map[string]any {
	m, _ := at(o, path...).(map[string]any)
	return m
}

// number gives an integer, or -1.
func number(o map[string]any, path ...string) int64 {
	switch n := at(o, path...).(type) {
	case json.Number:
		if i, err := n.Int64(); err == nil {
			return i
		}
	case float64:
		return int64(n)
	case int64:
		return n
	}
	return -1
}

func objects(o map[string]any, path ...string) []map[string]any {
	list, _ := at(o, path...).([]any)
	var out []map[string]any
	for _, v := range list {
		if m, ok := v.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

// empty tells whether a value is one that the API server leaves out.
func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case json.Number:
		return v == "0"
	}
	r := reflect.ValueOf(v)
	if kind := r.Kind(); kind == reflect.Map || kind == reflect.Slice {
		return r.Len() == 0
	}
	return r.IsZero()
}

// same tells whether both sides are one quantity, which the API server writes in its
// own way: 1000m is 1.
func same(d compare.Difference) bool {
	if d.Op != compare.Changed || !strings.Contains(d.Path, "resources.") {
		return false
	}
	have, errHave := quantity(d.From)
	want, errWant := quantity(d.To)
	return errHave == nil && errWant == nil && have.Cmp(want) == 0
}

func quantity(v any) (resource.Quantity, error) {
	switch v := v.(type) {
	case string:
		return resource.ParseQuantity(v)
	case json.Number:
		return resource.ParseQuantity(v.String())
	}
	return resource.Quantity{}, resource.ErrFormatWrong
}
