// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// What the image runs, and as whom: nobody in particular. The agent's DaemonSet
// says otherwise for itself; the controller does not.
const (
	entrypoint = "/plumb-agent"
	user       = "65532:65532"
)

// The annotations that the image has.
const (
	annotationTitle   = "org.opencontainers.image.title"
	annotationVersion = "org.opencontainers.image.version"
	annotationLicense = "org.opencontainers.image.licenses"
	annotationTag     = "org.opencontainers.image.ref.name"
)

// write makes an OCI image layout with an index of one image for each
// architecture, and gives the index' digest. Equal binaries and an equal version
// give equal bytes.
func write(dir, version string, binaries []string) (v1.Hash, error) {
	if dir == "" || len(binaries) == 0 {
		return v1.Hash{}, errors.New("want -o FOLDER and at least one ARCHITECTURE=BINARY")
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return v1.Hash{}, fmt.Errorf("%s is not empty: what an older image left there would stay; remove it first", dir)
	}
	index, err := indexOf(version, binaries)
	if err != nil {
		return v1.Hash{}, err
	}
	digest, err := index.Digest()
	if err != nil {
		return v1.Hash{}, fmt.Errorf("digest: %w", err)
	}
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		return v1.Hash{}, fmt.Errorf("write %s: %w", dir, err)
	}
	if err := path.AppendIndex(index, layout.WithAnnotations(map[string]string{annotationTag: version})); err != nil {
		return v1.Hash{}, fmt.Errorf("write %s: %w", dir, err)
	}
	return digest, nil
}

func indexOf(version string, binaries []string) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	seen := map[string]bool{}
	for _, text := range binaries {
		architecture, file, ok := strings.Cut(text, "=")
		if !ok || seen[architecture] {
			return nil, fmt.Errorf("%q: want ARCHITECTURE=BINARY, each architecture once", text)
		}
		seen[architecture] = true
		binary, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("binary of %s: %w", architecture, err)
		}
		image, err := imageOf(architecture, version, binary)
		if err != nil {
			return nil, fmt.Errorf("image of %s: %w", architecture, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{
			MediaType: types.OCIManifestSchema1, Platform: &v1.Platform{OS: "linux", Architecture: architecture},
		}})
	}
	annotated, ok := mutate.Annotations(index, annotations(version)).(v1.ImageIndex)
	if !ok {
		return nil, errors.New("annotations: no index is left of the index")
	}
	return annotated, nil
}

// imageOf is the image of one architecture: one layer, no time in it.
func imageOf(architecture, version string, binary []byte) (v1.Image, error) {
	data, err := pack(binary)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil },
		tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, fmt.Errorf("layer: %w", err)
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err = mutate.Append(image, mutate.Addendum{Layer: layer, History: v1.History{CreatedBy: "make image"}})
	if err != nil {
		return nil, fmt.Errorf("layer: %w", err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", architecture
	config.Config = v1.Config{Entrypoint: []string{entrypoint}, User: user, WorkingDir: "/", Labels: annotations(version)}
	return mutate.ConfigFile(image, config)
}

func annotations(version string) map[string]string {
	return map[string]string{annotationTitle: "plumb-agent", annotationVersion: version, annotationLicense: "Apache-2.0"}
}

// pack is an archive of the binary alone: root's, of no time.
func pack(binary []byte) ([]byte, error) {
	var out bytes.Buffer
	archive := tar.NewWriter(&out)
	header := &tar.Header{Typeflag: tar.TypeReg, Name: strings.TrimPrefix(entrypoint, "/"), Size: int64(len(binary)), Mode: 0o755,
		ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
	if err := archive.WriteHeader(header); err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	if _, err := archive.Write(binary); err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	if err := archive.Close(); err != nil {
		return nil, fmt.Errorf("pack: %w", err)
	}
	return out.Bytes(), nil
}
