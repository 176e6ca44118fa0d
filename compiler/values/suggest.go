// SPDX-License-Identifier: Apache-2.0

package values

import (
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// hintText lists names that people write in the wrong place, or that never
// existed, with the key they mean. See the head of the file.
//
//go:embed hints.txt
var hintText string

// hints maps a name, or a path, to the keys meant.
var hints = sync.OnceValue(func() map[string][]string {
	out := map[string][]string{}
	for line := range strings.Lines(hintText) {
		if words := strings.Fields(line); len(words) > 1 && words[0] != "#" {
			out[words[0]] = words[1:]
		}
	}
	return out
})

func (c *checker) unknown(f *Field, parent *Key, path string) {
	if parent == c.table.root && f.Name == "cilium" && c.table.holdsKnown(&f.Value) {
		c.unknownKey(f, path, "these are values for a chart that has Cilium as its part: take them out of cilium")
		return
	}
	c.unknownKey(f, path, c.table.suggest(path, &f.Value))
}

func (c *checker) unknownKey(f *Field, path, hint string) {
	if c.allowed(path, f.places()) {
		return
	}
	if c.allowsBelow(path) && len(f.Value.Fields) > 0 {
		for i := range f.Value.Fields {
			inner := &f.Value.Fields[i]
			c.unknownKey(inner, Join(path, inner.Name), "")
		}
		return
	}
	written := ""
	if f.Written != "" {
		written = fmt.Sprintf(" (written %s, which YAML reads as %s)", f.Written, f.Name)
	}
	c.add(CodeUnknown, path, f.places(), hint,
		"%s is no value of the Cilium %s chart%s: it renders and does nothing", show(path), c.table.Minor, written)
}

// holdsKnown tells whether some name of the object is a known key.
func (t *Table) holdsKnown(n *Node) bool {
	return slices.ContainsFunc(n.Fields, func(f Field) bool {
		k := t.root.child(f.Name)
		return k != nil && k.known
	})
}

// suggest finds what the author of an unknown key may have meant, the surest
// reading first, and says it; "" if there is nothing to say.
func (t *Table) suggest(path string, value *Node) string {
	names, err := Split(path)
	if err != nil {
		return ""
	}
	name := names[len(names)-1]
	parent := strings.Join(names[:len(names)-1], ".")
	if k, ok := t.exact(dotted(parent, name)); ok && strings.Contains(name, ".") {
		return fmt.Sprintf("a dot in a name is no path: write %s", strings.Join(strings.Split(k.Path, "."), ": "))
	}
	if keys := t.options[name]; len(keys) > 0 {
		return fmt.Sprintf("%s is an option of the agent; the value that sets it is %s", name, orList(quoteEach(keys)))
	}
	if meant := t.curated(path, name); len(meant) > 0 {
		return didYouMean(meant)
	}
	if k, ok := t.exact(path); ok {
		return fmt.Sprintf("the chart has it in %s, but not in %s yet", k.Later, t.Release)
	}
	if minor := t.later(path); minor != "" {
		return fmt.Sprintf("the chart has it from %s on", minor)
	}
	if meant := t.similar(names, value); len(meant) > 0 {
		return didYouMean(meant)
	}
	if len(names) == 1 && strings.Contains(name, "-") && strings.ToLower(name) == name {
		return "if it is an option of the agent, it belongs into extraConfig"
	}
	return ""
}

// exact finds a known key that the table lists.
func (t *Table) exact(path string) (*Key, bool) {
	k, ok := t.Lookup(path)
	return k, ok && k.Path == path
}

func dotted(parent, name string) string {
	if parent == "" {
		return name
	}
	return parent + "." + name
}

func quoteEach(paths []string) []string {
	out := make([]string, len(paths))
	for i, p := range paths {
		out[i] = show(p)
	}
	return out
}

func didYouMean(paths []string) string { return "did you mean " + orList(quoteEach(paths)) + "?" }

func (t *Table) curated(path, name string) []string {
	meant := hints()[path]
	if meant == nil {
		meant = hints()[name]
	}
	var out []string
	for _, m := range meant {
		if _, ok := t.exact(m); ok && m != path {
			out = append(out, m)
		}
	}
	return out
}

// later gives the first minor after the table's that has the key.
func (t *Table) later(path string) string {
	for _, minor := range minors() {
		if CompareVersions(minor, t.Minor) <= 0 {
			continue
		}
		other, err := For(minor)
		if err != nil {
			continue
		}
		if _, ok := other.exact(path); ok {
			return minor
		}
	}
	return ""
}

// The rules of similar: a sibling at a small distance, then the same name
// elsewhere, then a sibling at a larger distance, then the same name elsewhere
// but for case.
const (
	smallDistance = 2
	mostPlaces    = 3
	commonName    = 6 // a name in more places says something only if one stands out
)

func (t *Table) similar(names []string, value *Node) []string {
	name := names[len(names)-1]
	parent := t.root
	for _, n := range names[:len(names)-1] {
		if parent = parent.child(n); parent == nil {
			break
		}
	}
	sibling, distance := "", 0
	if parent != nil {
		sibling, distance = parent.nearest(name, value)
	}
	switch elsewhere := t.places(name, names); {
	case sibling != "" && distance <= smallDistance:
		return []string{sibling}
	case len(elsewhere) > 0:
		return elsewhere
	case sibling != "":
		return []string{sibling}
	}
	return nil
}

// farthest is how far off a name may be: 1 + a third of its letters, but less
// than half of them.
func farthest(name string) int {
	n := len([]rune(name))
	return min(1+n/3, max((n-1)/2, 1))
}

// nearest finds the child whose name is nearest, no farther off than farthest;
// of two as near, the one of the value's shape.
func (k *Key) nearest(name string, value *Node) (path string, distance int) {
	fold := foldName(name)
	limit := farthest(name)
	best, bestShape := limit+1, false
	for _, c := range k.children {
		if !c.known || tooFar(c.name, name, limit) {
			continue
		}
		d := editDistance(fold, foldName(c.name))
		if d > limit {
			continue
		}
		shape := c.isObject() == (value.Kind == Object)
		if d < best || d == best && shape && !bestShape {
			path, best, bestShape = c.Path, d, shape
		}
	}
	return path, best
}

// tooFar tells from lengths alone that no distance within limit is possible;
// marks that foldName drops count for nothing.
func tooFar(a, b string, limit int) bool {
	return len(a) > len(b)+limit+marks(a) || len(b) > len(a)+limit+marks(b)
}

func marks(name string) int { return strings.Count(name, "-") + strings.Count(name, "_") }

// foldName drops what a typing hand gets wrong first: case, hyphens, underscores.
func foldName(name string) string { return noMarks.Replace(strings.ToLower(name)) }

var noMarks = strings.NewReplacer("-", "", "_", "")

// places gives the known keys of the same name elsewhere, those nearest to the
// author's place alone; none if the name is so common that it says nothing.
func (t *Table) places(name string, names []string) []string {
	found := t.leaves()[name]
	if len(found) == 0 {
		found = t.leaves()[foldName(name)]
	}
	best := -1
	var out []string
	for _, k := range found {
		theirs, _ := Split(k.Path)
		shared := common(theirs, names)
		if shared > best {
			best, out = shared, nil
		}
		if shared == best {
			out = append(out, k.Path)
		}
	}
	if len(out) > mostPlaces || len(found) > commonName && len(out) > 1 {
		return nil
	}
	return out
}

// common counts the names that two paths begin with alike.
func common(a, b []string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// leaves gives the known keys by last name, as written and folded.
func (t *Table) leaves() map[string][]*Key {
	t.index.once.Do(func() {
		t.index.keys = map[string][]*Key{}
		for _, k := range t.Keys() {
			if !k.known {
				continue
			}
			for name := range map[string]bool{k.name: true, foldName(k.name): true} {
				t.index.keys[name] = append(t.index.keys[name], k)
			}
		}
	})
	return t.index.keys
}

// nearestWord suggests one of the words a key takes.
func nearestWord(word string, words []string) string {
	fold := foldName(word)
	limit := farthest(word)
	best := slices.MinFunc(words, func(a, b string) int {
		return cmp.Compare(editDistance(fold, foldName(a)), editDistance(fold, foldName(b)))
	})
	if best == "" || editDistance(fold, foldName(best)) > limit {
		return ""
	}
	return fmt.Sprintf("did you mean %q?", best)
}

// editDistance is the number of letters to insert, drop, change or swap with
// their neighbour.
func editDistance(a, b string) int {
	x, y := []rune(a), []rune(b)
	before, last, row := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(x); i++ {
		row[0] = i
		for j := 1; j <= len(y); j++ {
			change := 1
			if x[i-1] == y[j-1] {
				change = 0
			}
			row[j] = min(row[j-1]+1, last[j]+1, last[j-1]+change)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(y)]
}

// hintFor says how to write a value of the wrong type.
func (t Type) hintFor(n *Node, k *Key) string {
	text, _ := n.Scalar.(string)
	bare := Kinds(0)
	switch inner := readBare(text); {
	case n.Kind == String && inner != Unknown:
		bare = Of(inner)
	case n.Kind == Bool && n.Written != "" && t.Kinds.Has(String):
		return fmt.Sprintf("YAML 1.1, which Helm reads, takes %s as a boolean: write %q", n.Written, n.Written)
	case n.Kind == Bool || n.Kind == Int || n.Kind == Number:
		if t.Kinds.Has(String) && t.takesWord(n.text()) {
			return fmt.Sprintf("write %q", n.text())
		}
	}
	switch {
	case bare != 0 && (t.Kinds.Has(Bool) && bare.Has(Bool) || t.Kinds.Has(Int) && bare.Has(Int) || t.Kinds.Has(Number) && bare.Has(Number)):
		return "write " + text + " without quotes"
	case t.Kinds.Has(List) && n.text() != "":
		return fmt.Sprintf("write [%s]", n.text())
	case t.Kinds.Has(Object) && n.Kind == Bool && k.child("enabled") != nil:
		return fmt.Sprintf("write %s: enabled: %s", k.name, n.text())
	}
	return ""
}

// readBare tells what a string would be if it stood without quotes.
func readBare(text string) Kind {
	if text == "true" || text == "false" {
		return Bool
	}
	v, err := decodeJSON(text)
	if num, ok := v.(json.Number); err == nil && ok && num.String() == text {
		return numberNode(num).Kind
	}
	return Unknown
}
