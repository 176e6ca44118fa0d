// SPDX-License-Identifier: Apache-2.0

package fleet_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/runtime/reconcile"
	"plumbline.dev/plumbline/runtime/report"
	"plumbline.dev/plumbline/schema/crd"
)

// What a fleet of five thousand nodes may cost the controller.
const (
	mostMemory = 200 << 20 // bytes, at any time
	mostCPU    = 0.05      // of a core, while nothing but heartbeats comes
)

// A fleet of as many nodes as PLUMB_SCALE says, of which one in a hundred drifts and
// is mended: the API server and the controller are real, and the agents write as agents
// do, by what rounds come to. It takes minutes: `make test-scale`.
func TestScale(t *testing.T) {
	size, _ := strconv.Atoi(os.Getenv("PLUMB_SCALE"))
	if size == 0 {
		t.Skip("needs PLUMB_SCALE, a number of nodes, and PLUMB_E2E_TOOLS: run `make test-scale`")
	}
	f := newScaled(t, size)
	f.watchers.Wait()
	f.await(t, "in sync", func(n map[string]any) bool { return n["inSync"] == int64(size) })
	t.Logf("%d nodes in sync; the controller holds %.0f MiB, at most %.0f", size, f.controller.memory(t, "VmRSS")/(1<<20), f.controller.memory(t, "VmHWM")/(1<<20))

	quiet := f.measure(t, func() { time.Sleep(f.interval * 4) })
	t.Logf("quiet:   %s", quiet)
	if quiet.cpu > mostCPU {
		t.Errorf("the controller takes %.1f %% of a core, want at most %.0f", quiet.cpu*100, mostCPU*100)
	}
	if quiet.summed > 0 {
		t.Errorf("%d writes of a status that says nothing new", quiet.summed)
	}
	drift := f.measure(t, func() {
		f.drifting.Store(true)
		f.await(t, "drifted", func(n map[string]any) bool { return n["drifted"] == int64(size/100) })
	})
	t.Logf("drift:   %s", drift)
	mend := f.measure(t, func() {
		f.drifting.Store(false)
		f.await(t, "mended", func(n map[string]any) bool { return n["inSync"] == int64(size) })
	})
	t.Logf("mending: %s", mend)
	for _, m := range []measured{drift, mend} {
		if m.changes != int64(size/100) || m.summed > m.changes {
			t.Errorf("%d writes of reports and %d of the Datapath for %d nodes that change", m.changes, m.summed, size/100)
		}
	}
	most := f.controller.memory(t, "VmHWM")
	t.Logf("the controller has held %.0f MiB at most", most/(1<<20))
	if most > mostMemory {
		t.Errorf("the controller has held %.0f MiB, want at most %d", most/(1<<20), mostMemory>>20)
	}
}

// scaled is a fleet at work.
type scaled struct {
	*control
	interval   time.Duration
	controller *program
	drifting   atomic.Bool
	// beats and changes count reports that agents wrote: such as say nothing new, and
	// such as do. watchers are agents that have not reported yet.
	beats, changes atomic.Int64
	watchers       sync.WaitGroup
	agents         sync.WaitGroup
}

func newScaled(t *testing.T, size int) *scaled {
	t.Helper()
	f := &scaled{control: newControl(t), interval: 30 * time.Second}
	definitions, err := crd.Definitions()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range definitions {
		f.create(t, schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}, &unstructured.Unstructured{Object: d})
	}
	f.create(t, core("namespaces"), named("v1", "Namespace", "", "plumbline"))
	datapath := named("plumbline.dev/v1alpha1", "Datapath", "plumbline", "prod")
	datapath.Object["spec"] = map[string]any{"environment": "prod", "chartVersion": "1.17.2", "layout": "cilium/1.17", "bpfRoot": "/sys/fs/bpf", "cgroupRoot": "/sys/fs/cgroup"}
	f.create(t, plumbline("datapaths"), datapath)
	parallel(size, func(i int) {
		o := named("v1", "Node", "", fmt.Sprintf("node-%05d", i))
		o.SetLabels(map[string]string{"kubernetes.io/os": "linux", "kubernetes.io/hostname": o.GetName(), "topology.kubernetes.io/zone": "a"})
		f.create(t, core("nodes"), o)
	})
	f.controller = f.start(t, nil, build(t), "controller", "--namespace", "plumbline", "--datapath", "prod", "--kubeconfig", f.kubeconfig(t), "--leader-elect")
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(func() { cancel(); f.agents.Wait() })
	f.watchers.Add(size)
	for i := range size {
		f.agents.Go(func() { f.agent(ctx, t, i) })
	}
	return f
}

