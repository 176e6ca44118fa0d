// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// fleet is all of it: a cluster with Flux, an environment, a node, and Plumbline's
// agent and controller as their manifests run them.
type fleet struct {
	*flux
	*node
	environment
	agent, controller *process
	agentPod          *workload
}

// newFleet brings an environment into a cluster whose node has no Cilium yet, and
// starts the agent and the controller. more is CUE that the environment has.
func newFleet(t testing.TB, more string, services ...service) *fleet {
	t.Helper()
	f := &fleet{flux: newFlux(t, newCluster(t)), node: newNode(t)}
	f.environment = build(t, "prod", f.cgroup, more)
	f.addNode(t, "n1")
	f.declare(t, services...)
	f.follow(t, services...)
	f.bring(t)
	return f
}

// bring has Flux apply the environment, and starts the agent and the controller.
func (f *fleet) bring(t testing.TB) {
	t.Helper()
	f.adopt(t, f.environment)
	f.agentPod = f.schedule(t, f.object(t, "gate/plumb-agent-daemonset.yaml"), "n1")
	f.policyHolds(t, f.agentPod.client(t), f.agents)
	f.agent = f.agentPod.run(t)
	f.controller = f.schedule(t, f.object(t, "gate/plumb-controller-deployment.yaml"), "n1").run(t)
}

// newGuarded is a fleet with Cilium on its node, in sync, and the first revision
// applied.
func newGuarded(t testing.TB, more string, services ...service) *fleet {
	t.Helper()
	f := newFleet(t, more, services...)
	f.install(t, f.environment)
	f.rolls(t, "kube-system")
	return f
}

// rolls waits until the gate is open, and what comes after it Ready.
func (f *fleet) rolls(t testing.TB, release string) {
	t.Helper()
	f.await(t, f.datapath(), "Ready", isReady)
	f.await(t, f.kustomization("gate"), "Ready", isReady)
	f.release(t, release)
	f.await(t, f.kustomization("apps"), "Ready", isReady)
}

// next publishes a revision, and gives it.
func (f *fleet) next(t testing.TB, value string) string {
	t.Helper()
	return f.publishAs(t, f.source, f.with(value))
}

// failedAt is that a revision has been tried, and is not Ready.
func failedAt(revision string) func(resource) bool {
	return func(r resource) bool {
		return hasCondition("Ready", "False")(r) && r.text("status", "lastAttemptedRevision") == revision
	}
}

// checking is that a revision is applied, and its health not known: that is what
// becomes Ready, or fails after the timeout.
func checking(revision string) func(resource) bool {
	return func(r resource) bool {
		_, message := r.condition("Reconciling")
		return strings.HasPrefix(message, "Running health checks for revision "+revision) && r.text("status", "lastAppliedRevision") != revision
	}
}

// gateIs waits for the gate's Ready, and gives how long that took.
func (f *fleet) gateIs(t testing.TB, status string) time.Duration {
	t.Helper()
	begun := time.Now()
	f.await(t, f.kustomization("gate"), "Ready "+status, hasCondition("Ready", status))
	return time.Since(begun).Round(10 * time.Millisecond)
}

// drift waits for the Datapath to say that there is some, or none.
func (f *fleet) drift(t testing.TB, status string) resource {
	t.Helper()
	return f.await(t, f.datapath(), "Drifted "+status, hasCondition("Drifted", status))
}

// event waits for one about the Datapath or a node's report that has all words.
func (f *fleet) event(t testing.TB, words ...string) {
	t.Helper()
	ctx := t.Context()
	w, err := f.Watch(ctx, &corev1.EventList{}, client.InNamespace(f.agents))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	var said []string
	late := time.After(patience)
	for {
		select {
		case event := <-w.ResultChan():
			e, ok := event.Object.(*corev1.Event)
			if !ok {
				continue
			}
			text := e.InvolvedObject.Kind + "/" + e.InvolvedObject.Name + " " + e.Reason + " " + e.Message
			said = append(said, text)
			if containsAll(text, words) {
				return
			}
		case <-late:
			t.Fatalf("no event with %q; there are:\n%s", words, strings.Join(said, "\n"))
		}
	}
}

func containsAll(text string, words []string) bool {
	for _, word := range words {
		if !strings.Contains(text, word) {
			return false
		}
	}
	return true
}
