// SPDX-License-Identifier: Apache-2.0

package git

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Describe names a revision as Flux writes it: its branch or tag and its commit,
// "main@sha1:…", or the commit alone, "sha1:…", where it has no name.
func (r *Repository) Describe(ctx context.Context, revision string) (string, error) {
	commit, err := r.Commit(ctx, revision)
	if err != nil {
		return "", err
	}
	hash, err := r.line(ctx, "rev-parse", "--show-object-format")
	if err != nil {
		return "", err
	}
	name, err := r.nameOf(ctx, revision)
	if err != nil {
		return "", err
	}
	if name != "" {
		name += "@"
	}
	return name + hash + ":" + commit, nil
}

// nameOf is the branch or tag that a revision names, or the tag that a detached
// HEAD stands at; "" if there is none.
func (r *Repository) nameOf(ctx context.Context, revision string) (string, error) {
	full, err := r.line(ctx, "rev-parse", "--symbolic-full-name", "--verify", "--quiet", "--end-of-options", revision)
	if err != nil && !refused(err) {
		return "", err
	}
	for _, prefix := range []string{"refs/heads/", "refs/tags/"} {
		if name, ok := strings.CutPrefix(full, prefix); ok {
			return name, nil
		}
	}
	if full != "HEAD" {
		return "", nil
	}
	tag, err := r.line(ctx, "describe", "--tags", "--exact-match", "HEAD")
	if err != nil && !refused(err) {
		return "", err
	}
	return tag, nil
}

// refused tells whether git itself said no.
func refused(err error) bool {
	var failed *failure
	return errors.As(err, &failed)
}

// line runs git and gives the one line that it prints.
func (r *Repository) line(ctx context.Context, args ...string) (string, error) {
	out, err := run(ctx, r.Root, nil, args...)
	return strings.TrimSpace(string(out)), err
}

// Time is when a commit was made.
func (r *Repository) Time(ctx context.Context, commit string) (time.Time, error) {
	text, err := r.line(ctx, "show", "--no-patch", "--format=%ct", "--end-of-options", commit)
	if err != nil {
		return time.Time{}, err
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("git show: time of commit %s: %w", commit, err)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// Changed lists what the work tree has otherwise than its commit: files that git
// follows, and new ones whose names end with suffix; none of those with "".
func (r *Repository) Changed(ctx context.Context, suffix string) ([]string, error) {
	out, err := run(ctx, r.Root, nil, "status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all")
	if err != nil {
		return nil, err
	}
	var names []string
	for entry := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		name, untracked := strings.CutPrefix(entry, "?? ")
		switch {
		case len(entry) < len("XY "):
		case !untracked:
			names = append(names, entry[len("XY "):])
		case suffix != "" && strings.HasSuffix(name, suffix):
			names = append(names, name)
		}
	}
	return names, nil
}

// Origin is the address of the remote named origin, without the credentials that
// it may hold; "" if there is none.
func (r *Repository) Origin(ctx context.Context) (string, error) {
	address, err := r.line(ctx, "config", "--get", "remote.origin.url")
	if refused(err) {
		return "", nil
	}
	if u, perr := url.Parse(address); perr == nil && u.User != nil {
		_, password := u.User.Password()
		if password || u.Scheme == "https" || u.Scheme == "http" {
			u.User = nil
			address = u.String()
		}
	}
	return address, err
}
