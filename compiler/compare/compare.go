// SPDX-License-Identifier: Apache-2.0

package compare

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/schema/state"
)

// Op is what happens to a leaf on the way from one side to the other.
type Op uint8

// The operations.
const (
	Added Op = iota
	Removed
	Changed
)

var opNames = [...]string{"added", "removed", "changed"}

// String gives "added", "removed" or "changed".
func (o Op) String() string { return word(opNames[:], "op", uint8(o)) }

// MarshalText gives String.
func (o Op) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText accepts exactly what String gives.
func (o *Op) UnmarshalText(text []byte) error {
	i, err := index(opNames[:], "operation", text)
	*o = Op(i)
	return err
}

// Part is what a difference is a difference of.
type Part uint8

// The parts, in the order of a report.
const (
	Values Part = iota
	Manifests
	Settings
)

var partNames = [...]string{"values", "manifests", "settings"}

// String gives "values", "manifests" or "settings".
func (p Part) String() string { return word(partNames[:], "part", uint8(p)) }

// MarshalText gives String.
func (p Part) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText accepts exactly what String gives.
func (p *Part) UnmarshalText(text []byte) error {
	i, err := index(partNames[:], "part", text)
	*p = Part(i)
	return err
}

func word(words []string, what string, i uint8) string {
	if int(i) < len(words) {
		return words[i]
	}
	return fmt.Sprintf("%s(%d)", what, i)
}

func index(words []string, what string, text []byte) (int, error) {
	i := slices.Index(words, string(text))
	if i < 0 {
		return 0, fmt.Errorf("unknown %s %q: want one of %s", what, text, strings.Join(words, ", "))
	}
	return i, nil
}

// Object names an object of a cluster.
type Object struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name"`
}

// String gives "apps/v1 DaemonSet kube-system/cilium".
func (o Object) String() string {
	name := o.Name
	if o.Namespace != "" {
		name = o.Namespace + "/" + name
	}
	return o.APIVersion + " " + o.Kind + " " + name
}

func (o Object) compare(other Object) int {
	return cmp.Or(cmp.Compare(o.APIVersion, other.APIVersion), cmp.Compare(o.Kind, other.Kind),
		cmp.Compare(o.Namespace, other.Namespace), cmp.Compare(o.Name, other.Name))
}

// Side is one compiled environment. The zero Side is one that is not there.
type Side struct {
	Values map[string]any
	// Where gives the author's places of a Helm value; it may be nil.
	Where func(names []string) []diag.Position
	// Objects are the manifests, as their YAML or JSON decodes.
	Objects  []map[string]any
	Settings *state.Settings
}

// Difference is one leaf that the sides do not share. From and To are as they
// stand, secrets included: Report masks them.
type Difference struct {
	Part Part
	Op   Op
	// Object is the one that a difference of manifests is in.
	Object Object
	// Path is the leaf's, as CUE writes it; "" of manifests where the whole object
	// is on one side only.
	Path string
	// From is nil where the leaf is Added, To where it is Removed; and where the
	// leaf is null.
	From, To                   any
	FromPositions, ToPositions []diag.Position

	steps []step
}

// Sides gives the differences between two sides in the parts that are asked for,
// in all without one, sorted. It fails on what is no JSON, and on two objects of
// one name.
func Sides(from, to Side, parts ...Part) ([]Difference, error) {
	all := map[Part]func(from, to Side) ([]Difference, error){Values: valuesOf, Manifests: manifestsOf, Settings: settingsOf}
	var list []Difference
	for part := Values; part <= Settings; part++ {
		if len(parts) > 0 && !slices.Contains(parts, part) {
			continue
		}
		found, err := all[part](from, to)
		if err != nil {
			return nil, fmt.Errorf("compare %s: %w", part, err)
		}
		list = append(list, found...)
	}
	return list, nil
}

func valuesOf(from, to Side) ([]Difference, error) {
	list, err := trees(from.Values, to.Values, false)
	for i := range list {
		d := &list[i]
		if d.Op != Added {
			d.FromPositions = from.where(d.steps)
		}
		if d.Op != Removed {
			d.ToPositions = to.where(d.steps)
		}
	}
	return list, err
}

func (s Side) where(steps []step) []diag.Position {
	if s.Where == nil {
		return nil
	}
	names := make([]string, len(steps))
	for i, step := range steps {
		names[i] = step.name
	}
	return s.Where(names)
}

func settingsOf(from, to Side) ([]Difference, error) {
	list, err := trees(from.Settings, to.Settings, false)
	for i := range list {
		list[i].Part = Settings
	}
	return list, err
}

func manifestsOf(from, to Side) ([]Difference, error) {
	have, err := byObject(from.Objects)
	if err != nil {
		return nil, err
	}
	want, err := byObject(to.Objects)
	if err != nil {
		return nil, err
	}
	var list []Difference
	for _, name := range union(have, want, Object.compare) {
		found, err := object(name, have[name], want[name])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		list = append(list, found...)
	}
	return list, nil
}

// object compares an object, either of which may be nil.
func object(name Object, from, to map[string]any) ([]Difference, error) {
	switch {
	case from == nil:
		return []Difference{{Part: Manifests, Op: Added, Object: name, To: to}}, nil
	case to == nil:
		return []Difference{{Part: Manifests, Op: Removed, Object: name, From: from}}, nil
	}
	list, err := trees(from, to, true)
	for i := range list {
		list[i].Part, list[i].Object = Manifests, name
	}
	return list, err
}

func byObject(objects []map[string]any) (map[Object]map[string]any, error) {
	out := map[Object]map[string]any{}
	for _, o := range objects {
		metadata, _ := o["metadata"].(map[string]any)
		name := Object{APIVersion: text(o["apiVersion"]), Kind: text(o["kind"]), Namespace: text(metadata["namespace"]), Name: text(metadata["name"])}
		if out[name] != nil {
			return nil, fmt.Errorf("two objects are %s", name)
		}
		out[name] = o
	}
	return out, nil
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

// trees compares two trees, in which nil is one without leaves.
func trees(from, to any, named bool) ([]Difference, error) {
	have, err := flatten(from, named)
	if err != nil {
		return nil, err
	}
	want, err := flatten(to, named)
	if err != nil {
		return nil, err
	}
	var list []Difference
	for _, path := range union(have, want, cmp.Compare) {
		a, before := have[path]
		b, after := want[path]
		d := Difference{Path: path, From: a.value, To: b.value, steps: a.steps}
		switch {
		case !before:
			d.Op, d.steps = Added, b.steps
		case !after:
			d.Op = Removed
		case sameLeaf(a, b):
			continue
		default:
			d.Op = Changed
		}
		if (a.order || b.order) && d.Op != Changed {
			continue // its elements are differences of their own
		}
		list = append(list, d)
	}
	return list, nil
}

// sameLeaf compares two leaves of one path. Of an order only what both sides
// have counts.
func sameLeaf(a, b leaf) bool {
	if a.order && b.order {
		return reflect.DeepEqual(common(a, b), common(b, a))
	}
	return reflect.DeepEqual(a.value, b.value)
}

// common are the names of a that b has too, in a's order.
func common(a, b leaf) []any {
	names, others := a.value.([]any), b.value.([]any)
	return slices.DeleteFunc(slices.Clone(names), func(name any) bool { return !slices.Contains(others, name) })
}

func union[K comparable, V any](a, b map[K]V, compare func(K, K) int) []K {
	var keys []K
	for k := range a {
		keys = append(keys, k)
	}
	for k := range b {
		if _, twice := a[k]; !twice {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, compare)
	return keys
}
