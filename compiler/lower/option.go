// SPDX-License-Identifier: Apache-2.0

package lower

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/load"
)

// The codes of what Settings finds.
const (
	// CodeBadOption is the code of a value that the agent refuses to start with.
	CodeBadOption = "settings/bad-value"
	// CodeOptionTwice is the code of an option that stands twice in cilium-config.
	CodeOptionTwice = "settings/option-twice"
	// CodeNotCompiled is the code of a value whose effect is not compiled.
	CodeNotCompiled = "settings/not-compiled"
)

// resolver finds what an option of the agent is in the end: as extraConfig has
// it, or else as the chart renders it from a Helm value, or else as the agent
// has it by default.
type resolver struct {
	env    *load.Environment
	values map[string]any // the free values over the chart's defaults
	list   diag.List
}

// option is an option of the agent and the Helm value that the chart renders it
// from. An empty value path is one that the chart renders from nothing.
type option struct {
	value string // "nodePort.range"
	flag  string // "node-port-range"
}

// text gives the option's text, and the path of the value that it came from.
func (r *resolver) text(o option, agent string) (text string, path []string) {
	rendered, set := r.rendered(o)
	if extra, ok := lookup(r.values, []string{"extraConfig", o.flag}); ok && extra != nil {
		if set {
			r.twice(o, extra)
		}
		return fmt.Sprint(extra), []string{"extraConfig", o.flag}
	}
	if set {
		return rendered, strings.Split(o.value, ".")
	}
	return agent, strings.Split(o.value, ".")
}

// rendered is what the chart puts into cilium-config. A list is joined by commas.
func (r *resolver) rendered(o option) (string, bool) {
	v, ok := lookup(r.values, strings.Split(o.value, "."))
	if !ok || v == nil {
		return "", false
	}
	if list, isList := v.([]any); isList {
		words := make([]string, len(list))
		for i, word := range list {
			words[i] = fmt.Sprint(word)
		}
		return strings.Join(words, ","), len(words) > 0
	}
	text := fmt.Sprint(v)
	return text, text != ""
}

func (r *resolver) twice(o option, extra any) {
	r.add(CodeOptionTwice, diag.Warning, []string{"extraConfig", o.flag}, fmt.Sprintf("set %s instead", o.value),
		"%s stands twice in cilium-config: the chart renders it from %s, and extraConfig adds %s; the later one, extraConfig's, counts", o.flag, o.value, show(extra))
}

// add reports what is wrong with a value.
func (r *resolver) add(code string, severity diag.Severity, path []string, hint, format string, args ...any) {
	full := append([]string{"values"}, path...)
	r.list = append(r.list, diag.Diagnostic{
		Code: code, Severity: severity, Path: "environment." + pathText(full),
		Message: fmt.Sprintf(format, args...), Hint: hint, Positions: r.env.Positions(full...),
	})
}

// pathText writes a path as CUE does.
func pathText(path []string) string {
	words := slices.Clone(path)
	for i, word := range words {
		if strings.ContainsAny(word, "-. /") {
			words[i] = strconv.Quote(word)
		}
	}
	return strings.Join(words, ".")
}

func (r *resolver) bad(path []string, want, have string) {
	r.add(CodeBadOption, diag.Error, path, "", "want %s, have %q: the agent refuses to start", want, have)
}

func (r *resolver) boolean(o option, agent bool) bool {
	text, path := r.text(o, strconv.FormatBool(agent))
	b, err := strconv.ParseBool(text)
	if err != nil {
		r.bad(path, "true or false", text)
		return agent
	}
	return b
}

func (r *resolver) word(o option, agent string, words ...string) string {
	text, path := r.text(o, agent)
	if !slices.Contains(words, text) {
		r.bad(path, "one of "+strings.Join(words, ", "), text)
		return agent
	}
	return text
}

// size gives a number of map entries, at least least.
func (r *resolver) size(o option, agent, least uint32) uint32 {
	text, path := r.text(o, strconv.FormatUint(uint64(agent), 10))
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || uint32(n) < least {
		r.bad(path, fmt.Sprintf("a number of entries, at least %d", least), text)
		return agent
	}
	return uint32(n)
}
