// SPDX-License-Identifier: Apache-2.0

package render

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
	helm "helm.sh/helm/v4/pkg/chart/v2"

	"plumbline.dev/plumbline/compiler/chart"
)

// schema is a chart's values.schema.json, and those of its dependencies by name.
// Helm's own check gives one text for all that it finds; the library below it
// gives places.
type schema struct {
	own   *jsonschema.Schema // nil where the chart has none
	below map[string]*schema
}

// sealed loads nothing: a schema that refers to other files or to the network
// would make a render depend on them.
type sealed struct{}

func (sealed) Load(url string) (any, error) {
	return nil, fmt.Errorf("it refers to %s, which is not part of the chart", url)
}

func compileSchemas(c *helm.Chart) (*schema, error) {
	out := &schema{below: map[string]*schema{}}
	if len(c.Schema) > 0 {
		own, err := compileSchema(c.Schema)
		if err != nil {
			return nil, &chart.Problem{
				Code: chart.CodeUnreadable, About: chart.AboutVersion,
				Message: fmt.Sprintf("values.schema.json of the chart %s can't be used: %v", c.Name(), err),
			}
		}
		out.own = own
	}
	for _, dependency := range c.Dependencies() {
		below, err := compileSchemas(dependency)
		if err != nil {
			return nil, err
		}
		out.below[dependency.Name()] = below
	}
	return out, nil
}

func compileSchema(text []byte) (*jsonschema.Schema, error) {
	const url = "file:///values.schema.json"
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(sealed{})
	if err := compiler.AddResource(url, document); err != nil {
		return nil, err
	}
	return compiler.Compile(url)
}

// judge gives everything that the schemas have against the values, in order.
func (s *schema) judge(values map[string]any, at []string) []chart.Problem {
	var list []chart.Problem
	if s.own != nil {
		var found *jsonschema.ValidationError
		if err := s.own.Validate(values); errors.As(err, &found) {
			list = objections(found, at)
		} else if err != nil {
			list = []chart.Problem{objection(at, err.Error())}
		}
	}
	for name, below := range s.below {
		if inner, ok := values[name].(map[string]any); ok {
			list = append(list, below.judge(inner, append(slices.Clip(at), name))...)
		}
	}
	slices.SortStableFunc(list, func(a, b chart.Problem) int { return cmp.Compare(a.Message, b.Message) })
	return slices.CompactFunc(list, func(a, b chart.Problem) bool { return a.Message == b.Message })
}

// objections gives a problem for each value that is refused. The branches of an
// anyOf are one of them: the value may be either.
func objections(e *jsonschema.ValidationError, at []string) []chart.Problem {
	here := append(slices.Clip(at), e.InstanceLocation...)
	switch k := e.ErrorKind.(type) {
	case *kind.AnyOf, *kind.OneOf:
		return alternatives(e, here, at)
	case *kind.AdditionalProperties:
		var list []chart.Problem
		for _, name := range k.Properties {
			list = append(list, objection(append(slices.Clip(here), name), "the chart has no such value"))
		}
		return list
	}
	if len(e.Causes) == 0 {
		return []chart.Problem{objection(here, english(e))}
	}
	var list []chart.Problem
	for _, cause := range e.Causes {
		list = append(list, objections(cause, at)...)
	}
	return list
}

// alternatives says what each branch wants of the value itself; where they all
// look deeper, it gives what the first finds.
func alternatives(e *jsonschema.ValidationError, here, at []string) []chart.Problem {
	var wants []string
	var deeper []chart.Problem
	for _, cause := range e.Causes {
		if len(cause.Causes) == 0 && len(cause.InstanceLocation) == len(e.InstanceLocation) {
			wants = append(wants, english(cause))
		} else if deeper == nil {
			deeper = objections(cause, at)
		}
	}
	if len(wants) == 0 && deeper != nil {
		return deeper
	}
	slices.Sort(wants)
	return []chart.Problem{objection(here, strings.Join(slices.Compact(append(wants, oneOf(e)...)), ", or "))}
}

// oneOf is what a value has against it that more than one branch takes.
func oneOf(e *jsonschema.ValidationError) []string {
	if len(e.Causes) > 0 {
		return nil
	}
	return []string{english(e)}
}

// english is the library's own words for one error.
func english(e *jsonschema.ValidationError) string {
	return e.ErrorKind.LocalizedString(message.NewPrinter(language.English))
}

func objection(path []string, words string) chart.Problem {
	p := chart.Problem{Code: chart.CodeSchema, About: chart.AboutValues}
	if len(path) > 0 {
		p.Keys = [][]string{path}
		words = strings.Join(path, ".") + ": " + words
	}
	p.Message = "the chart's schema refuses " + words
	return p
}
