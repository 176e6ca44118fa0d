// SPDX-License-Identifier: Apache-2.0

package values

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"plumbline.dev/plumbline/compiler/diag"
)

// Node is a value with the places it was written at. It is made by FromCUE and
// FromYAML, or by hand.
type Node struct {
	Kind Kind
	// Scalar is nil, a bool, a json.Number or a string, as Kind says.
	Scalar any
	// Fields are an object's, in the order written.
	Fields []Field
	// Items are a list's.
	Items []Node
	// Written is the source text where it does not show what Helm reads:
	// the YAML 1.1 word off, which is false.
	Written string
	// Conflict says that the value is Unknown because CUE found a mistake in it.
	Conflict bool
	// Positions are the places, the one to mend first in front.
	Positions []diag.Position
}

// Field is a name in an object.
type Field struct {
	Name string
	// Positions are the places that wrote the name; where there are none, the
	// value's count.
	Positions []diag.Position
	// Written is the source text where it is not what Helm reads: on, which is
	// the name true.
	Written string
	// Comment is what a YAML file says in lines of their own in front of the name,
	// each with its #.
	Comment string
	Value   Node
}

// places are where to mend the field.
func (f *Field) places() []diag.Position {
	if len(f.Positions) > 0 {
		return f.Positions
	}
	return f.Value.Positions
}

// field finds a name; of two the last, as Helm does.
func (n *Node) field(name string) (*Field, bool) {
	for i := len(n.Fields) - 1; i >= 0; i-- {
		if n.Fields[i].Name == name {
			return &n.Fields[i], true
		}
	}
	return nil, false
}

// Lookup finds what lies under the names.
func (n *Node) Lookup(names ...string) (*Node, bool) {
	for _, name := range names {
		f, ok := n.field(name)
		if !ok {
			return nil, false
		}
		n = &f.Value
	}
	return n, true
}

// Data gives the value without places: nil, bool, json.Number, string,
// []any or map[string]any. Of a name that stands twice the last counts, as in
// Helm. What is Unknown is nil.
func (n *Node) Data() any {
	switch n.Kind {
	case List:
		out := make([]any, len(n.Items))
		for i := range n.Items {
			out[i] = n.Items[i].Data()
		}
		return out
	case Object:
		out := make(map[string]any, len(n.Fields))
		for i := range n.Fields {
			out[n.Fields[i].Name] = n.Fields[i].Value.Data()
		}
		return out
	}
	return n.Scalar
}

// text shows a scalar in a message.
func (n *Node) text() string {
	switch s := n.Scalar.(type) {
	case string:
		return strconv.Quote(shorten(s))
	case json.Number:
		return s.String()
	case bool:
		return strconv.FormatBool(s)
	}
	return ""
}

const longestShown = 60

func shorten(s string) string {
	runes := []rune(s)
	if len(runes) <= longestShown {
		return s
	}
	return string(runes[:longestShown-1]) + "…"
}

// phrase says what the value is: `the string "two"`.
func (n *Node) phrase() string {
	switch n.Kind {
	case Bool:
		if n.Written != "" {
			return "the boolean " + n.text() + ", written " + n.Written
		}
		return "the boolean " + n.text()
	case Int, Number:
		return "the number " + n.text()
	case String:
		return "the string " + n.text()
	}
	return kindPhrases[n.Kind]
}

// FromData makes a Node without places from what encoding/json decodes.
func FromData(data any) Node {
	switch v := data.(type) {
	case nil:
		return Node{Kind: Null}
	case bool:
		return Node{Kind: Bool, Scalar: v}
	case string:
		return Node{Kind: String, Scalar: v}
	case json.Number:
		return numberNode(v)
	case float64:
		return numberNode(json.Number(strconv.FormatFloat(v, 'f', -1, 64)))
	case int:
		return numberNode(json.Number(strconv.Itoa(v)))
	case int64:
		return numberNode(json.Number(strconv.FormatInt(v, 10)))
	case []any:
		n := Node{Kind: List, Items: make([]Node, len(v))}
		for i := range v {
			n.Items[i] = FromData(v[i])
		}
		return n
	case map[string]any:
		n := Node{Kind: Object}
		for _, name := range sortedNames(v) {
			n.Fields = append(n.Fields, Field{Name: name, Value: FromData(v[name])})
		}
		return n
	}
	return Node{}
}

// numberNode is an Int if the number has no fraction: 1e3 and 1.0 are integers.
func numberNode(num json.Number) Node {
	n := Node{Kind: Number, Scalar: num}
	if !strings.ContainsAny(num.String(), ".eE") {
		n.Kind = Int
	} else if f, err := num.Float64(); err == nil && f == math.Trunc(f) {
		n.Kind = Int
	}
	return n
}

// plainText reads a JSON string in which nothing is escaped.
func plainText(text string) (string, bool) {
	n := len(text)
	if n < 2 || text[0] != '"' || text[n-1] != '"' {
		return "", false
	}
	for _, c := range []byte(text[1 : n-1]) {
		if c == '"' || c == '\\' || c < 0x20 || c > 0x7e {
			return "", false
		}
	}
	return text[1 : n-1], true
}

// decodeJSON reads JSON and keeps numbers as they are written.
func decodeJSON(text string) (any, error) {
	switch text { // most of the defaults
	case "null":
		return nil, nil
	case "true", "false":
		return text == "true", nil
	case "{}":
		return map[string]any{}, nil
	case "[]":
		return []any{}, nil
	}
	if word, ok := plainText(text); ok {
		return word, nil
	}
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return v, nil
}
