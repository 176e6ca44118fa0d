// SPDX-License-Identifier: Apache-2.0

package datapath_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"plumbline.dev/plumbline/compiler/datapath"
	"plumbline.dev/plumbline/schema/state"
)

// recorded is the part of a case that is no object: the agent's flags that differ
// from its defaults, and the node testnode.
type recorded struct {
	Flags     []string          `json:"flags,omitempty"`
	Addresses []netip.Addr      `json:"addresses"`
	Labels    map[string]string `json:"labels"`
}

// Compile must give what Cilium's own control plane wrote for the same objects. A
// file holds, for one release, random sets of Services, EndpointSlices and Pods,
// and the entries of its maps: those of 1.17 were made by its service manager,
// those of later ones by its load-balancer control plane. The order of the
// selectable slots in 1.17 is that of arrival, and not compared.
func TestAsCiliumWrites(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "..", "fixtures", "cilium", "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no recorded cases: %v", err)
	}
	for _, file := range files {
		version := strings.TrimSuffix(filepath.Base(file), ".txtar")
		t.Run(version, func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for i := 0; i+2 < len(archive.Files); i += 3 {
				of := archive.Files[i : i+3]
				name, _, _ := strings.Cut(of[0].Name, "/")
				t.Run(name, func(t *testing.T) {
					checkRecorded(t, version, of[0].Data, of[1].Data, string(of[2].Data))
				})
			}
		})
	}
}

func checkRecorded(t *testing.T, version string, setting, objects []byte, want string) {
	var r recorded
	if err := json.Unmarshal(setting, &r); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "objects.yaml")
	if err := os.WriteFile(path, objects, 0o600); err != nil {
		t.Fatal(err)
	}
	node := state.Node{Name: "testnode", Addresses: r.Addresses, Labels: r.Labels, Zone: r.Labels["topology.kubernetes.io/zone"]}
	got, _ := datapath.Compile(r.settings(t, version), readSnapshot(t, node, path))
	if diff := cmp.Diff(want, entries(got)); diff != "" {
		t.Errorf("(-Cilium +Compile):\n%s", diff)
	}
}

func (r *recorded) settings(t *testing.T, version string) *state.Settings {
	s := settingsOf(version)
	lb := &s.LoadBalancer
	lb.MaglevTableSize = 1021
	on := map[string]*bool{
		"--bpf-lb-external-clusterip": &lb.ExternalClusterIP, "--bpf-lb-source-range-all-types": &lb.SourceRangeAllTypes,
		"--bpf-lb-mode-annotation": &lb.ModeAnnotation, "--bpf-lb-algorithm-annotation": &lb.AlgorithmAnnotation,
		"--enable-service-topology": &lb.ServiceTopology, "--bpf-lb-enable-wildcard-entries": &lb.WildcardEntries,
		"--kube-proxy-replacement": &s.KubeProxyReplacement,
	}
	for _, flag := range r.Flags {
		name, value, _ := strings.Cut(flag, "=")
		switch {
		case on[name] != nil:
			*on[name] = value != "false"
		case name == "--bpf-lb-mode":
			lb.Mode = value
		case name == "--bpf-lb-algorithm" || name == "--node-port-algorithm":
			lb.Algorithm = state.Maglev
		default:
			t.Fatalf("flag %q is not known", flag)
		}
	}
	return s
}

// entries tells of the maps' entries, one line each, sorted, in words that hold no
// id and no owner.
func entries(s *state.State) string {
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	for _, b := range s.Backends {
		add("backend %s %s", b.Endpoint, b.State)
	}
	for _, f := range s.Frontends {
		backends, inactive := slots(s, f.Backends), slots(s, f.Inactive)
		add("frontend %s %s alg=%s affinity=%d %s | %s", f.FrontendName, kind(f), f.Algorithm, f.AffinityTimeoutSeconds, backends, inactive)
	}
	for _, m := range s.AffinityMatches {
		add("match %s %s", m.Frontend, m.Backend)
	}
	for _, r := range s.SourceRanges {
		add("range %s %s", r.Frontend, r.CIDR)
	}
	for _, m := range s.Maglev {
		var shares []string
		for b, n := range m.Slots {
			shares = append(shares, fmt.Sprintf("%s=%d", b, n))
		}
		slices.Sort(shares)
		add("maglev %s %s", m.Frontend, strings.Join(shares, " "))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}

// kind is type and flags, sorted by name.
func kind(f state.Frontend) string {
	names := append([]string{f.Type.String()}, f.Flags.Names()...)
	slices.Sort(names)
	return strings.Join(names, "+")
}

func slots(s *state.State, list []state.Endpoint) string {
	list = slices.Clone(list)
	if s.Layout == state.Cilium117 {
		slices.SortFunc(list, state.Endpoint.Compare)
	}
	texts := make([]string, len(list))
	for i, b := range list {
		texts[i] = b.String()
	}
	return strings.Join(texts, " ")
}
