// SPDX-License-Identifier: Apache-2.0

package values

import (
	"maps"
	"slices"
	"strings"
	"sync"
)

// Table is what one minor of the Cilium chart takes as values. It is read-only
// once parsed.
type Table struct {
	// Minor is the chart minor, "1.17".
	Minor string
	// Chart is the release that the table was made from, "1.17.2".
	Chart string
	// Sum is the checksum of that release's Go module.
	Sum string
	// Release is the release that was asked for, "" if only the minor was.
	Release string

	root     *Key
	options  map[string][]string
	index    *leafIndex
	defaults *defaults
}

// defaults are those of all keys. They are decoded on first use, and only read.
type defaults struct {
	once sync.Once
	data map[string]any
}

// leafIndex finds the known keys by last name. It is made on first use.
type leafIndex struct {
	once sync.Once
	keys map[string][]*Key
}

// Key is a name that the chart takes, or took once.
type Key struct {
	Path string
	Type Type
	// Unchecked says that the chart's own schema lets other kinds of value through
	// than Type: Helm renders them.
	Unchecked bool
	// Loose says that the chart's own schema checks the kind, but neither the words
	// nor what the elements are.
	Loose bool
	// NullOnly says that the chart's own schema takes null alone and so refuses
	// every use of the key; Type is what the key is meant to take.
	NullOnly bool
	// Unread says that the chart declares the key and no template reads it.
	Unread bool
	// Needed says that some template reads from the object without asking whether
	// it is there.
	Needed bool
	// Fold says that Words compare without case.
	Fold bool
	// Later is the release of the minor that has the key although Chart has not:
	// one where it was found, not necessarily the first.
	Later string
	// Note is what a wrong value leads to, where there is something to say.
	Note string
	// Moved tells of a key that is gone, renamed or deprecated.
	Moved *Moved
	// Was are words that the key took in former minors.
	Was map[string]Was

	name       string
	hasDefault bool
	def        string
	known      bool // the chart takes it; false for keys that are only Moved
	children   []*Key
}

// Was is a word that a key no longer takes.
type Was struct {
	To   string // the YAML to write instead; "" if there is none
	Note string
}

// Moved says what becomes of a key that is gone, renamed or deprecated.
type Moved struct {
	Effect Effect
	// Since is the minor since which Effect holds; earlier than the first table
	// it may be any.
	Since string
	// To are the keys to use instead.
	To   []string
	Note string
}

// takes tells whether the release that was asked for has the key. Of a key that
// came later than the table's own release no more is known than that.
func (t *Table) takes(k *Key) bool {
	return k != nil && k.known && (k.Later == "" || t.Release == "" || CompareVersions(t.Release, t.Chart) > 0)
}

// Known tells whether the chart takes the key; if not, Moved says why it is here.
func (k *Key) Known() bool { return k.known }

// Leaf tells whether the chart states a default for the key itself: it holds no
// others that have defaults of their own.
func (k *Key) Leaf() bool { return k.hasDefault || len(k.children) == 0 }

// child finds a name below the key.
func (k *Key) child(name string) *Key {
	i, ok := slices.BinarySearchFunc(k.children, name, func(c *Key, name string) int {
		return strings.Compare(c.name, name)
	})
	if !ok {
		return nil
	}
	return k.children[i]
}

// isObject tells whether the key is there to hold others.
func (k *Key) isObject() bool { return k.Type.Kinds.Has(Object) }

// Lookup finds a key. Below an open object it gives that object for names that
// the chart does not list.
func (t *Table) Lookup(path string) (*Key, bool) {
	names, err := Split(path)
	if err != nil {
		return nil, false
	}
	k := t.root
	for _, name := range names {
		next := k.child(name)
		if next == nil {
			open := k.known && k.isObject() && !k.Type.Closed
			return k, open
		}
		k = next
	}
	return k, k.known
}

// Default gives the chart's default for a key, in the form of Node.Data; of an
// object that holds keys, the object of their defaults. It is false where the
// chart states none.
func (t *Table) Default(path string) (any, bool) {
	names, err := Split(path)
	if err != nil {
		return nil, false
	}
	k := t.root
	for _, name := range names {
		if k = k.child(name); k == nil {
			return nil, false
		}
	}
	return k.defaultData()
}

func (k *Key) defaultData() (any, bool) {
	if k.hasDefault {
		v, err := decodeJSON(k.def)
		return v, err == nil
	}
	out := map[string]any{}
	for _, c := range k.children {
		if v, ok := c.defaultData(); ok {
			out[c.name] = v
		}
	}
	return out, len(out) > 0
}

// ScalarDefault gives a short scalar default as JSON; "" for all others.
func (k *Key) ScalarDefault() string {
	const short = 60
	if !k.hasDefault || len(k.def) > short || k.def == "null" || k.def[0] == '{' || k.def[0] == '[' {
		return ""
	}
	return k.def
}

// Defaults gives the chart's values.yaml: the defaults of all keys.
func (t *Table) Defaults() map[string]any {
	v, _ := t.root.defaultData()
	return v.(map[string]any)
}

// shared gives Defaults, to be read only.
func (t *Table) shared() map[string]any {
	t.defaults.once.Do(func() { t.defaults.data = t.Defaults() })
	return t.defaults.data
}

// Keys gives every key in the order of the table: parents before what they
// hold, siblings by name. Keys that are only Moved are among them.
func (t *Table) Keys() []*Key {
	var out []*Key
	var walk func(k *Key)
	walk = func(k *Key) {
		for _, c := range k.children {
			if c.known || c.Moved != nil {
				out = append(out, c)
			}
			walk(c)
		}
	}
	walk(t.root)
	return out
}

// Option gives the values that an option of the agent in the cilium-config
// ConfigMap is rendered from: "enable-l7-proxy" is l7Proxy.
func (t *Table) Option(name string) []string { return t.options[name] }

// Options gives the names of the options that some value renders, sorted.
func (t *Table) Options() []string { return slices.Sorted(maps.Keys(t.options)) }

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
