// SPDX-License-Identifier: Apache-2.0

package release

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/values"
)

// tree walks what was written beside what arrives of it, and gives the latter
// with the former's places.
func (s *substitution) tree(n *yaml.Node, data any, path string) values.Node {
	from := []diag.Position{s.object.place(n)}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
		from = append(from, s.object.place(n))
	}
	from = append(from, s.stated(n)...)
	object, isObject := data.(map[string]any)
	list, isList := data.([]any)
	switch {
	case n.Kind == yaml.MappingNode && isObject:
		return s.fields(n, object, path, from)
	case n.Kind == yaml.SequenceNode && isList && len(list) == len(n.Content):
		out := values.Node{Kind: values.List, Positions: from}
		for i, item := range n.Content {
			out.Items = append(out.Items, s.tree(item, list[i], fmt.Sprintf("%s[%d]", path, i)))
		}
		return out
	}
	if n.Kind == yaml.ScalarNode {
		s.compare(n, data, path)
	}
	return everywhere(values.FromData(data), from)
}

func (s *substitution) fields(n *yaml.Node, data map[string]any, path string, from []diag.Position) values.Node {
	out := values.Node{Kind: values.Object, Positions: from}
	seen := map[string]bool{}
	for _, p := range pairs(n) {
		name := s.nameOf(p.key)
		v, ok := data[name]
		if !ok || seen[name] {
			continue // a name that a variable made anew comes with the rest
		}
		seen[name] = true
		out.Fields = append(out.Fields, values.Field{
			Name: name, Positions: append(s.places(p.key), s.stated(p.value)...), Value: s.tree(p.value, v, values.Join(path, name)),
			Comment: p.key.HeadComment,
		})
	}
	for _, name := range sortedNames(data) {
		if !seen[name] {
			out.Fields = append(out.Fields, values.Field{Name: name, Positions: from, Value: everywhere(values.FromData(data[name]), from)})
		}
	}
	return out
}

// nameOf is a name as it arrives.
func (s *substitution) nameOf(key *yaml.Node) string {
	if !s.active || !strings.Contains(key.Value, "$") {
		return key.Value
	}
	text, err := eval(key.Value, s.vars)
	if err != nil {
		return key.Value
	}
	return text
}

// everywhere gives a node and all below it the same places.
func everywhere(n values.Node, at []diag.Position) values.Node {
	return moved(n, func([]diag.Position) []diag.Position { return at })
}

// moved gives a node and all below it other places.
func moved(n values.Node, to func([]diag.Position) []diag.Position) values.Node {
	n.Positions = to(n.Positions)
	n.Items, n.Fields = slices.Clone(n.Items), slices.Clone(n.Fields)
	for i := range n.Items {
		n.Items[i] = moved(n.Items[i], to)
	}
	for i := range n.Fields {
		f := &n.Fields[i]
		f.Positions, f.Value = to(f.Positions), moved(f.Value, to)
	}
	return n
}

// compare tells where a string arrives as something else than its text.
func (s *substitution) compare(n *yaml.Node, data any, path string) {
	if !s.active || n.ShortTag() != "!!str" || !strings.Contains(n.Value, "${") {
		return
	}
	text, err := eval(n.Value, s.vars)
	if err != nil || text == n.Value {
		return
	}
	switch v := data.(type) {
	case string:
		s.compareText(n, text, v, path)
	case nil:
		if strings.TrimSpace(text) != "" { // what is not defined has a finding already
			s.changed(CodeTypeChanged, n, path, text, "null")
		}
	case bool:
		s.retyped(n, path, text, fmt.Sprint(v), "the boolean ")
	case json.Number:
		s.retyped(n, path, text, v.String(), "the number ")
	case []any:
		s.retyped(n, path, text, text, "the list ")
	default:
		s.retyped(n, path, text, text, "the object ")
	}
}

// retyped tells of a string that arrives as something else. Whoever writes no
// quotes expects that, unless the text is another one then; and with quotes it
// matters only to what wants a string.
func (s *substitution) retyped(n *yaml.Node, path, text, got, kind string) {
	code := CodeTypeChanged
	if text == got {
		code = CodeQuoted
	}
	if text != got || isQuoted(n) {
		s.changed(code, n, path, text, kind+got)
	}
}

// compareText tells where a string arrives as another one. Quotes around the
// whole of it are the way to keep a string a string.
func (s *substitution) compareText(n *yaml.Node, text, got, path string) {
	quoted := strings.ContainsAny(text, `'"`)
	switch {
	case quoted && s.quotesLeft(n, got):
		s.list = append(s.list, finding(CodeQuotes, path, fmt.Sprintf("the quotes of the variable stay in the text: %q arrives as %q", n.Value, got),
			"state the variable without quotes: a file of variables is no shell script", s.mendVariable(n)...))
	case left(got) && !strings.Contains(n.Value, "$${"):
		s.list = append(s.list, finding(CodeLeft, path, fmt.Sprintf("%q arrives as %q: Flux substitutes once, not inside of what it put in", n.Value, got),
			"state the variable's text in full", s.mendVariable(n)...))
	case got != text && !quoted && got != strings.TrimSpace(text):
		s.changed(CodeTextChanged, n, path, text, fmt.Sprintf("%q", got))
	}
}

func left(text string) bool { _, ok := leftBehind(text); return ok }

// quotesLeft tells whether a variable in quotes stands in a text with them.
func (s *substitution) quotesLeft(n *yaml.Node, got string) bool {
	list, err := uses(n.Value)
	return err == nil && slices.ContainsFunc(list, func(u use) bool {
		v := s.vars.byName[u.name].Value
		return len(v) > 1 && (v[0] == '"' || v[0] == '\'') && v[0] == v[len(v)-1] && strings.Contains(got, v)
	})
}

func (s *substitution) changed(code string, n *yaml.Node, path, text, got string) {
	message := fmt.Sprintf("%q becomes %q, which arrives as %s", n.Value, text, got)
	hint := ""
	if code != CodeTextChanged {
		hint = "to keep it a string put quotes around the value where the variable is stated: " + s.onlyName(n) + "=\"" + text + "\""
		if isQuoted(n) {
			message += ": kustomize drops the quotes before Flux substitutes"
		}
	}
	s.list = append(s.list, finding(code, path, message, hint, s.mendVariable(n)...))
}

// onlyName is the variable that a string has nothing but, or NAME.
func (s *substitution) onlyName(n *yaml.Node) string {
	if list, err := uses(n.Value); err == nil && len(list) == 1 {
		return list[0].name
	}
	return "NAME"
}

// mendVariable are the places of a string with variables, theirs first.
func (s *substitution) mendVariable(n *yaml.Node) []diag.Position {
	at := s.places(n)
	if len(at) == 1 {
		return at
	}
	return append(slices.Clone(at[1:]), at[0])
}

func isQuoted(n *yaml.Node) bool {
	return n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle|yaml.TaggedStyle) != 0
}

func sortedNames(m map[string]any) []string {
	out := make([]string, 0, len(m))
	for name := range m {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}
