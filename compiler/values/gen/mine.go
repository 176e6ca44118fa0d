// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"text/template/parse"
)

// miner interprets templates without values: it follows .Values through
// variables, blocks, calls of other templates and dictionaries, and notes
// every place it passes. It never decides a condition; both branches count.
type miner struct {
	usage   *Usage
	trees   map[string]*parse.Tree
	files   map[string][]byte
	seen    map[string]bool
	guards  []abstract // the conditions of the blocks around
	refusal int        // > 0 while what is read only decides on a fail
	digging bool       // inside dig
	config  bool       // in the template that writes cilium-config
}

// mine reads every template and follows the files that templates include.
// templates and files are by path inside the chart.
func mine(templates, files map[string][]byte) (*Usage, error) {
	m := &miner{usage: newUsage(), trees: map[string]*parse.Tree{}, files: files, seen: map[string]bool{}}
	var tops []string
	for _, name := range slices.Sorted(maps.Keys(templates)) {
		if err := m.parse(name, string(templates[name])); err != nil {
			return nil, err
		}
		tops = append(tops, name)
	}
	for _, name := range tops {
		m.config = path.Base(name) == "cilium-configmap.yaml"
		m.call(name, abstract{root: true})
	}
	return m.usage, nil
}

func (m *miner) parse(name, text string) error {
	tree := parse.New(name)
	tree.Mode = parse.SkipFuncCheck
	if _, err := tree.Parse(text, "", "", m.trees); err != nil {
		return fmt.Errorf("template %s: %w", name, err)
	}
	// A file of definitions alone has an empty body, which Parse leaves out.
	if m.trees[name] == nil {
		m.trees[name] = tree
	}
	return nil
}

// scope is a chain of the variables in sight.
type scope struct {
	up   *scope
	vars map[string]abstract
}

func (s *scope) inner() *scope { return &scope{up: s, vars: map[string]abstract{}} }

func (s *scope) find(name string) (*scope, bool) {
	for ; s != nil; s = s.up {
		if _, ok := s.vars[name]; ok {
			return s, true
		}
	}
	return nil, false
}

// frame is where in a template the miner stands.
type frame struct {
	*scope
	dot abstract
}

func (f frame) in(dot abstract) frame { return frame{scope: f.scope.inner(), dot: dot} }

// guarded mines a block that is rendered only if cond holds.
func (m *miner) guarded(cond abstract, l *parse.ListNode, f frame) {
	m.guards = append(m.guards, cond)
	m.list(l, f)
	m.guards = m.guards[:len(m.guards)-1]
}

func (m *miner) call(name string, dot abstract) {
	tree := m.trees[name]
	id := fmt.Sprint(name, "\x00", dot.key(), m.refusal > 0)
	if tree == nil || tree.Root == nil || m.seen[id] {
		return
	}
	m.seen[id] = true
	s := &scope{vars: map[string]abstract{"$": dot}}
	m.list(tree.Root, frame{scope: s, dot: dot})
}

func (m *miner) list(l *parse.ListNode, f frame) {
	if l == nil {
		return
	}
	for i, node := range l.Nodes {
		var before string
		if i > 0 {
			if text, ok := l.Nodes[i-1].(*parse.TextNode); ok {
				before = string(text.Text)
			}
		}
		m.node(node, before, f)
	}
}

func (m *miner) node(node parse.Node, before string, f frame) {
	switch n := node.(type) {
	case *parse.TextNode:
		m.fixedOptions(string(n.Text))
	case *parse.ActionNode:
		v := m.pipe(n.Pipe, f)
		if len(n.Pipe.Decl) == 0 {
			m.option(before, v)
		}
	case *parse.IfNode:
		m.branch(&n.BranchNode, f)
	case *parse.WithNode:
		inner := f.in(f.dot)
		inner.dot = m.pipe(n.Pipe, inner)
		m.guarded(inner.dot, n.List, inner)
		m.list(n.ElseList, f.in(f.dot))
	case *parse.RangeNode:
		m.loop(n, before, f)
	case *parse.TemplateNode:
		m.call(n.Name, m.pipe(n.Pipe, f))
	}
}

