// SPDX-License-Identifier: Apache-2.0

package render

import (
	"maps"
	"path"
	"slices"
	"strings"
	"text/template/parse"

	helm "helm.sh/helm/v4/pkg/chart/v2"
)

// conditions finds the Helm values on which it depends that a template came to a
// place at all: those that the conditions around it read, the innermost first.
// They say more of the author's mistake than the chart's words often do. The
// place is looked for by the words of its fail where it is not known.
func conditions(loaded *helm.Chart, at, words string) (place string, read [][]string) {
	name, _, _ := strings.Cut(at, ":")
	for _, t := range templates(loaded) {
		if name != "" && t.name != name || name == "" && !strings.Contains(t.text, "fail") {
			continue
		}
		for _, tree := range parsed(t) {
			s := search{tree: tree, place: at, words: words}
			if tree.Root != nil && s.list(tree.Root) {
				return s.place, s.read
			}
		}
	}
	return at, nil
}

// source is a template as it is written.
type source struct{ name, text string }

// templates lists those of a chart and its dependencies, by the names that Helm
// gives them.
func templates(c *helm.Chart) []source {
	var list []source
	for _, t := range c.Templates {
		list = append(list, source{path.Join(c.ChartFullPath(), t.Name), string(t.Data)})
	}
	for _, below := range c.Dependencies() {
		list = append(list, templates(below)...)
	}
	return list
}

// parsed gives the trees of a template, of those that it defines too, in order.
// What can't be parsed Helm has told of.
func parsed(t source) []*parse.Tree {
	whole := parse.New(t.name)
	whole.Mode = parse.SkipFuncCheck
	trees := map[string]*parse.Tree{}
	if _, err := whole.Parse(t.text, "", "", trees); err != nil {
		return nil
	}
	list := []*parse.Tree{whole}
	for _, name := range slices.Sorted(maps.Keys(trees)) {
		list = append(list, trees[name])
	}
	return list
}

// search looks in a template for a place, or for the fail that says words and
// then sets the place.
type search struct {
	tree  *parse.Tree
	place string
	words string
	read  [][]string
}

// list tells whether the place is in a list of nodes.
func (s *search) list(l *parse.ListNode) bool {
	if l == nil {
		return false
	}
	for _, n := range l.Nodes {
		if s.node(n) {
			return true
		}
	}
	return false
}

func (s *search) node(n parse.Node) bool {
	switch n := n.(type) {
	case *parse.ActionNode:
		return s.pipe(n.Pipe)
	case *parse.TemplateNode:
		return s.at(n) || s.pipe(n.Pipe)
	case *parse.IfNode:
		return s.branch(&n.BranchNode)
	case *parse.WithNode:
		return s.branch(&n.BranchNode)
	case *parse.RangeNode:
		return s.branch(&n.BranchNode)
	}
	return false
}

// branch adds what its condition reads, on the way back from the place.
func (s *search) branch(b *parse.BranchNode) bool {
	if !s.pipe(b.Pipe) && !s.list(b.List) && !s.list(b.ElseList) {
		return false
	}
	s.read = append(s.read, reads(b.Pipe)...)
	return true
}

// pipe tells whether the place is in a pipeline, and takes what that reads.
func (s *search) pipe(p *parse.PipeNode) bool {
	if p == nil {
		return false
	}
	for _, c := range p.Cmds {
		inside := s.at(c)
		for _, arg := range c.Args {
			inner, nested := arg.(*parse.PipeNode)
			inside = inside || s.at(arg) || nested && s.pipe(inner)
		}
		if inside {
			s.read = append(s.read, reads(p)...)
			return true
		}
	}
	return false
}

func (s *search) at(n parse.Node) bool {
	at, _ := s.tree.ErrorContext(n)
	if s.place == "" && s.says(n) {
		s.place = at
	}
	return at == s.place
}

// says tells whether a node is a fail with the words, as they stand there or as
// what a printf begins with.
func (s *search) says(n parse.Node) bool {
	c, ok := n.(*parse.CommandNode)
	if !ok || len(c.Args) != 2 || !calls(c, "fail") {
		return false
	}
	switch arg := c.Args[1].(type) {
	case *parse.StringNode:
		return arg.Text == s.words
	case *parse.PipeNode:
		return len(arg.Cmds) == 1 && s.formats(arg.Cmds[0])
	}
	return false
}

// formats tells whether a printf can give the words. What stands before its first
// verb is long enough in practice to tell it from others.
func (s *search) formats(c *parse.CommandNode) bool {
	if len(c.Args) < 2 || !calls(c, "printf") {
		return false
	}
	format, ok := c.Args[1].(*parse.StringNode)
	if !ok {
		return false
	}
	start, _, verbs := strings.Cut(format.Text, "%")
	return start == s.words || verbs && start != "" && strings.HasPrefix(s.words, start)
}

// calls tells whether a command calls a function.
func calls(c *parse.CommandNode, name string) bool {
	called, ok := c.Args[0].(*parse.IdentifierNode)
	return ok && called.Ident == name
}

// reads gives the paths below .Values that a pipeline reads.
func reads(p *parse.PipeNode) [][]string {
	var list [][]string
	for _, c := range p.Cmds {
		list = append(list, strung(c)...)
		for _, arg := range c.Args {
			switch arg := arg.(type) {
			case *parse.PipeNode:
				list = append(list, reads(arg)...)
			case *parse.FieldNode:
				list = append(list, below(arg.Ident)...)
			case *parse.VariableNode:
				list = append(list, below(arg.Ident)...)
			}
		}
	}
	return list
}

// strung gives the paths whose names stand in strings: those of
// dig "a" "b" default .Values.AsMap and of hasKey .Values.a "b".
func strung(c *parse.CommandNode) [][]string {
	var words, under []string
	for _, arg := range c.Args[1:] {
		switch arg := arg.(type) {
		case *parse.StringNode:
			words = append(words, arg.Text)
		case *parse.FieldNode:
			under = arg.Ident
		}
	}
	switch {
	case len(under) == 0 || under[0] != "Values" || len(words) == 0:
		return nil
	case calls(c, "dig") && len(c.Args) > 3:
		_, stringDefault := c.Args[len(c.Args)-2].(*parse.StringNode)
		if stringDefault {
			words = words[:len(words)-1]
		}
		return [][]string{words}
	case calls(c, "hasKey") || calls(c, "get"):
		return below(append(append([]string(nil), under...), words...))
	}
	return nil
}

// below takes .Values or $.Values off a path.
func below(ident []string) [][]string {
	if len(ident) > 0 && ident[0] == "$" {
		ident = ident[1:]
	}
	if len(ident) < 2 || ident[0] != "Values" || ident[1] == "AsMap" {
		return nil
	}
	return [][]string{ident[1:]}
}
