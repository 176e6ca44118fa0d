// SPDX-License-Identifier: Apache-2.0

package load

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"plumbline.dev/plumbline/compiler/diag"
)

// ErrUnknown is wrapped where an environment, or the folder of all of them, is
// not there.
var ErrUnknown = errors.New("unknown environment")

// Folder is a folder of environments.
type Folder struct {
	// Dir is the folder, WorkDir where paths are told from; both are absolute.
	Dir, WorkDir string
	// Tree, if there is one, is read in the place of the disk.
	Tree *Tree
}

// Names lists the environments: the folders with CUE files that have none below
// them, by their path in the folder ("dev", "eu/prod"), in order.
func (f Folder) Names() ([]string, error) {
	if _, err := f.stat(f.Dir); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: there is no folder %s", ErrUnknown, f.display(f.Dir))
	}
	names, err := f.leaves(".")
	if err != nil {
		return nil, fmt.Errorf("environments in %s: %w", f.display(f.Dir), err)
	}
	return names, nil
}

// leaves lists the environments below a folder's path.
func (f Folder) leaves(below string) ([]string, error) {
	entries, err := f.readDir(filepath.Join(f.Dir, below))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") || strings.HasPrefix(e.Name(), "_") || e.Name() == "cue.mod" {
			continue
		}
		path := filepath.Join(below, e.Name())
		inner, err := f.leaves(path)
		if err != nil {
			return nil, err
		}
		if len(inner) == 0 && f.hasCUE(filepath.Join(f.Dir, path)) {
			inner = []string{filepath.ToSlash(path)}
		}
		names = append(names, inner...)
	}
	return names, nil
}

// hasCUE tells whether a folder itself holds CUE files.
func (f Folder) hasCUE(dir string) bool {
	entries, err := f.readDir(dir)
	return err == nil && slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return filepath.Ext(e.Name()) == ".cue" })
}

// escapeGlob makes a path match itself alone.
func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// Find gives the Source that an argument names: an environment of the folder,
// or else a path to a folder.
func (f Folder) Find(arg string) (Source, error) {
	path := arg
	if !filepath.IsAbs(path) {
		path = filepath.Join(f.WorkDir, arg)
	}
	candidates := []string{path}
	if filepath.IsLocal(arg) && arg != "." && !strings.HasPrefix(arg, "."+string(filepath.Separator)) {
		candidates = []string{filepath.Join(f.Dir, arg), path}
	}
	for _, dir := range candidates {
		if f.hasCUE(dir) {
			return Source{Dir: filepath.Clean(dir), Folder: f}, nil
		}
	}
	return Source{}, f.unknown(arg)
}

// unknown says which environments there are.
func (f Folder) unknown(arg string) error {
	names, err := f.Names()
	if err != nil {
		return fmt.Errorf("%w %q, and %v", ErrUnknown, arg, err)
	}
	if len(names) == 0 {
		return fmt.Errorf("%w %q: %s holds none, and it is no path to a folder with CUE files", ErrUnknown, arg, f.display(f.Dir))
	}
	hint := ""
	if near, ok := diag.Nearest(arg, names); ok {
		hint = fmt.Sprintf("; did you mean %q?", near)
	}
	return fmt.Errorf("%w %q: %s holds %s%s", ErrUnknown, arg, f.display(f.Dir), strings.Join(names, ", "), hint)
}

// display tells a path from the working directory, if it does not lead far away.
func (f Folder) display(path string) string {
	if f.Tree != nil {
		return f.Tree.display(path)
	}
	rel, err := filepath.Rel(f.WorkDir, path)
	if err != nil || strings.HasPrefix(rel, filepath.Join("..", "..", "..")) {
		return filepath.ToSlash(path)
	}
	return filepath.ToSlash(rel)
}

// Source is one environment's folder.
type Source struct {
	Dir string // absolute
	Folder
}

// root is the folder of the CUE module: the nearest that holds cue.mod. Without
// one it is the highest folder that an unbroken line of CUE files leads up to,
// the folder of the environments included.
func (s Source) root() string {
	for dir := s.Dir; ; dir = filepath.Dir(dir) {
		if info, err := s.stat(filepath.Join(dir, "cue.mod")); err == nil && info.IsDir() {
			return dir
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	if rel, err := filepath.Rel(s.Folder.Dir, s.Dir); err == nil && filepath.IsLocal(rel) {
		return s.Folder.Dir
	}
	root := s.Dir
	for s.hasCUE(filepath.Dir(root)) && root != filepath.Dir(root) {
		root = filepath.Dir(root)
	}
	return root
}