// branch mines an if. A condition that leads to nothing but a fail is no use
// of the values: it is how a chart refuses a key.
func (m *miner) branch(n *parse.BranchNode, f frame) {
	refuses := refusal(n.List, n.ElseList)
	if refuses {
		m.refusal++
	}
	inner := f.in(f.dot)
	cond := m.pipe(n.Pipe, inner)
	m.guarded(cond, n.List, inner)
	m.list(n.ElseList, f.in(f.dot))
	if refuses {
		m.refusal--
	}
}

// refusal tells whether the lists render nothing, and lead to a fail.
func refusal(lists ...*parse.ListNode) bool {
	fails := 0
	for _, l := range lists {
		n, ok := countFails(l)
		if !ok {
			return false
		}
		fails += n
	}
	return fails > 0
}

// countFails counts the fails of a list; false if it renders anything.
func countFails(l *parse.ListNode) (fails int, ok bool) {
	if l == nil {
		return 0, true
	}
	for _, node := range l.Nodes {
		inner := 0
		ok := true
		switch n := node.(type) {
		case *parse.TextNode:
			ok = strings.TrimSpace(string(n.Text)) == ""
		case *parse.ActionNode:
			inner, ok = 1, isFail(n.Pipe)
		case *parse.IfNode:
			inner, ok = countBranch(&n.BranchNode)
		case *parse.RangeNode:
			inner, ok = countBranch(&n.BranchNode)
		case *parse.CommentNode:
		default:
			ok = false
		}
		if !ok {
			return 0, false
		}
		fails += inner
	}
	return fails, true
}

func countBranch(n *parse.BranchNode) (fails int, ok bool) {
	yes, okYes := countFails(n.List)
	no, okNo := countFails(n.ElseList)
	return yes + no, okYes && okNo
}

func isFail(p *parse.PipeNode) bool {
	if len(p.Decl) > 0 || len(p.Cmds) != 1 {
		return false
	}
	id, ok := p.Cmds[0].Args[0].(*parse.IdentifierNode)
	return ok && id.Ident == "fail"
}

func (m *miner) loop(n *parse.RangeNode, before string, f frame) {
	inner := f.in(f.dot)
	over := m.commands(n.Pipe, f)
	m.option(before, over)
	var element abstract
	for _, p := range over.paths {
		m.mark(m.usage.Walked, p)
		element.paths = append(element.paths, join(p, "*"))
	}
	for _, item := range over.items {
		element = union(element, item)
	}
	for i, v := range n.Pipe.Decl {
		if i == len(n.Pipe.Decl)-1 {
			inner.vars[v.Ident[0]] = element
		} else {
			inner.vars[v.Ident[0]] = abstract{}
		}
	}
	inner.dot = element
	m.list(n.List, inner)
	m.list(n.ElseList, f.in(f.dot))
}

// pipe evaluates a pipeline and binds its variables.
func (m *miner) pipe(p *parse.PipeNode, f frame) abstract {
	if p == nil {
		return abstract{}
	}
	v := m.commands(p, f)
	for _, d := range p.Decl {
		name := d.Ident[0]
		if s, ok := f.find(name); ok && p.IsAssign {
			s.vars[name] = union(s.vars[name], v)
			continue
		}
		f.vars[name] = v
	}
	return v
}

func (m *miner) commands(p *parse.PipeNode, f frame) abstract {
	var v abstract
	for i, c := range p.Cmds {
		v = m.command(c, v, i > 0, f)
	}
	return v
}

