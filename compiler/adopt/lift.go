// SPDX-License-Identifier: Apache-2.0

package adopt

import (
	"encoding/json"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/values"
)

// lift takes the values out that typed fields of an environment say: package
// lower puts them back.
func (a *adoption) lift() {
	a.liftAPI()
	a.assumePort()
	a.liftCgroup()
}

// Hosts and paths that the schema takes; others stay among the values, and the
// environment says what is wrong with them.
var (
	hostText = regexp.MustCompile(`^([0-9A-Za-z]([0-9A-Za-z.-]*[0-9A-Za-z])?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)$`)
	pathText = regexp.MustCompile(`^(/[^/\n]+)+$`)
)

// liftAPI needs a host: without one the chart passes over the port.
func (a *adoption) liftAPI() {
	host, ok := a.scalar("k8sServiceHost").(string)
	if !ok || host == "auto" || !hostText.MatchString(host) {
		return
	}
	a.take([]string{"k8sServiceHost"}, "api", "host")
	switch port := a.scalar("k8sServicePort").(type) {
	case json.Number:
		if isPort(port.String()) {
			a.take([]string{"k8sServicePort"}, "api", "port")
		}
	case string:
		if isPort(port) { // it stays a string, which is another value for Helm
			a.set(values.FromData(json.Number(port)), "api", "port")
		}
	}
}

// assumePort says the port that comes with a host, where nothing else does.
func (a *adoption) assumePort() {
	if _, hosted := a.draft.Lookup("api", "host"); !hosted || has(a.want, "k8sServicePort") {
		return
	}
	a.want = with(a.want, json.Number(defaultPort), "k8sServicePort")
	a.add(CodeAssumed, diag.Warning, "environment.api.port", "no k8sServicePort is stated, and the chart has none: the environment states "+defaultPort,
		"", a.Values.At("k8sServiceHost"))
}

// defaultPort is the schema's.
const defaultPort = "6443"

func isPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0 && strconv.FormatUint(n, 10) == text
}

// liftCgroup says the root where autoMount is said: the schema's default of the
// root follows autoMount, the chart's does not.
func (a *adoption) liftCgroup() {
	rootPath, mountPath := []string{"cgroup", "hostRoot"}, []string{"cgroup", "autoMount", "enabled"}
	if root, ok := a.scalar(rootPath...).(string); ok && pathText.MatchString(root) {
		a.take(rootPath, "cgroup", "root")
	}
	if _, ok := a.scalar(mountPath...).(bool); ok {
		a.take(mountPath, "cgroup", "autoMount")
	}
	for _, p := range [][]string{rootPath, mountPath} {
		if has(a.want, p...) {
			continue
		}
		own, _ := a.table.Default(strings.Join(p, "."))
		if mount, said := a.draft.Lookup("cgroup", "autoMount"); said && p[1] == "hostRoot" {
			if len(a.Variables) > 0 && mount.Scalar == false {
				own = mountedRoot // no values of the chart's stand behind variables
			}
			a.set(values.FromData(own), "cgroup", "root")
		}
		a.want = with(a.want, own, p...)
	}
}

// mountedRoot is the schema's root where Cilium mounts none of its own.
const mountedRoot = "/sys/fs/cgroup"

// has tells whether something, null included, lies under the names.
func has(v any, names ...string) bool {
	for _, name := range names {
		object, ok := v.(map[string]any)
		if !ok {
			return false
		}
		if v, ok = object[name]; !ok {
			return false
		}
	}
	return true
}

// scalar is the value under some names, nil if it is none.
func (a *adoption) scalar(names ...string) any {
	n, ok := a.Values.Lookup(names...)
	if !ok {
		return nil
	}
	return n.Scalar
}

// take moves a value into a field of the environment.
func (a *adoption) take(from []string, field ...string) {
	n, ok := a.rest.Lookup(from...)
	if !ok {
		return
	}
	a.set(values.Node{Kind: n.Kind, Scalar: n.Scalar}, field...)
	a.rest = without(a.rest, from)
}

// without takes what lies under the names out of a tree, and the objects around
// it that hold nothing then.
func without(n values.Node, names []string) values.Node {
	n.Fields = slices.Clone(n.Fields)
	for i := range n.Fields {
		f := &n.Fields[i]
		if f.Name != names[0] {
			continue
		}
		if len(names) > 1 {
			f.Value = without(f.Value, names[1:])
		}
		if len(names) == 1 || len(f.Value.Fields) == 0 {
			n.Fields = slices.Delete(n.Fields, i, i+1)
		}
		return n
	}
	return n
}

// with gives values with one more. Where something else than an object is in
// the way they stay.
func with(object map[string]any, v any, names ...string) map[string]any {
	out := map[string]any{}
	for name, each := range object {
		out[name] = each
	}
	if len(names) == 1 {
		out[names[0]] = v
		return out
	}
	below, isObject := out[names[0]].(map[string]any)
	if isObject || out[names[0]] == nil {
		out[names[0]] = with(below, v, names[1:]...)
	}
	return out
}

// same reports every value that came out otherwise than it went in.
func (a *adoption) same(path string, want, got any) {
	switch w := want.(type) {
	case map[string]any:
		if g, ok := got.(map[string]any); ok {
			a.sameObjects(path, w, g)
			return
		}
	case []any:
		if g, ok := got.([]any); ok && len(g) == len(w) {
			for i := range w {
				a.same(fmt.Sprintf("%s[%d]", path, i), w[i], g[i])
			}
			return
		}
	default:
		if equal(want, got) {
			return
		}
	}
	a.changed(path, fmt.Sprintf("it would come out as %s, not as %s", show(got), show(want)))
}

func (a *adoption) sameObjects(path string, want, got map[string]any) {
	for name, w := range want {
		below := values.Join(path, name)
		if g, ok := got[name]; ok {
			a.same(below, w, g)
		} else {
			a.changed(below, "it would be lost")
		}
	}
	for name, g := range got {
		if _, ok := want[name]; !ok {
			a.changed(values.Join(path, name), fmt.Sprintf("it would be there, as %s", show(g)))
		}
	}
}

func (a *adoption) changed(path, message string) {
	at := a.Values.Positions
	plain, _, _ := strings.Cut(path, "[")
	if names, err := values.Split(plain); err == nil {
		at = a.Values.At(names...)
	}
	if path != "" {
		path = "." + path
	}
	a.add(CodeChanged, diag.Error, a.Root+path, "an environment can't say it: "+message, "", at)
}

func show(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(data)
}

// equal compares scalars; numbers by what they are worth.
func equal(a, b any) bool {
	x, isNumber := number(a)
	y, areNumbers := number(b)
	if isNumber && areNumbers {
		return x.Cmp(y) == 0
	}
	return !isNumber && !areNumbers && a == b
}

// number reads what JSON or Go has for one. Exponents beyond what a float has
// are none: they would take memory without bound.
func number(v any) (*big.Rat, bool) {
	var text string
	switch n := v.(type) {
	case json.Number:
		text = n.String()
	case int:
		text = strconv.Itoa(n)
	default:
		return nil, false
	}
	if f, err := strconv.ParseFloat(text, 64); err != nil || f == 0 && strings.ContainsAny(text, "123456789") {
		return nil, false
	}
	return new(big.Rat).SetString(text)
}
