// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// edge is an environment beside another in one cluster: it has namespaces, ports,
// pins and a source of its own.
const edge = `environment: {
	flux: {
		namespace: "edge"
		source: {kind: "ExternalArtifact", name: "edge"}
		release: namespace: "edge-system"
	}
	agent: {namespace: "plumbline-edge", port: 9974, controller: port: 9975}
	values: bpf: root: %q
}
`

// Two environments of one cluster keep to themselves: drift in one holds the one
// back, and the other stays Ready and rolls.
func TestPrivilegedTwoEnvironments(t *testing.T) {
	f := newGuarded(t, "", shop)
	g := f.beside(t, shop)

	f.tamper(t, "delete-slot", shop.frontend(), "6")
	f.drift(t, "True")
	f.gateIs(t, "False")
	held, rolled := f.next(t, "two"), g.next(t, "two")
	f.await(t, f.kustomization("gate"), "failed at the second revision", failedAt(held))
	g.await(t, g.kustomization("apps"), "Ready at the second revision", applied(rolled))
	g.await(t, g.app(), "as the second revision has it", has("two"))
	g.await(t, g.datapath(), "Ready and without drift", func(r resource) bool { return isReady(r) && hasCondition("Drifted", "False")(r) })
	f.await(t, f.kustomization("apps"), "waiting", reason("Ready", "False DependencyNotReady"))
	f.await(t, f.app(), "as the first revision has it", has("one"))
	f.mend(t)
	f.await(t, f.kustomization("apps"), "Ready at the second revision", applied(held))

	// The other way round, and each may write to its own alone.
	g.tamper(t, "delete-slot", shop.frontend(), "6")
	g.drift(t, "True")
	g.gateIs(t, "False")
	f.await(t, f.datapath(), "Ready", isReady)
	agent := g.agentPod.client(t)
	for what, err := range map[string]error{
		"an agent writes a report of the other environment": setReady(t, agent, named(apiPlumbline, "DatapathNode", f.agents, "n1").Unstructured),
		"an agent pokes the gate of the other environment":  poke(t, agent, "gate"),
	} {
		if !errors.IsForbidden(err) {
			t.Errorf("%s: %v, want forbidden", what, err)
		}
	}
}

// beside brings another environment into the cluster, up to where it rolls.
func (f *fleet) beside(t testing.TB, services ...service) *fleet {
	t.Helper()
	dir := t.TempDir()
	g := &fleet{flux: f.flux, node: newNodeAt(t, dir)}
	g.environment = build(t, "edge", g.cgroup, fmt.Sprintf(edge, dir))
	g.source, g.agents = source{"ExternalArtifact", "edge", "edge"}, "plumbline-edge"
	for _, name := range []string{"edge", "edge-system"} {
		f.create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	g.follow(t, services...)
	g.bring(t)
	g.fill(t, g.environment)
	g.rolls(t, "edge-system")
	return g
}
