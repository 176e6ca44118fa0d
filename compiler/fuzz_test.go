// SPDX-License-Identifier: Apache-2.0

package compiler_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"plumbline.dev/plumbline/compiler"
	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/compiler/load"
)

// Whatever an author writes, it compiles or there is an Error, and nothing
// panics. The corpus is what it starts from.
func FuzzCompile(f *testing.F) {
	archives, err := filepath.Glob(filepath.Join("..", "fixtures", "corpus", "*.txtar"))
	if err != nil || len(archives) == 0 {
		f.Fatalf("no archives: %v", err)
	}
	for _, path := range archives {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range archive.Files {
			if strings.HasSuffix(file.Name, ".cue") && !strings.HasSuffix(file.Name, "module.cue") {
				f.Add(string(file.Data))
			}
		}
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(filepath.Join(dir, "x.cue"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		env, list := load.Load(load.Source{Dir: dir, Folder: load.Folder{Dir: dir, WorkDir: dir}})
		if complete := env != nil && env.Complete; complete != (list.Count(diag.Error) == 0) {
			t.Fatalf("complete is %v beside %v", complete, list)
		}
		artifact, more := compiler.Compile(env)
		list = append(list, more...)
		if (artifact == nil) != (list.Count(diag.Error) > 0) {
			t.Fatalf("artifact %v beside %v", artifact != nil, list)
		}
		for _, d := range list {
			if d.Code == "" || d.Message == "" || strings.Contains(d.Message, "\x00schema:") {
				t.Fatalf("finding %+v", d)
			}
		}
	})
}
