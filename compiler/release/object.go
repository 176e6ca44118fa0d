// SPDX-License-Identifier: Apache-2.0

package release

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"plumbline.dev/plumbline/compiler/diag"
)

// object is a Kubernetes object as it was written and as kustomize reads it.
type object struct {
	file  string
	lines []string
	node  *yaml.Node // a mapping
	data  map[string]any
	json  []byte // the same as data
}

// readObjects reads every document of a file. A list of objects is its elements.
func readObjects(f File) ([]*object, diag.List) {
	r := objectReader{file: f.Name, lines: strings.Split(string(f.Data), "\n")}
	for d := yaml.NewDecoder(bytes.NewReader(f.Data)); ; {
		var doc yaml.Node
		switch err := d.Decode(&doc); {
		case errors.Is(err, io.EOF):
			return r.objects, r.list
		case err != nil:
			r.bad(err, 0)
			return r.objects, r.list
		case len(doc.Content) == 1:
			r.document(doc.Content[0])
		}
	}
}

type objectReader struct {
	file    string
	lines   []string
	objects []*object
	list    diag.List
}

var yamlLine = regexp.MustCompile(`^yaml: (?:unmarshal errors:\s+)?(?:line (\d+): )?`)

func (r *objectReader) bad(err error, line int) {
	text := err.Error()
	if found := yamlLine.FindStringSubmatch(text); found != nil {
		if n, err := strconv.Atoi(found[1]); err == nil {
			line = n
		}
		text = text[len(found[0]):]
	}
	text = strings.Join(strings.Fields(text), " ")
	r.list = append(r.list, finding(CodeSyntax, "", "kustomize can't read it: "+text, "", diag.Position{File: r.file, Line: line}))
}

func (r *objectReader) document(n *yaml.Node) {
	o := &object{file: r.file, lines: r.lines, node: n}
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode {
		r.bad(errors.New("an object has fields, this is something else"), n.Line)
		return
	}
	if err := o.decode(); err != nil {
		r.bad(err, n.Line)
		return
	}
	items, _ := entry(n, "items")
	if items = resolve(items); items != nil && items.Kind == yaml.SequenceNode && strings.HasSuffix(o.kind(), "List") {
		for _, item := range items.Content {
			r.document(resolve(item))
		}
		return
	}
	r.objects = append(r.objects, o)
}

// decode reads an object as kustomize does: YAML 1.2 but for what its library
// keeps of 1.1, names that are all strings.
func (o *object) decode() error {
	var m map[string]any
	err := o.node.Decode(&m)
	if err != nil {
		return err
	}
	if o.json, err = json.Marshal(m); err != nil {
		return fmt.Errorf("it has no form in JSON: %w", err)
	}
	o.data, err = decodeJSON(o.json)
	return err
}

// decodeJSON reads an object and keeps numbers as they are written.
func decodeJSON(data []byte) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v map[string]any
	err := d.Decode(&v)
	return v, err
}

func (o *object) kind() string { return o.text("kind") }
func (o *object) name() string { return o.text("metadata", "name") }

// text is the string under some names, or "".
func (o *object) text(names ...string) string {
	s, _ := lookup(o.data, names...).(string)
	return s
}

func lookup(v any, names ...string) any {
	for _, name := range names {
		object, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = object[name]
	}
	return v
}

// at is the place of what stands under some names, or of the nearest around it.
func (o *object) at(names ...string) diag.Position { return o.place(o.find(names...)) }

// find is the node under some names, or the nearest around it.
func (o *object) find(names ...string) *yaml.Node {
	n := o.node
	for _, name := range names {
		next, ok := entry(n, name)
		if !ok {
			break
		}
		n = resolve(next)
	}
	return n
}

// place is that of a node; the YAML package counts columns in characters.
func (o *object) place(n *yaml.Node) diag.Position {
	p := diag.Position{File: o.file, Line: n.Line, Column: n.Column}
	if n.Line < 1 || n.Line > len(o.lines) {
		return p
	}
	line, column := o.lines[n.Line-1], 1
	for range n.Column - 1 {
		_, size := utf8.DecodeRuneInString(line)
		line, column = line[size:], column+max(size, 1)
	}
	p.Column = column
	return p
}

// resolve follows an alias.
func resolve(n *yaml.Node) *yaml.Node {
	if n != nil && n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// pair is a name in a mapping and its value.
type pair struct{ key, value *yaml.Node }

// pairs are a mapping's, those that << brings behind its own. Deep nests of
// merges end: no name counts twice.
func pairs(n *yaml.Node) []pair {
	var own []pair
	seen := map[string]bool{}
	collect(n, seen, 0, &own)
	return own
}

const deepestMerge = 20

func collect(n *yaml.Node, seen map[string]bool, depth int, out *[]pair) {
	n = resolve(n)
	if n == nil || depth > deepestMerge {
		return
	}
	if n.Kind == yaml.SequenceNode {
		for _, each := range n.Content {
			collect(each, seen, depth+1, out)
		}
	}
	if n.Kind != yaml.MappingNode {
		return
	}
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.ShortTag() == "!!merge" {
			merged = append(merged, value)
		} else if name := resolve(key).Value; !seen[name] {
			seen[name] = true
			*out = append(*out, pair{resolve(key), value})
		}
	}
	for _, each := range merged {
		collect(each, seen, depth+1, out)
	}
}

// entry finds a name in a mapping.
func entry(n *yaml.Node, name string) (*yaml.Node, bool) {
	for _, p := range pairs(n) {
		if p.key.Value == name {
			return p.value, true
		}
	}
	return nil, false
}
