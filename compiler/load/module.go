// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"cuelang.org/go/mod/modfile"
	"cuelang.org/go/mod/module"

	"plumbline.dev/plumbline/schema"
)

const (
	moduleFile = "cue.mod/module.cue"
	// language is the version of CUE that the schema is written in, and that an
	// environment without a module file is read as.
	language = "v0.17.0"
	// schemaVersion is the version under which the embedded schema is required.
	// Any other version that a module file asks for gives the same one: what
	// types an environment is the plumb that compiles it.
	schemaVersion = "v0.0.0"
	// ownModule stands in for Plumbline's own module while its environments are
	// loaded, so that they too are typed by the embedded schema.
	ownModule = "plumbline.dev/environments@v0"
	// authorRoot and schemaRoot are where the author's module and the schema's lie
	// in the file system that CUE loads from. CUE passes over files in its root.
	authorRoot, schemaRoot = "author", "schema"
)

// schemaModule is the embedded schema as a CUE module.
var schemaModule = sync.OnceValue(func() memory {
	files := memory{moduleFile: fmt.Appendf(nil, "module: %q\nlanguage: version: %q\n", schema.Module, language)}
	folder := path.Base(schema.Package)
	entries, err := schema.Files.ReadDir(".")
	for _, e := range entries {
		var data []byte
		data, err = schema.Files.ReadFile(e.Name())
		files[path.Join(folder, e.Name())] = data
	}
	if err != nil {
		panic(err) // embedded files can be read
	}
	return files
})

// registry serves the embedded schema, and nothing else.
type registry struct{}

var schemaBase = strings.TrimSuffix(schema.Module, "@v0")

func (registry) ModFile(_ context.Context, m module.Version) (*modfile.File, error) {
	if m.BasePath() != schemaBase {
		return nil, errNoModule(m.Path())
	}
	return modfile.Parse(schemaModule()[moduleFile], moduleFile)
}

func (registry) Fetch(_ context.Context, m module.Version) (module.SourceLoc, error) {
	if m.BasePath() != schemaBase {
		return module.SourceLoc{}, errNoModule(m.Path())
	}
	return module.SourceLoc{FS: schemaFiles{schemaModule()}, Dir: "."}, nil
}

// schemaFiles are the schema's module, found again below schemaRoot of the
// author's file system: CUE loads every package from one.
type schemaFiles struct{ memory }

// OSRoot makes this a module.OSRootFS.
func (schemaFiles) OSRoot() string { return "/" + schemaRoot }

var _ module.OSRootFS = schemaFiles{}

func (registry) ModuleVersions(_ context.Context, path string) ([]string, error) {
	if path != schemaBase && path != schema.Module {
		return nil, nil
	}
	return []string{schemaVersion}, nil
}

func errNoModule(path string) error {
	return fmt.Errorf("module %s is not part of this folder: environments are read without network; put what they import into their own module", path)
}

// authored is the file system of the author's module, with a module file that
// requires the schema.
func authored(files fs.FS, display func(string) string) (fs.FS, error) {
	data, err := fs.ReadFile(files, moduleFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return tree{files, noModule()}, nil
	case err != nil:
		return nil, fmt.Errorf("%s: %w", display(moduleFile), err)
	}
	m, err := modfile.ParseNonStrict(data, display(moduleFile))
	if err != nil {
		return nil, err
	}
	if data, err = requireSchema(m); err != nil {
		return nil, fmt.Errorf("%s: %w", display(moduleFile), err)
	}
	return tree{files, data}, nil
}

// noModule is the module file of environments that have none.
var noModule = sync.OnceValue(func() []byte {
	return fmt.Appendf(nil, "module: %q\nlanguage: version: %q\ndeps: %q: v: %q\n", ownModule, language, schema.Module, schemaVersion)
})

// requireSchema gives the module file with the schema among its dependencies.
func requireSchema(m *modfile.File) ([]byte, error) {
	out := modfile.File{Module: m.Module, Language: m.Language, Custom: m.Custom, Deps: maps.Clone(m.Deps)}
	if m.QualifiedModule() == schema.Module || m.Module == "" {
		out.Module = ownModule
	}
	if out.Language == nil {
		out.Language = &modfile.Language{Version: language}
	}
	if out.Deps == nil {
		out.Deps = map[string]*modfile.Dep{}
	}
	out.Deps[schema.Module] = &modfile.Dep{Version: schemaVersion}
	return modfile.Format(&out)
}

// tree is the file system that CUE loads from: the author's module, with
// another module file, and the schema's.
type tree struct {
	author fs.FS
	module []byte
}

func (t tree) Open(name string) (fs.File, error) {
	root, rest, _ := strings.Cut(name, "/")
	if rest == "" {
		rest = "."
	}
	switch {
	case root == schemaRoot:
		return schemaModule().Open(rest)
	case root == authorRoot && rest == moduleFile:
		return memory{moduleFile: t.module}.Open(rest)
	case root == authorRoot:
		f, err := t.author.Open(rest)
		if rest == path.Dir(moduleFile) && errors.Is(err, fs.ErrNotExist) {
			return memory{moduleFile: t.module}.Open(rest)
		}
		return f, err
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// sorted lists the paths in order.
func (m memory) sorted() []string { return slices.Sorted(maps.Keys(m)) }
