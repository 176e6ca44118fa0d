// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"slices"
	"strconv"

	"cuelang.org/go/cue/ast"
)

// inputs are the names of input.cue below which a rule may name anything.
var inputs = []string{"values", "author", "cluster", "release", "load"}

// references lists what a piece of CUE names below inputs, each as a path from
// the input's name on. What is not there can then be made null, and of a chart
// with over a thousand values only these have to be handed over.
func references(node ast.Node) [][]string {
	var list [][]string
	ast.Walk(node, func(n ast.Node) bool {
		if field, ok := n.(*ast.Field); ok { // its label refers to nothing
			list = append(list, references(field.Value)...)
			return false
		}
		path, ok := chain(n)
		if ok && slices.Contains(inputs, path[0]) {
			list = append(list, path)
			return false
		}
		return true
	}, nil)
	return list
}

// chain reads a.b."c"["d"] as a path.
func chain(n ast.Node) ([]string, bool) {
	switch n := n.(type) {
	case *ast.Ident:
		return []string{n.Name}, true
	case *ast.SelectorExpr:
		name, _, err := ast.LabelName(n.Sel)
		return extend(n.X, name, err == nil)
	case *ast.IndexExpr:
		text, ok := n.Index.(*ast.BasicLit)
		if !ok {
			return nil, false
		}
		name, err := strconv.Unquote(text.Value)
		return extend(n.X, name, err == nil)
	}
	return nil, false
}

func extend(n ast.Node, name string, ok bool) ([]string, bool) {
	path, isPath := chain(n)
	return append(path, name), ok && isPath
}

// pick copies what paths name out of a tree; what is not there becomes null. Where
// one path goes on below another, which must come later, the whole of the shorter
// one is there, and the longer one's null in it.
func pick(tree map[string]any, paths [][]string) map[string]any {
	out := map[string]any{}
	for _, path := range paths {
		put(out, path, find(tree, path))
	}
	return out
}

// find gives what lies under a path, or nil.
func find(tree any, path []string) any {
	for _, name := range path {
		object, ok := tree.(map[string]any)
		if !ok {
			return nil
		}
		tree = object[name]
	}
	return tree
}

// put sets what lies under a path. Something else than an object in the way
// stays: a rule that reads below it then ends in an error.
func put(tree map[string]any, path []string, v any) {
	for _, name := range path[:len(path)-1] {
		next, ok := tree[name].(map[string]any)
		if !ok {
			if tree[name] != nil {
				return
			}
			next = map[string]any{}
			tree[name] = next
		}
		tree = next
	}
	last := path[len(path)-1]
	if object, ok := v.(map[string]any); ok {
		v = clone(object)
	}
	if have, there := tree[last]; !there || have == nil {
		tree[last] = v
	}
}

func clone(object map[string]any) map[string]any {
	out := make(map[string]any, len(object))
	for name, v := range object {
		if below, ok := v.(map[string]any); ok {
			v = clone(below)
		}
		out[name] = v
	}
	return out
}
