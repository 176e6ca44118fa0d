// SPDX-License-Identifier: Apache-2.0

package catalog

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"plumbline.dev/plumbline/compiler"
	"plumbline.dev/plumbline/compiler/load"
)

// one describes an environment of these values.
func one(t *testing.T, values string) *Page {
	t.Helper()
	all := compiled(t, &txtar.Archive{Files: []txtar.File{{Name: "environments/x/x.cue", Data: []byte(`package x

environment: {
	name: "x"
	chart: version: "1.18.6"
	values: {` + values + `}
}
`)}}})
	p, err := Describe(all[0])
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// feature gives a feature of a page; one that is off is the zero one.
func (p *Page) feature(name string) Feature {
	i := slices.IndexFunc(p.Features, func(f Feature) bool { return f.Name == name })
	if i < 0 {
		return Feature{}
	}
	return p.Features[i]
}

// extraConfig goes before the value that the chart renders the option from, and
// is what the page names.
func TestExtraConfigTurnsFeaturesOn(t *testing.T) {
	p := one(t, `extraConfig: {"enable-ipv6": "true", "enable-wireguard": "true", "enable-hubble": "false"}
	hubble: relay: enabled: true`)
	f := p.feature("IPv6")
	if f.Value != `extraConfig."enable-ipv6"` || f.Is != "true" || len(f.Places) != 1 || f.Places[0].Line != 6 {
		t.Errorf("IPv6: got %+v, want it by extraConfig at line 6", f)
	}
	if f := p.feature("Encryption"); f.Detail != "wireguard" {
		t.Errorf("encryption: got %+v, want wireguard", f)
	}
	for _, name := range []string{"Hubble", "Hubble Relay"} {
		if f := p.feature(name); f.Name != "" {
			t.Errorf("%s is on: %+v", name, f)
		}
	}
	if slices.ContainsFunc(p.Parts, func(part Part) bool { return part.Name == "hubble-relay" }) {
		t.Error("the graph has hubble-relay, and nothing for it to ask")
	}
}

func TestEnvoyIsWhereTheChartPutsIt(t *testing.T) {
	for values, want := range map[string]bool{
		``:                             true,
		`upgradeCompatibility: "1.15"`: false,
		`upgradeCompatibility: "1.16"`: true,
		`upgradeCompatibility: "1.15", envoy: enabled: true`: true,
		`envoy: enabled: false`:                              false,
		`l7Proxy: false`:                                     false,
	} {
		p := one(t, values)
		drawn := slices.ContainsFunc(p.Parts, func(part Part) bool { return part.Name == "cilium-envoy" })
		if drawn != want {
			t.Errorf("{%s}: the graph has Envoy: %t, want %t", values, drawn, want)
		}
		if f := p.feature("L7 proxy"); f.Name != "" && strings.Contains(f.Detail, "DaemonSet") != want {
			t.Errorf("{%s}: the L7 proxy is %q", values, f.Detail)
		}
	}
}

// The pages of this repository's own environments.
func TestOwnPages(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	folder := load.Folder{Dir: filepath.Join(root, "environments"), WorkDir: root}
	names, err := folder.Names()
	if err != nil {
		t.Fatal(err)
	}
	var all []Compiled
	for _, name := range names {
		source, err := folder.Find(name)
		if err != nil {
			t.Fatal(err)
		}
		environment, _ := load.Load(source)
		artifact, list := compiler.Compile(environment)
		if artifact == nil {
			t.Fatalf("%s does not compile: %v", name, list)
		}
		all = append(all, Compiled{environment, artifact})
	}
	if d := cmp.Diff([]string{"dev", "prod"}, names); d != "" {
		t.Fatalf("environments (-want +got):\n%s", d)
	}
	for i, name := range names {
		page := described(t, all, i).Markdown()
		wellFormed(t, name, page)
		sameFile(t, filepath.Join("testdata", name+".md"), page)
	}
}

// sameFile compares with a golden file; PLUMB_UPDATE=1 rewrites it.
func sameFile(t *testing.T, file, have string) {
	t.Helper()
	if os.Getenv("PLUMB_UPDATE") != "" {
		if err := os.WriteFile(file, []byte(have), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), have); d != "" {
		t.Errorf("%s (-want +got):\n%s", file, d)
	}
}
