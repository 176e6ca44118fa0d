// SPDX-License-Identifier: Apache-2.0

// Package publish makes an OCI artifact that Flux reads as a source, and brings it
// to a registry. It compiles nothing and asks no repository for its revision.
//
// It goes through go-containerregistry, as Flux does, and not through Flux's own
// library: that one packs a folder of the disk and dates it by the clock, where
// here files in memory give equal bytes.
package publish

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"plumbline.dev/plumbline/compiler/emit"
)

// The media types by which Flux knows its artifacts.
const (
	ConfigMediaType types.MediaType = "application/vnd.cncf.flux.config.v1+json"
	LayerMediaType  types.MediaType = "application/vnd.cncf.flux.content.v1.tar+gzip"
)

// The annotations that Flux shows of an artifact.
const (
	annotationCreated  = "org.opencontainers.image.created"
	annotationSource   = "org.opencontainers.image.source"
	annotationRevision = "org.opencontainers.image.revision"
)

// Artifact is what is published.
type Artifact struct {
	Files []emit.File
	// Source is the address of the repository, Revision the revision of it, as Flux
	// writes it: "main@sha1:…".
	Source, Revision string
	// Created is the only time in an artifact; the zero time leaves it out.
	Created time.Time
}

// Packed is an artifact as it is pushed.
type Packed struct {
	// Digest is the artifact's, Layer that of the files in it: "sha256:…".
	Digest, Layer string

	image v1.Image
}

// Pack makes an image of one layer. Equal files give an equal layer, and an equal
// Artifact an equal image: packed by one release of plumb, as a compressor may
// change with the next.
func (a Artifact) Pack() (*Packed, error) {
	image, err := a.image()
	if err != nil {
		return nil, err
	}
	digest, err := image.Digest()
	if err != nil {
		return nil, fmt.Errorf("digest: %w", err)
	}
	manifest, err := image.Manifest()
	if err != nil {
		return nil, fmt.Errorf("digest: %w", err)
	}
	return &Packed{digest.String(), manifest.Layers[0].Digest.String(), image}, nil
}

func (a Artifact) image() (v1.Image, error) {
	data, err := pack(a.Files)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil },
		tarball.WithMediaType(LayerMediaType))
	if err != nil {
		return nil, fmt.Errorf("layer: %w", err)
	}
	config, err := empty.Image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	config.Created = v1.Time{Time: a.Created}
	image, err := mutate.ConfigFile(empty.Image, config)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	image = mutate.MediaType(image, types.OCIManifestSchema1)
	image = mutate.ConfigMediaType(image, ConfigMediaType)
	annotated, ok := mutate.Annotations(image, a.annotations()).(v1.Image)
	if !ok {
		return nil, errors.New("annotations: no image is left of the image")
	}
	image, err = mutate.Append(annotated, mutate.Addendum{Layer: layer})
	if err != nil {
		return nil, fmt.Errorf("layer: %w", err)
	}
	return image, nil
}

func (a Artifact) annotations() map[string]string {
	out := map[string]string{}
	if !a.Created.IsZero() {
		out[annotationCreated] = a.Created.UTC().Format(time.RFC3339)
	}
	if a.Source != "" {
		out[annotationSource] = a.Source
	}
	if a.Revision != "" {
		out[annotationRevision] = a.Revision
	}
	return out
}

// pack makes a compressed archive of files: in the order of their names, folders
// before what they hold, without any owner or time.
func pack(files []emit.File) ([]byte, error) {
	entries, err := entriesOf(files)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	archive := tar.NewWriter(zip)
	for _, e := range entries {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: e.Path, Size: int64(len(e.Data)), Mode: 0o644, ModTime: time.Unix(0, 0)}
		if e.folder {
			header.Typeflag, header.Name, header.Mode = tar.TypeDir, e.Path+"/", 0o755
		}
		if err := archive.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("pack %s: %w", e.Path, err)
		}
		if _, err := archive.Write(e.Data); err != nil {
			return nil, fmt.Errorf("pack %s: %w", e.Path, err)
		}
	}
	if err := errors.Join(archive.Close(), zip.Close()); err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	return out.Bytes(), nil
}

// entry is a file of the archive, or a folder.
type entry struct {
	emit.File
	folder bool
}

func entriesOf(files []emit.File) ([]entry, error) {
	if len(files) == 0 {
		return nil, errors.New("there are no files to publish")
	}
	const file, folder = 1, 2
	seen := map[string]int{".": folder}
	var list []entry
	for _, f := range files {
		if !fs.ValidPath(f.Path) || seen[f.Path] != 0 {
			return nil, fmt.Errorf("pack %q: want each file once, by a path inside the artifact", f.Path)
		}
		seen[f.Path] = file
		list = append(list, entry{File: f})
		dir := path.Dir(f.Path)
		for ; seen[dir] == 0; dir = path.Dir(dir) {
			seen[dir] = folder
			list = append(list, entry{File: emit.File{Path: dir}, folder: true})
		}
		if seen[dir] == file {
			return nil, fmt.Errorf("pack %q: %s is a file itself", f.Path, dir)
		}
	}
	slices.SortFunc(list, func(a, b entry) int { return cmp.Compare(a.Path, b.Path) })
	return list, nil
}
