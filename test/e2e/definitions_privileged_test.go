// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// define brings Plumbline's definitions and its namespace into a cluster, without Flux.
func (c *cluster) define(t testing.TB, e environment) {
	t.Helper()
	for _, file := range []string{"gate/namespace.yaml", "gate/datapaths-customresourcedefinition.yaml", "gate/datapathnodes-customresourcedefinition.yaml"} {
		c.create(t, e.object(t, file))
	}
	for _, name := range []string{"datapaths.plumbline.dev", "datapathnodes.plumbline.dev"} {
		c.await(t, named("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", name), "established", hasCondition("Established", "True"))
	}
	// Established is a little before served.
	for _, kind := range []string{"Datapath", "DatapathNode"} {
		poll(t, c.api, kind+" is served", func(ctx context.Context) error { return c.List(ctx, lists(apiPlumbline, kind)) })
	}
}

// The API server refuses a Datapath that no agent could work by, or that would let
// one do what its mode is not for, and says why.
func TestPrivilegedDatapathIsValidated(t *testing.T) {
	c := newCluster(t)
	e := build(t, "valid", "/sys/fs/cgroup", "")
	c.define(t, e)
	for _, test := range []struct {
		what   string
		path   string
		value  any
		refuse string // what the answer names; empty is taken
	}{
		{"as built", "", nil, ""},
		{"a mode that there is not", "mode", "mend", "spec.mode"},
		{"a layout that there is not", "layout", "cilium/1.16", "spec.layout"},
		{"a layout of another minor", "layout", "cilium/1.18", "the one of chartVersion's minor"},
		{"an interval below a second", "interval", "500ms", "interval is a second or longer"},
		{"an interval that is none", "interval", "soon", "spec.interval"},
		{"mode repair without a grace", "mode=repair grace", "0s", "grace is above 0s"},
		{"mode repair with a grace", "mode=repair grace", "1s", ""},
		{"mode observe without a grace", "grace", "0s", ""},
		{"mode own without sizes", "mode=own maps", map[string]any{"services": int64(0)}, "maps has the sizes"},
		{"node ports the wrong way round", "nodePortMin", int64(40000), "nodePortMin is not above"},
		{"a prefix that is none", "nodePortAddresses", []any{"10.0.0.0/8", "10.0.0.0/40"}, "nodePortAddresses[1]"},
		{"a negative limit", "limits.repairEntries", int64(-1), "spec.limits.repairEntries"},
		{"a number of nodes", "limits.driftedNodes", int64(3), ""},
		{"a part of the nodes", "limits.unknownNodes", "5%", ""},
		{"more than all nodes", "limits.driftedNodes", "101%", "want a number of nodes"},
		{"fewer nodes than none", "limits.unknownNodes", int64(-1), "want a number of nodes"},
		{"no environment", "environment", nil, "spec.environment"},
	} {
		d := e.object(t, "gate/valid-datapath.yaml").Unstructured
		if mode, path, ok := strings.Cut(strings.TrimPrefix(test.path, "mode="), " "); ok {
			put(t, d, "mode", mode)
			unstructured.RemoveNestedField(d.Object, "spec", "devices")
			test.path = path
		}
		put(t, d, test.path, test.value)
		err := c.Create(t.Context(), d, client.DryRunAll)
		if (err != nil) != (test.refuse != "") || err != nil && !strings.Contains(err.Error(), test.refuse) {
			t.Errorf("%s: %v, want a refusal with %q", test.what, err, test.refuse)
		}
	}

	// A Datapath that says little is taken as one that writes nothing, and says so.
	little := named(apiPlumbline, "Datapath", namespace, "little")
	little.Object["spec"] = map[string]any{"environment": "little", "chartVersion": "1.17.2", "layout": "cilium/1.17", "bpfRoot": "/sys/fs/bpf", "cgroupRoot": "/sys/fs/cgroup"}
	c.create(t, little)
	var got []string
	for _, path := range []string{"spec mode", "spec interval", "spec grace", "spec limits repairEntries", "spec audits fill", "status observedGeneration"} {
		got = append(got, little.text(strings.Fields(path)...))
	}
	if want := []string{"observe", "30s", "10s", "64", "true", "-1"}; !slices.Equal(got, want) {
		t.Errorf("defaults are %q, want %q", got, want)
	}
}

// put sets a field of the spec, or takes it away.
func put(t testing.TB, o *unstructured.Unstructured, path string, value any) {
	t.Helper()
	if path == "" {
		return
	}
	fields := append([]string{"spec"}, strings.Split(path, ".")...)
	if value == nil {
		unstructured.RemoveNestedField(o.Object, fields...)
		return
	}
	if err := unstructured.SetNestedField(o.Object, value, fields...); err != nil {
		t.Fatal(err)
	}
}

// A report says what reports may say, and holds no more than they may hold.
func TestPrivilegedReportIsValidated(t *testing.T) {
	c := newCluster(t)
	c.define(t, build(t, "valid", "/sys/fs/cgroup", ""))
	node := named(apiPlumbline, "DatapathNode", namespace, "n1")
	c.create(t, node)
	drifts := func(n int) []any {
		var list []any
		for i := range n {
			list = append(list, map[string]any{"kind": "slot-gap", "message": fmt.Sprintf("slot %d", i)})
		}
		return list
	}
	condition := func(kind, reason string) []any {
		return []any{map[string]any{"type": kind, "status": "True", "reason": reason, "message": "", "lastTransitionTime": time.Now().UTC().Format(time.RFC3339)}}
	}
	for _, test := range []struct {
		field  string
		value  any
		refuse string
	}{
		{"status", "InSync", ""},
		{"status", "Fine", "status.status"},
		{"reason", "NoPins", ""},
		{"reason", "Because", "status.reason"},
		{"drifts", drifts(1000), ""},
		{"drifts", drifts(1001), "status.drifts"},
		{"drifts", []any{map[string]any{"kind": "slot-gap", "message": strings.Repeat("a", 1025)}}, "status.drifts[0].message"},
		{"intervalSeconds", int64(0), "status.intervalSeconds"},
		{"conditions", condition("Ready", "InSync"), ""},
		{"conditions", condition("Ready", "Fine"), "reason is the round's"},
		{"conditions", condition("Well", "InSync"), "conditions are Ready"},
	} {
		o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": apiPlumbline, "kind": "DatapathNode", "metadata": map[string]any{
			"name": "n1", "namespace": namespace, "resourceVersion": node.GetResourceVersion()}, "status": map[string]any{test.field: test.value}}}
		err := c.Status().Update(t.Context(), o, client.DryRunAll)
		if (err != nil) != (test.refuse != "") || err != nil && !strings.Contains(err.Error(), test.refuse) {
			t.Errorf("%s: %v, want a refusal with %q", test.field, err, test.refuse)
		}
	}
}
