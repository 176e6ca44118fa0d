// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/compiler/datapath"
	"plumbline.dev/plumbline/runtime/internal/testkernel"
	"plumbline.dev/plumbline/runtime/store"
	"plumbline.dev/plumbline/schema/state"
)

// kernel is a kernel for the cluster, with the programs' cgroup.
func (c *cluster) kernel(t *testing.T) *store.Kernel {
	t.Helper()
	c.settings.BPFRoot, c.settings.CgroupRoot = testkernel.BPFFS(t), testkernel.Cgroup(t)
	want, _ := datapath.Compile(c.settings, &state.Snapshot{})
	k, err := store.Create(c.settings, want.Maps)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Remove(); err != nil {
			t.Error(err)
		}
	})
	return k
}

// rollout is an agent that runs, and a cluster that changes beside it.
type rollout struct {
	t *testing.T
	*cluster
	world *podWorld
	store store.Store
	agent *Reconciler

	mu      sync.Mutex // of the cluster's services, and of what follows
	version int        // of the cluster
	read    int        // the version that the agent has read last
	writes  int
	rounds  int
	amiss   []Report
	done    chan int // the version that a report stands for
}

func newRollout(t *testing.T) *rollout {
	t.Helper()
	testkernel.Require(t)
	r := &rollout{t: t, cluster: newCluster(1), done: make(chan int, 64)}
	clear(r.services)
	r.store = r.kernel(t)
	r.world = newPodWorld(t, r.settings.CgroupRoot)
	r.agent = r.reconciler(t, r.store, func(cfg *Config) {
		cfg.Interval, cfg.Report = time.Hour, r.report
		cfg.Source = &Compiled{Settings: r.settings, Snapshot: func(context.Context) (*state.Snapshot, []state.Notice, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.read = r.version
			return r.snapshot(), nil, nil
		}}
	})
	return r
}

func (r *rollout) report(report Report) {
	r.mu.Lock()
	r.writes += report.Applied
	if report.Digest.Have != "" {
		r.rounds++
	}
	if report.Status != InSync || report.Err != nil || len(report.Drifts)+report.Counts.Unconfirmed > 0 {
		r.amiss = append(r.amiss, report)
	}
	read := r.read
	r.mu.Unlock()
	r.done <- read
}

// run starts the agent, and waits for its first round.
func (r *rollout) run() {
	ctx, cancel := context.WithCancel(r.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.agent.Run(ctx) }()
	r.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			r.t.Errorf("Run gave %v", err)
		}
	})
	<-r.done
}

// change changes the cluster, and gives its version.
func (r *rollout) change(name string, pods ...pod) int {
	r.mu.Lock()
	r.version++
	version := r.version
	r.services[name] = nil
	for _, p := range pods {
		r.services[name] = append(r.services[name], p.endpoint())
	}
	r.mu.Unlock()
	r.agent.Changed()
	return version
}

// await waits until the agent has done with a version.
func (r *rollout) await(version int) {
	for read := range r.done {
		if read >= version {
			return
		}
	}
}

// round has the agent do a round, and waits for it.
func (r *rollout) round() {
	before := r.count(&r.rounds)
	r.agent.Request()
	for r.count(&r.rounds) == before {
		<-r.done
	}
}

func (r *rollout) count(n *int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return *n
}

// tables are the kernel's entries.
func (r *rollout) tables() layout.Tables {
	r.t.Helper()
	have, err := r.store.Read(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return have.Tables
}

type pod struct {
	address     netip.Addr
	terminating bool
}

func (p pod) String() string { return netip.AddrPortFrom(p.address, 8080).String() }

func (p pod) endpoint() state.EndpointSpec {
	e := state.EndpointSpec{Addresses: []netip.Addr{p.address}}
	if p.terminating {
		no, yes := false, true
		e.Ready, e.Serving, e.Terminating = &no, &yes, &yes
	}
	return e
}

// differing counts the entries that are not the same in both: the fewest writes
// that lead from one to the other.
func differing(before, after layout.Tables) int {
	n := 0
	for _, d := range layout.Content() {
		a, b := before[d.ID], after[d.ID]
		if a != nil {
			for key := range a.All() {
				if _, ok := find(b, key); !ok {
					n++
				}
			}
		}
		if b != nil {
			for key, value := range b.All() {
				if old, ok := find(a, key); !ok || !bytes.Equal(old, value) {
					n++
				}
			}
		}
	}
	return n
}

func find(t *layout.Table, key []byte) ([]byte, bool) {
	if t == nil {
		return nil, false
	}
	return t.Find(key)
}

// A rolling restart under load: no connection fails, no drift is told, and the
// agent writes hardly more than what has to change.
func TestPrivilegedRollingRestart(t *testing.T) {
	const services, size = 4, 6
	r := newRollout(t)
	names, running := make([]string, services), make([][]pod, services)
	var clients []string
	for s := range services {
		names[s] = fmt.Sprintf("s%d", s)
		clients = append(clients, fmt.Sprintf("10.96.0.%d:80", s+1))
		for i := range size {
			p := pod{address: netip.AddrFrom4([4]byte{10, 244, byte(s), byte(i + 1)})}
			r.world.do("start %s", p)
			running[s] = append(running[s], p)
		}
		r.change(names[s], running[s]...)
	}
	r.run()
	r.world.do("clients %s", strings.Join(clients, " "))
	least, start := 0, r.count(&r.writes)
	before := r.tables()
	for i := range size {
		for s := range services {
			least += r.replace(names[s], running[s], i, &before)
		}
		r.round()
	}
	r.round()
	if answer := r.world.do("end"); !strings.Contains(answer, " 0 faults") || strings.HasPrefix(answer, "0 ") {
		t.Errorf("the clients had %s", answer)
	} else {
		t.Log("the clients had", answer)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, report := range r.amiss {
		t.Errorf("%s (%s): %v, drifts %v, %d unconfirmed", report.Status, report.Reason, report.Err, report.Drifts, report.Counts.Unconfirmed)
	}
	writes := r.writes - start
	t.Logf("%d writes, at least %d are needed", writes, least)
	if least == 0 || float64(writes) > 1.2*float64(least) {
		t.Errorf("%d writes, want at most 1.2 times the %d that are needed", writes, least)
	}
}

// replace replaces a service's pod as a Deployment does: the new one comes, the old
// one terminates, and is gone before its endpoint is. It gives the fewest writes.
func (r *rollout) replace(name string, running []pod, i int, before *layout.Tables) int {
	r.t.Helper()
	old := running[i]
	a := old.address.As4()
	a[3] += 100
	next := pod{address: netip.AddrFrom4(a)}
	r.world.do("start %s", next)
	least := 0
	step := func(pods ...pod) {
		r.t.Helper()
		r.await(r.change(name, pods...))
		after := r.tables()
		least += differing(*before, after)
		*before = after
	}
	step(append(running[:len(running):len(running)], next)...)
	running[i].terminating = true
	step(append(running[:len(running):len(running)], next)...)
	r.world.do("stop %s", old)
	running[i] = next
	step(running...)
	return least
}
