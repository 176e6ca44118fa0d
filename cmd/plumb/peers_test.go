// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"plumbline.dev/plumbline/compiler/chart/charttest"
)

// peers are the programs that others use for what plumb does, and plumb itself,
// built as released. test/peers pins them in a module of its own. Building them
// takes a minute where nothing of them is in Go's build cache yet, so it is asked
// for: PLUMB_PEERS=1.
type peers struct{ helm, cue, plumb string }

func buildPeers(t testing.TB) peers {
	t.Helper()
	if os.Getenv("PLUMB_PEERS") != "1" {
		t.Skip("PLUMB_PEERS=1 builds helm and cue to compare with")
	}
	dir := t.TempDir()
	build := func(module string, packages ...string) {
		cmd := exec.Command("go", append([]string{"build", "-trimpath", "-ldflags=-s -w", "-o", dir + string(filepath.Separator)}, packages...)...)
		cmd.Dir = module
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build %v: %v: %s", packages, err, out)
		}
	}
	build(filepath.Join("..", "..", "test", "peers"), "helm.sh/helm/v4/cmd/helm", "cuelang.org/go/cmd/cue")
	build(filepath.Join("..", ".."), "./cmd/plumb", "./cmd/plumb-render")
	return peers{filepath.Join(dir, "helm"), filepath.Join(dir, "cue"), filepath.Join(dir, "plumb")}
}

// environmentText is an environment, with or without CUE's own check of its values.
const environmentText = `package %[1]s

import %[2]q

environment: %[3]s & {
	name: %[1]q
	chart: version: "1.17.2"
	api: host: "%[1]s.example.com"
	values: %[4]s{
		kubeProxyReplacement: true
		ipam: mode: "kubernetes"
		operator: replicas: 2
		hubble: {relay: enabled: true, ui: enabled: true%[5]s}
	}
}
`

var benched = []string{"dev", "prod"}

// byCronJob leaves the certificates to a job in the cluster. By default Helm makes
// keys while it renders.
const byCronJob = `, tls: auto: method: "cronJob"`

// workplace is a folder with two environments, in environments/ for plumb and in
// closed/ for cue with the closed definition of the same values, and the values
// that they compile to.
func workplace(t testing.TB, p peers, tls string) string {
	t.Helper()
	dir := t.TempDir()
	put := func(text string, path ...string) {
		name := filepath.Join(append([]string{dir}, path...)...)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	definition, err := os.ReadFile(filepath.Join("..", "..", "schema", "cilium", "v1_17", "values.cue"))
	if err != nil {
		t.Fatal(err)
	}
	put(string(definition), "closed", "cilium", "values.cue")
	put("module: \"example.com@v0\"\nlanguage: version: \"v0.17.0\"\n", "closed", "cue.mod", "module.cue")
	for _, name := range benched {
		put(fmt.Sprintf(environmentText, name, "plumbline.dev/plumbline/schema", "schema.#Environment", "", tls), "environments", name, "e.cue")
		put(fmt.Sprintf(environmentText, name, "example.com/cilium:v1_17", "{...}", "v1_17.#Values & ", tls), "closed", name, "e.cue")
		cmd := exec.Command(p.plumb, "build", name, "--only", "values")
		cmd.Dir = dir
		values, err := cmd.Output()
		if err != nil {
			t.Fatalf("values of %s: %v", name, err)
		}
		put(string(values), name+".yaml")
	}
	return dir
}

// template is helm's command for an environment.
func (p peers) template(dir, name, folder string) *exec.Cmd {
	cmd := exec.Command(p.helm, "template", "cilium", folder, "--namespace", "kube-system", "--kube-version", "1.35.0", "--values", name+".yaml")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir)
	return cmd
}

// documents are the objects of a YAML stream, by the head of their text. Those
// that plumb marks are left out on both sides.
func documents(stream []byte) map[string]string {
	list := map[string]string{}
	for text := range strings.SplitSeq("\n"+string(stream), "\n---\n") {
		text = strings.TrimSpace(text)
		if text == "" || strings.Contains(text, "plumbline.dev/stand-in") {
			continue
		}
		var about []string
		for line := range strings.Lines(text) {
			if line = strings.TrimRight(line, "\n"); strings.HasPrefix(line, "# Source: ") || strings.HasPrefix(line, "kind: ") || strings.HasPrefix(line, "  name: ") {
				about = append(about, line)
			}
		}
		list[strings.Join(about[:min(3, len(about))], " ")] = text
	}
	return list
}

