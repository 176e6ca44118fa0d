// SPDX-License-Identifier: Apache-2.0

package load

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"plumbline.dev/plumbline/compiler/diag"
)

func TestFactsAreTypedAsACluster(t *testing.T) {
	facts, list := ReadFacts("facts.yaml", []byte("kernel: \"6.1\"\nnodes: 3\nrack: {row: b}\npodCIDRs:\n- 10.0.0.0/8\n"))
	if len(list) > 0 {
		t.Fatal(list)
	}
	want := map[string]any{"kernel": "6.1", "nodes": int64(3), "rack": map[string]any{"row": "b"}, "podCIDRs": []any{"10.0.0.0/8"}, "serviceCIDRs": []any{}}
	if diff := cmp.Diff(want, facts.Data); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if at := facts.Positions("rack", "row"); len(at) != 1 || at[0] != (diag.Position{File: "facts.yaml", Line: 3, Column: 13}) {
		t.Errorf("rack.row stands at %v", at)
	}
	if at := facts.Positions("kubeProxy"); len(at) != 0 && at[0].Line > 1 {
		t.Errorf("what is not written stands at %v", at)
	}
}

func TestFactsThatAreNone(t *testing.T) {
	for data, want := range map[string]string{
		"kernel: 6.1\nnodes: 0\nrack: b\n": `facts.yaml:1:9: warning: cluster.kernel: want a kernel version, such as "6.1", have 6.1; what can't be read of it counts as not stated [env/wrong-type]
facts.yaml:2:8: warning: cluster.nodes: want a number of nodes, at least 1, have 0; what can't be read of it counts as not stated [env/bad-value]
`,
		"-1\n":          "facts.yaml:1: error: cluster: want facts by name, have -1 [env/wrong-type]\n",
		"- 1\n":         "facts.yaml:1: error: cluster: want facts by name, have a list [env/wrong-type]\n",
		"{\"nodes\": }": "facts.yaml:1:11: warning: cluster.nodes: want a number of nodes, at least 1, have null; what can't be read of it counts as not stated [env/wrong-type]\n",
	} {
		facts, list := ReadFacts("facts.yaml", []byte(data))
		var got bytes.Buffer
		if err := list.WriteText(&got, false); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got.String()); diff != "" || (facts == nil) != (list.Count(diag.Error) > 0) {
			t.Errorf("%q gives facts %v (-want +got):\n%s", data, facts, diff)
		}
	}
	for _, empty := range []string{"", "{}", "# none\n"} {
		if facts, list := ReadFacts("facts.yaml", []byte(empty)); facts == nil {
			t.Errorf("%q: %v", empty, list)
		}
	}
	if facts, list := ReadFacts("facts.yaml", []byte("a: [")); facts != nil || len(list) != 1 || list[0].Code != codeSyntax {
		t.Errorf("no YAML gives %v, %v", facts, list)
	}
}

func TestPlatformsAreTheSchemas(t *testing.T) {
	if got := Platforms(); len(got) < 5 || got[0] != "kubeadm" || got[len(got)-1] != "other" {
		t.Errorf("platforms are %q", got)
	}
}
