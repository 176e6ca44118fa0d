// SPDX-License-Identifier: Apache-2.0

package values

import (
	"encoding/json"
	"fmt"
	"strings"
)

// gone handles a name that is in the table only because it, or something below
// it, is gone.
func (c *checker) gone(f *Field, k *Key) {
	if k.Moved != nil {
		c.moved(f, k)
		return
	}
	if f.Value.Kind != Object || len(f.Value.Fields) == 0 {
		c.unknownKey(f, k.Path, c.table.suggest(k.Path, &f.Value))
		return
	}
	for i := range f.Value.Fields {
		inner := &f.Value.Fields[i]
		if next := k.child(inner.Name); next != nil {
			c.gone(inner, next)
		} else {
			path := Join(k.Path, inner.Name)
			c.unknownKey(inner, path, c.table.suggest(path, &inner.Value))
		}
	}
}

// moved reports a key that has no effect any more, or ends the render.
func (c *checker) moved(f *Field, k *Key) {
	m, effect := k.Moved, k.Moved.on(&f.Value)
	if effect == Ignored && !k.known && c.allowed(k.Path, f.places()) {
		return
	}
	code, verb := CodeRemoved, "is gone"
	switch {
	case k.known && effect == Ignored:
		code, verb = CodeIgnored, "has no effect"
	case len(m.To) > 0:
		code, verb = CodeRenamed, "is replaced"
	}
	c.add(code, k.Path, f.places(), m.hint("leave it out"), "%s %s: since Cilium %s %s%s",
		show(k.Path), verb, m.Since, effect.outcome(), m.because()).URL = m.url()
}

// on gives the effect that a key has with a value.
func (m *Moved) on(n *Node) Effect {
	if m.Effect == FailsIfSet && n.isEmpty() {
		return Ignored
	}
	return m.Effect
}

// Moved tells what becomes of a key that is gone, renamed or deprecated, with the
// Effect that it has with the value n. It is false for a key that has not moved.
func (t *Table) Moved(path string, n *Node) (Moved, bool) {
	k, _ := t.Lookup(path)
	if k == nil || k.Moved == nil || k.Path != path {
		return Moved{}, false
	}
	m := *k.Moved
	m.Effect = m.on(n)
	return m, true
}

// outcome says what a key with the effect does to a render.
func (e Effect) outcome() string {
	switch e {
	case Ignored:
		return "it renders and does nothing"
	case Fails, FailsIfSet:
		return "the chart refuses to render"
	case Breaks:
		return "it renders and the agent refuses to start"
	}
	return "it still works"
}

func (m *Moved) because() string {
	if m.Note == "" {
		return ""
	}
	return "; " + m.Note
}

func (m *Moved) hint(otherwise string) string {
	if len(m.To) == 0 {
		return otherwise
	}
	quoted := make([]string, len(m.To))
	for i, to := range m.To {
		quoted[i] = fmt.Sprintf("%q", to)
	}
	return "use " + strings.Join(quoted, " and ")
}

// url is the upgrade guide of the minor, where Cilium lists its Helm options.
func (m *Moved) url() string {
	return "https://docs.cilium.io/en/v" + m.Since + "/operations/upgrade/#helm-options"
}

// isEmpty tells whether a template's if takes the value as false.
func (n *Node) isEmpty() bool {
	switch v := n.Scalar.(type) {
	case bool:
		return !v
	case string:
		return v == ""
	case json.Number:
		f, err := v.Float64()
		return err == nil && f == 0
	}
	return len(n.Items) == 0 && len(n.Fields) == 0
}
