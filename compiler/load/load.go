// SPDX-License-Identifier: Apache-2.0

package load

import (
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/build"
	"cuelang.org/go/cue/cuecontext"
	cueload "cuelang.org/go/cue/load"
	"cuelang.org/go/cue/parser"

	"plumbline.dev/plumbline/compiler/diag"
	"plumbline.dev/plumbline/schema"
)

// field is the name under which a package states its environment.
const field = "environment"

// Load reads an environment. It returns every finding of one run, sorted. The
// Environment is complete exactly where none of them is an Error, and nil where
// there is nothing to look at.
func Load(src Source) (*Environment, diag.List) {
	r := &reader{source: src, context: newContext(), places: newPlaces(src)}
	env := r.load()
	return env, r.findings.Sort()
}

// LoadText is Load of an environment in one file that need not be on any disk.
// The name is for the places alone.
func LoadText(name string, text []byte) (*Environment, diag.List) {
	r := &reader{source: Source{Dir: textDir, Folder: Folder{Dir: textDir, WorkDir: textDir}}, context: newContext(), places: &places{folder: path.Dir(name)}}
	r.text = &textFile{name, text}
	env := r.load()
	return env, r.findings.Sort()
}

// textDir stands for the folder of a file on no disk.
const textDir = "/text"

// textFile is a file by the name that findings show.
type textFile struct {
	name string
	data []byte
}

// newContext is CUE's evaluator, whatever CUE_DEBUG says.
func newContext() *cue.Context {
	return cuecontext.New(cuecontext.EvaluatorVersion(cuecontext.EvalV3), cuecontext.CUE_DEBUG(""))
}

// reader holds one environment while it is read.
type reader struct {
	source   Source
	context  *cue.Context
	places   *places
	text     *textFile // all there is of the environment, if it is not a folder
	findings diag.List
	// consequences are told only where nothing else is wrong.
	consequences diag.List
}

func (r *reader) load() *Environment {
	instance := r.instance()
	if instance == nil {
		return nil
	}
	whole := r.context.BuildInstance(instance)
	written := whole.LookupPath(cue.ParsePath(field))
	if !written.Exists() {
		if whole.Err() != nil {
			r.reportAll(codeEvaluation, whole.Err())
			return nil
		}
		r.add(diag.Diagnostic{Code: codeNoEnvironment, Message: "the package states no environment",
			Hint: fmt.Sprintf("write %s: schema.#Environment & {name: %q}", field, path.Base(filepath.ToSlash(r.source.Dir))), Positions: r.files(instance)})
		return nil
	}
	typed := r.schema("Environment", instance.Dependencies()...)
	value := written.Unify(typed)
	walker{r, typed}.value(value, typed, trail{root: field})
	r.safetyNet(whole, value)
	if r.findings.Count(diag.Error) == 0 {
		r.findings = append(r.findings, r.consequences...)
	}
	return r.decode(value)
}

// instance finds and parses the files of the environment. What it finds wrong is
// reported, and there is no instance then.
func (r *reader) instance() *build.Instance {
	if r.text != nil {
		return r.instanceOf(memory{"environment.cue": r.text.data}, ".", func(string) string { return r.text.name })
	}
	root := r.source.root()
	folder, err := r.source.open(root)
	if err != nil {
		r.add(diag.Diagnostic{Code: codeUnreadable, Message: err.Error()})
		return nil
	}
	defer folder.Close()
	display := func(name string) string { return r.source.display(filepath.Join(root, filepath.FromSlash(name))) }
	below, err := filepath.Rel(root, r.source.Dir)
	if err != nil {
		r.add(diag.Diagnostic{Code: codeUnreadable, Message: err.Error()})
		return nil
	}
	return r.instanceOf(folder.FS, filepath.ToSlash(below), display)
}

// instanceOf is the instance in a folder of the author's module.
func (r *reader) instanceOf(module fs.FS, below string, display func(string) string) *build.Instance {
	files, err := authored(module, display)
	if err != nil {
		r.reportModuleFile(display(moduleFile), err)
		return nil
	}
	instance := cueload.Instances([]string{"."}, &cueload.Config{
		FS: files, Dir: path.Join("/", authorRoot, below), ModuleRoot: "/" + authorRoot,
		FromFSPath: shown(display), Registry: registry{}, Env: []string{},
	})[0]
	if instance.Err != nil {
		r.reportAll(codeSyntax, instance.Err)
		r.syntax(module, below, display)
		return nil
	}
	return instance
}

// syntax parses every file of the environment's folder and of those above it:
// CUE stops at the first folder in which it finds a mistake.
func (r *reader) syntax(files fs.FS, folder string, display func(string) string) {
	for {
		names, err := fs.Glob(files, path.Join(escapeGlob(folder), "*.cue"))
		if err != nil {
			r.add(diag.Diagnostic{Code: codeUnreadable, Message: err.Error()})
		}
		for _, name := range names {
			data, err := fs.ReadFile(files, name)
			if err != nil {
				r.add(diag.Diagnostic{Code: codeUnreadable, Message: err.Error(), Positions: []diag.Position{{File: display(name)}}})
				continue
			}
			if _, err := parser.ParseFile(display(name), data, parser.AllErrors); err != nil {
				r.reportAll(codeSyntax, err)
			}
		}
		if folder == "." {
			return
		}
		folder = path.Dir(folder)
	}
}

// shown turns the names of the file system that CUE loads from into those that
// findings show.
func shown(author func(string) string) func(string) string {
	return func(name string) string {
		root, below, _ := strings.Cut(strings.TrimPrefix(name, "/"), "/")
		if root == schemaRoot {
			return schemaPrefix + below
		}
		return author(below)
	}
}

// files are the places of an instance's files, as wholes.
func (r *reader) files(instance *build.Instance) []diag.Position {
	var list []diag.Position
	for _, f := range instance.Files {
		list = append(list, diag.Position{File: f.Filename})
	}
	return r.places.sort(list)
}

// schema gives an embedded definition: "Environment" types an environment. It is
// that of the package which the environment imports, or built anew where it
// imports none.
func (r *reader) schema(definition string, imported ...*build.Instance) cue.Value {
	i := slices.IndexFunc(imported, func(b *build.Instance) bool { return b.ImportPath == schema.Package })
	if i < 0 {
		imported, i = cueload.Instances([]string{"./" + path.Base(schema.Package)}, &cueload.Config{
			FS: tree{author: memory{}}, Dir: "/" + schemaRoot, ModuleRoot: "/" + schemaRoot, Registry: registry{}, Env: []string{},
			FromFSPath: shown(nil),
		}), 0
	}
	value := r.context.BuildInstance(imported[i]).LookupPath(cue.MakePath(cue.Def(definition)))
	if err := value.Err(); err != nil {
		panic(err) // the schema is part of the program; its tests build it
	}
	return value
}
