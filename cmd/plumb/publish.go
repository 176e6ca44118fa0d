// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"plumbline.dev/plumbline/cmd/plumb/internal/git"
	"plumbline.dev/plumbline/cmd/plumb/internal/publish"
	"plumbline.dev/plumbline/compiler"
	"plumbline.dev/plumbline/compiler/emit"
	"plumbline.dev/plumbline/compiler/load"
)

// publishReport is what `plumb publish -o json` prints.
type publishReport struct {
	Reference string   `json:"reference"` // oci://…:TAG
	Artifact  string   `json:"artifact"`  // oci://…@sha256:…
	Digest    string   `json:"digest"`
	Layer     string   `json:"layer"` // digest of the layer with the files
	Previous  string   `json:"previous,omitempty"`
	Pushed    bool     `json:"pushed"`
	DryRun    bool     `json:"dryRun"`
	Source    string   `json:"source,omitempty"`
	Revision  string   `json:"revision,omitempty"`
	Created   string   `json:"created,omitempty"`
	Files     []string `json:"files"`
}

// publishFlags are what the author says of an artifact.
type publishFlags struct {
	source, revision, path       string
	allowDirty, insecure, dryRun bool
}

func newPublishCommand(e *env) *cobra.Command {
	var flags publishFlags
	command := &cobra.Command{
		Use:   "publish ENV oci://REGISTRY/REPOSITORY:TAG",
		Short: "Push an environment's manifests as a Flux OCI artifact",
		Long: `publish compiles an environment and pushes what build writes as an OCI artifact that
Flux's OCIRepository takes as a source. The files stand below flux.path in it, where
the environment's own Kustomizations look for them; --path pushes a folder instead,
as it is. It refuses an environment that vet finds errors in.

The artifact is reproducible: equal files give an equal layer, without times or
owners. Its revision is the branch or tag and the commit of the work tree, which has
to be as committed unless --allow-dirty says otherwise; its source is the address of
origin. Its only time, of creation, is that of the commit, or SOURCE_DATE_EPOCH where
that is set. ENV@REV publishes an environment as it was at a revision; the rules that
judge it are those at hand.

Credentials are those of the Docker configuration (docker login). Registries are
spoken to with TLS, but for those on this machine; --insecure allows others.

It prints the address by digest. -o json prints {reference, artifact, digest, layer,
previous, pushed, dryRun, source, revision, created, files}; previous is the digest
that the tag had, and pushed is false where that is the same, or with --dry-run.

Exit codes: 0 it is there, 1 vet finds errors, 2 it could not be published.`,
		Example: `  plumb publish dev oci://ghcr.io/acme/clusters/dev:v1.4.0
  plumb publish prod@v1.4.0 oci://ghcr.io/acme/clusters/prod:v1.4.0 -o json
  plumb publish dev oci://localhost:5000/dev:latest --dry-run`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: e.completeEnvironments(1),
	}
	set := command.Flags()
	set.StringVar(&flags.source, "source", "", "`address` of the repository; default: that of the remote origin")
	set.StringVar(&flags.revision, "revision", "", "`revision` of the repository, as main@sha1:COMMIT; default: that of the work tree")
	set.StringVar(&flags.path, "path", "", "push the files of this `folder` instead of those that build writes")
	set.BoolVar(&flags.allowDirty, "allow-dirty", false, "publish a work tree that is not as committed; the revision then ends with -dirty")
	set.BoolVar(&flags.insecure, "insecure", false, "speak to the registry without TLS if it has none")
	set.BoolVar(&flags.dryRun, "dry-run", false, "tell what would be pushed, and reach for no registry")
	output := outputFlag(command, "text", "json")
	command.RunE = func(_ *cobra.Command, args []string) error {
		target, err := publish.Parse(args[1], flags.insecure)
		if err != nil {
			return err
		}
		artifact, err := e.artifact(args[0], flags)
		if err != nil {
			return err
		}
		report, err := e.publish(target, artifact, flags.dryRun)
		if err != nil {
			return err
		}
		return e.printPublished(report, output.value)
	}
	return command
}

// artifact makes what is published of the environment that an argument names.
func (e *env) artifact(arg string, flags publishFlags) (publish.Artifact, error) {
	s, err := e.find(arg)
	if err == nil {
		err = s.err
	}
	if err != nil {
		return publish.Artifact{}, err
	}
	if flags.path != "" && s.origin.Revision != "" {
		return publish.Artifact{}, errors.New("--path publishes a folder of the disk: its files are not those of a revision")
	}
	team, found, err := e.teamRules()
	if err != nil {
		return publish.Artifact{}, err
	}
	environment, compiled, list, err := s.compile(found, compiler.WithRules(team))
	if terr := e.tell(list); terr != nil {
		return publish.Artifact{}, terr
	}
	if err != nil {
		return publish.Artifact{}, errFindings
	}
	a, err := e.provenance(s, flags)
	if err != nil {
		return a, err
	}
	if flags.path != "" {
		a.Files, err = folderFiles(e.path(flags.path))
		return a, err
	}
	if kind := environment.Flux.Source.Kind; kind != "OCIRepository" {
		fmt.Fprintf(e.stderr, "plumb: flux.source.kind is %s: the Kustomizations in the artifact look for their files there, not in an OCIRepository\n", kind)
	}
	a.Files, err = below(environment, compiled.Files)
	return a, err
}

