// SPDX-License-Identifier: Apache-2.0

package load

import (
	"bytes"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"
)

// memory is a file system of a few files, by path.
type memory map[string][]byte

// Open opens a file, or a folder that some file lies in.
func (m memory) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	if data, ok := m[name]; ok {
		return &memoryFile{entry{path.Base(name), int64(len(data)), false}, bytes.NewReader(data)}, nil
	}
	children := m.children(name)
	if len(children) == 0 {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &memoryFolder{entry{path.Base(name), 0, true}, children}, nil
}

// children lists what lies directly in a folder, by name.
func (m memory) children(folder string) []fs.DirEntry {
	var list []fs.DirEntry
	for _, name := range m.sorted() {
		rest := name
		if folder != "." {
			var below bool
			if rest, below = strings.CutPrefix(name, folder+"/"); !below {
				continue
			}
		}
		first, _, deeper := strings.Cut(rest, "/")
		if n := len(list); n > 0 && list[n-1].Name() == first {
			continue
		}
		e := entry{name: first, folder: deeper}
		if !deeper {
			e.size = int64(len(m[name]))
		}
		list = append(list, e)
	}
	return list
}

// entry describes a file or folder.
type entry struct {
	name   string
	size   int64
	folder bool
}

func (e entry) Name() string               { return e.name }
func (e entry) Size() int64                { return e.size }
func (e entry) IsDir() bool                { return e.folder }
func (e entry) Type() fs.FileMode          { return e.Mode().Type() }
func (e entry) Info() (fs.FileInfo, error) { return e, nil }
func (e entry) ModTime() time.Time         { return time.Time{} }
func (e entry) Sys() any                   { return nil }

func (e entry) Mode() fs.FileMode {
	if e.folder {
		return fs.ModeDir | 0o555
	}
	return 0o444
}

type memoryFile struct {
	entry
	*bytes.Reader
}

func (f *memoryFile) Stat() (fs.FileInfo, error) { return f.entry, nil }
func (f *memoryFile) Size() int64                { return f.entry.size }
func (f *memoryFile) Close() error               { return nil }

type memoryFolder struct {
	entry
	rest []fs.DirEntry
}

func (f *memoryFolder) Stat() (fs.FileInfo, error) { return f.entry, nil }
func (f *memoryFolder) Close() error               { return nil }

func (f *memoryFolder) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: f.name, Err: fs.ErrInvalid}
}

// ReadDir follows fs.ReadDirFile.
func (f *memoryFolder) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 || n > len(f.rest) {
		if n > 0 && len(f.rest) == 0 {
			return nil, io.EOF
		}
		n = len(f.rest)
	}
	list := f.rest[:n]
	f.rest = f.rest[n:]
	return list, nil
}
