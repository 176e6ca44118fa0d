// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// repairing is an environment whose agents repair, unless they are suspended.
const repairing = "environment: datapath: {mode: \"repair\", suspend: %t}"

// An agent that repairs writes nothing while its Datapath is suspended, which is no
// state to roll on in: the gate stays shut, drift or none. A suspended Kustomization
// of Flux is not told, and once both are resumed all is mended.
func TestPrivilegedSuspend(t *testing.T) {
	f := newGuarded(t, fmt.Sprintf(repairing, false), shop)
	f.tamper(t, "delete-slot", shop.frontend(), "6")
	f.repaired(t, 1)

	f.environment = build(t, "prod", f.cgroup, fmt.Sprintf(repairing, true))
	second := f.next(t, "two")
	held := f.await(t, f.datapath(), "suspended and in sync", reason("Ready", "False Suspended"))
	if !hasCondition("Drifted", "False")(held) {
		t.Error("that nobody writes is called drift")
	}
	f.await(t, f.kustomization("gate"), "looking at its health", checking(second))

	f.tamper(t, "delete-slot", shop.frontend(), "6")
	f.await(t, named(apiPlumbline, "DatapathNode", namespace, "n1"), "drifted, with nothing written", reason("Drifted", "True Suspended"))
	f.await(t, f.datapath(), "drifted, and suspended", func(r resource) bool {
		is, message := r.condition("Ready")
		return is == "False DriftDetected" && containsAll(message, []string{"n1", "default/shop", "writing is suspended"})
	})
	f.await(t, f.kustomization("gate"), "failed at the second revision", failedAt(second))
	f.repaired(t, 1) // as before

	f.suspendFlux(t, "gate", true)
	asked := f.requested(t, "gate")
	f.mend(t)
	f.drift(t, "False")
	f.tamper(t, "delete-slot", shop.frontend(), "6")
	f.drift(t, "True")
	f.fleetSays(t, "Flux is not told", 2)
	if now := f.requested(t, "gate"); now != asked {
		t.Errorf("a suspended Kustomization is asked at %q, before it was suspended at %q", now, asked)
	}

	f.environment = build(t, "prod", f.cgroup, fmt.Sprintf(repairing, false))
	third := f.next(t, "three")
	f.await(t, f.kustomization("root-prod"), "applied", applied(third))
	f.suspendFlux(t, "gate", false)
	f.repaired(t, 2)
	f.await(t, f.datapath(), "Ready", isReady)
	f.await(t, f.kustomization("gate"), "Ready at the third revision", applied(third))
	f.await(t, f.kustomization("apps"), "Ready at the third revision", applied(third))
}

// repaired waits until the agent has written so many steps in all, and no more.
func (f *fleet) repaired(t testing.TB, steps int) {
	t.Helper()
	count := func(said string) int { return strings.Count(said, "msg=repaired") }
	f.agent.await(t, fmt.Sprintf("%d steps are written", steps), func(said string) bool { return count(said) >= steps })
	if got := count(f.agent.said(t)); got != steps {
		t.Errorf("the agent has written %d steps, want %d", got, steps)
	}
}

// fleetSays waits until the controller has said something so many times.
func (f *fleet) fleetSays(t testing.TB, text string, times int) {
	t.Helper()
	f.controller.await(t, text, func(said string) bool { return strings.Count(said, text) >= times })
}

// suspendFlux suspends or resumes a Kustomization, as `flux suspend` and `flux
// resume` do.
func (f *fleet) suspendFlux(t testing.TB, name string, suspend bool) {
	t.Helper()
	patch := fmt.Appendf(nil, `{"spec":{"suspend":%t}}`, suspend)
	if err := f.Patch(t.Context(), f.kustomization(name).Unstructured, client.RawPatch("application/merge-patch+json", patch)); err != nil {
		t.Fatal(err)
	}
}

// requested is when a Kustomization was last asked to look.
func (f *fleet) requested(t testing.TB, name string) string {
	t.Helper()
	k := f.await(t, f.kustomization(name), "there", func(r resource) bool { return r.GetResourceVersion() != "" })
	return k.GetAnnotations()[reconcileAt]
}
