// SPDX-License-Identifier: Apache-2.0

package git

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

// The modes of a tree's entries that are of interest.
const (
	modeFile       = "100644"
	modeExecutable = "100755"
	modeLink       = "120000"
)

// Files gives the files of a commit whose names end with suffix, by their path
// from the top of the repository. They are the blobs as they are stored: no filter
// runs. Links stand for what they lead to; one that has the suffix and leads to
// no such file is an error.
func (r *Repository) Files(ctx context.Context, commit, suffix string) (map[string][]byte, error) {
	out, err := run(ctx, r.Root, nil, "ls-tree", "-r", "-z", "--full-tree", commit)
	if err != nil {
		return nil, err
	}
	var blobs []blob
	for entry := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		about, name, _ := strings.Cut(entry, "\t")
		fields := strings.Fields(about) // mode, type, object
		if len(fields) != 3 {
			continue
		}
		regular := fields[0] == modeFile || fields[0] == modeExecutable
		if fields[0] == modeLink || regular && strings.HasSuffix(name, suffix) {
			blobs = append(blobs, blob{name, fields[2], fields[0] == modeLink})
		}
	}
	files, links, err := r.read(ctx, blobs)
	if err != nil {
		return nil, err
	}
	follow(files, links)
	for _, name := range slices.Sorted(maps.Keys(links)) {
		if _, ok := files[name]; !ok && strings.HasSuffix(name, suffix) {
			return nil, fmt.Errorf("%s of commit %.12s is a link to %s, which is no %s file of the repository", name, commit, links[name], suffix)
		}
	}
	return files, nil
}

// blob is a file or a link of a tree.
type blob struct {
	name, object string
	link         bool
}

// read reads blobs, all of them by one git.
func (r *Repository) read(ctx context.Context, blobs []blob) (files map[string][]byte, links map[string]string, err error) {
	files, links = map[string][]byte{}, map[string]string{}
	if len(blobs) == 0 {
		return files, links, nil
	}
	var objects strings.Builder
	for _, b := range blobs {
		objects.WriteString(b.object + "\n")
	}
	out, err := run(ctx, r.Root, strings.NewReader(objects.String()), "cat-file", "--batch")
	if err != nil {
		return nil, nil, err
	}
	answers := bufio.NewReader(bytes.NewReader(out))
	for _, b := range blobs {
		data, err := answer(answers)
		if err != nil {
			return nil, nil, fmt.Errorf("read %s: git cat-file: %w", b.name, err)
		}
		if b.link {
			links[b.name] = string(data)
		} else {
			files[b.name] = data
		}
	}
	return files, links, nil
}

// answer reads one object: "OBJECT TYPE SIZE", its bytes and a line's end.
func answer(in *bufio.Reader) ([]byte, error) {
	header, err := in.ReadString('\n')
	if err != nil {
		return nil, err
	}
	fields := strings.Fields(header)
	if len(fields) != 3 {
		return nil, fmt.Errorf("%s", strings.TrimSpace(header)) // "… missing"
	}
	size, err := strconv.Atoi(fields[2])
	if err != nil {
		return nil, err
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(in, data); err != nil {
		return nil, err
	}
	_, err = in.Discard(1)
	return data, err
}

// deepest is how many links may lead to one another.
const deepest = 4

// follow adds, under the names of links, what they lead to within the files.
func follow(files map[string][]byte, links map[string]string) {
	for range deepest {
		for _, link := range slices.Sorted(maps.Keys(links)) {
			target := links[link]
			if path.IsAbs(target) {
				continue
			}
			target = path.Join(path.Dir(link), target)
			for name, data := range maps.Clone(files) {
				rest, below := strings.CutPrefix(name, target+"/")
				switch {
				case name == target:
					files[link] = data
				case below && !strings.HasPrefix(name, link+"/"):
					files[link+"/"+rest] = data
				}
			}
		}
	}
}
