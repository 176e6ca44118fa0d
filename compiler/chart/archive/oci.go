// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
	"oras.land/oras-go/v2/registry/remote/errcode"

	"plumbline.dev/plumbline/compiler/chart"
)

// chartLayers are the media types of a chart's archive in an OCI registry; the
// second is that of Helm before 3.7.
var chartLayers = []string{"application/vnd.cncf.helm.chart.content.v1.tar+gzip", "application/tar+gzip"}

// mostManifestBytes bounds a manifest.
const mostManifestBytes = 4 << 20

// pull takes a chart from an OCI registry. The registry's name for the archive is
// its digest, so what comes is what the manifest says; the manifest is what the
// tag says today.
func (f *Finder) pull(ctx context.Context, source *url.URL, r chart.Reference) ([]byte, error) {
	repository, err := f.repository(source)
	if err != nil {
		return nil, &chart.Problem{Code: chart.CodeSource, About: chart.AboutSource, Message: fmt.Sprintf("%s names no repository: %v", r.Source, err)}
	}
	tag := strings.ReplaceAll(r.Version, "+", "_") // as Helm writes tags
	f.say("%s %s: pulling %s:%s", r.Name, r.Version, r.Source, tag)
	manifest, err := repository.Resolve(ctx, tag)
	if errors.Is(err, errdef.ErrNotFound) {
		return nil, f.noTag(ctx, repository, r)
	}
	if err != nil {
		return nil, denied(err, r)
	}
	layer, err := chartLayer(ctx, repository, manifest, r)
	if err != nil {
		return nil, err
	}
	if want := r.Digest; want != "" && want != layer.Digest.String() {
		return nil, mismatch(layer.Digest.String(), r.Source+":"+tag, r)
	}
	if layer.Size > mostBytes {
		return nil, fmt.Errorf("%s:%s has more than the %d MiB that are read of a chart", r.Source, tag, mostBytes>>20)
	}
	data, err := content.FetchAll(ctx, repository, layer) // holds size and digest against the manifest
	if err != nil {
		return nil, fmt.Errorf("pull %s:%s: %w", r.Source, tag, err)
	}
	return data, nil
}

// repository is a registry's repository, with the credentials of the user's
// Docker configuration.
func (f *Finder) repository(source *url.URL) (*remote.Repository, error) {
	repository, err := remote.NewRepository(source.Host + strings.TrimSuffix(source.Path, "/"))
	if err != nil {
		return nil, err
	}
	repository.PlainHTTP = loopback(source.Hostname())
	repository.MaxMetadataBytes = mostManifestBytes
	client := &auth.Client{Client: f.Client, Cache: auth.NewCache(), Header: http.Header{"User-Agent": {"plumb"}}}
	if store, err := credentials.NewStoreFromDocker(credentials.StoreOptions{}); err == nil {
		client.Credential = credentials.Credential(store)
	} else {
		f.say("no credentials of Docker's: %v", err)
	}
	repository.Client = client
	return repository, nil
}

// chartLayer finds the chart's archive in a manifest.
func chartLayer(ctx context.Context, repository *remote.Repository, at ocispec.Descriptor, r chart.Reference) (ocispec.Descriptor, error) {
	var none ocispec.Descriptor
	if at.Size > mostManifestBytes {
		return none, fmt.Errorf("the manifest of %s has %d bytes, more than are read of one", r.Source, at.Size)
	}
	text, err := content.FetchAll(ctx, repository, at)
	if err != nil {
		return none, denied(err, r)
	}
	var manifest ocispec.Manifest
	if err := json.Unmarshal(text, &manifest); err != nil {
		return none, fmt.Errorf("the manifest of %s: %w", r.Source, err)
	}
	for _, layer := range manifest.Layers {
		if slices.Contains(chartLayers, layer.MediaType) {
			return layer, nil
		}
	}
	return none, &chart.Problem{
		Code: chart.CodeUnreadable, About: chart.AboutSource,
		Message: fmt.Sprintf("%s has a %s that holds no Helm chart", r.Source, r.Version),
		Hint:    "oci://REPOSITORY/CHART names a chart, not an image",
	}
}

// noTag says which versions a repository has instead.
func (f *Finder) noTag(ctx context.Context, repository *remote.Repository, r chart.Reference) error {
	var tags []string
	err := repository.Tags(ctx, "", func(more []string) error {
		tags = append(tags, more...)
		return nil
	})
	var answer *errcode.ErrorResponse
	if err != nil && !(errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound) {
		return denied(err, r)
	}
	for i := range tags {
		tags[i] = strings.ReplaceAll(tags[i], "_", "+")
	}
	return missing(r.Source, tags, r)
}

// denied says what to do where a registry wants credentials.
func denied(err error, r chart.Reference) error {
	var answer *errcode.ErrorResponse
	refused := errors.As(err, &answer) && (answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden)
	if refused || errors.Is(err, auth.ErrBasicCredentialNotFound) {
		return fmt.Errorf("%s denies access: log in with docker login or helm registry login: %w", r.Source, err)
	}
	return unreachable(err, r)
}
