// SPDX-License-Identifier: Apache-2.0

package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fsnotify/fsnotify"
)

// Watch calls changed whenever something may have changed that Files reads from
// the same paths, until ctx ends. It watches folders, so that a file which is
// replaced is still watched, as is the folder of a ConfigMap, where a link is
// swapped; folders that come later are watched as well. It says too much rather
// than too little: a write in several parts is several changes.
//
// The error is of the first look at the paths; what fails later is given to failed,
// and the watch goes on with what it has.
func Watch(ctx context.Context, paths []string, changed func(), failed func(error)) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch snapshot: %w", err)
	}
	w := &watch{watcher: watcher, paths: paths}
	if err := w.add(); err != nil {
		return errors.Join(fmt.Errorf("watch snapshot: %w", err), watcher.Close())
	}
	go w.run(ctx, changed, failed)
	return nil
}

type watch struct {
	watcher *fsnotify.Watcher
	paths   []string
}

func (w *watch) run(ctx context.Context, changed func(), failed func(error)) {
	defer w.watcher.Close()
	for {
		select {
		case <-ctx.Done():
			return
		case event := <-w.watcher.Events:
			if event.Has(fsnotify.Create) { // of a folder, perhaps
				if err := w.add(); err != nil {
					failed(fmt.Errorf("watch snapshot: %w", err))
				}
			}
			if event.Op != fsnotify.Chmod {
				changed()
			}
		case err := <-w.watcher.Errors: // events were lost
			failed(fmt.Errorf("watch snapshot: %w", err))
			changed()
		}
	}
}

// add watches every folder that holds what is read. One that is watched already
// stays so.
func (w *watch) add() error {
	var errs []error
	for _, path := range w.paths {
		info, err := os.Stat(path)
		switch {
		case err != nil:
			errs = append(errs, err)
		case !info.IsDir():
			errs = append(errs, w.watcher.Add(filepath.Dir(path)))
		default:
			errs = append(errs, filepath.WalkDir(path, func(below string, d fs.DirEntry, err error) error {
				switch {
				case err != nil || !d.IsDir():
					return err
				case hidden(path, below, d):
					return fs.SkipDir
				}
				return w.watcher.Add(below)
			}))
		}
	}
	return errors.Join(errs...)
}
