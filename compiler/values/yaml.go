// SPDX-License-Identifier: Apache-2.0

package values

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"plumbline.dev/plumbline/compiler/diag"
)

// FromYAML reads a values file as Helm does: YAML 1.1, so that on, off, yes, no,
// y and n are booleans, with every value's line and column. The file name is
// for the positions alone. An empty file is an empty object.
func FromYAML(file string, data []byte) (Node, diag.List) {
	r := &yamlReader{file: file, lines: bytes.Split(data, []byte("\n"))}
	d := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	err := d.Decode(&doc)
	switch {
	case errors.Is(err, io.EOF):
		return Node{Kind: Object}, nil
	case err != nil:
		r.syntax(err)
		return Node{Kind: Object}, r.out
	}
	root := r.node(doc.Content[0], 0)
	if err := d.Decode(&second); err == nil {
		r.add(CodeSyntax, &second, "keep one document", "a second document: Helm reads the first alone")
	} else if !errors.Is(err, io.EOF) {
		r.syntax(err)
	}
	if root.Kind == Null {
		root = Node{Kind: Object, Positions: root.Positions}
	}
	return root, r.out.Sort()
}

// FileFromYAML is FromYAML for a file that is laid over others: what is no object
// is an Error at once, because the next file would hide it. The node is then an
// empty object.
func FileFromYAML(file string, data []byte) (Node, diag.List) {
	root, list := FromYAML(file, data)
	if root.Kind == Object {
		return root, list
	}
	list = append(list, diag.Diagnostic{
		Code: CodeType, Severity: severities[CodeType], Positions: root.Positions,
		Message: fmt.Sprintf("the values are an object, not %s", root.phrase()),
	})
	return Node{Kind: Object, Positions: root.Positions}, list.Sort()
}

// yamlReader turns YAML nodes into Nodes. The budget bounds what aliases
// multiply.
type yamlReader struct {
	file  string
	lines [][]byte
	out   diag.List
	made  int
	full  bool
}

const (
	mostNodes = 200_000
	mostDeep  = 100
)

func (r *yamlReader) add(code string, n *yaml.Node, hint, format string, args ...any) {
	r.out = append(r.out, diag.Diagnostic{
		Code: code, Severity: severities[code], Hint: hint,
		Message: fmt.Sprintf(format, args...), Positions: []diag.Position{r.at(n)},
	})
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

func (r *yamlReader) syntax(err error) {
	text := err.Error()
	at := diag.Position{File: r.file}
	if found := yamlLine.FindStringSubmatch(text); found != nil {
		at.Line, _ = strconv.Atoi(found[1])
		text = text[len(found[0]):]
	}
	r.out = append(r.out, diag.Diagnostic{
		Code: CodeSyntax, Severity: severities[CodeSyntax], Message: "no YAML: " + text, Positions: []diag.Position{at},
	})
}

// at gives a node's place; the YAML package counts columns in characters.
func (r *yamlReader) at(n *yaml.Node) diag.Position {
	p := diag.Position{File: r.file, Line: n.Line, Column: n.Column}
	if n.Line < 1 || n.Line > len(r.lines) {
		return p
	}
	line, column := r.lines[n.Line-1], 1
	for range n.Column - 1 {
		_, size := utf8.DecodeRune(line)
		line, column = line[size:], column+max(size, 1)
	}
	p.Column = column
	return p
}

func (r *yamlReader) node(n *yaml.Node, depth int) Node {
	out := Node{Positions: []diag.Position{r.at(n)}}
	if r.made++; r.made > mostNodes || depth > mostDeep {
		if !r.full {
			r.full = true
			r.add(CodeSyntax, n, "", "too much YAML: more than %d values or %d levels once aliases are resolved", mostNodes, mostDeep)
		}
		return out
	}
	switch n.Kind {
	case yaml.AliasNode:
		inner := r.node(n.Alias, depth+1)
		inner.Positions = append(out.Positions, inner.Positions...)
		return inner
	case yaml.SequenceNode:
		out.Kind = List
		for _, item := range n.Content {
			out.Items = append(out.Items, r.node(item, depth+1))
		}
	case yaml.MappingNode:
		out.Kind = Object
		r.mapping(n, &out, depth)
	case yaml.ScalarNode:
		r.scalar(n, &out)
	}
	return out
}

func (r *yamlReader) mapping(n *yaml.Node, out *Node, depth int) {
	var merged []Field
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.ShortTag() == "!!merge" {
			merged = append(merged, r.merge(value, depth)...)
			continue
		}
		f := r.name(key, depth)
		if seen[f.Name] {
			r.add(CodeDuplicate, key, "keep one of them", "%q is written twice here: Helm takes the last and drops what stands before", f.Name)
		}
		seen[f.Name] = true
		f.Value = r.node(value, depth+1)
		out.Fields = append(out.Fields, f)
	}
	for _, f := range merged {
		if !seen[f.Name] {
			seen[f.Name] = true
			out.Fields = append(out.Fields, f)
		}
	}
}

