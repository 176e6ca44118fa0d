// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// A request to reconcile the Datapath is handled by the node's agent, which says so in
// its report, and then by the Datapath.
func TestPrivilegedRequestIsHandled(t *testing.T) {
	f := newGuarded(t, "", shop)
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"annotations":{"reconcile.fluxcd.io/requestedAt":"once"}}}`))
	if err := f.Patch(t.Context(), f.datapath().DeepCopy(), patch); err != nil {
		t.Fatal(err)
	}
	handled := func(r resource) bool { return r.text("status", "lastHandledReconcileAt") == "once" }
	f.await(t, named(apiPlumbline, "DatapathNode", namespace, "n1"), "handled", handled)
	f.await(t, f.datapath(), "handled", handled)
	// An object is Current to who knows no more of it than its conditions.
	for _, r := range []resource{f.datapath(), named(apiPlumbline, "DatapathNode", namespace, "n1")} {
		f.await(t, r, "Ready, of its own generation, and neither reconciling nor stalled", func(r resource) bool {
			reconciling, _ := r.condition("Reconciling")
			stalled, _ := r.condition("Stalled")
			return isReady(r) && reconciling == "absent" && stalled == "absent"
		})
	}
}
