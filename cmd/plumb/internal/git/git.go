// SPDX-License-Identifier: Apache-2.0

// Package git asks the user's own git about a repository: what a revision holds,
// and which revision the work tree is of. It writes nothing, neither to the work
// tree nor to the repository.
//
// It runs git instead of reading the repository itself, as a library would:
// revisions are then what git takes for one (main~3, HEAD@{yesterday}), every
// kind of repository that git reads is read (linked work trees, alternates,
// partial clones, other hashes), and a repository that another user owns is
// refused as git refuses it, by safe.directory.
package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"plumbline.dev/plumbline/compiler/diag"
)

// Errors that git's answers are told by.
var (
	ErrNoRepository    = errors.New("not in a git repository")
	ErrUnknownRevision = errors.New("unknown revision")
)

// Repository is a git repository with a work tree.
type Repository struct {
	// Root is the top folder of the work tree, absolute and without links.
	Root string
}

// Open finds the repository that a folder lies in. The folder need not be there
// any more.
func Open(ctx context.Context, dir string) (*Repository, error) {
	existing, _ := nearest(dir)
	out, err := run(ctx, existing, nil, "rev-parse", "--show-toplevel")
	if err != nil {
		if text := err.Error(); strings.Contains(text, "not a git repository") || strings.Contains(text, "must be run in a work tree") {
			return nil, fmt.Errorf("%s is %w with a work tree", dir, ErrNoRepository)
		}
		return nil, err
	}
	return &Repository{Root: filepath.FromSlash(strings.TrimSuffix(string(out), "\n"))}, nil
}

// Physical gives a path without links, as Root is. What is not there stays as it
// stands.
func Physical(path string) string {
	existing, rest := nearest(path)
	if real, err := filepath.EvalSymlinks(existing); err == nil {
		existing = real
	}
	return filepath.Join(existing, rest)
}

// nearest splits a path into the folder of it that is there, and the rest.
func nearest(path string) (existing, rest string) {
	for existing = path; ; existing = filepath.Dir(existing) {
		if info, err := os.Stat(existing); err == nil && info.IsDir() || existing == filepath.Dir(existing) {
			return existing, rest
		}
		rest = filepath.Join(filepath.Base(existing), rest)
	}
}

// Commit gives the commit that a revision is. ErrUnknownRevision is wrapped where
// there is none, with what may have been meant.
func (r *Repository) Commit(ctx context.Context, revision string) (string, error) {
	out, err := run(ctx, r.Root, nil, "rev-parse", "--verify", "--quiet", "--end-of-options", revision+"^{commit}")
	if err == nil {
		return strings.TrimSpace(string(out)), nil
	}
	var failed *failure
	if !errors.As(err, &failed) {
		return "", err
	}
	hint, err := r.meant(ctx, revision)
	if err != nil {
		return "", err
	}
	return "", fmt.Errorf("%w %q in %s%s", ErrUnknownRevision, revision, r.Root, hint)
}

// meant says what an unknown revision may have been meant to be, or why it is
// not there.
func (r *Repository) meant(ctx context.Context, revision string) (string, error) {
	out, err := run(ctx, r.Root, nil, "for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/tags", "refs/remotes")
	if err != nil {
		return "", err
	}
	names := strings.Fields(string(out))
	if name, ok := meantName(revision, names); ok {
		return fmt.Sprintf("; did you mean %q?", name), nil
	}
	shallow, err := run(ctx, r.Root, nil, "rev-parse", "--is-shallow-repository")
	if err != nil {
		return "", err
	}
	if strings.TrimSpace(string(shallow)) == "true" {
		return "; the clone is shallow: git fetch --unshallow fetches the rest of its history, git fetch origin REF a ref", nil
	}
	if len(names) == 0 {
		return "; it has no commit yet", nil
	}
	return "", nil
}

// meantName finds the branch or tag that an unknown revision may name.
func meantName(revision string, names []string) (string, bool) {
	base, rest := revision, ""
	if i := strings.IndexAny(revision, "~^@:"); i > 0 {
		base, rest = revision[:i], revision[i:]
	}
	if slices.Contains(names, base) {
		return "", false // it is there; what is asked of it is not
	}
	for _, name := range names {
		if strings.HasSuffix(name, "/"+base) {
			return name + rest, true
		}
	}
	near, ok := diag.Nearest(base, names)
	return near + rest, ok
}

// failure is git's own refusal.
type failure struct {
	command string
	stderr  string
	err     error
}

func (f *failure) Error() string {
	text := strings.TrimSpace(f.stderr)
	if text == "" {
		return fmt.Sprintf("git %s: %v", f.command, f.err)
	}
	return fmt.Sprintf("git %s: %s", f.command, strings.Join(strings.Fields(text), " "))
}

func (f *failure) Unwrap() error { return f.err }

// environment is what git is run with: its words are in English, to be told apart,
// and it does not even refresh the index. What a hook is told of the repository
// that it runs in is left out: the folder says which repository is meant.
func environment() []string {
	bound := []string{"GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_PREFIX"}
	own := slices.DeleteFunc(os.Environ(), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return slices.Contains(bound, name)
	})
	return append(own, "LC_ALL=C", "GIT_OPTIONAL_LOCKS=0")
}

// run runs git in a folder and gives what it prints.
func run(ctx context.Context, dir string, stdin io.Reader, args ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, "git", append([]string{"--no-pager", "-C", dir}, args...)...)
	command.Env = environment()
	var stderr bytes.Buffer
	command.Stdin, command.Stderr = stdin, &stderr
	out, err := command.Output()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return nil, fmt.Errorf("git is needed to read a repository: %w", err)
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, &failure{args[0], stderr.String(), err}
	}
	return out, nil
}
