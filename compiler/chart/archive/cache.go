// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"plumbline.dev/plumbline/compiler/chart"
)

// CacheDir is the folder of downloaded charts: "charts" below PLUMB_CACHE, or
// else below plumbline in the user's cache folder. It is "" where there is
// neither: nothing is kept then.
func CacheDir(getenv func(string) string) string {
	if dir := getenv("PLUMB_CACHE"); dir != "" {
		return filepath.Join(dir, "charts")
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "plumbline", "charts")
}

// digestForm is what a digest looks like; nothing else becomes a file's name.
var digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// archivePath is where an archive is kept: sha256/HEX.tgz.
func (f *Finder) archivePath(digest string) string {
	return filepath.Join(f.Cache, "sha256", strings.TrimPrefix(digest, "sha256:")+".tgz")
}

// namePath is where the digest is kept of what a source had for a version.
func (f *Finder) namePath(r chart.Reference) string {
	sum := sha256.Sum256([]byte(r.Source + "\x00" + r.Name + "\x00" + r.Version))
	return filepath.Join(f.Cache, "names", hex.EncodeToString(sum[:]))
}

// cached gives an archive that was downloaded before, or nil. By a digest it is
// found whatever source it came from. One that is not what its name says is no
// archive: it is downloaded again.
func (f *Finder) cached(r chart.Reference) ([]byte, error) {
	if f.Cache == "" {
		return nil, nil
	}
	digest := r.Digest
	if digest == "" {
		data, err := readCached(f.namePath(r))
		if digest = strings.TrimSpace(string(data)); err != nil || !digestForm.MatchString(digest) {
			return nil, err
		}
	}
	data, err := readCached(f.archivePath(digest))
	if err != nil || data == nil || digestOf(data) != digest {
		return nil, err
	}
	return data, nil
}

// readCached reads a file of the cache; nil where there is none.
func readCached(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cache of charts: %w", err)
	}
	defer f.Close()
	return readAll(f, mostBytes, path)
}

// keep puts an archive into the cache, and which it was for the reference.
func (f *Finder) keep(r chart.Reference, data []byte) error {
	if f.Cache == "" {
		return nil
	}
	digest := digestOf(data)
	return errors.Join(
		writeCached(f.archivePath(digest), data),
		writeCached(f.namePath(r), []byte(digest+"\n")))
}

// writeCached writes a file so that a reader sees all of it or none.
func writeCached(path string, data []byte) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("cache of charts: %w", err)
	}
	t, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return fmt.Errorf("cache of charts: %w", err)
	}
	_, err = t.Write(data)
	if err = errors.Join(err, t.Sync(), t.Close()); err == nil {
		err = os.Rename(t.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("cache of charts: %w", errors.Join(err, os.Remove(t.Name())))
	}
	return nil
}
