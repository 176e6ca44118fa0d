// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	metadatafake "k8s.io/client-go/metadata/fake"
	"k8s.io/client-go/tools/record"

	"plumbline.dev/plumbline/runtime/api/v1alpha1"
)

// cluster is a Controller's, with what it logs and a channel of its rounds.
type cluster struct {
	*dynamicfake.FakeDynamicClient
	rounds chan Round
	events *record.FakeRecorder
	mu     sync.Mutex
	log    bytes.Buffer
}

func (c *cluster) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log.Write(p)
}

func (c *cluster) said() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log.String()
}

// newCluster runs a Controller over nodes and reports until the test ends.
func newCluster(t *testing.T, nodes []string, reports ...*unstructured.Unstructured) *cluster {
	t.Helper()
	objects := []runtime.Object{object("Datapath", "prod", map[string]any{"spec": map[string]any{"mode": "observe"}})}
	for _, r := range reports {
		objects = append(objects, r)
	}
	kinds := map[schema.GroupVersionResource]string{datapaths: "DatapathList", datapathNodes: "DatapathNodeList"}
	c := &cluster{rounds: make(chan Round, 100), events: record.NewFakeRecorder(100), FakeDynamicClient: dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), kinds, objects...)}
	scheme := metadatafake.NewTestScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	var list []runtime.Object
	for _, name := range nodes {
		list = append(list, &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Node"}, ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	ctx, cancel := context.WithCancel(t.Context())
	told, err := newEvents(ctx, c.events, "", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	controller := New(Config{
		Client: c, Metadata: metadatafake.NewSimpleMetadataClient(scheme, list...), Namespace: "plumbline", Datapath: "prod",
		Log: slog.New(slog.NewTextHandler(c, nil)), Now: time.Now, Every: time.Hour, Say: told.Say, Done: func(r Round) { c.rounds <- r },
	})
	go func() { done <- controller.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return c
}

func object(kind, name string, more map[string]any) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "plumbline.dev/v1alpha1", "kind": kind}}
	for key, value := range more {
		o.Object[key] = value
	}
	o.SetNamespace("plumbline")
	o.SetName(name)
	o.SetResourceVersion("1")
	return o
}

func node(name, status, reason string, drifts ...any) *unstructured.Unstructured {
	return object("DatapathNode", name, map[string]any{"status": map[string]any{
		"settingsGeneration": int64(0), "reportedAt": time.Now().UTC().Format(time.RFC3339), "intervalSeconds": int64(3600),
		"status": status, "reason": reason, "driftCount": int64(len(drifts)), "drifts": drifts,
	}})
}