func (m *miner) command(c *parse.CommandNode, piped abstract, hasPiped bool, f frame) abstract {
	first := c.Args[0]
	if id, ok := first.(*parse.IdentifierNode); ok {
		args := m.arguments(id.Ident, c.Args[1:], f)
		if hasPiped {
			args = append(args, piped)
		}
		return m.function(id.Ident, args, f)
	}
	if field, ok := first.(*parse.FieldNode); ok && strings.Join(field.Ident, ".") == "Files.Get" && len(c.Args) == 2 {
		return abstract{file: m.operand(c.Args[1], f).text}
	}
	v := m.operand(first, f)
	for _, a := range c.Args[1:] {
		m.operand(a, f)
	}
	return v
}

// arguments evaluates in order. Each argument of and is reached only if those
// before it hold.
func (m *miner) arguments(name string, nodes []parse.Node, f frame) []abstract {
	var args []abstract
	depth := len(m.guards)
	for _, a := range nodes {
		v := m.operand(a, f)
		args = append(args, v)
		if name == "and" {
			m.guards = append(m.guards, v)
		}
	}
	m.guards = m.guards[:depth]
	return args
}

func (m *miner) operand(node parse.Node, f frame) abstract {
	switch n := node.(type) {
	case *parse.DotNode:
		return f.dot
	case *parse.FieldNode:
		return m.chain(f.dot, n.Ident)
	case *parse.VariableNode:
		s, ok := f.find(n.Ident[0])
		if !ok {
			return abstract{}
		}
		return m.chain(s.vars[n.Ident[0]], n.Ident[1:])
	case *parse.ChainNode:
		return m.chain(m.operand(n.Node, f), n.Field)
	case *parse.PipeNode:
		return m.commands(n, f)
	case *parse.StringNode:
		return abstract{text: n.Text, isText: true}
	case *parse.NumberNode:
		return abstract{text: n.Text}
	case *parse.IdentifierNode:
		return m.function(n.Ident, nil, f)
	}
	return abstract{}
}

// chain follows field names, noting each value it passes.
func (m *miner) chain(v abstract, names []string) abstract {
	for _, name := range names {
		v = m.field(v, name)
	}
	return v
}

func (m *miner) field(v abstract, name string) abstract {
	var out abstract
	if v.root && name == "Values" {
		out = at("")
	}
	if part, ok := v.fields[name]; ok {
		out = union(out, part)
	}
	for _, p := range v.paths {
		if p == "" && name == "AsMap" {
			out = union(out, at(""))
			continue
		}
		next := join(p, name)
		m.mark(m.usage.Read, next)
		if p != "" && !m.digging && !m.guardsFor(p) {
			m.usage.Needed[p] = true
		}
		out = union(out, at(next))
	}
	return out
}

// guardsFor tells whether some condition around looked at path or below it.
func (m *miner) guardsFor(path string) bool {
	for _, g := range m.guards {
		for _, p := range g.paths {
			if p == path || strings.HasPrefix(p, path+".") {
				return true
			}
		}
	}
	return false
}

func (m *miner) mark(set map[string]bool, path string) {
	if m.refusal > 0 {
		m.usage.Refused[path] = true
		return
	}
	set[path] = true
}

// option notes which value an agent's option is rendered from.
func (m *miner) option(before string, v abstract) {
	found := optionBefore.FindStringSubmatch(before)
	if !m.config || found == nil || len(v.paths) == 0 {
		return
	}
	m.addOption(found[1], v.paths)
}

// fixedOptions notes the options that are switched on by a condition.
func (m *miner) fixedOptions(text string) {
	if !m.config || len(m.guards) == 0 {
		return
	}
	guard := m.guards[len(m.guards)-1]
	if len(guard.paths) != 1 {
		return
	}
	for _, found := range optionFixed.FindAllStringSubmatch(text, -1) {
		m.addOption(found[1], guard.paths)
	}
}

func (m *miner) addOption(name string, paths []string) {
	all := append(m.usage.Options[name], paths...)
	slices.Sort(all)
	m.usage.Options[name] = slices.Compact(all)
}
