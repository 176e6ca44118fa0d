// SPDX-License-Identifier: Apache-2.0

package explain_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"plumbline.dev/plumbline/compiler/explain"
	"plumbline.dev/plumbline/compiler/rules"
)

var codeForm = regexp.MustCompile(`^[a-z]+/[a-z][a-z0-9-]*$`)

// codesInSource gives the codes that the program's text holds: constants with a
// name that begins with code, and any text in the area of a code that is known.
func codesInSource(t *testing.T, areas []string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, root := range []string{"../../compiler", "../../runtime", "../../cmd", "../../schema"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution|parser.ParseComments)
			if err != nil || ast.IsGenerated(file) { // rules have pages of their own
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool { collect(n, path, areas, found); return true })
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

func collect(n ast.Node, path string, areas []string, found map[string]string) {
	add := func(e ast.Expr, whatever bool) {
		literal, ok := e.(*ast.BasicLit)
		if !ok || literal.Kind != token.STRING {
			return
		}
		text, err := strconv.Unquote(literal.Value)
		if err != nil || !codeForm.MatchString(text) {
			return
		}
		area, _, _ := strings.Cut(text, "/")
		if whatever || slices.Contains(areas, area) {
			found[text] = path
		}
	}
	switch n := n.(type) {
	case *ast.ValueSpec:
		for i, name := range n.Names {
			if i < len(n.Values) && strings.HasPrefix(strings.ToLower(name.Name), "code") {
				add(n.Values[i], true)
			}
		}
	case *ast.KeyValueExpr:
		if key, ok := n.Key.(*ast.Ident); ok && key.Name == "Code" {
			add(n.Value, true)
		}
	case *ast.CallExpr:
		for _, argument := range n.Args {
			add(argument, false)
		}
	}
}

// Whatever code the program can print has a page, and no page is of a code that
// it can't: of passes and of notices on a cluster's objects alike.
func TestPagesAreOfTheProgramsCodes(t *testing.T) {
	var pages, areas []string
	own := rules.Own()
	for _, p := range explain.Pages(nil) {
		area, _, _ := strings.Cut(p.Code, "/")
		areas = append(areas, area)
		if !slices.ContainsFunc(own.Rules, func(r rules.Rule) bool { return r.Code == p.Code }) {
			pages = append(pages, p.Code)
		}
	}
	found := codesInSource(t, areas)
	for code, path := range found {
		if !slices.Contains(pages, code) {
			t.Errorf("%s: %s has no page", path, code)
		}
	}
	for _, code := range pages {
		if found[code] == "" {
			t.Errorf("no finding has the code %s", code)
		}
	}
}
