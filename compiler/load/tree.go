// SPDX-License-Identifier: Apache-2.0

package load

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// Tree is files in memory that stand for those of a folder: a revision of a
// repository. There is nothing outside of it.
type Tree struct {
	// Root is the folder that the files stand for, absolute.
	Root string
	// Name is put in front of every path, with a colon: "main:environments/dev.cue".
	// Paths are told from Root, as git takes them.
	Name string
	// Files are by their slashed path below Root.
	Files map[string][]byte
}

// within gives the path in the tree.
func (t *Tree) within(name string) (string, bool) {
	rel, err := filepath.Rel(t.Root, name)
	return filepath.ToSlash(rel), err == nil && filepath.IsLocal(rel)
}

func (t *Tree) display(name string) string {
	rel, err := filepath.Rel(t.Root, name)
	if err != nil {
		return filepath.ToSlash(name)
	}
	return t.Name + ":" + filepath.ToSlash(rel)
}

// sub is a folder of the tree; one that is not there has no files.
func (t *Tree) sub(name string) (fs.FS, error) {
	rel, inside := t.within(name)
	if !inside {
		return memory{}, nil
	}
	return fs.Sub(memory(t.Files), path.Clean(rel))
}

// stat looks a file or folder up, on the disk or in the tree.
func (f Folder) stat(name string) (fs.FileInfo, error) {
	if f.Tree == nil {
		return os.Stat(name)
	}
	folder, err := f.Tree.sub(name)
	if err != nil {
		return nil, err
	}
	return fs.Stat(folder, ".")
}

func (f Folder) readDir(name string) ([]fs.DirEntry, error) {
	if f.Tree == nil {
		return os.ReadDir(name)
	}
	folder, err := f.Tree.sub(name)
	if err != nil {
		return nil, err
	}
	return fs.ReadDir(folder, ".")
}

// opened is a folder that is read, until it is closed.
type opened struct {
	fs.FS
	Close func() error
}

// open opens a folder: nothing outside of it is read, by no link either.
func (f Folder) open(name string) (opened, error) {
	if f.Tree == nil {
		root, err := os.OpenRoot(name)
		if err != nil {
			return opened{}, err
		}
		return opened{root.FS(), root.Close}, nil
	}
	folder, err := f.Tree.sub(name)
	return opened{folder, func() error { return nil }}, err
}
