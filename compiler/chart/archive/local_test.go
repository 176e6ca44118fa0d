// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"plumbline.dev/plumbline/compiler/chart"
	"plumbline.dev/plumbline/compiler/chart/charttest"
)

const version = "1.17.2"

var small = charttest.Small(version, "kind: X\n")

func names(a *Archive) []string {
	var list []string
	for _, f := range a.Files {
		list = append(list, f.Name)
	}
	slices.Sort(list)
	return list
}

// problem is the problem that an error is, or fails.
func problem(t *testing.T, err error) *chart.Problem {
	t.Helper()
	var p *chart.Problem
	if !errors.As(err, &p) {
		t.Fatalf("%v is not the environment's fault", err)
	}
	return p
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestLocal(t *testing.T) {
	folder := small.Folder(t)
	write(t, filepath.Join(folder, ".helmignore"), "*.bak\nold/\n")
	write(t, filepath.Join(folder, "x.bak"), "")
	write(t, filepath.Join(folder, "old", "x"), "")
	write(t, filepath.Join(folder, "templates", "bom.yaml"), "\uFEFFkind: Y\n")
	shelf := t.TempDir()
	packed := small.Pack(t)
	write(t, filepath.Join(shelf, "cilium-"+version+".tgz"), string(packed))
	parent := t.TempDir()
	if err := os.Rename(folder, filepath.Join(parent, "cilium")); err != nil {
		t.Fatal(err)
	}
	want := []string{"Chart.yaml", "templates/a.yaml"}
	for name, test := range map[string]struct {
		reference chart.Reference
		digest    string
		files     []string
	}{
		"a chart":            {chart.Reference{Path: filepath.Join(parent, "cilium")}, "", append([]string{".helmignore"}, append(want, "templates/bom.yaml")...)},
		"a folder of charts": {chart.Reference{Source: "./."}, "", append([]string{".helmignore"}, append(want, "templates/bom.yaml")...)},
		"an archive":         {chart.Reference{Path: filepath.Join(shelf, "cilium-"+version+".tgz"), Digest: digestOf(packed)}, digestOf(packed), want},
		"archives":           {chart.Reference{Path: shelf}, digestOf(packed), want},
	} {
		t.Run(name, func(t *testing.T) {
			r := test.reference
			r.Name, r.Version, r.Roots = "cilium", version, []string{filepath.Join(parent, "nowhere"), parent}
			a, err := (&Finder{}).Find(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.files, names(a)); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
			if a.Digest != test.digest {
				t.Errorf("digest %q, want %q", a.Digest, test.digest)
			}
			for _, f := range a.Files {
				if strings.HasPrefix(string(f.Data), "\uFEFF") {
					t.Errorf("%s still begins with a byte order mark", f.Name)
				}
			}
		})
	}
}

func TestLocalRefused(t *testing.T) {
	folder := small.Folder(t)
	outside := filepath.Join(t.TempDir(), "secret")
	write(t, outside, "password")
	linked := small.Folder(t)
	if err := os.Symlink(outside, filepath.Join(linked, "templates", "b.yaml")); err != nil {
		t.Fatal(err)
	}
	large := small.Folder(t)
	write(t, filepath.Join(large, "big"), strings.Repeat("x", 6<<20))
	archive := filepath.Join(t.TempDir(), "x.tgz")
	write(t, archive, string(small.Pack(t)[:100]))
	huge := filepath.Join(t.TempDir(), "y.tgz")
	write(t, huge, strings.Repeat("x", mostBytes+1))
	climbing := filepath.Join(t.TempDir(), "z.tgz")
	write(t, climbing, string(charttest.Files{"../../etc/x": "x"}.Pack(t)))
	digest := "sha256:" + strings.Repeat("0", 64)
	for name, test := range map[string]struct {
		reference chart.Reference
		code      chart.Code // "" is an error that is not the environment's
		message   string
	}{
		"out of the repository": {chart.Reference{Source: "./../x"}, chart.CodeSource, "leads out of the repository"},
		"no folder":             {chart.Reference{Source: "./x", Roots: []string{folder}}, chart.CodeNotFound, "there is no ./x in " + folder},
		"a digest of a folder":  {chart.Reference{Path: folder, Digest: digest}, chart.CodeDigest, "only an archive has a digest"},
		"another digest":        {chart.Reference{Path: archive, Digest: digest}, chart.CodeDigest, "chart.digest wants " + digest},
		"a torn archive":        {chart.Reference{Path: archive}, chart.CodeUnreadable, "is no archive of a chart: unexpected EOF"},
		"a climbing archive":    {chart.Reference{Path: climbing}, chart.CodeUnreadable, "references parent directory"},
		"a huge archive":        {chart.Reference{Path: huge}, "", "more than the 16 MiB"},
		"a link that leads out": {chart.Reference{Path: linked}, "", "escapes"},
		"a large file":          {chart.Reference{Path: large}, "", "big is too large for a chart"},
	} {
		t.Run(name, func(t *testing.T) {
			r := test.reference
			r.Name, r.Version = "cilium", version
			_, err := (&Finder{}).Find(t.Context(), r)
			if err == nil || !strings.Contains(err.Error(), test.message) {
				t.Fatalf("error %v, want %q", err, test.message)
			}
			var p *chart.Problem
			if got := errors.As(err, &p); got != (test.code != "") || got && p.Code != test.code {
				t.Errorf("code %v, want %q", p, test.code)
			}
		})
	}
}

func TestNear(t *testing.T) {
	for _, test := range []struct {
		version, want string
		have          []string
	}{
		{"1.17.2", "no version", nil},
		{"1.17.2", "1.17.1, 1.17.3", []string{"1.17.3", "not-a-version", "1.17.1"}},
		{"1.17.2", "1.16.0, 1.17.0, 1.17.1, 1.17.3, 1.17.4, 1.18.0 and 3 more", []string{"1.15.0", "1.16.0", "1.17.0", "1.17.1", "1.17.3", "1.17.4", "1.18.0", "1.18.1", "1.19.0"}},
		{"9.0.0", "2.0.0, 3.0.0, 4.0.0, 5.0.0, 6.0.0, 7.0.0 and 1 more", []string{"1.0.0", "2.0.0", "3.0.0", "4.0.0", "5.0.0", "6.0.0", "7.0.0"}},
	} {
		if got := near(test.version, test.have); got != test.want {
			t.Errorf("near(%s) = %q, want %q", test.version, got, test.want)
		}
	}
}
