// SPDX-License-Identifier: Apache-2.0

package lower

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/load"
)

// CodeContradiction is the code of a Helm value that says another thing than
// the field of the environment that it follows from.
const CodeContradiction = "values/contradiction"

// Values gives the Helm values of an environment: the free ones, which are left
// alone, and what the typed fields imply. It reports every free value that
// contradicts a typed field.
func Values(env *load.Environment, free map[string]any) (map[string]any, diag.List) {
	values := clone(free)
	var list diag.List
	for _, f := range implications(env) {
		have, stated := lookup(free, f.value)
		if stated && have != nil && fmt.Sprint(have) != fmt.Sprint(f.is) {
			list = append(list, f.contradiction(env, have))
			continue
		}
		if !stated || have == nil {
			set(values, f.value, f.is)
		}
	}
	return values, list
}

// implication is a Helm value that follows from a field of the environment.
type implication struct {
	value []string // path of the Helm value
	field []string // path of the field
	is    any
}

func implications(env *load.Environment) []implication {
	list := []implication{
		{[]string{"cgroup", "hostRoot"}, []string{"cgroup", "root"}, env.Cgroup.Root},
		{[]string{"cgroup", "autoMount", "enabled"}, []string{"cgroup", "autoMount"}, env.Cgroup.AutoMount},
	}
	if env.API.Host == "" { // the chart passes a port over that has no host
		return list
	}
	return append(list,
		implication{[]string{"k8sServiceHost"}, []string{"api", "host"}, env.API.Host},
		implication{[]string{"k8sServicePort"}, []string{"api", "port"}, int(env.API.Port)})
}

// Field gives the field of an environment that a Helm value follows from, by the
// value's dotted path; nil where there is none.
func Field(value string) []string {
	env := &load.Environment{API: load.API{Host: "host"}}
	for _, f := range implications(env) {
		if strings.Join(f.value, ".") == value {
			return f.field
		}
	}
	return nil
}

func (f implication) contradiction(env *load.Environment, have any) diag.Diagnostic {
	value, field := strings.Join(f.value, "."), strings.Join(f.field, ".")
	d := diag.Diagnostic{
		Code: CodeContradiction, Path: "environment.values." + value,
		Message:   fmt.Sprintf("%s is %s here, but %s is %s", value, show(have), field, show(f.is)),
		Hint:      fmt.Sprintf("leave %s out: it follows from %s", value, field),
		Positions: env.Positions(append([]string{"values"}, f.value...)...),
	}
	for _, at := range env.Positions(f.field...) {
		if !slices.Contains(d.Positions, at) {
			d.Positions = append(d.Positions, at)
		}
	}
	return d
}

func show(v any) string {
	if s, ok := v.(string); ok {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprint(v)
}

// lookup finds what lies under a path.
func lookup(values map[string]any, path []string) (any, bool) {
	var v any = values
	for _, name := range path {
		object, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		if v, ok = object[name]; !ok {
			return nil, false
		}
	}
	return v, true
}

// set puts a value under a path. Where something else than an object is in the
// way it stays: the check of the values tells of it.
func set(values map[string]any, path []string, v any) {
	for _, name := range path[:len(path)-1] {
		next, ok := values[name].(map[string]any)
		if !ok {
			if values[name] != nil {
				return
			}
			next = map[string]any{}
			values[name] = next
		}
		values = next
	}
	values[path[len(path)-1]] = v
}

// clone copies the objects of a tree.
func clone(values map[string]any) map[string]any {
	out := maps.Clone(values)
	if out == nil {
		out = map[string]any{}
	}
	for name, v := range out {
		if object, ok := v.(map[string]any); ok {
			out[name] = clone(object)
		}
	}
	return out
}
