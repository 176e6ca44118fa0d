// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"regexp"
	"slices"
	"strings"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/literal"
	"cuelang.org/go/cue/token"
)

// A condition that reads nothing of what is stated comes out as it does where
// nothing is stated at all, and there hardly any finds something. So only the
// others, and the rules of standing, are evaluated: most environments state a
// dozen of the values and facts that rules ask for. Tests hold this against the
// evaluation of everything.

// standing are the rules that find something, or lack a fact, where nothing is
// stated beside what common names.
var standing = []string{
	"api/unreachable", "cni/host-ports", "flux/drift-unseen", "flux/timeout", "hubble/helm-certificates", "ipam/overlap", "rollout/agents",
}

// common is what nearly every environment states, and what therefore says little
// of what is relevant: standing holds for each of its values.
var common = []string{"values.kubeProxyReplacement", "author.kubeProxyReplacement", "release.stated", "load.stated"}

// common platforms say nothing that a rule asks for.
var commonPlatforms = []string{"", "kubeadm", "other"}

// element is one entry of a rule's found or lacks.
type element struct {
	expr  ast.Expr
	reads []string // dotted paths of the input
	uses  []string // names
}

// reader finds what expressions read, names of the package and lets of a file
// followed.
type reader struct {
	named map[string][]string // what a let, or a field of input.cue, reads
	// grounds are the fields of input.cue that match a pattern against about. On
	// common platforms none does, so that only one that does is stated.
	grounds map[string]*regexp.Regexp
}

// define takes the lets of a file, and of input.cue its fields, in the order in
// which they stand.
func (r *reader) define(file *ast.File) {
	for _, decl := range file.Decls {
		switch decl := decl.(type) {
		case *ast.LetClause:
			r.named[decl.Ident.Name] = r.reads(decl.Expr)
		case *ast.Field:
			name, _, err := ast.LabelName(decl.Label)
			if err == nil && name != "rule" && !slices.Contains(inputs, name) {
				r.field(name, decl.Value)
			}
		}
	}
}

// field defines a field, and what lies in it by its own name: on.kpr.
func (r *reader) field(name string, v ast.Expr) {
	if body, ok := v.(*ast.StructLit); ok {
		for _, part := range fields(body.Elts, "") {
			label, _, _ := ast.LabelName(part.Label)
			r.named[name+"."+label] = r.reads(part.Value)
			if pattern := ground(part.Value); pattern != nil {
				r.grounds[name+"."+label] = pattern
				r.named[name+"."+label] = []string{name + "." + label}
			}
			r.named[label] = r.named[name+"."+label] // as the fields beside it know it
		}
	}
	r.named[name] = r.reads(v)
}

// ground reads about =~ "pattern".
func ground(v ast.Expr) *regexp.Regexp {
	match, ok := v.(*ast.BinaryExpr)
	if !ok || match.Op != token.MAT {
		return nil
	}
	name, isName := match.X.(*ast.Ident)
	text, isText := match.Y.(*ast.BasicLit)
	if !isName || !isText || name.Name != "about" {
		return nil
	}
	pattern, err := literal.Unquote(text.Value)
	if err != nil {
		return nil
	}
	compiled, err := regexp.Compile(pattern)
	if err != nil {
		return nil // CUE tells of it
	}
	return compiled
}

// reads lists the paths of the input that a piece of CUE depends on.
func (r *reader) reads(node ast.Node) []string {
	var list []string
	ast.Walk(node, func(n ast.Node) bool {
		if field, ok := n.(*ast.Field); ok {
			list = append(list, r.reads(field.Value)...)
			return false
		}
		path, ok := chain(n)
		if !ok {
			return true
		}
		list = append(list, r.path(path)...)
		return false
	}, nil)
	slices.Sort(list)
	return slices.Compact(list)
}

// path follows a path that may begin with a name of the package.
func (r *reader) path(path []string) []string {
	switch name := path[0]; {
	case slices.Contains(inputs, name):
		return []string{strings.Join(path, ".")}
	case name == "about" || name == "platform":
		return []string{"about"}
	case len(path) > 1 && r.named[name+"."+path[1]] != nil:
		return r.named[name+"."+path[1]]
	default:
		return r.named[name]
	}
}

// relevant tells whether an element may come out otherwise than where nothing is
// stated.
func (e element) relevant(stated func(path string) bool) bool {
	return slices.ContainsFunc(e.reads, func(path string) bool {
		return !slices.Contains(common, path) && stated(path)
	})
}

// statedIn tells which paths of an input are stated: something below them, or
// around them, is there.
func statedIn(in Input, facts, release map[string]any, about string, grounds map[string]*regexp.Regexp) func(string) bool {
	trees := map[string]map[string]any{"author": in.Author, "values": in.Author, "cluster": facts, "release": release, "load": in.Load}
	known := map[string]bool{}
	return func(path string) bool {
		stated, ok := known[path]
		if !ok {
			root, below, _ := strings.Cut(path, ".")
			switch {
			case grounds[path] != nil:
				stated = grounds[path].MatchString(about)
			case root == "about":
				stated = !slices.Contains(commonPlatforms, strings.TrimSpace(about))
			default:
				stated = holds(trees[root], below)
			}
			known[path] = stated
		}
		return stated
	}
}

// holds tells whether a tree has something under a path, or something else than
// an object on the way to it.
func holds(tree map[string]any, path string) bool {
	if path == "" {
		return len(tree) > 0
	}
	name, rest, deeper := strings.Cut(path, ".")
	v, ok := tree[name]
	if !ok {
		return false
	}
	below, isObject := v.(map[string]any)
	if !deeper || !isObject {
		return true
	}
	return holds(below, rest)
}
