// SPDX-License-Identifier: Apache-2.0

package cmd_test

import (
	"bytes"
	"encoding/json"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "plumbline.dev/plumbline"

type goPackage struct {
	ImportPath string
	Imports    []string // direct ones, of the package itself, not of its tests
	Deps       []string // all
}

// goList lists this module's packages.
func goList(t *testing.T) []goPackage {
	t.Helper()
	command := exec.Command("go", "list", "-deps=false", "-json=ImportPath,Imports,Deps", module+"/...")
	command.Env = append(command.Environ(), "GOOS=linux")
	out, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	var list []goPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := dec.Decode(&p); err == io.EOF {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

// below tells whether path is prefix or below it.
func below(path, prefix string) bool { return path == prefix || strings.HasPrefix(path, prefix+"/") }

func anyBelow(path string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return below(path, p) })
}

// Foreign modules have few homes each.
func TestForeignImportsHaveTheirHomes(t *testing.T) {
	homes := map[string][]string{
		"cuelang.org/go":                         {"compiler/load", "compiler/values", "compiler/rules"},
		"sigs.k8s.io/kustomize":                  {"compiler/emit"},
		"helm.sh/helm/v4":                        {"compiler/chart"},
		"github.com/google/go-containerregistry": {"cmd/plumb/internal/publish", "cmd/plumb-image"},
		"github.com/cilium/ebpf":                 {"bpf", "runtime/store"},
		"k8s.io/client-go":                       {"runtime/source", "runtime/report", "runtime/fleet", "runtime/doctor", "cmd"},
		"github.com/fluxcd/pkg/runtime":          {"runtime/report", "runtime/fleet"},
		"go.opentelemetry.io/otel":               {"runtime/trace"},
	}
	seen := map[string]bool{}
	for _, p := range goList(t) {
		own := strings.TrimPrefix(p.ImportPath, module+"/")
		for _, imported := range p.Imports {
			for foreign, allowed := range homes {
				if !below(imported, foreign) {
					continue
				}
				seen[foreign] = true
				if !anyBelow(own, allowed) {
					t.Errorf("%s imports %s, which stands only in %v", own, imported, allowed)
				}
			}
		}
	}
	for _, foreign := range []string{"cuelang.org/go", "sigs.k8s.io/kustomize", "github.com/cilium/ebpf", "helm.sh/helm/v4"} {
		if !seen[foreign] {
			t.Errorf("nothing imports %s: this test looks at nothing", foreign)
		}
	}
}

// Imports run one way: cmd → compiler, runtime → schema/state, bpf/layout; and
// runtime takes nothing of the compiler but the datapath.
func TestImportsRunOneWay(t *testing.T) {
	rank := func(path string) int {
		switch {
		case path == "schema/state", path == "bpf/layout":
			return 0
		case below(path, "schema"), below(path, "bpf"):
			return 1
		case path == "compiler/datapath", path == "compiler/diag":
			return 2
		case below(path, "compiler"), below(path, "runtime"):
			return 3
		case below(path, "cmd"):
			return 4
		}
		return -1
	}
	for _, p := range goList(t) {
		own := strings.TrimPrefix(p.ImportPath, module+"/")
		if rank(own) < 0 {
			t.Errorf("%s: a package outside the folders that the architecture names", own)
		}
		for _, imported := range p.Imports {
			other, ours := strings.CutPrefix(imported, module+"/")
			if !ours {
				continue
			}
			if rank(other) > rank(own) {
				t.Errorf("%s imports %s: against the direction", own, other)
			}
			if below(own, "runtime") && below(other, "compiler") && other != "compiler/datapath" {
				t.Errorf("%s imports %s: of the compiler, runtime takes only compiler/datapath", own, other)
			}
			if below(own, "compiler") && below(other, "runtime") {
				t.Errorf("%s imports %s: the compiler knows nothing of the runtime", own, other)
			}
		}
	}
}

// The packages in the middle are pure: nothing that they reach opens a file, a
// socket or a map, or asks for the time.
func TestPureInTheMiddle(t *testing.T) {
	pure := []string{"schema/state", "bpf/layout", "compiler/datapath", "compiler/compare", "runtime/plan", "runtime/lookup"}
	effects := []string{"os", "net", "net/http", "os/exec", "syscall", "io/ioutil", "log/slog", "github.com/cilium/ebpf", "k8s.io/client-go"}
	for _, p := range goList(t) {
		own := strings.TrimPrefix(p.ImportPath, module+"/")
		if !slices.Contains(pure, own) {
			continue
		}
		for _, imported := range p.Imports {
			if slices.Contains(effects, imported) || below(imported, "github.com/cilium/ebpf") {
				t.Errorf("%s imports %s: it is to be pure", own, imported)
			}
		}
	}
}

// The agent runs privileged on every node: it links no compiler front end.
func TestAgentLinksNoFrontEnd(t *testing.T) {
	for _, p := range goList(t) {
		if p.ImportPath != module+"/cmd/plumb-agent" {
			continue
		}
		for _, dep := range p.Deps {
			if anyBelow(dep, []string{"cuelang.org/go", "helm.sh/helm/v4", "sigs.k8s.io/kustomize"}) {
				t.Errorf("plumb-agent links %s", dep)
			}
		}
		return
	}
	t.Error("no package cmd/plumb-agent")
}

// plumb runs on every save: what Helm costs a process at its start only
// plumb-render pays. And that one has no use for CUE.
func TestOnlyTheRendererLinksHelm(t *testing.T) {
	foreign := map[string]string{"cmd/plumb": "helm.sh/helm/v4", "cmd/plumb-render": "cuelang.org/go"}
	links := map[string]bool{}
	for _, p := range goList(t) {
		own := strings.TrimPrefix(p.ImportPath, module+"/")
		for _, dep := range p.Deps {
			if unwanted, ok := foreign[own]; ok && below(dep, unwanted) {
				t.Errorf("%s links %s", own, dep)
			}
			links[own] = links[own] || below(dep, "helm.sh/helm/v4")
		}
	}
	if !links["cmd/plumb-render"] {
		t.Error("plumb-render does not link Helm: this test looks at nothing")
	}
}

// runtime/ itself is no Go package: its name would be the standard library's.
func TestNoPackageNamedRuntime(t *testing.T) {
	for _, p := range goList(t) {
		if p.ImportPath == module+"/runtime" {
			t.Error("there is a Go package at runtime/")
		}
	}
}

// plumb runs on every save: it reads files, and leaves the API server's clients,
// which cost a process 4 ms at its start, to the agent.
func TestPlumbLinksNoClient(t *testing.T) {
	for _, p := range goList(t) {
		if p.ImportPath == module+"/cmd/plumb" && slices.ContainsFunc(p.Deps, func(dep string) bool { return below(dep, "k8s.io/client-go") }) {
			t.Error("plumb links client-go")
		}
	}
}