// name reads a key: like Helm it takes on and 1 as the names true and 1.
func (r *yamlReader) name(key *yaml.Node, depth int) Field {
	n := r.node(key, depth+1)
	f := Field{Name: key.Value, Positions: n.Positions, Comment: key.HeadComment}
	switch s := n.Scalar.(type) {
	case string:
		f.Name = s
	case bool:
		f.Name = strconv.FormatBool(s)
	case json.Number:
		f.Name = s.String()
	default:
		if n.Kind != Null && n.Kind != Unknown {
			r.add(CodeSyntax, key, "", "a name is %s, want a string", n.phrase())
		}
	}
	if f.Name != key.Value && key.Kind == yaml.ScalarNode {
		f.Written = key.Value
	}
	return f
}

func (r *yamlReader) merge(value *yaml.Node, depth int) []Field {
	n := r.node(value, depth+1)
	if n.Kind == Object {
		return n.Fields
	}
	var out []Field
	for _, item := range n.Items {
		out = append(out, item.Fields...)
	}
	if n.Kind != List {
		r.add(CodeSyntax, value, "", "<< takes an object or a list of objects, not %s", n.phrase())
	}
	return out
}

func (r *yamlReader) scalar(n *yaml.Node, out *Node) {
	out.Kind, out.Scalar = String, n.Value
	switch n.ShortTag() {
	case "!!null":
		out.Kind, out.Scalar = Null, nil
	case "!!bool":
		out.Kind, out.Scalar = Bool, strings.EqualFold(n.Value, "true")
	case "!!int", "!!float":
		r.number(n, out)
	case "!!str":
		plain := n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle|yaml.TaggedStyle) == 0
		if b, ok := oldBooleans[n.Value]; ok && plain {
			out.Kind, out.Scalar, out.Written = Bool, b, n.Value
		}
	}
}

// oldBooleans are the words of YAML 1.1 that YAML 1.2 reads as strings.
var oldBooleans = map[string]bool{
	"y": true, "Y": true, "yes": true, "Yes": true, "YES": true, "on": true, "On": true, "ON": true,
	"n": false, "N": false, "no": false, "No": false, "NO": false, "off": false, "Off": false, "OFF": false,
}

func (r *yamlReader) number(n *yaml.Node, out *Node) {
	text := strings.ReplaceAll(n.Value, "_", "")
	if i, err := strconv.ParseInt(text, 0, 64); err == nil {
		*out = r.decimal(n, out, strconv.FormatInt(i, 10))
		return
	}
	if u, err := strconv.ParseUint(text, 0, 64); err == nil {
		*out = r.decimal(n, out, strconv.FormatUint(u, 10))
		return
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		r.add(CodeSyntax, n, "", "%s is no number that JSON has, and so none for Helm", n.Value)
		out.Kind, out.Scalar = Unknown, nil
		return
	}
	*out = r.decimal(n, out, strconv.FormatFloat(f, 'g', -1, 64))
}

func (r *yamlReader) decimal(n *yaml.Node, out *Node, text string) Node {
	num := numberNode(json.Number(text))
	num.Positions = out.Positions
	if text != n.Value {
		num.Written = n.Value
	}
	return num
}
