// SPDX-License-Identifier: Apache-2.0

package source

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxNodes bounds what aliases may make of a document.
const maxNodes = 4 << 20

var errTooLarge = errors.New("the document's aliases expand to too much")

// parse splits a file into its documents. The error is that of the first
// document that is no YAML; those before it are given beside it.
func parse(r io.Reader) ([]*yaml.Node, error) {
	var documents []*yaml.Node
	decoder := yaml.NewDecoder(r)
	for {
		var doc yaml.Node
		err := decoder.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return documents, nil
		}
		if err != nil {
			return documents, err
		}
		if doc.Kind == yaml.DocumentNode && len(doc.Content) == 1 && doc.Content[0].ShortTag() != "!!null" {
			documents = append(documents, doc.Content[0])
		}
	}
}

// field gives a mapping's value under a key, and nil where there is none.
func field(n *yaml.Node, key string) *yaml.Node {
	if n = resolve(n); n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return resolve(n.Content[i+1])
		}
	}
	return nil
}

func resolve(n *yaml.Node) *yaml.Node {
	for n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func text(n *yaml.Node) string {
	if n == nil || n.Kind != yaml.ScalarNode {
		return ""
	}
	return n.Value
}

// lineOf finds the line of a path such as "spec.ports[0].name" under a node; the
// nearest node above it where the path leaves the tree.
func lineOf(n *yaml.Node, path string) int {
	line := n.Line
	for _, step := range strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
		if n = resolve(n); n == nil {
			return line
		}
		var next *yaml.Node
		if i, err := strconv.Atoi(step); err == nil && n.Kind == yaml.SequenceNode && i < len(n.Content) {
			next = n.Content[i]
			line = next.Line
		} else if n.Kind == yaml.MappingNode {
			for i := 0; i+1 < len(n.Content); i += 2 {
				if n.Content[i].Value == step {
					line, next = n.Content[i].Line, n.Content[i+1]
				}
			}
		}
		n = next
	}
	return line
}

// toJSON writes a node as JSON, as Kubernetes' own reader understands YAML: a
// plain date stays a text, merge keys merge, a repeated key is an error.
func toJSON(n *yaml.Node) ([]byte, error) {
	w := &jsonWriter{}
	if err := w.value(n, 0); err != nil {
		return nil, err
	}
	return w.buf, nil
}

type jsonWriter struct {
	buf   []byte
	nodes int
}

// maxDepth bounds the nesting, and with it an alias that contains itself.
const maxDepth = 200

func (w *jsonWriter) value(n *yaml.Node, depth int) error {
	if w.nodes++; w.nodes > maxNodes || depth > maxDepth {
		return errTooLarge
	}
	switch n = resolve(n); n.Kind {
	case yaml.MappingNode:
		return w.mapping(n, depth)
	case yaml.SequenceNode:
		return w.sequence(n, depth)
	case yaml.ScalarNode:
		return w.scalar(n)
	}
	return fmt.Errorf("line %d: want a value", n.Line)
}

func (w *jsonWriter) mapping(n *yaml.Node, depth int) error {
	pairs, err := merged(n, depth)
	if err != nil {
		return err
	}
	w.buf = append(w.buf, '{')
	for i, p := range pairs {
		if i > 0 {
			w.buf = append(w.buf, ',')
		}
		w.text(p.key)
		w.buf = append(w.buf, ':')
		if err := w.value(p.value, depth+1); err != nil {
			return err
		}
	}
	w.buf = append(w.buf, '}')
	return nil
}

type pair struct {
	key   string
	value *yaml.Node
}

// merged lists a mapping's pairs, those of its merge keys behind its own.
func merged(n *yaml.Node, depth int) ([]pair, error) {
	if depth > maxDepth {
		return nil, errTooLarge
	}
	var pairs []pair
	lines := map[string]int{}
	var merges []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := resolve(n.Content[i]), n.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode:
			return nil, fmt.Errorf("line %d: a key must be a text", key.Line)
		case key.ShortTag() == "!!merge":
			merges = append(merges, value)
			continue
		case lines[key.Value] > 0:
			return nil, fmt.Errorf("line %d: key %q repeats line %d", key.Line, key.Value, lines[key.Value])
		}
		lines[key.Value] = key.Line
		pairs = append(pairs, pair{key.Value, value})
	}
	for _, m := range merges {
		more, err := mergeSources(m, depth)
		if err != nil {
			return nil, err
		}
		for _, p := range more {
			if lines[p.key] == 0 {
				lines[p.key] = m.Line
				pairs = append(pairs, p)
			}
		}
	}
	return pairs, nil
}

func mergeSources(n *yaml.Node, depth int) ([]pair, error) {
	switch n = resolve(n); n.Kind {
	case yaml.MappingNode:
		return merged(n, depth+1)
	case yaml.SequenceNode:
		var all []pair
		for _, item := range n.Content {
			pairs, err := mergeSources(item, depth+1)
			if err != nil {
				return nil, err
			}
			if all = append(all, pairs...); len(all) > maxNodes {
				return nil, errTooLarge
			}
		}
		return all, nil
	}
	return nil, fmt.Errorf("line %d: a merge key wants a mapping", n.Line)
}

func (w *jsonWriter) sequence(n *yaml.Node, depth int) error {
	w.buf = append(w.buf, '[')
	for i, item := range n.Content {
		if i > 0 {
			w.buf = append(w.buf, ',')
		}
		if err := w.value(item, depth+1); err != nil {
			return err
		}
	}
	w.buf = append(w.buf, ']')
	return nil
}

func (w *jsonWriter) scalar(n *yaml.Node) error {
	switch n.ShortTag() {
	case "!!null":
		w.buf = append(w.buf, "null"...)
	case "!!bool":
		var b bool
		if err := n.Decode(&b); err != nil {
			return fmt.Errorf("line %d: %q is no boolean", n.Line, n.Value)
		}
		w.buf = strconv.AppendBool(w.buf, b)
	case "!!int", "!!float":
		return w.number(n)
	default:
		w.text(n.Value)
	}
	return nil
}

func (w *jsonWriter) number(n *yaml.Node) error {
	var number any
	if err := n.Decode(&number); err != nil {
		return fmt.Errorf("line %d: %q is no number", n.Line, n.Value)
	}
	data, err := json.Marshal(number)
	if err != nil {
		return fmt.Errorf("line %d: %q is no number that an object can have", n.Line, n.Value)
	}
	w.buf = append(w.buf, data...)
	return nil
}

func (w *jsonWriter) text(s string) {
	data, err := json.Marshal(s)
	if err != nil { // never for a text
		data = []byte(`""`)
	}
	w.buf = append(w.buf, data...)
}
