// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	helm "helm.sh/helm/v4/pkg/chart/loader/archive"
	"helm.sh/helm/v4/pkg/ignore"

	"plumbline.dev/plumbline/compiler/chart"
)

// below finds ./FOLDER below the first of the roots that has it.
func below(r chart.Reference) (string, error) {
	folder := filepath.FromSlash(strings.TrimPrefix(r.Source, "./"))
	if !filepath.IsLocal(folder) {
		return "", &chart.Problem{
			Code: chart.CodeSource, About: chart.AboutSource,
			Message: fmt.Sprintf("%s leads out of the repository", r.Source),
			Hint:    "Flux takes a chart from a folder of the source itself; keep it there",
		}
	}
	for _, root := range r.Roots {
		path := filepath.Join(root, folder)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("look for the chart %s: %w", r.Source, err)
		}
	}
	return "", &chart.Problem{
		Code: chart.CodeNotFound, About: chart.AboutSource,
		Message: fmt.Sprintf("there is no %s in %s", r.Source, strings.Join(r.Roots, " or ")),
		Hint:    "a chart's folder counts from the root of the repository; plumb takes --chart PATH too",
	}
}

// local reads a .tgz, a folder that is a chart, or a folder of charts: of those
// the folder NAME, or else NAME-VERSION.tgz.
func local(path string, r chart.Reference) (*Archive, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &chart.Problem{Code: chart.CodeNotFound, About: chart.AboutSource, Message: "there is no chart " + path}
	}
	if err != nil {
		return nil, fmt.Errorf("chart: %w", err)
	}
	if !info.IsDir() {
		return file(path, r)
	}
	for _, dir := range []string{path, filepath.Join(path, r.Name)} {
		if _, err := os.Stat(filepath.Join(dir, "Chart.yaml")); err == nil {
			return folder(dir, r)
		}
	}
	packed := filepath.Join(path, r.Name+"-"+r.Version+".tgz")
	if _, err := os.Stat(packed); err == nil {
		return file(packed, r)
	}
	return nil, absent(path, packed, r)
}

// absent says what a folder has instead of the chart.
func absent(path, packed string, r chart.Reference) error {
	p := &chart.Problem{
		Code: chart.CodeNotFound, About: chart.AboutSource,
		Message: fmt.Sprintf("%s is no chart and holds none: neither Chart.yaml nor %s/Chart.yaml nor %s", path, r.Name, filepath.Base(packed)),
	}
	others, err := filepath.Glob(filepath.Join(path, r.Name+"-*.tgz"))
	if err == nil && len(others) > 0 {
		var versions []string
		for _, other := range others {
			versions = append(versions, strings.TrimSuffix(strings.TrimPrefix(filepath.Base(other), r.Name+"-"), ".tgz"))
		}
		p.About, p.Hint = chart.AboutVersion, "it holds "+near(r.Version, versions)
	}
	return p
}

func file(path string, r chart.Reference) (*Archive, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("chart: %w", err)
	}
	defer f.Close()
	data, err := readAll(f, mostBytes, path)
	if err != nil {
		return nil, err
	}
	if err := verify(data, path, r); err != nil {
		return nil, err
	}
	return open(data, path, r)
}

// folder reads a chart's folder. A link that leads out of it is refused: what a
// repository's charts hold is what a review of the repository has seen.
func folder(path string, r chart.Reference) (*Archive, error) {
	if r.Digest != "" {
		return nil, &chart.Problem{
			Code: chart.CodeDigest, About: chart.AboutDigest,
			Message: fmt.Sprintf("%s is a folder, and only an archive has a digest", path),
			Hint:    "leave chart.digest out: Git keeps what the folder holds",
		}
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("chart: %w", err)
	}
	defer root.Close()
	w := walker{root: root, files: root.FS()}
	if w.rules, err = ignored(w.files); err != nil {
		return nil, fmt.Errorf("chart %s: %w", path, err)
	}
	if err := fs.WalkDir(w.files, ".", w.visit); err != nil {
		return nil, fmt.Errorf("chart %s: %w", path, err)
	}
	return &Archive{From: path, Files: w.out}, nil
}

// ignored reads .helmignore.
func ignored(files fs.FS) (*ignore.Rules, error) {
	rules := ignore.Empty()
	data, err := fs.ReadFile(files, ignore.HelmIgnore)
	switch {
	case err == nil:
		if rules, err = ignore.Parse(bytes.NewReader(data)); err != nil {
			return nil, fmt.Errorf("%s: %w", ignore.HelmIgnore, err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	rules.AddDefaults()
	return rules, nil
}

// walker collects the files of a folder.
type walker struct {
	root  *os.Root
	files fs.FS
	rules *ignore.Rules
	out   []*helm.BufferedFile
	bytes int64
}

func (w *walker) visit(name string, entry fs.DirEntry, err error) error {
	if err != nil || name == "." {
		return err
	}
	info, err := w.root.Stat(filepath.FromSlash(name)) // of what a link leads to
	if err != nil {
		return err
	}
	if w.rules.Ignore(name, info) {
		if entry.IsDir() {
			return fs.SkipDir
		}
		return nil
	}
	switch {
	case entry.IsDir():
		return nil
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no regular file: a chart has files and folders", name)
	case info.Size() > helm.MaxDecompressedFileSize, w.bytes+info.Size() > helm.MaxDecompressedChartSize:
		return fmt.Errorf("%s is too large for a chart: %d bytes", name, info.Size())
	}
	data, err := fs.ReadFile(w.files, name)
	w.bytes += int64(len(data))
	w.out = append(w.out, &helm.BufferedFile{Name: name, Data: bytes.TrimPrefix(data, []byte("\uFEFF"))})
	return err
}
