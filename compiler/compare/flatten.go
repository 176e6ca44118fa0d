// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"plumbline.dev/plumbline/compiler/values"
)

// leaf is what stands at the end of a path. Its value is null, a bool, a
// string, a json.Number in its shortest form, a list or an empty object.
type leaf struct {
	value any
	steps []step
	// order marks the names of a list's elements, each of which has leaves of its
	// own.
	order bool
}

// step is one name on the way to a leaf.
type step struct {
	name    string
	element bool // of a list, by its name
}

// Decode reads the objects of YAML documents, numbers as they are written.
func Decode(documents ...[]byte) ([]map[string]any, error) {
	var objects []map[string]any
	for _, document := range documents {
		data, err := yaml.YAMLToJSON(document)
		if err != nil {
			return nil, fmt.Errorf("manifest: %w", err)
		}
		object := map[string]any{}
		if err := decode(data, &object); err != nil {
			return nil, fmt.Errorf("manifest: %w", err)
		}
		objects = append(objects, object)
	}
	return objects, nil
}

func decode(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	return d.Decode(into)
}

// flatten gives the leaves of a tree by their paths. The tree's own root is none,
// though it be empty.
func flatten(tree any, named bool) (map[string]leaf, error) {
	data, err := json.Marshal(tree)
	if err != nil {
		return nil, err
	}
	var root any
	if err := decode(data, &root); err != nil {
		return nil, err
	}
	f := flattener{named: named, leaves: map[string]leaf{}}
	if object, ok := root.(map[string]any); ok {
		f.object(object, "", nil)
	}
	return f.leaves, nil
}

type flattener struct {
	named  bool // go into lists whose elements have names
	leaves map[string]leaf
}

func (f flattener) object(object map[string]any, path string, steps []step) {
	for name, v := range object {
		f.value(v, values.Join(path, name), append(slices.Clip(steps), step{name: name}))
	}
}

func (f flattener) value(v any, path string, steps []step) {
	switch v := v.(type) {
	case map[string]any:
		if len(v) > 0 {
			f.object(v, path, steps)
			return
		}
	case []any:
		if names, ok := elementNames(v); ok && f.named {
			f.leaves[path+" (order)"] = leaf{value: names, steps: steps, order: true}
			for i, name := range names {
				f.value(v[i], fmt.Sprintf("%s[%s]", path, name), append(slices.Clip(steps), step{name.(string), true}))
			}
			return
		}
	}
	f.leaves[path] = leaf{value: canonical(v), steps: steps}
}

// elementNames are the names of a list's elements, if each has one of its own.
func elementNames(list []any) ([]any, bool) {
	var names []any
	for _, element := range list {
		object, _ := element.(map[string]any)
		name, ok := object["name"].(string)
		if !ok || name == "" || strings.ContainsAny(name, "[]") || slices.Contains(names, any(name)) {
			return nil, false
		}
		names = append(names, name)
	}
	return names, len(names) > 0
}

// canonical writes equal numbers equally: 1, 1.0 and 1e0 are 1.
func canonical(v any) any {
	switch v := v.(type) {
	case json.Number:
		return number(v)
	case []any:
		for i := range v {
			v[i] = canonical(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = canonical(v[name])
		}
	}
	return v
}

// number leaves alone what would be long written out.
func number(n json.Number) json.Number {
	const longest = 40
	if len(n) > longest || strings.ContainsAny(n.String(), "eE") && !short(n) {
		return n
	}
	r, ok := new(big.Rat).SetString(n.String())
	if !ok {
		return n
	}
	if r.IsInt() {
		return json.Number(r.Num().String())
	}
	return json.Number(strings.TrimRight(r.FloatString(longest), "0"))
}

// short tells whether an exponent has few digits.
func short(n json.Number) bool {
	f, err := n.Float64()
	return err == nil && (f == 0 || f > 1e-9 && f < 1e15 || f < -1e-9 && f > -1e15)
}
