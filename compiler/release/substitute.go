// SPDX-License-Identifier: Apache-2.0

package release

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	kyaml "sigs.k8s.io/yaml"

	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/values"
)

// disabled is the value, and switchKey the label or annotation, that keep
// variables out of an object.
const (
	switchKey = "kustomize.toolkit.fluxcd.io/substitute"
	disabled  = "disabled"
)

// substitution puts variables into one object and gathers what is to say of it.
type substitution struct {
	object *object
	vars   *variables
	// active says that Flux substitutes in this object at all.
	active bool
	list   diag.List
}

// substitute gives an object's tree as it arrives in the cluster, with the
// places it was written at; an Unknown one where it arrives not at all.
func substitute(o *object, v *variables) (values.Node, diag.List) {
	s := &substitution{object: o, vars: v, active: len(v.byName) > 0 && !o.switchedOff()}
	s.expressions(o.node, "")
	data := o.data
	switch {
	case s.active && s.list.Count(diag.Error) > countUndefined(s.list):
		data = nil
	case s.active:
		data = s.apply()
	}
	if data == nil {
		return values.Node{Positions: []diag.Position{o.at()}}, s.list
	}
	return s.tree(o.node, data, ""), s.list
}

// countUndefined counts the Errors that do not keep Flux from substituting.
func countUndefined(list diag.List) int {
	n := 0
	for _, d := range list {
		if d.Code == CodeUndefined || d.Code == CodeLeft {
			n++
		}
	}
	return n
}

func (o *object) switchedOff() bool {
	return o.text("metadata", "labels", switchKey) == disabled || o.text("metadata", "annotations", switchKey) == disabled
}

// apply goes Flux' way: the object's JSON to YAML, the variables into its text,
// and back. nil is an object that Flux refuses.
func (s *substitution) apply() map[string]any {
	data, err := through(s.object.json, s.vars)
	if err == nil {
		return data
	}
	before := len(s.list)
	s.culprits(s.object.node, "")
	if len(s.list) == before {
		s.list = append(s.list, finding(CodeBroken, "", "the document is no YAML once the variables are in it: "+oneLine(err), "", s.object.at()))
	}
	return nil
}

func through(json []byte, v *variables) (map[string]any, error) {
	text, err := kyaml.JSONToYAML(json)
	if err != nil {
		return nil, err
	}
	out, err := eval(string(text), v)
	if err != nil {
		return nil, err
	}
	if json, err = kyaml.YAMLToJSON([]byte(out)); err != nil {
		return nil, err
	}
	return decodeJSON(json)
}

// alone is what becomes of one string with nothing around it.
func alone(text string, v *variables) (any, error) {
	json, err := kyaml.Marshal(map[string]string{"v": text})
	if err != nil {
		return nil, err
	}
	if json, err = kyaml.YAMLToJSON(json); err != nil {
		return nil, err
	}
	data, err := through(json, v)
	return data["v"], err
}

// culprits finds the strings that are no YAML once variables are in them.
func (s *substitution) culprits(n *yaml.Node, path string) {
	s.eachString(n, path, func(n *yaml.Node, path string) {
		if !strings.Contains(n.Value, "$") {
			return
		}
		if _, err := alone(n.Value, s.vars); err != nil {
			text, _ := eval(n.Value, s.vars) // expressions has reported an error
			s.list = append(s.list, finding(CodeBroken, path, fmt.Sprintf("%q becomes %q, which is no YAML where it stands: %s", n.Value, text, oneLine(err)),
				"Flux puts variables into the text of the document: quote the value where the variable is stated", s.places(n)...))
		}
	})
}

// eachString visits the strings below a node, names included, aliases once.
func (s *substitution) eachString(n *yaml.Node, path string, visit func(n *yaml.Node, path string)) {
	switch n.Kind {
	case yaml.ScalarNode:
		if n.ShortTag() == "!!str" {
			visit(n, path)
		}
	case yaml.SequenceNode:
		for i, item := range n.Content {
			s.eachString(item, fmt.Sprintf("%s[%d]", path, i), visit)
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			below := values.Join(path, n.Content[i].Value)
			s.eachString(n.Content[i], below, visit)
			s.eachString(n.Content[i+1], below, visit)
		}
	}
}

