// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"plumbline.dev/plumbline/cmd/plumb/internal/git"
	"plumbline.dev/plumbline/compiler/compare"
	"plumbline.dev/plumbline/compiler/load"
)

// selection is an environment as an argument names it: ENV, or ENV@REV for what it
// was at a revision of its git repository.
type selection struct {
	origin compare.Origin
	// source is the zero one where the environment is Absent.
	source load.Source
	// work is what the environment is called in the work tree, and err why it is
	// not at the revision.
	work string
	err  error
}

// find finds an environment, at a revision where the argument has one. A folder
// whose name has an @ is itself.
func (e *env) find(arg string) (selection, error) {
	source, err := e.folder().Find(arg)
	name, revision, dated := strings.Cut(arg, "@")
	if err == nil || !dated {
		return selection{origin: compare.Origin{Environment: arg}, source: source, work: arg}, err
	}
	if name == "" || revision == "" {
		return selection{}, fmt.Errorf("%q: want ENV@REV, such as dev@main", arg)
	}
	return e.findAt(name, revision)
}

// findAt finds an environment at a revision. That it is not there is the
// selection's own error.
func (e *env) findAt(name, revision string) (selection, error) {
	at, where := e.folder().Dir, name
	if !isName(name) {
		at = e.path(name)
		where = git.Physical(at)
	}
	repository, err := git.Open(e.ctx, at)
	if err != nil {
		return selection{}, fmt.Errorf("%s@%s: %w", name, revision, err)
	}
	commit, err := repository.Commit(e.ctx, revision)
	if err != nil {
		return selection{}, err
	}
	files, err := repository.Files(e.ctx, commit, ".cue")
	if err != nil {
		return selection{}, err
	}
	folder := load.Folder{Dir: git.Physical(e.folder().Dir), WorkDir: git.Physical(e.dir),
		Tree: &load.Tree{Root: repository.Root, Name: revision, Files: files}}
	s := selection{origin: compare.Origin{Environment: name, Revision: revision, Commit: commit}, work: name}
	s.source, s.err = folder.Find(where)
	s.origin.Absent = s.err != nil
	return s, nil
}

// isName tells a name below the folder of the environments from a path.
func isName(arg string) bool {
	return filepath.IsLocal(arg) && arg != "." && !strings.HasPrefix(arg, "./")
}

// pair finds two environments. One may be absent at its revision, if it is there
// in the work tree or is the other one: then it came since, or went.
func (e *env) pair(a, b string) (from, to selection, err error) {
	from, errA := e.find(a)
	to, errB := e.find(b)
	if err := errors.Join(errA, errB); err != nil {
		return from, to, err
	}
	if from.err != nil && to.err != nil {
		return from, to, errors.Join(from.err, to.err)
	}
	for _, s := range []selection{from, to} {
		if s.err == nil {
			continue
		}
		if _, err := e.folder().Find(s.work); err != nil && from.work != to.work {
			return from, to, s.err
		}
		fmt.Fprintf(e.stderr, "plumb: %s is not there at %s (%.12s): all of the other side counts as %s\n",
			s.work, s.origin.Revision, s.origin.Commit, map[bool]string{true: "added", false: "removed"}[from.err != nil])
	}
	return from, to, nil
}
