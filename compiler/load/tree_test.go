// SPDX-License-Identifier: Apache-2.0

package load

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// treeOf reads a folder's CUE files, but for the folder of environments itself.
func treeOf(t *testing.T, f Folder) Folder {
	t.Helper()
	files := map[string][]byte{}
	err := filepath.WalkDir(f.WorkDir, func(path string, d os.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".cue" || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(f.WorkDir, path)
		if err != nil {
			return err
		}
		files[filepath.ToSlash(rel)], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	f.Tree = &Tree{Root: f.WorkDir, Name: "v1/x", Files: files}
	return f
}

// A tree in memory gives what the disk gives, places under its name.
func TestTreeIsAsTheDisk(t *testing.T) {
	disk := repository(t)
	memory := treeOf(t, disk)
	names, err := memory.Names()
	if err != nil {
		t.Fatal(err)
	}
	if want, err := disk.Names(); err != nil || !slices.Equal(want, names) || len(names) == 0 {
		t.Fatalf("want %v, %v; got %v", want, err, names)
	}
	for _, name := range names {
		source, err := memory.Find(name)
		if err != nil {
			t.Fatal(err)
		}
		got, found := Load(source)
		source, err = disk.Find(name)
		if err != nil {
			t.Fatal(err)
		}
		want, _ := Load(source)
		if got == nil || !got.Complete {
			t.Fatalf("%s: %v", name, found)
		}
		if diff := cmp.Diff(want.Chart, got.Chart); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		wantAt, gotAt := want.Positions("values"), got.Positions("values")
		for i := range wantAt {
			wantAt[i].File = "v1/x:" + wantAt[i].File
		}
		if diff := cmp.Diff(wantAt, gotAt); diff != "" || len(gotAt) < 2 {
			t.Errorf("%s: places (-want +got):\n%s", name, diff)
		}
	}
}

// Nothing outside of a tree counts, though it be on the disk.
func TestTreeEndsAtItsRoot(t *testing.T) {
	f := write(t, map[string]string{"cue.mod/module.cue": "broken", "up.cue": "package environments\n\nenvironment: naem: 1\n", "repo/environments/dev/dev.cue": ""})
	root := filepath.Join(f.WorkDir, "repo")
	f = Folder{Dir: filepath.Join(root, "environments"), WorkDir: root, Tree: &Tree{Root: root, Name: "main", Files: map[string][]byte{
		"environments/dev/dev.cue": []byte("package environments\n\nenvironment: {name: \"dev\", chart: version: \"1.17.2\"}\n"),
	}}}
	source, err := f.Find("dev")
	if err != nil {
		t.Fatal(err)
	}
	if env, found := Load(source); env == nil || !env.Complete {
		t.Error(found)
	}
	for _, arg := range []string{"..", "../..", f.WorkDir, filepath.Dir(root)} {
		if _, err := f.Find(arg); err == nil {
			t.Errorf("%s is found outside of the tree", arg)
		}
	}
}
