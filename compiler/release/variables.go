// SPDX-License-Identifier: Apache-2.0

package release

import (
	"encoding/base64"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"plumbline.dev/plumbline/compiler/diag"
)

// File is a file by the name that findings show.
type File struct {
	Name string
	Data []byte
}

// isYAML tells a file of objects from one of NAME=VALUE lines.
func (f File) isYAML() bool {
	switch path.Ext(f.Name) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
}

// Variable is what Flux puts in for ${Name}.
type Variable struct {
	Name, Value string
	Positions   []diag.Position
}

// variables are those of one HelmRelease.
type variables struct {
	byName map[string]Variable
	used   map[string]bool
}

// names are in order.
func (v *variables) names() []string { return slices.Sorted(maps.Keys(v.byName)) }

// lookup is the mapping that kustomize-controller gives to its library unless it
// runs with StrictPostBuildSubstitutions: a variable that is not there is "".
func (v *variables) lookup(name string) (string, bool) { return v.byName[name].Value, true }

// unused reports what nothing asked for.
func (v *variables) unused() diag.List {
	var list diag.List
	for _, name := range v.names() {
		if !v.used[name] {
			list = append(list, finding(CodeUnused, "", fmt.Sprintf("the HelmRelease does not use the variable %s", name), "", v.byName[name].Positions...))
		}
	}
	return list
}

// ReadVariables reads files of variables, later ones over earlier ones: lines
// of NAME=VALUE as a configMapGenerator of kustomize's takes them by envs, and
// in YAML the ConfigMaps and Secrets that substituteFrom names, and the
// postBuild.substitute of a Flux Kustomization.
func ReadVariables(files []File) ([]Variable, diag.List) {
	v, list := readVariables(files, nil)
	var out []Variable
	for _, name := range v.names() {
		out = append(out, v.byName[name])
	}
	return out, list.Sort()
}

// readVariables leaves aside the objects that hold values: those that a
// HelmRelease names in valuesFrom.
func readVariables(files []File, aside []*object) (*variables, diag.List) {
	v := &variables{byName: map[string]Variable{}, used: map[string]bool{}}
	var list diag.List
	for _, f := range files {
		vars, found := readFile(f, aside)
		list = append(list, found...)
		for _, each := range vars {
			v.byName[each.Name] = each
		}
	}
	return v, list
}

// variableName is what Flux takes as the name of a variable; with another one
// among them it substitutes none.
var variableName = regexp.MustCompile(`^[_[:alpha:]][_[:alpha:][:digit:]]*$`)

func badName(name string, at diag.Position) diag.Diagnostic {
	d := finding(CodeEnvSyntax, "", fmt.Sprintf("%q is no name of a variable: Flux refuses all of them then", name),
		"write a name of letters, digits and _, without a space before =", at)
	if name == "" {
		d.Message, d.Hint = "the line has no name in front of =: kustomize passes over it", "write NAME=VALUE"
	}
	if rest, ok := strings.CutPrefix(name, "export "); ok {
		d.Hint = fmt.Sprintf("this is no shell script: write %s= without export", rest)
	}
	return d
}

// readEnv reads lines of NAME=VALUE as kustomize 5 does: blanks in front go,
// lines that start with # are comments, everything behind the first = is the
// value, quotes and blanks included.
func readEnv(f File) ([]Variable, diag.List) {
	var vars []Variable
	var list diag.List
	seen := map[string]Variable{}
	text := strings.TrimPrefix(string(f.Data), "\ufeff")
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSuffix(line, "\r")
		trimmed := strings.TrimLeftFunc(line, unicode.IsSpace)
		at := diag.Position{File: f.Name, Line: i + 1, Column: 1 + len(line) - len(trimmed)}
		switch {
		case !utf8.ValidString(line):
			list = append(list, finding(CodeEnvSyntax, "", "the line is not UTF-8", "", at))
			continue
		case trimmed == "" || trimmed[0] == '#':
			continue
		case len(line) >= longestLine:
			list = append(list, finding(CodeEnvSyntax, "", fmt.Sprintf("the line has %d bytes: kustomize reads none of the file from here on", len(line)), "", at))
			continue
		}
		name, value, _ := strings.Cut(trimmed, "=")
		v := Variable{Name: name, Value: value, Positions: []diag.Position{at}}
		if !variableName.MatchString(name) {
			list = append(list, badName(name, at))
			v.Name = strings.TrimSpace(strings.TrimPrefix(name, "export ")) // what was meant, so that no other finding misses it
		}
		if first, twice := seen[v.Name]; twice {
			list = append(list, finding(CodeTwice, "", fmt.Sprintf("%s is stated twice in this file: kustomize refuses it", v.Name),
				"keep one of them", append(slices.Clip(v.Positions), first.Positions...)...))
		}
		seen[v.Name] = v
		vars = append(vars, v)
	}
	return vars, list
}

// longestLine is where the scanner that kustomize reads lines with gives up,
// without a word.
const longestLine = 64 << 10

// readFile reads the variables of one file.
func readFile(f File, aside []*object) ([]Variable, diag.List) {
	if !f.isYAML() {
		return readEnv(f)
	}
	objects, list := readObjects(f)
	var vars []Variable
	for _, o := range objects {
		if slices.ContainsFunc(aside, func(named *object) bool { return named.kind() == o.kind() && named.name() == o.name() }) {
			continue
		}
		found, bad := o.variables()
		vars, list = append(vars, found...), append(list, bad...)
	}
	return vars, list
}

// variables are those that Flux takes from an object, without line breaks.
func (o *object) variables() ([]Variable, diag.List) {
	var vars []Variable
	var list diag.List
	take := func(decode func(string) (string, error), names ...string) {
		inner, _ := lookup(o.data, names...).(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(inner)) {
			at := o.at(append(slices.Clip(names), name)...)
			text, err := decode(fmt.Sprint(inner[name]))
			switch {
			case err != nil:
				list = append(list, finding(CodeEnvSyntax, "", fmt.Sprintf("%s of the Secret %s is not base64: %v", name, o.name(), err), "", at))
			case !variableName.MatchString(name):
				list = append(list, badName(name, at))
			default:
				vars = append(vars, Variable{name, strings.ReplaceAll(text, "\n", ""), []diag.Position{at}})
			}
		}
	}
	plain := func(s string) (string, error) { return s, nil }
	switch {
	case o.kind() == "ConfigMap":
		take(plain, "data")
	case o.kind() == "Secret":
		take(fromBase64, "data")
		take(plain, "stringData")
	case o.kind() == "Kustomization" && strings.HasPrefix(o.text("apiVersion"), "kustomize.toolkit.fluxcd.io/"):
		take(plain, "spec", "postBuild", "substitute")
	}
	return vars, list
}

func fromBase64(text string) (string, error) {
	data, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	return string(data), err
}