// agent has rounds as an agent of mode observe has them, and reports what they come to.
func (f *scaled) agent(ctx context.Context, t *testing.T, i int) {
	n := report.Node{Client: f.client, Namespace: "plumbline", Name: fmt.Sprintf("node-%05d", i), Version: "v1", Settings: 1, Layout: "cilium/1.17",
		Interval: f.interval, Limit: 32, Now: time.Now}
	// Agents begin one after another, as a rollout has it.
	pause := time.Duration(rand.Float64() * float64(f.interval))
	was, reported := false, false
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = time.Duration(float64(f.interval) * (0.9 + 0.2*rand.Float64()))
		drifting := f.drifting.Load() && i%100 == 0
		if err := n.Write(context.WithValue(ctx, counted{}, f.count(drifting != was)), round(drifting)); err != nil {
			if ctx.Err() == nil {
				t.Errorf("node %d: %v", i, err)
			}
			continue
		}
		was = drifting
		if !reported {
			reported = true
			f.watchers.Done()
		}
	}
}

// count is what a report's write is counted by.
func (f *scaled) count(news bool) *atomic.Int64 {
	if news {
		return &f.changes
	}
	return &f.beats
}

func round(drifting bool) reconcile.Report {
	if !drifting {
		return reconcile.Report{Time: time.Now(), Status: reconcile.InSync, Reason: reconcile.ReasonInSync}
	}
	r := reconcile.Report{Time: time.Now(), Status: reconcile.Drifted, Reason: reconcile.ReasonDriftDetected}
	for i := range 10 {
		r.Drifts = append(r.Drifts, reconcile.Drift{Drift: plan.Drift{Kind: plan.StaleBackend, Service: "shop/web", Frontend: "10.96.0.10:80/TCP",
			Backend: fmt.Sprintf("10.244.3.%d:8080/TCP", i), Message: fmt.Sprintf("slot %d leads to 10.244.3.%d:8080/TCP, which is no endpoint", i+1, i)}})
	}
	return r
}

// measured is what a time cost.
type measured struct {
	took                           time.Duration
	cpu                            float64 // of a core
	seconds                        float64 // of the controller's processor time
	beats, changes, summed, others int64
}

func (m measured) String() string {
	return fmt.Sprintf("%s: the controller took %.2f s of a core (%.1f %%); writes: %d reports of news, %d heartbeats, %d of the Datapath's status, %d others",
		m.took.Round(100*time.Millisecond), m.seconds, m.cpu*100, m.changes, m.beats, m.summed, m.others)
}

// measure says what happens while do runs, and what that takes.
func (f *scaled) measure(t *testing.T, do func()) measured {
	t.Helper()
	begun, cpu, beats, changes, summed, others := time.Now(), f.controller.seconds(t), f.beats.Load(), f.changes.Load(), f.requests(t, true), f.requests(t, false)
	do()
	m := measured{took: time.Since(begun), seconds: f.controller.seconds(t) - cpu, beats: f.beats.Load() - beats, changes: f.changes.Load() - changes}
	m.cpu = m.seconds / m.took.Seconds()
	m.summed, m.others = f.requests(t, true)-summed, f.requests(t, false)-others
	return m
}

// await polls the Datapath's counts.
func (f *scaled) await(t *testing.T, what string, ok func(nodes map[string]any) bool) {
	t.Helper()
	late := time.Now().Add(10 * time.Minute)
	for {
		o, err := f.client.Resource(plumbline("datapaths")).Namespace("plumbline").Get(t.Context(), "prod", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		nodes, _, _ := unstructured.NestedMap(o.Object, "status", "nodes")
		if ok(nodes) {
			return
		}
		if time.Now().After(late) {
			t.Fatalf("not %s: %v; the controller says\n%s", what, nodes, f.controller.said())
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// requests counts what the API server has answered beside agents' reports: writes of
// the Datapath's status, or all others of the controller.
func (f *scaled) requests(t *testing.T, status bool) (sum int64) {
	t.Helper()
	data, err := f.rest.Get().AbsPath("/metrics").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if !strings.HasPrefix(line, "apiserver_request_total{") || strings.Contains(line, `resource="datapathnodes"`) {
			continue
		}
		writes := strings.Contains(line, `verb="PATCH"`) || strings.Contains(line, `verb="PUT"`) || strings.Contains(line, `verb="POST"`) || strings.Contains(line, `verb="DELETE"`)
		ours := strings.Contains(line, `resource="datapaths"`) || strings.Contains(line, `resource="events"`)
		if !writes || !ours || status != strings.Contains(line, `resource="datapaths"`) {
			continue
		}
		fields := strings.Fields(line)
		n, err := strconv.ParseFloat(fields[len(fields)-1], 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += int64(n)
	}
	return sum
}