// below puts files where the environment's Kustomizations look for them.
func below(environment *load.Environment, files []emit.File) ([]emit.File, error) {
	root := path.Clean(strings.TrimPrefix(environment.Flux.Path, "./"))
	if !fs.ValidPath(root) {
		return nil, fmt.Errorf("flux.path is %q: want a folder inside the artifact, such as ./clusters/%s", environment.Flux.Path, environment.Name)
	}
	out := make([]emit.File, len(files))
	for i, f := range files {
		out[i] = emit.File{Path: path.Join(root, f.Path), Data: f.Data}
	}
	return out, nil
}

// folderFiles reads the files of a folder, but for a repository's own. A link is
// refused: Flux passes over them without a word.
func folderFiles(dir string) ([]emit.File, error) {
	var files []emit.File
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.Name() == ".git" && name != dir:
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir():
			return nil
		case !d.Type().IsRegular():
			return fmt.Errorf("%s is neither a file nor a folder: Flux would pass over it", name)
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		files = append(files, emit.File{Path: filepath.ToSlash(rel), Data: data})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("--path: %w", err)
	}
	return files, nil
}

// provenance says where an artifact comes from: what flags say, and for the rest
// the repository of the environment.
func (e *env) provenance(s selection, flags publishFlags) (publish.Artifact, error) {
	a := publish.Artifact{Source: flags.source, Revision: flags.revision}
	repository, err := git.Open(e.ctx, s.source.Dir)
	if errors.Is(err, git.ErrNoRepository) && flags.revision != "" {
		a.Created, err = e.epoch()
		return a, err
	}
	if err != nil {
		return a, fmt.Errorf("%w; --revision says which revision it is", err)
	}
	commit, err := e.revise(repository, s, flags, &a)
	if err != nil {
		return a, err
	}
	if a.Source == "" {
		if a.Source, err = repository.Origin(e.ctx); err != nil {
			return a, err
		}
	}
	if a.Created, err = e.epoch(); err == nil && a.Created.IsZero() && commit != "" {
		a.Created, err = repository.Time(e.ctx, commit)
	}
	return a, err
}

// revise fills in the revision and gives its commit; "" where the repository does
// not know the one that --revision says.
func (e *env) revise(repository *git.Repository, s selection, flags publishFlags, a *publish.Artifact) (string, error) {
	if flags.revision != "" {
		_, hash, ok := strings.Cut(flags.revision, ":")
		if !ok {
			hash = flags.revision
		}
		commit, err := repository.Commit(e.ctx, hash)
		if errors.Is(err, git.ErrUnknownRevision) {
			return "", nil
		}
		return commit, err
	}
	at, suffix := s.origin.Revision, ""
	if at == "" {
		at = "HEAD"
		var err error
		if suffix, err = e.dirt(repository, flags); err != nil {
			return "", err
		}
	}
	description, err := repository.Describe(e.ctx, at)
	if err != nil {
		return "", err
	}
	a.Revision = description + suffix
	return repository.Commit(e.ctx, at)
}

// dirt refuses a work tree that is not as committed, or gives the mark of one. New
// files count where they can be part of an environment.
func (e *env) dirt(repository *git.Repository, flags publishFlags) (suffix string, err error) {
	counted := ".cue"
	if flags.path != "" {
		counted = ""
	}
	changed, err := repository.Changed(e.ctx, counted)
	if err != nil || len(changed) == 0 {
		return "", err
	}
	if flags.allowDirty {
		return "-dirty", nil
	}
	more := ""
	if len(changed) > 1 {
		more = fmt.Sprintf(" and %d more files", len(changed)-1)
	}
	return "", fmt.Errorf("the work tree is not as committed: %s%s; commit, or publish it with --allow-dirty", changed[0], more)
}

// epoch is the time that SOURCE_DATE_EPOCH sets, in seconds; zero without.
func (e *env) epoch() (time.Time, error) {
	text := e.getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		return time.Time{}, nil
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds < 0 {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH is %q: want seconds since 1970", text)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

// publish pushes an artifact.
func (e *env) publish(target publish.Target, a publish.Artifact, dryRun bool) (*publishReport, error) {
	packed, err := a.Pack()
	if err != nil {
		return nil, err
	}
	report := &publishReport{Reference: target.String(), Artifact: target.At(packed.Digest), Digest: packed.Digest, Layer: packed.Layer,
		DryRun: dryRun, Source: a.Source, Revision: a.Revision, Files: []string{}}
	if !a.Created.IsZero() {
		report.Created = a.Created.Format(time.RFC3339)
	}
	for _, f := range a.Files {
		report.Files = append(report.Files, f.Path)
	}
	if dryRun {
		return report, nil
	}
	progress := time.AfterFunc(time.Second, func() { fmt.Fprintf(e.stderr, "plumb: pushing to %s …\n", target.Registry()) })
	defer progress.Stop()
	report.Previous, err = target.Push(e.ctx, packed)
	report.Pushed = report.Previous != packed.Digest
	return report, err
}

func (e *env) printPublished(report *publishReport, form string) error {
	if form == "json" {
		enc := json.NewEncoder(e.stdout)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(report)
	}
	switch {
	case report.DryRun:
		fmt.Fprintf(e.stderr, "plumb: would push %d files to %s\n", len(report.Files), report.Reference)
	case !report.Pushed:
		fmt.Fprintf(e.stderr, "plumb: %s is it already\n", report.Reference)
	case report.Previous != "":
		fmt.Fprintf(e.stderr, "plumb: %s was %s before\n", report.Reference, report.Previous)
	}
	_, err := fmt.Fprintln(e.stdout, report.Artifact)
	return err
}
