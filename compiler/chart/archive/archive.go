// SPDX-License-Identifier: Apache-2.0

// Package archive finds Helm charts and verifies them: in folders, in .tgz
// files, in OCI registries and in Helm repositories. What it downloads it keeps
// by its digest. It reads no template.
//
// A *chart.Problem is the error where the environment names something that is
// not there or not what it says; any other error says nothing of the environment
// (I1: a failed read is never an absence).
package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"

	helm "helm.sh/helm/v4/pkg/chart/loader/archive"

	"plumbline.dev/plumbline/compiler/chart"
)

// mostBytes bounds a chart's archive as it is transferred; Cilium's has 220 kB.
// Helm's own limits bound what it unpacks to: 5 MiB a file, 100 MiB in all.
const mostBytes = 16 << 20

// Archive is a chart as it was found, with its digest verified if there was one
// to verify.
type Archive struct {
	// From is the path or address that it came from.
	From string
	// Digest of the .tgz, "sha256:…"; "" of a folder.
	Digest string
	Files  []*helm.BufferedFile
}

// Finder finds charts. Its methods may be called at the same time.
type Finder struct {
	// Cache is the folder of what was downloaded; "" keeps nothing.
	Cache string
	// Client reaches registries and repositories.
	Client *http.Client
	// Progress takes a line about each download; nil discards them.
	Progress io.Writer
}

// Find finds the chart that a reference means.
func (f *Finder) Find(ctx context.Context, r chart.Reference) (*Archive, error) {
	switch {
	case r.Path != "":
		return local(r.Path, r)
	case strings.HasPrefix(r.Source, "./"):
		path, err := below(r)
		if err != nil {
			return nil, err
		}
		return local(path, r)
	}
	return f.remote(ctx, r)
}

// open unpacks an archive.
func open(data []byte, from string, r chart.Reference) (*Archive, error) {
	files, err := helm.LoadArchiveFiles(bytes.NewReader(data))
	if err != nil {
		return nil, &chart.Problem{
			Code: chart.CodeUnreadable, About: chart.AboutSource,
			Message: fmt.Sprintf("%s is no archive of a chart: %v", from, err),
			Hint:    "take another copy of the chart " + r.Name + " " + r.Version,
		}
	}
	return &Archive{From: from, Digest: digestOf(data), Files: files}, nil
}

// digestOf is the digest of an archive: of the .tgz itself. It is the same
// wherever the archive is kept: an OCI registry has it for the digest of the
// chart's layer, a Helm repository in its index, and sha256sum prints it.
func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// verify refuses an archive that is not the one that the environment pins.
func verify(data []byte, from string, r chart.Reference) error {
	have := digestOf(data)
	if r.Digest == "" || r.Digest == have {
		return nil
	}
	return mismatch(have, from, r)
}

func mismatch(have, from string, r chart.Reference) error {
	return &chart.Problem{
		Code: chart.CodeDigest, About: chart.AboutDigest,
		Message: fmt.Sprintf("%s has the digest %s, and chart.digest wants %s: it is not the chart that was reviewed", from, have, r.Digest),
		Hint:    fmt.Sprintf("find out why it changed; if %s %s is meant to be this one, set chart: digest: %q", r.Name, r.Version, have),
	}
}

func (f *Finder) say(format string, args ...any) {
	if f.Progress != nil {
		fmt.Fprintf(f.Progress, format+"\n", args...)
	}
}

// readAll reads no more than a limit.
func readAll(r io.Reader, limit int64, what string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s has more than the %d MiB that are read of one", what, limit>>20)
	}
	return data, nil
}
