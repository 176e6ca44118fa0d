// SPDX-License-Identifier: Apache-2.0

package values

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"plumbline.dev/plumbline/compiler/diag"
)

// Options say how to check.
type Options struct {
	// Root is the path of the values in the environment, in front of every
	// diagnostic's Path: "environment.values".
	Root string
	// Allow lets keys pass that the chart does not know.
	Allow []Allow
}

// checker walks values beside the keys of a table and collects what it finds.
type checker struct {
	table *Table
	root  string
	allow *allowances
	out   diag.List
}

// Check gives everything that is wrong with the values, in one run, sorted.
// Values that repeat the chart's own default give no warning.
func (t *Table) Check(values Node, o Options) diag.List {
	c := &checker{table: t, root: o.Root}
	c.allow = c.parseAllow(o.Allow)
	switch values.Kind {
	case Object:
		c.object(&values, t.root)
	case Null:
	case Unknown:
		c.incomplete(&values, "", values.Positions, "")
	default:
		c.add(CodeType, "", values.Positions, "", "the values are an object, not %s", values.phrase())
	}
	c.unusedAllow()
	return c.out.Sort()
}

func (c *checker) add(code, path string, at []diag.Position, hint, format string, args ...any) *diag.Diagnostic {
	c.out = append(c.out, diag.Diagnostic{
		Code: code, Severity: severities[code], Path: c.at(path),
		Message: fmt.Sprintf(format, args...), Hint: hint, Positions: at,
	})
	return &c.out[len(c.out)-1]
}

// at puts the root in front of a path.
func (c *checker) at(path string) string {
	switch {
	case path == "":
		return c.root
	case c.root == "":
		return path
	}
	return c.root + "." + path
}

func (c *checker) object(n *Node, k *Key) {
	for i := range n.Fields {
		f := &n.Fields[i]
		next := k.child(f.Name)
		switch path := Join(k.Path, f.Name); {
		case c.table.takes(next):
			c.known(f, next)
		case next != nil && !next.known:
			c.gone(f, next)
		case k.Type.Closed:
			c.unknown(f, k, path)
		default:
			c.each(&f.Value, k, path, f.places())
		}
	}
}

// known checks a key that the chart has. What only repeats the chart's default
// is not worth a warning.
func (c *checker) known(f *Field, k *Key) {
	if m := k.Moved; m != nil && m.Effect != Deprecated && !c.isDefault(&f.Value, k) {
		c.moved(f, k)
	}
	c.value(&f.Value, k, f.places())
}

// value checks what a known key holds.
func (c *checker) value(n *Node, k *Key, at []diag.Position) {
	switch {
	case n.Kind == Unknown:
		c.incomplete(n, k.Path, at, "give it a value: "+k.Type.phrase())
		return
	case n.Kind == Null:
		c.null(k, at)
		return
	case !k.Type.Kinds.Has(n.Kind):
		c.wrongType(n, k, at)
		return
	}
	c.aside(n, k, at)
	switch n.Kind {
	case String:
		c.word(n, k, at)
	case Int:
		c.bounds(n, k, at)
	case List:
		c.items(n, k)
	case Object:
		c.object(n, k)
	}
}

// incomplete reports a value that is not there; of a conflict CUE itself tells.
func (c *checker) incomplete(n *Node, path string, at []diag.Position, hint string) {
	if n.Conflict {
		return
	}
	what := "the object of values"
	if path != "" {
		what = show(path)
	}
	c.add(CodeIncomplete, path, at, hint, "%s has no concrete value", what)
}

// null takes the chart's default away. Below an object that templates read
// from without asking it takes everything away, and the render ends there.
func (c *checker) null(k *Key, at []diag.Position) {
	if !k.Type.Closed || k.Type.Kinds.Has(Null) || !k.Needed {
		return
	}
	c.add(CodeNullObject, k.Path, at, "leave the key out to keep the chart's defaults",
		"%s is null, which takes away every default below it: the render ends with a nil pointer where a template reads from it", show(k.Path))
}

