// SPDX-License-Identifier: Apache-2.0

package values

// Merge lays values, in the form of Node.Data, over the chart's defaults as
// Helm does: objects merge by name, anything else replaces, and null takes the
// default away. The result holds no nulls but inside of lists. It shares no
// object with either side.
func (t *Table) Merge(values map[string]any) map[string]any {
	return overlay(t.shared(), values)
}

func overlay(under, over map[string]any) map[string]any {
	out := make(map[string]any, len(under)+len(over))
	for name, v := range under {
		if _, ok := over[name]; !ok && v != nil {
			out[name] = clone(v)
		}
	}
	for name, v := range over {
		object, isObject := v.(map[string]any)
		switch {
		case v == nil:
		case isObject:
			below, _ := under[name].(map[string]any)
			out[name] = overlay(below, object)
		default:
			out[name] = clone(v)
		}
	}
	return out
}

// clone copies objects and lists; nulls in objects go.
func clone(v any) any {
	switch v := v.(type) {
	case map[string]any:
		return overlay(nil, v)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = clone(v[i])
		}
		return out
	}
	return v
}