// write writes a report as an agent does.
func (c *cluster) write(t *testing.T, o *unstructured.Unstructured, version string) {
	t.Helper()
	o.SetResourceVersion(version)
	if _, err := c.Resource(datapathNodes).Namespace("plumbline").Update(t.Context(), o, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// await gives the first round that is as it should be.
func (c *cluster) await(t *testing.T, what string, ok func(Round) bool) Round {
	t.Helper()
	late := time.After(30 * time.Second)
	for {
		select {
		case r := <-c.rounds:
			if ok(r) {
				return r
			}
		case <-late:
			t.Fatalf("no round that is %s; the log:\n%s", what, c.said())
		}
	}
}

// status is the Datapath's as it is in the cluster.
func (c *cluster) status(t *testing.T) v1alpha1.DatapathStatus {
	t.Helper()
	o, err := c.Resource(datapaths).Namespace("plumbline").Get(t.Context(), "prod", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := statusOf[v1alpha1.DatapathStatus](o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Drift that is gone is gone from the status too, and one event a change says so.
func TestControllerFollowsDrift(t *testing.T) {
	drift := map[string]any{"kind": "slot-gap", "service": "shop/web", "message": "slot 1 is gone"}
	c := newCluster(t, []string{"a", "b"}, node("a", "InSync", "InSync"), node("b", "Drifted", "DriftDetected", drift))
	c.await(t, "drifted", func(r Round) bool { return r.Wrote && r.Status.Nodes.Drifted == 1 })
	if s := c.status(t); len(s.Drifts) != 1 || s.Drifts[0].Node != "b" {
		t.Errorf("drifts are %+v, want the one of b", s.Drifts)
	}
	c.write(t, node("b", "InSync", "InSync"), "2")
	c.await(t, "in sync", func(r Round) bool { return r.Wrote && r.Status.Nodes.InSync == 2 })
	s := c.status(t)
	if len(s.Drifts) != 0 || s.Conditions[0].Status != metav1.ConditionTrue || len(s.Conditions) != 2 {
		t.Errorf("status is %+v, want no drift and Ready", s)
	}
	if n := len(c.events.Events); n != 2 {
		t.Errorf("%d events, want one for each change", n)
	}
	// What has been said stays as it is: the round that the status itself is cause for
	// writes nothing.
	if r := c.await(t, "after the write", func(r Round) bool { return !r.Wrote }); r.Err != nil {
		t.Error(r.Err)
	}
}

// A report that can't be understood is logged once for each of its versions, and the
// Datapath says whose it is (I10).
func TestControllerSaysWhatItDoesNotUnderstand(t *testing.T) {
	garbled := func() *unstructured.Unstructured {
		o := node("b", "InSync", "InSync")
		o.Object["status"].(map[string]any)["reportedAt"] = "yesterday"
		return o
	}
	c := newCluster(t, []string{"a", "b"}, node("a", "InSync", "InSync"), garbled())
	r := c.await(t, "of an unknown node", func(r Round) bool { return r.Wrote && r.Status.Nodes.Unknown == 1 })
	if m := r.Status.Conditions[0].Message; !strings.Contains(m, "reports that can't be understood of b") {
		t.Errorf("Ready says %q", m)
	}
	c.write(t, node("a", "Unknown", "ReadFailed"), "2") // another round
	c.await(t, "of two unknown nodes", func(r Round) bool { return r.Status.Nodes.Unknown == 2 })
	if n := strings.Count(c.said(), "a report counts for nothing"); n != 1 {
		t.Errorf("logged %d times, want once:\n%s", n, c.said())
	}
	c.write(t, garbled(), "2")
	c.write(t, node("b", "InSync", "InSync"), "3")
	c.await(t, "of one unknown node", func(r Round) bool { return r.Status.Nodes.Unknown == 1 })
	if n := strings.Count(c.said(), "a report counts for nothing"); n != 2 {
		t.Errorf("logged %d times, want once a version:\n%s", n, c.said())
	}
}

// A report that says nothing new is no cause for a round, but for one after silence.
func TestHeartbeatIsNoNews(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	c := &Controller{cfg: Config{Now: func() time.Time { return now }}}
	report := func(age time.Duration, status string) *kept {
		return &kept{Report: Report{Node: "a", Status: v1alpha1.NodeStatus{Reported: metav1.NewTime(now.Add(-age)), IntervalSeconds: 30, Status: status}}}
	}
	for name, test := range map[string]struct {
		before, after *kept
		want          bool
	}{
		"a heartbeat":      {report(time.Minute, "InSync"), report(0, "InSync"), false},
		"after silence":    {report(2*time.Minute, "InSync"), report(0, "InSync"), true},
		"another status":   {report(time.Minute, "InSync"), report(0, "Drifted"), true},
		"not to be read":   {report(time.Minute, ""), &kept{Report: Report{Node: "a", Err: context.Canceled}}, true},
		"the same and old": {report(2*time.Minute, "InSync"), report(2*time.Minute, "InSync"), true},
	} {
		if got := c.says(test.before, test.after); got != test.want {
			t.Errorf("%s: %t, want %t", name, got, test.want)
		}
	}
}

// The report of a node that has left the cluster goes once it counts for nothing; those
// of nodes that are there, or that may be about to come, stay.
func TestReportsOfGoneNodes(t *testing.T) {
	aged := func(name string) *unstructured.Unstructured {
		o := node(name, "InSync", "InSync")
		if err := unstructured.SetNestedField(o.Object, time.Now().Add(-4*time.Hour).UTC().Format(time.RFC3339), "status", "reportedAt"); err != nil {
			t.Fatal(err)
		}
		return o
	}
	c := newCluster(t, []string{"w1"}, aged("w1"), aged("gone"), node("coming", "InSync", "InSync"))
	c.await(t, "summed up", func(r Round) bool { return r.Status.Nodes.Total == 1 && r.Status.Nodes.Unknown == 1 })
	var left []string
	list, err := c.Resource(datapathNodes).Namespace("plumbline").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range list.Items {
		left = append(left, o.GetName())
	}
	if got := strings.Join(left, " "); got != "coming w1" {
		t.Errorf("left are %s", got)
	}
	if !strings.Contains(c.said(), "deleted the report of a node that has left the cluster") || strings.Contains(c.said(), "stays") {
		t.Errorf("the log:\n%s", c.said())
	}
}
