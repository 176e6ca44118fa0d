// SPDX-License-Identifier: Apache-2.0

package render

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"text/template"
	"unicode"

	"helm.sh/helm/v4/pkg/chart/common"
	helm "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/engine"

	"plumbline.dev/plumbline/compiler/chart"
)

// refusals are what fail and required of templates say. Helm ends at the first;
// where goOn is set the templates go on, so that all can be told in one run.
type refusals struct {
	goOn bool
	said []string
}

// mostRefusals bounds what is told of one chart.
const mostRefusals = 32

func (r *refusals) refuse(words string) error {
	if len(r.said) < mostRefusals {
		r.said = append(r.said, words)
	}
	if r.goOn {
		return nil
	}
	return errors.New(words)
}

// funcs are fail and required.
func (r *refusals) funcs() template.FuncMap {
	return template.FuncMap{
		"fail": func(words string) (string, error) { return "", r.refuse(words) },
		"required": func(words string, v any) (any, error) {
			if v == nil || v == "" {
				return v, r.refuse(words)
			}
			return v, nil
		},
	}
}

// place is a place of a template as text/template tells it.
var place = regexp.MustCompile(`[^\s:(]+/templates/[^\s:]+:\d+(?::\d+)?`)

// execute runs the templates.
func execute(loaded *helm.Chart, top common.Values) (map[string]string, []chart.Problem) {
	first := &refusals{}
	rendered, err := first.engine().Render(loaded, top)
	if err == nil {
		return rendered, nil
	}
	values, _ := top["Values"].(common.Values)
	if len(first.said) == 0 {
		return nil, []chart.Problem{broken(err, loaded, values)}
	}
	words := first.said[0]
	problems := []chart.Problem{refused(words, innermost(err.Error(), words), loaded, values)}
	all := &refusals{goOn: true}
	if _, err := all.engine().Render(loaded, top); err != nil {
		all.said = append(all.said, first.said...) // what breaks behind a refusal may be its consequence
	}
	for _, other := range slices.Compact(slices.Sorted(slices.Values(all.said))) {
		if other != words {
			problems = append(problems, refused(other, "", loaded, values))
		}
	}
	return nil, problems
}

func (r *refusals) engine() engine.Engine {
	funcs := standIns()
	maps.Copy(funcs, r.funcs())
	return engine.Engine{CustomTemplateFuncs: funcs}
}

// innermost is the place that an error comes from: the last that it names before
// its own words.
func innermost(text, words string) string {
	if words != "" {
		text, _, _ = strings.Cut(text, words)
	}
	at := place.FindAllString(text, -1)
	if len(at) == 0 {
		return ""
	}
	return at[len(at)-1]
}

// refused tells of a fail or a required. Without a place it is looked for by its
// words.
func refused(words, at string, loaded *helm.Chart, values map[string]any) chart.Problem {
	at, read := conditions(loaded, at, words)
	return chart.Problem{
		Code: chart.CodeRefused, About: chart.AboutValues, Template: at,
		Message: "the chart refuses: " + strings.Join(strings.Fields(words), " "),
		Hint:    aboutAPI(words),
		Keys:    distinct(append(named(words, values), read...)),
	}
}

// apiVersion is an API version with the group of a custom resource.
var apiVersion = regexp.MustCompile(`[a-z0-9-]+(?:\.[a-z0-9-]+)+/v[0-9][a-z0-9]*`)

// aboutAPI says what to do where a chart misses an API that the cluster may have.
func aboutAPI(words string) string {
	name := apiVersion.FindString(words)
	if name == "" || !strings.Contains(words, "CRD") {
		return ""
	}
	return fmt.Sprintf("if the cluster has it, say so: cluster: apiVersions: [%q]", name)
}

// broken tells of a template that can't be executed.
func broken(err error, loaded *helm.Chart, values map[string]any) chart.Problem {
	at, read := conditions(loaded, innermost(err.Error(), ""), "")
	return chart.Problem{
		Code: chart.CodeTemplate, About: chart.AboutValues, Template: at,
		Message: "a template of the chart breaks: " + lastWords(err.Error()),
		Keys:    distinct(append(named(err.Error(), values), read...)),
	}
}

// lastWords are the end of a trace of Helm's: the cause.
func lastWords(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	tail := lines[max(0, len(lines)-2):]
	return strings.Join(strings.Fields(strings.Join(tail, " ")), " ")
}

var (
	keyWord  = `[A-Za-z_][A-Za-z0-9_-]*`
	spoken   = regexp.MustCompile(`\.Values((?:\.` + keyWord + `)+)`)
	dotted   = regexp.MustCompile(`(?:^|[^\w./-])(` + keyWord + `(?:\.` + keyWord + `)+)`)
	pointer  = regexp.MustCompile(`(?:^|[^\w./-])((?:/` + keyWord + `)+)`)
	bareWord = regexp.MustCompile(`(?:^|[^\w./-])(` + keyWord + `)(=?)`)
)

// named finds the Helm values that a message names: .Values.a.b, a.b, /a/b, and
// a word by itself if it looks like a key. What stands in no values is none,
// unless the message says .Values.
func named(text string, values map[string]any) [][]string {
	var list [][]string
	add := func(key string, sure bool) {
		path := strings.FieldsFunc(key, func(r rune) bool { return r == '.' || r == '/' })
		if len(path) > 0 && path[len(path)-1] == "AsMap" {
			path = path[:len(path)-1]
		}
		if _, known := values[firstOf(path)]; len(path) > 0 && (sure || known) {
			list = append(list, path)
		}
	}
	for _, m := range spoken.FindAllStringSubmatch(text, -1) {
		add(m[1], true)
	}
	for _, form := range []*regexp.Regexp{dotted, pointer} {
		for _, m := range form.FindAllStringSubmatch(text, -1) {
			add(m[1], false)
		}
	}
	for i, m := range bareWord.FindAllStringSubmatch(text, -1) {
		if i == 0 || m[2] != "" || strings.ContainsFunc(m[1], unicode.IsUpper) && unicode.IsLower(rune(m[1][0])) {
			add(m[1], false)
		}
	}
	return list
}

func firstOf(path []string) string {
	if len(path) == 0 {
		return ""
	}
	return path[0]
}

// distinct drops what stands in front already.
func distinct(list [][]string) [][]string {
	var out [][]string
	for _, path := range list {
		if !slices.ContainsFunc(out, func(p []string) bool { return slices.Equal(p, path) }) {
			out = append(out, path)
		}
	}
	return out
}