// What plumb renders is what helm template renders, byte for byte, but for the
// data that Helm makes up.
func TestRendersAsHelmDoes(t *testing.T) {
	p := buildPeers(t)
	for _, version := range charttest.Versions() {
		folder := charttest.Cilium(t, version)
		dir := workplace(t, p, "")
		name := filepath.Join(dir, "environments", "dev", "e.cue")
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, bytes.Replace(text, []byte("1.17.2"), []byte(version), 1), 0o644); err != nil {
			t.Fatal(err)
		}
		want, err := p.template(dir, "dev", folder).Output()
		if err != nil {
			t.Fatalf("helm template: %v", err)
		}
		cmd := exec.Command(p.plumb, "build", "dev", "--rendered", "--chart", folder)
		cmd.Dir = dir
		got, err := cmd.Output()
		if err != nil {
			t.Fatalf("plumb build --rendered: %v", err)
		}
		wanted, have := documents(want), documents(got)
		made := slices.Collect(maps.Keys(wanted))
		made = slices.DeleteFunc(made, func(key string) bool { _, ok := have[key]; return ok })
		for _, key := range made {
			if !strings.Contains(key, "kind: Secret") {
				t.Errorf("%s: %s is not rendered", version, key)
			}
			delete(wanted, key)
		}
		if len(made) != 3 || len(have) < 30 {
			t.Errorf("%s: %d objects, and %d that Helm makes up, want 3: %v", version, len(have), len(made), made)
		}
		if diff := cmp.Diff(wanted, have); diff != "" {
			t.Errorf("%s (-helm +plumb):\n%s", version, diff)
		}
	}
}

// rounds are how often each command of a pair runs, one after the other, so that
// whatever else the machine does meets both.
const rounds = 9

// BenchmarkPeers measures whole processes, on two environments each. It reports
// medians of milliseconds, and of the ratio within each round.
func BenchmarkPeers(b *testing.B) {
	p := buildPeers(b)
	folder := charttest.Cilium(b, "1.17.2")
	for name, tls := range map[string]string{"certificates by Helm": "", "certificates by a job": byCronJob} {
		b.Run(name, func(b *testing.B) {
			dir := workplace(b, p, tls)
			plumb := func(args ...string) func() *exec.Cmd {
				return func() *exec.Cmd { cmd := exec.Command(p.plumb, args...); cmd.Dir = dir; return cmd }
			}
			commands := map[string][]func() *exec.Cmd{
				"vet":    {plumb("vet")},
				"render": {plumb("vet", "--render", "--chart", folder)},
				"helm":   {func() *exec.Cmd { return p.template(dir, "dev", folder) }, func() *exec.Cmd { return p.template(dir, "prod", folder) }},
				"cue": {func() *exec.Cmd {
					cmd := exec.Command(p.cue, "vet", "-c", "./dev", "./prod")
					cmd.Dir = filepath.Join(dir, "closed")
					return cmd
				}},
			}
			for b.Loop() {
				times := measure(b, commands)
				for name, list := range times {
					b.ReportMetric(median(list), name+"-ms")
				}
				b.ReportMetric(ratio(times["vet"], times["helm"]), "vet/helm")
				b.ReportMetric(ratio(times["vet"], times["cue"]), "vet/cue")
				b.ReportMetric(ratio(times["render"], times["helm"]), "render/helm")
			}
			b.ReportMetric(0, "ns/op") // of all of them together it says nothing
		})
	}
}

// measure runs the commands in rounds, and gives milliseconds.
func measure(b *testing.B, commands map[string][]func() *exec.Cmd) map[string][]float64 {
	b.Helper()
	times := map[string][]float64{}
	for round := range rounds + 1 {
		for _, name := range slices.Sorted(maps.Keys(commands)) {
			start := time.Now()
			for _, command := range commands[name] {
				cmd := command()
				var said bytes.Buffer
				cmd.Stderr = &said
				if err := cmd.Run(); err != nil {
					b.Fatalf("%s: %v", cmd, errors.Join(err, errors.New(said.String())))
				}
			}
			if round > 0 { // the first fills caches
				times[name] = append(times[name], float64(time.Since(start).Microseconds())/1000)
			}
		}
	}
	return times
}

func median(list []float64) float64 {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[len(sorted)/2]
}

func ratio(a, b []float64) float64 {
	list := make([]float64, len(a))
	for i := range a {
		list[i] = a[i] / b[i]
	}
	return median(list)
}
