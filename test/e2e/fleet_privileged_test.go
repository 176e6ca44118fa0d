// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

// A cluster without Cilium gets one. From then on a map that is tampered with turns
// the gate, says so by service and node, and holds back the next revision until it is
// mended; and that all maps go is drift as well.
func TestPrivilegedDriftHoldsTheNextRevision(t *testing.T) {
	f := newFleet(t, "", shop)
	f.bootstraps(t)
	f.holdsTheNextRevision(t)
	f.uninstall(t)
	f.await(t, f.datapath(), "no longer Ready", func(r resource) bool {
		is, _ := r.condition("Ready")
		return hasCondition("Ready", "False")(r) && is != "False NoPins" || hasCondition("Drifted", "True")(r)
	})
	f.gateIs(t, "False")
}

// bootstraps is that the gate opens where there is nothing to guard yet, and says why.
func (f *fleet) bootstraps(t testing.TB) {
	t.Helper()
	f.await(t, f.datapath(), "without pins", func(r resource) bool {
		is, _ := r.condition("Ready")
		return is == "Unknown NoPins" || is == "False NoPins" || is == "True NoPins"
	})
	f.gateIs(t, "True")
	f.release(t, "kube-system")
	f.install(t, f.environment)
	f.await(t, f.datapath(), "Ready in sync", isReady)
	f.await(t, kustomization("apps"), "Ready", isReady)
}

// holdsTheNextRevision is what becomes of a revision while a map is damaged.
func (f *fleet) holdsTheNextRevision(t testing.TB) {
	t.Helper()
	f.drift(t, "False")

	begun := time.Now()
	f.tamper(t, "delete-slot", shop.frontend(), "6")
	f.drift(t, "True")
	said := time.Since(begun).Round(10 * time.Millisecond)
	f.gateIs(t, "False")
	t.Logf("from tampering to a Datapath that says so: %s; to a gate that is not Ready: %s", said, time.Since(begun).Round(10*time.Millisecond))
	f.event(t, "default/shop", "n1")
	if _, message := f.drift(t, "True").condition("Ready"); !containsAll(message, []string{"n1"}) {
		t.Errorf("the Datapath says %q, want the node named", message)
	}

	second := f.next(t, "two")
	f.await(t, kustomization("gate"), "failed at the second revision", failedAt(second))
	f.await(t, kustomization("apps"), "waiting", reason("Ready", "False DependencyNotReady"))
	f.await(t, f.app(), "as the first revision has it", has("one"))

	begun = time.Now()
	f.mend(t)
	f.drift(t, "False")
	f.await(t, kustomization("gate"), "Ready at the second revision", applied(second))
	t.Logf("from mending to a gate that is Ready: %s", time.Since(begun).Round(10*time.Millisecond))
	f.await(t, kustomization("apps"), "Ready at the second revision", applied(second))
}

// The API server goes and comes back: agent and controller go on, and what is
// tampered with then is found. A watch that breaks loses nothing.
func TestPrivilegedAPIServerRestarts(t *testing.T) {
	f := newGuarded(t, "", shop)
	f.api.kill()
	f.tamper(t, "delete-slot", shop.frontend(), "6")
	f.startAPI(t)
	f.drift(t, "True")
	f.gateIs(t, "False")
	f.mend(t)
	f.drift(t, "False")
	f.gateIs(t, "True")
	for _, p := range []*process{f.agent, f.controller} {
		select {
		case <-p.done:
			t.Errorf("%s has ended", p.name)
		default:
		}
	}
	f.watchBreaks(t)
}

// watchBreaks has an endpoint go while the agent hears nothing: once it hears again,
// it wants what Cilium has, and reports no drift.
func (f *fleet) watchBreaks(t testing.TB) {
	t.Helper()
	report := named(apiPlumbline, "DatapathNode", namespace, "n1")
	before := f.await(t, report, "Ready", hasCondition("Ready", "True"))
	if err := f.agent.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	less := shop
	less.endpoints = shop.endpoints[:1]
	f.declare(t, less)
	rounds := f.followed(t, less)
	f.api.kill()
	f.startAPI(t)
	if err := f.agent.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	f.settled(t, rounds)
	f.await(t, report, "Ready anew", func(r resource) bool {
		is, _ := r.condition("Drifted")
		if is == "True" {
			t.Fatalf("an endpoint that has gone is called drift: %v", r.Object["status"])
		}
		return r.GetResourceVersion() != before.GetResourceVersion() && hasCondition("Ready", "True")(r)
	})
	f.tamper(t, "delete-slot", less.frontend(), "6")
	f.drift(t, "True")
}

// An agent that is dead is no healthy one, and neither is one that is denied what it
// reads.
func TestPrivilegedDeadAgent(t *testing.T) {
	f := newGuarded(t, "", shop)
	f.agent.kill()
	begun := time.Now()
	f.await(t, f.datapath(), "Ready Unknown", hasCondition("Ready", "Unknown"))
	t.Logf("from an agent's death to a Datapath that says so: %s", time.Since(begun).Round(10*time.Millisecond))
	second := f.next(t, "two")
	f.await(t, kustomization("gate"), "looking at its health", checking(second))
	f.await(t, f.app(), "as the first revision has it", has("one"))
	f.agent = f.agentPod.run(t)
	f.await(t, f.datapath(), "Ready", isReady)
	f.await(t, kustomization("apps"), "Ready at the second revision", applied(second))

	f.saysThatItIsDenied(t)
}

// saysThatItIsDenied takes from the agent what it may read. It says so, also where Flux
// looks. Once Flux has given it back, the same agent goes on.
func (f *fleet) saysThatItIsDenied(t testing.TB) {
	t.Helper()
	f.agent.kill()
	f.suspendFlux(t, "gate", true) // it would give it back at once
	binding := named("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "", namespace+":plumb-agent")
	if err := f.Delete(t.Context(), binding.Unstructured); err != nil {
		t.Fatal(err)
	}
	f.agent = f.agentPod.run(t)
	f.agent.await(t, "that it is denied", func(said string) bool {
		return strings.Contains(said, "forbidden") && strings.Contains(said, "services")
	})
	f.await(t, named(apiPlumbline, "DatapathNode", namespace, "n1"), "saying what is denied", func(r resource) bool {
		return r.text("status", "status") == "Uninitialized" && containsAll(r.text("status", "message"), []string{"services", "forbidden"})
	})
	f.await(t, f.datapath(), "Ready Unknown", hasCondition("Ready", "Unknown"))
	f.suspendFlux(t, "gate", false)
	f.await(t, f.datapath(), "Ready", isReady)
}
