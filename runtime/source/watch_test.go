// SPDX-License-Identifier: Apache-2.0

package source_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"plumbline.dev/plumbline/runtime/source"
	"plumbline.dev/plumbline/schema/state"
)

// watched starts a watch and gives what waits for the next change.
func watched(t *testing.T, paths ...string) (next func(why string)) {
	t.Helper()
	changes := make(chan struct{}, 1)
	err := source.Watch(t.Context(), paths, func() {
		select {
		case changes <- struct{}{}:
		default:
		}
	}, func(error) {}) // the folder goes when the test ends
	if err != nil {
		t.Fatal(err)
	}
	return func(why string) {
		t.Helper()
		select {
		case <-changes:
		case <-time.After(10 * time.Second):
			t.Fatalf("%s is not seen", why)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestWatch(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a", "services.yaml")
	write(t, file, "a: 1\n")
	next := watched(t, dir)
	for _, change := range []struct {
		why string
		do  func() error
	}{
		{"a write", func() error { return os.WriteFile(file, []byte("a: 2\n"), 0o644) }},
		{"a file that is replaced", func() error {
			write(t, file+".new", "a: 3\n")
			return os.Rename(file+".new", file)
		}},
		{"a write of the file that was put in its place", func() error { return os.WriteFile(file, []byte("a: 4\n"), 0o644) }},
		{"a new folder", func() error { return os.MkdirAll(filepath.Join(dir, "b", "c"), 0o755) }},
		{"a file in the new folder", func() error { return os.WriteFile(filepath.Join(dir, "b", "c", "x.yaml"), []byte("a: 1\n"), 0o644) }},
		{"a file that goes", func() error { return os.Remove(file) }},
	} {
		if err := change.do(); err != nil {
			t.Fatal(err)
		}
		next(change.why)
	}
}

// A ConfigMap that is mounted keeps its files in a hidden folder and swaps a link.
func TestWatchAConfigMap(t *testing.T) {
	dir := t.TempDir()
	version := func(name, endpoint string) {
		write(t, filepath.Join(dir, name, "pod.yaml"), "apiVersion: v1\nkind: Node\nmetadata: {name: "+endpoint+"}\n")
		if err := os.Symlink(name, filepath.Join(dir, "..tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	version("..1", "one")
	if err := os.Symlink("..data/pod.yaml", filepath.Join(dir, "pod.yaml")); err != nil {
		t.Fatal(err)
	}
	next := watched(t, dir)
	version("..2", "two")
	next("the swap")
	_, notices, err := source.Files([]string{dir}, state.Node{Name: "two"})
	if err != nil || len(notices) > 0 {
		t.Errorf("notices %v, error %v: each file counts once", notices, err)
	}
}

func TestWatchNamesWhatIsNotThere(t *testing.T) {
	if err := source.Watch(t.Context(), []string{"/does/not/exist"}, func() {}, nil); err == nil {
		t.Error("no error for a folder that is not there")
	}
}
