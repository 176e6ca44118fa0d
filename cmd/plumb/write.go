// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"plumbline.dev/plumbline/compiler/emit"
)

// writeFiles writes files below a folder: all of them, or none. Each appears
// with its whole content at once. A file that has it already is left alone.
func writeFiles(dir string, files []emit.File) (err error) {
	staged := map[string]string{} // file → its new content's file
	defer func() {
		for _, temporary := range staged {
			if rerr := os.Remove(temporary); rerr != nil && !errors.Is(rerr, os.ErrNotExist) {
				err = errors.Join(err, rerr)
			}
		}
	}()
	for _, f := range files {
		path := filepath.Join(dir, filepath.FromSlash(f.Path))
		if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, f.Data) {
			continue
		}
		if staged[path], err = stage(path, f.Data); err != nil {
			return err
		}
	}
	for path, temporary := range staged {
		if err := os.Rename(temporary, path); err != nil {
			return fmt.Errorf("put %s in place: %w", path, err)
		}
	}
	return nil
}

// stage writes data to a new file beside path.
func stage(path string, data []byte) (string, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("folder of %s: %w", path, err)
	}
	f, err := os.CreateTemp(dir, ".plumb-*")
	if err != nil {
		return "", fmt.Errorf("stage %s: %w", path, err)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return f.Name(), fmt.Errorf("stage %s: %w", path, err)
	}
	return f.Name(), nil
}
