// SPDX-License-Identifier: Apache-2.0

package git

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// repo is a repository of a test's own.
type repo struct {
	*testing.T
	dir string
}

// newRepo makes an empty repository; nothing of this machine's settings counts.
func newRepo(t *testing.T) repo {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	for name, value := range map[string]string{
		"GIT_CONFIG_GLOBAL": os.DevNull, "GIT_CONFIG_SYSTEM": os.DevNull, "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.com",
		"GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.com", "GIT_AUTHOR_DATE": "2024-01-02T03:04:05Z", "GIT_COMMITTER_DATE": "2024-01-02T03:04:05Z",
	} {
		t.Setenv(name, value)
	}
	r := repo{t, Physical(t.TempDir())}
	r.git("init", "-q", "-b", "main", ".")
	return r
}

func (r repo) git(args ...string) string {
	r.Helper()
	out, err := run(r.Context(), r.dir, nil, args...)
	if err != nil {
		r.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func (r repo) write(name, data string) {
	r.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		r.Fatal(err)
	}
}

func (r repo) link(target, name string) {
	r.Helper()
	if err := os.Symlink(target, filepath.Join(r.dir, name)); err != nil {
		r.Fatal(err)
	}
}

func (r repo) commit(message string) {
	r.Helper()
	r.git("add", "-A")
	r.git("commit", "-q", "-m", message)
}

func (r repo) open() *Repository {
	r.Helper()
	repository, err := Open(r.Context(), r.dir)
	if err != nil {
		r.Fatal(err)
	}
	return repository
}

// files reads a revision's CUE files as texts.
func (r repo) files(revision string) (map[string]string, error) {
	r.Helper()
	repository := r.open()
	commit, err := repository.Commit(r.Context(), revision)
	if err != nil {
		r.Fatal(err)
	}
	files, err := repository.Files(r.Context(), commit, ".cue")
	out := map[string]string{}
	for name, data := range files {
		out[name] = string(data)
	}
	return out, err
}

// What a revision held is read whatever the work tree holds now, and what links
// lead to stands under their names. The work tree is not touched.
func TestFiles(t *testing.T) {
	r := newRepo(t)
	r.write("base.cue", "1")
	r.write("a b/ü.cue", "2\r\n")
	r.write("a b/other.txt", "no")
	r.link("a b", "folder")
	r.link("folder/ü.cue", "link.cue")
	r.link("..", "a b/loop")
	r.link("/etc", "out")
	r.write(".gitattributes", "base.cue export-ignore\n")
	r.commit("one")
	r.write("base.cue", "changed")
	got, err := r.files("HEAD")
	if err != nil {
		t.Fatal(err)
	}
	for name := range got {
		if strings.Contains(name, "loop") {
			delete(got, name)
		}
	}
	want := map[string]string{"base.cue": "1", "a b/ü.cue": "2\r\n", "folder/ü.cue": "2\r\n", "link.cue": "2\r\n"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if status := r.git("status", "--porcelain"); status != "M base.cue" {
		t.Errorf("status %q", status)
	}
}

func TestLinkOut(t *testing.T) {
	for _, target := range []string{"/etc/hostname", "../x.cue", "nothing.cue", "link.cue"} {
		r := newRepo(t)
		r.link(target, "link.cue")
		r.commit("one")
		if _, err := r.files("main"); err == nil || !strings.Contains(err.Error(), "link.cue of commit ") {
			t.Errorf("a link to %s: %v", target, err)
		}
	}
}

func TestEmptyTree(t *testing.T) {
	r := newRepo(t)
	r.git("commit", "-q", "--allow-empty", "-m", "nothing")
	if files, err := r.files("main"); err != nil || len(files) != 0 {
		t.Errorf("%v, %v", files, err)
	}
}

func TestUnknownRevision(t *testing.T) {
	r := newRepo(t)
	for _, test := range []struct{ revision, want string }{
		{"main", "; it has no commit yet"},
		{"mian", `; did you mean "main"?`},
		{"HEAD~9", ""},
		{"--help", ""},
		{"-q", ""},
	} {
		_, err := r.open().Commit(t.Context(), test.revision)
		if !errors.Is(err, ErrUnknownRevision) || !strings.HasSuffix(err.Error(), r.dir+test.want) {
			t.Errorf("%s: %v", test.revision, err)
		}
		if test.revision == "main" {
			r.write("x.cue", "")
			r.commit("one")
		}
	}
}

// A clone that is shallow, or has the branch from elsewhere only, says so.
func TestUnknownInClone(t *testing.T) {
	r := newRepo(t)
	r.write("x.cue", "1")
	r.commit("one")
	r.write("x.cue", "2")
	r.commit("two")
	r.git("branch", "feature")
	clone := repo{t, filepath.Join(t.TempDir(), "clone")}
	r.git("clone", "-q", "--depth=1", "--no-single-branch", "file://"+r.dir, clone.dir)
	if _, err := clone.open().Commit(t.Context(), "main~1"); err == nil || !strings.Contains(err.Error(), "the clone is shallow: git fetch --unshallow") {
		t.Errorf("main~1 of a shallow clone: %v", err)
	}
	if _, err := clone.open().Commit(t.Context(), "feature"); err == nil || !strings.HasSuffix(err.Error(), `did you mean "origin/feature"?`) {
		t.Errorf("a branch from elsewhere: %v", err)
	}
	if files, err := clone.files("origin/feature"); err != nil || files["x.cue"] != "2" {
		t.Errorf("%v, %v", files, err)
	}
}

func TestOpen(t *testing.T) {
	r := newRepo(t)
	r.write("x.cue", "1")
	r.commit("one")
	below, err := Open(t.Context(), filepath.Join(r.dir, "gone", "dev"))
	if err != nil || below.Root != r.dir {
		t.Errorf("a folder that is gone: %+v, %v", below, err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(r.dir, link); err != nil {
		t.Fatal(err)
	}
	if got, want := Physical(filepath.Join(link, "environments", "dev")), filepath.Join(r.dir, "environments", "dev"); got != want {
		t.Errorf("want %s, got %s", want, got)
	}
	tree := filepath.Join(t.TempDir(), "linked")
	r.git("worktree", "add", "-q", "--detach", tree)
	if linked, err := Open(t.Context(), tree); err != nil || linked.Root != Physical(tree) {
		t.Errorf("a linked work tree: %+v, %v", linked, err)
	}
	t.Setenv("GIT_CEILING_DIRECTORIES", filepath.Dir(t.TempDir()))
	if _, err := Open(t.Context(), t.TempDir()); !errors.Is(err, ErrNoRepository) {
		t.Errorf("no repository: %v", err)
	}
}

func TestDescribe(t *testing.T) {
	r := newRepo(t)
	r.write("x.cue", "1")
	r.commit("one")
	r.git("tag", "v1")
	first := r.git("rev-parse", "HEAD")
	r.write("x.cue", "2")
	r.commit("two")
	second := r.git("rev-parse", "HEAD")
	describe := func(revision, want string) {
		t.Helper()
		if got, err := r.open().Describe(t.Context(), revision); err != nil || got != want {
			t.Errorf("%s: want %s, have %s, %v", revision, want, got, err)
		}
	}
	describe("HEAD", "main@sha1:"+second)
	describe("main", "main@sha1:"+second)
	describe("v1", "v1@sha1:"+first)
	describe("HEAD~1", "sha1:"+first)
	describe(first[:10], "sha1:"+first)
	r.git("checkout", "-q", "--detach", "v1")
	describe("HEAD", "v1@sha1:"+first)
	r.git("tag", "-d", "v1")
	describe("HEAD", "sha1:"+first)
	if _, err := r.open().Describe(t.Context(), "nothing"); !errors.Is(err, ErrUnknownRevision) {
		t.Error(err)
	}
	at, err := r.open().Time(t.Context(), first)
	if err != nil || at.Format("2006-01-02T15:04:05Z07:00") != "2024-01-02T03:04:05Z" {
		t.Errorf("%v, %v", at, err)
	}
}

func TestChanged(t *testing.T) {
	r := newRepo(t)
	r.write("a.cue", "1")
	r.write("b.txt", "1")
	r.write("gone.txt", "1")
	r.write(".gitignore", "ignored.cue\n")
	r.commit("one")
	changed := func(suffix string, want ...string) {
		t.Helper()
		got, err := r.open().Changed(t.Context(), suffix)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	}
	changed(".cue")
	r.write("b.txt", "2")
	r.git("rm", "-q", "gone.txt")
	r.write("new dir/ü.cue", "")
	r.write("ignored.cue", "")
	r.write("out.yaml", "")
	changed(".cue", "b.txt", "gone.txt", "new dir/ü.cue")
	changed("", "b.txt", "gone.txt")
}

func TestOrigin(t *testing.T) {
	r := newRepo(t)
	if origin, err := r.open().Origin(t.Context()); err != nil || origin != "" {
		t.Errorf("without: %q, %v", origin, err)
	}
	r.git("remote", "add", "origin", "x")
	for address, want := range map[string]string{
		"https://token@example.com/a.git": "https://example.com/a.git", "https://u:p@example.com/a": "https://example.com/a",
		"ssh://git@example.com/a": "ssh://git@example.com/a", "ssh://git:p@example.com/a": "ssh://example.com/a", "git@example.com:a/b.git": "git@example.com:a/b.git",
	} {
		r.git("remote", "set-url", "origin", address)
		if origin, err := r.open().Origin(t.Context()); err != nil || origin != want {
			t.Errorf("%s: want %s, have %s, %v", address, want, origin, err)
		}
	}
}

// In a hook git's own variables speak of a repository and an index that need not
// be those of the folder.
func TestInHook(t *testing.T) {
	r := newRepo(t)
	r.write("environments/x.cue", "1")
	r.commit("one")
	t.Setenv("GIT_DIR", ".git")
	t.Setenv("GIT_INDEX_FILE", "nothing")
	below, err := Open(t.Context(), filepath.Join(r.dir, "environments"))
	if err != nil || below.Root != r.dir {
		t.Fatalf("%+v, %v", below, err)
	}
	if changed, err := below.Changed(t.Context(), ".cue"); err != nil || len(changed) != 0 {
		t.Errorf("%v, %v", changed, err)
	}
}

// What git refuses for its owner is refused in git's own words.
func TestForeignOwner(t *testing.T) {
	r := newRepo(t)
	t.Setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
	if _, err := Open(t.Context(), r.dir); err == nil || !strings.Contains(err.Error(), "safe.directory") {
		t.Errorf("another's repository: %v", err)
	}
}

func TestNoGit(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := Open(t.Context(), t.TempDir()); err == nil || !strings.Contains(err.Error(), "git is needed") {
		t.Errorf("without git: %v", err)
	}
}
