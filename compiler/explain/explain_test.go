// SPDX-License-Identifier: Apache-2.0

package explain_test

import (
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"plumbline.dev/plumbline/compiler"
	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/explain"
)

func TestEveryCodeHasOnePage(t *testing.T) {
	pages := explain.Pages(nil)
	var have []string
	for _, p := range pages {
		if slices.Contains(have, p.Code) {
			t.Errorf("%s has two pages", p.Code)
		}
		have = append(have, p.Code)
	}
	var want []string
	for _, c := range explain.Codes() {
		want = append(want, c.ID)
	}
	for _, r := range compiler.Rules() {
		want = append(want, r.Code)
	}
	for _, code := range want {
		if !slices.Contains(have, code) {
			t.Errorf("%s has no page", code)
		}
	}
}

func TestPagesSayEnough(t *testing.T) {
	for _, p := range explain.Pages(nil) {
		if p.Title == "" || p.Why == "" || p.Mend == "" {
			t.Errorf("%s: a page has title, why and mend", p.Code)
		}
		if strings.HasSuffix(p.Title, ".") || !strings.HasSuffix(p.Why, ".") || !strings.HasSuffix(p.Mend, ".") {
			t.Errorf("%s: why and mend are sentences, the title is none", p.Code)
		}
		if (p.Bad == "") != (p.Good == "") {
			t.Errorf("%s: an example goes with its remedy", p.Code)
		}
		for _, address := range p.URLs {
			if u, err := url.Parse(address); err != nil || u.Scheme != "https" || u.Host == "" {
				t.Errorf("%s: %q is no address", p.Code, address)
			}
		}
	}
}

func TestFind(t *testing.T) {
	pages := explain.Pages(nil)
	for word, want := range map[string]int{"values/unknown-key": 1, "values/": 17, "values": 17} {
		if got, err := explain.Find(pages, word); err != nil || len(got) != want {
			t.Errorf("%s: %d pages, %v, want %d", word, len(got), err, want)
		}
	}
	if _, err := explain.Find(pages, "values/unknown-kay"); err == nil || !strings.Contains(err.Error(), `did you mean "values/unknown-key"?`) {
		t.Errorf("a near miss: %v", err)
	}
	if _, err := explain.Find([]diag.Page{}, "x"); err == nil {
		t.Error("nothing was found, without an error")
	}
}

// docs/CODES.md is the pages. PLUMB_UPDATE=1 writes it.
func TestCatalogueIsTheDocument(t *testing.T) {
	const file = "../../docs/CODES.md"
	got := explain.Catalogue(explain.Pages(nil))
	if os.Getenv("PLUMB_UPDATE") != "" {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("PLUMB_UPDATE=1 writes the document anew (-want +got)\n%s", diff)
	}
}

func TestSelect(t *testing.T) {
	pages := explain.Pages(nil)
	list, err := explain.Select(pages, []string{"env/syntax", "env", "env/syntax"})
	if err != nil || len(list) != 13 || list[0].Code != "env/syntax" {
		t.Errorf("%d pages, %v, want the 13 of env, the one that is named first in front", len(list), err)
	}
	_, err = explain.Select(pages, []string{"env/sintax", "env", "values/unknown-kay"})
	if err == nil || !strings.Contains(err.Error(), "env/syntax") || !strings.Contains(err.Error(), "values/unknown-key") {
		t.Errorf("%v, want both mistakes told", err)
	}
}