func (c *checker) wrongType(n *Node, k *Key, at []diag.Position) {
	outcome := "Helm refuses the values"
	if k.Unchecked {
		outcome = "the chart does not check it"
		if k.Note != "" {
			outcome = k.Note
		}
	}
	code, hint := CodeType, k.Type.hintFor(n, k)
	if n.Kind == String && k.Type.Words != nil {
		code = CodeEnum
	}
	c.add(code, k.Path, at, hint, "%s takes %s, not %s: %s", show(k.Path), k.Type.phrase(), n.phrase(), outcome)
}

// word checks a string against the words that a key takes.
func (c *checker) word(n *Node, k *Key, at []diag.Position) {
	s, _ := n.Scalar.(string)
	if k.Type.takesWord(s) || k.Fold && k.Type.takesWord(strings.ToLower(s)) {
		return
	}
	outcome, hint := "Helm refuses the values", nearestWord(s, k.Type.Words)
	if k.Unchecked || k.Loose {
		outcome = "the chart lets it through and Cilium does not know it"
	}
	if k.Note != "" {
		outcome = k.Note
	}
	if was, ok := k.Was[s]; ok {
		hint = was.hint()
	}
	c.add(CodeEnum, k.Path, at, hint, "%s takes %s, not %s: %s", show(k.Path), k.Type.phrase(), n.phrase(), outcome)
}

func (w Was) hint() string {
	switch {
	case w.To == "":
		return w.Note
	case w.Note == "":
		return "write " + w.To
	}
	return "write " + w.To + ": " + w.Note
}

func (c *checker) bounds(n *Node, k *Key, at []diag.Position) {
	num, _ := n.Scalar.(json.Number)
	if !k.Type.takesInt(num) {
		c.add(CodeType, k.Path, at, "", "%s takes %s, not %s", show(k.Path), k.Type.phrase(), n.phrase())
	}
}

func (c *checker) items(n *Node, k *Key) {
	if k.Type.Items == 0 {
		return
	}
	want := Type{Kinds: k.Type.Items}
	for i := range n.Items {
		item, path := &n.Items[i], fmt.Sprintf("%s[%d]", k.Path, i)
		if item.Kind == Unknown {
			c.incomplete(item, path, item.Positions, "")
		} else if !k.Type.Items.Has(item.Kind) {
			c.add(CodeType, path, item.Positions, want.hintFor(item, k),
				"%s takes %s, not %s: Helm refuses the values", show(path), want.phrase(), item.phrase())
		}
	}
}

// each checks a name of an open object.
func (c *checker) each(n *Node, k *Key, path string, at []diag.Position) {
	if n.Kind == Unknown {
		c.incomplete(n, path, at, "")
		return
	}
	if k.Type.Each == 0 || n.Kind == Null || k.Type.Each.Has(n.Kind) {
		return
	}
	want := Type{Kinds: k.Type.Each}
	outcome := k.Note
	if outcome == "" {
		outcome = "the chart renders it as it stands and the API server refuses it"
	}
	c.add(CodeType, path, at, want.hintFor(n, k), "%s takes %s, not %s: %s", show(path), want.phrase(), n.phrase(), outcome)
}

// aside warns of keys that are right and still not what the author thinks.
func (c *checker) aside(n *Node, k *Key, at []diag.Position) {
	if !k.NullOnly && !k.Unread && k.Moved == nil || c.isDefault(n, k) {
		return
	}
	if k.NullOnly {
		c.add(CodeNullOnly, k.Path, at, "set disableSchemaValidation in install and upgrade of the HelmRelease, or leave the key out",
			"%s is refused by Helm: the schema of the Cilium %s chart takes null alone, by mistake", show(k.Path), c.table.Minor)
	}
	if k.Unread {
		c.add(CodeIgnored, k.Path, at, k.Note,
			"%s is declared by the Cilium %s chart and read by none of its templates: it does nothing", show(k.Path), c.table.Minor)
	}
	if k.Moved != nil && k.Moved.Effect == Deprecated {
		c.add(CodeDeprecated, k.Path, at, k.Moved.hint(""),
			"%s is deprecated since Cilium %s and still works%s", show(k.Path), k.Moved.Since, k.Moved.because()).URL = k.Moved.url()
	}
}

// isDefault tells whether the value is what the chart has anyway.
func (c *checker) isDefault(n *Node, k *Key) bool {
	def, ok := k.defaultData()
	return ok && reflect.DeepEqual(def, n.Data())
}
