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
var text []byte

//go:embed flux.yaml
var fluxText []byte

// passes are the pages of the compiler's passes.
var passes = sync.OnceValue(func() []diag.Page {
	var list, more []diag.Page
	if err := errors.Join(yaml.UnmarshalStrict(text, &list), yaml.UnmarshalStrict(fluxText, &more)); err != nil {
		panic(err) // the pages are part of the program; their tests read them
	}
	list = append(list, more...)
	weighed := map[string]diag.Severity{}
	for _, code := range Codes() {
		weighed[code.ID] = code.Severity
	}
	for i := range list {
		list[i].Severity = weighed[list[i].Code]
		list[i].Bad, list[i].Good = strings.TrimSpace(list[i].Bad), strings.TrimSpace(list[i].Good)
	}
	return list
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
	list := slices.Clone(passes())
	all := compiler.Rules()
	if team != nil {
		all = append(slices.Clone(all), team.Rules...)
	}
	for _, r := range all {
		list = append(list, diag.Page{Code: r.Code, Severity: r.Severity, Title: r.Title, Why: r.Why, Mend: r.Mend, URLs: r.URLs})
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