// expressions judges every substitution that is written in an object.
func (s *substitution) expressions(n *yaml.Node, path string) {
	s.eachString(n, path, func(n *yaml.Node, path string) {
		if !strings.Contains(n.Value, "$") {
			return
		}
		if !s.active {
			s.inactive(n, path)
			return
		}
		list, err := uses(n.Value)
		if err != nil {
			s.list = append(s.list, finding(CodeExpression, path, fmt.Sprintf("%q is no substitution that Flux can read: %v", n.Value, err),
				"write ${NAME} or ${NAME:=default}, and $${ for a ${ that is meant as it stands", s.object.place(n)))
			return
		}
		for _, u := range list {
			s.use(u, n, path)
		}
		s.unbraced(n, path)
	})
}

func (s *substitution) inactive(n *yaml.Node, path string) {
	left, ok := leftBehind(n.Value)
	if !ok {
		return
	}
	why, hint := "Flux substitutes nothing without variables", "give the files with the variables: --env-file"
	if s.object.switchedOff() {
		why, hint = fmt.Sprintf("%s: %s keeps variables out of this object", switchKey, disabled), "take the label or annotation away"
	}
	s.list = append(s.list, finding(CodeLeft, path, fmt.Sprintf("%s reaches Helm as it stands: %s", left, why), hint, s.object.place(n)))
}

func (s *substitution) use(u use, n *yaml.Node, path string) {
	v, defined := s.vars.byName[u.name]
	s.vars.used[u.name] = true
	needed := !slices.ContainsFunc(u.inside, func(outer string) bool { return s.vars.byName[outer].Value != "" })
	if !defined && !u.fallback && needed {
		s.undefined(u.name, n, path)
	}
	if u.operator != ":?" && u.operator != ":+" || defined && v.Value != "" && u.operator == ":?" {
		return
	}
	message := fmt.Sprintf("Flux takes :? for :=, so ${%s:?…} does not refuse: it puts the text behind :? in", u.name)
	if u.operator == ":+" {
		message = fmt.Sprintf("Flux takes :+ for :=, so ${%s:+…} gives the variable where it has a value", u.name)
	}
	s.list = append(s.list, finding(CodeOperator, path, message, "write ${NAME} or ${NAME:=default}", s.object.place(n)))
}

func (s *substitution) undefined(name string, n *yaml.Node, path string) {
	hint := "state it, or write a default: ${" + name + ":=…}"
	if near, ok := diag.Nearest(name, s.vars.names()); ok {
		hint += fmt.Sprintf("; or did you mean %q?", near)
	}
	s.list = append(s.list, finding(CodeUndefined, path,
		fmt.Sprintf("no file states the variable %s, and it has no default: Flux puts nothing in its place, and refuses with StrictPostBuildSubstitutions", name), hint, s.object.place(n)))
}

// unbraced finds $VAR of a variable that there is.
func (s *substitution) unbraced(n *yaml.Node, path string) {
	for _, found := range bare.FindAllStringSubmatch(n.Value, -1) {
		if v, ok := s.vars.byName[found[1]]; ok {
			s.list = append(s.list, finding(CodeLeft, path, fmt.Sprintf("%s reaches Helm as it stands: Flux substitutes in braces alone", found[0]),
				"write ${"+found[1]+"}", append([]diag.Position{s.object.place(n)}, v.Positions...)...))
		}
	}
}

// places are those of a string, and of the variables in it.
func (s *substitution) places(n *yaml.Node) []diag.Position {
	return append([]diag.Position{s.object.place(n)}, s.stated(n)...)
}

// stated are the places of the variables in a string.
func (s *substitution) stated(n *yaml.Node) []diag.Position {
	n = resolve(n)
	if !s.active || n.Kind != yaml.ScalarNode || !strings.Contains(n.Value, "${") {
		return nil
	}
	list, err := uses(n.Value)
	if err != nil {
		return nil
	}
	var out []diag.Position
	for _, u := range list {
		for _, at := range s.vars.byName[u.name].Positions {
			if !slices.Contains(out, at) {
				out = append(out, at)
			}
		}
	}
	return out
}

func oneLine(err error) string {
	return strings.Join(strings.Fields(cmp.Or(strings.TrimPrefix(err.Error(), "error converting YAML to JSON: "), "unknown")), " ")
}
