// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"strings"
	"testing"
)

func decode(t testing.TB, text []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}

// A request to reconcile the Datapath is handled by the node's agent, which says so in
// its report, and then by the Datapath.
func TestPrivilegedRequestIsHandled(t *testing.T) {
	f := newGuarded(t, "", shop)
	kubeconfig := f.kubeconfig(t, adminToken)
	var asked struct {
		Datapaths []struct {
			Request string
			Handled bool
			Waiting []string
		}
	}
	decode(t, plumb(t, t.TempDir(), "reconcile", "--kubeconfig", kubeconfig, "-o", "json"), &asked)
	if len(asked.Datapaths) != 1 || !asked.Datapaths[0].Handled || len(asked.Datapaths[0].Waiting) > 0 {
		t.Fatalf("plumb reconcile says %+v", asked)
	}
	for _, r := range []resource{f.datapath(), named(apiPlumbline, "DatapathNode", namespace, "n1")} {
		f.await(t, r, "handled", func(r resource) bool {
			return r.text("status", "lastHandledReconcileAt") == asked.Datapaths[0].Request
		})
	}
	var seen struct {
		Ready     bool
		Datapaths []struct {
			Nodes []struct{ Node, State, Layout string }
		}
	}
	decode(t, plumb(t, t.TempDir(), "status", "--kubeconfig", kubeconfig, "-o", "json"), &seen)
	if !seen.Ready || len(seen.Datapaths) != 1 || len(seen.Datapaths[0].Nodes) != 1 {
		t.Fatalf("plumb status says %+v", seen)
	}
	if n := seen.Datapaths[0].Nodes[0]; n.Node != "n1" || n.State != "in sync" || n.Layout != "cilium/1.17" {
		t.Errorf("plumb status says of the node %+v", n)
	}
	// The same cluster, read by plumb itself: the API server knows no kinds of Cilium's.
	args := []string{"prod", "--kubeconfig", kubeconfig, "--node", "n1"}
	if out := string(plumb(t, f.environment.dir, append([]string{"state"}, args...)...)); !strings.Contains(out, "frontend "+shop.frontend()+"/TCP ") {
		t.Errorf("plumb state says\n%s", out)
	}
	args = append(args, "--live", "--bpffs", f.bpffs, "--only", "maps", "--grace", "0")
	if out := string(plumb(t, f.environment.dir, append([]string{"diff"}, args...)...)); !strings.Contains(out, "in sync: layout cilium/1.17") {
		t.Errorf("plumb diff says\n%s", out)
	}
	// An object is Current to who knows no more of it than its conditions.
	for _, r := range []resource{f.datapath(), named(apiPlumbline, "DatapathNode", namespace, "n1")} {
		f.await(t, r, "Ready, of its own generation, and neither reconciling nor stalled", func(r resource) bool {
			reconciling, _ := r.condition("Reconciling")
			stalled, _ := r.condition("Stalled")
			return isReady(r) && reconciling == "absent" && stalled == "absent"
		})
	}
}
