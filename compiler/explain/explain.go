// SPDX-License-Identifier: Apache-2.0

// Package explain knows what each code that a finding can have means: what is
// wrong, why it matters, how to mend it. It finds nothing itself.
package explain

import (
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"sigs.k8s.io/yaml"

	"plumbline.dev/plumbline/compiler"
	"plumbline.dev/plumbline/compiler/adopt"
	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/release"
	"plumbline.dev/plumbline/compiler/rules"
	"plumbline.dev/plumbline/compiler/values"
)

//go:embed pages.yaml
var ofPasses []byte

//go:embed flux.yaml
var ofReleases []byte

//go:embed snapshot.yaml
var ofObjects []byte

//go:embed examples.yaml
var ofRules []byte

// examples are those of Plumbline's own rules, by code.
var examples = sync.OnceValue(func() map[string]diag.Page {
	out := map[string]diag.Page{}
	for _, p := range parse(ofRules) {
		out[p.Code] = p
	}
	return out
})

// parse reads pages that are part of the program; their tests read them too.
func parse(text []byte) []diag.Page {
	var list []diag.Page
	if err := yaml.UnmarshalStrict(text, &list); err != nil {
		panic(err)
	}
	for i := range list {
		list[i].Bad, list[i].Good = strings.TrimSpace(list[i].Bad), strings.TrimSpace(list[i].Good)
	}
	return list
}

// own are the pages of the compiler's passes, and of what is said of a cluster's
// objects. The former weigh what the passes say.
var own = sync.OnceValue(func() []diag.Page {
	list := append(parse(ofPasses), parse(ofReleases)...)
	weighed := map[string]diag.Severity{}
	for _, code := range Codes() {
		weighed[code.ID] = code.Severity
	}
	for i := range list {
		list[i].Severity = weighed[list[i].Code]
	}
	return append(list, parse(ofObjects)...)
})

// Codes gives every code that something else than a rule finds: the passes of the
// compiler, the reading of a HelmRelease, an import.
func Codes() []values.Code {
	list := append(compiler.Weights(), adopt.Codes()...)
	for _, code := range release.Codes() {
		list = append(list, values.Code(code))
	}
	return list
}

// Pages gives a page for each code, sorted, those of a team's rules included.
func Pages(team *rules.Set) []diag.Page {
	list := slices.Clone(own())
	all := compiler.Rules()
	if team != nil {
		all = append(slices.Clone(all), team.Rules...)
	}
	for _, r := range all {
		p := diag.Page{Code: r.Code, Severity: r.Severity, Title: r.Title, Why: r.Why, Mend: r.Mend, URLs: r.URLs}
		if len(r.Positions) == 0 { // no team's
			p.Bad, p.Good = examples()[r.Code].Bad, examples()[r.Code].Good
		}
		list = append(list, p)
	}
	slices.SortStableFunc(list, func(a, b diag.Page) int { return strings.Compare(a.Code, b.Code) })
	return list
}

// Find gives the pages that a word names: one code, or an area ("values/" or
// "values"). Where there is none the error names the nearest code.
func Find(pages []diag.Page, word string) ([]diag.Page, error) {
	area := strings.TrimSuffix(word, "/") + "/"
	var list []diag.Page
	var codes []string
	for _, p := range pages {
		codes = append(codes, p.Code)
		if p.Code == word || strings.HasPrefix(p.Code, area) {
			list = append(list, p)
		}
	}
	if len(list) > 0 {
		return list, nil
	}
	hint := "plumb explain lists them"
	if near, ok := diag.Nearest(word, codes); ok {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	return nil, fmt.Errorf("no finding has the code %q: %s", word, hint)
}

// Select gives the pages that words name, each once and in the words' order; all
// without a word. The error names every word that no page has.
func Select(pages []diag.Page, words []string) ([]diag.Page, error) {
	if len(words) == 0 {
		return pages, nil
	}
	var list []diag.Page
	var errs []error
	for _, word := range words {
		found, err := Find(pages, word)
		errs = append(errs, err)
		for _, p := range found {
			if !slices.ContainsFunc(list, func(other diag.Page) bool { return other.Code == p.Code }) {
				list = append(list, p)
			}
		}
	}
	return list, errors.Join(errs...)
}
