// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cilium/ebpf"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/compiler/datapath"
	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/runtime/store"
	"plumbline.dev/plumbline/schema/state"
)

// cluster is a Snapshot that changes.
type cluster struct {
	mutex    sync.Mutex // a round may be due at the very moment of a change
	random   *rand.Rand
	settings *state.Settings
	services map[string][]state.EndpointSpec
	notices  []state.Notice
	err      error
}

func newCluster(seed uint64) *cluster {
	c := &cluster{random: rand.New(rand.NewPCG(seed, seed)), services: map[string][]state.EndpointSpec{}, settings: &state.Settings{
		Layout: state.Cilium117, ChartVersion: "1.17.2", Mode: state.Own, IPv4: true, KubeProxyReplacement: true, SocketLB: true,
		NodePortMin: 30000, NodePortMax: 32767, LoadBalancer: state.LoadBalancerSettings{Algorithm: state.Random},
		Maps: state.MapSettings{Services: 4096, Backends: 4096, ReverseNAT: 4096, Affinity: 4096, SourceRanges: 4096, Maglev: 4096, SocketReverse: 4096},
	}}
	for i := range 8 {
		c.scale(i, 1+i)
	}
	return c
}

func (c *cluster) scale(service, endpoints int) {
	list := make([]state.EndpointSpec, endpoints)
	for i := range list {
		list[i].Addresses = []netip.Addr{netip.AddrFrom4([4]byte{10, 244, byte(service), byte(i + 1)})}
	}
	c.services[fmt.Sprintf("s%d", service)] = list
}

// snapshot is the cluster as it is now; objects that did not change are equal.
func (c *cluster) snapshot() *state.Snapshot {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	s := &state.Snapshot{Node: state.Node{Name: "worker", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}}
	for i := range 64 {
		name := fmt.Sprintf("s%d", i)
		endpoints, ok := c.services[name]
		if !ok {
			continue
		}
		s.Services = append(s.Services, state.Service{
			Namespace: "test", Name: name, Type: "NodePort", ClusterIPs: []netip.Addr{netip.AddrFrom4([4]byte{10, 96, 0, byte(i + 1)})},
			SessionAffinity: i%5 == 0, Ports: []state.ServicePort{{Protocol: state.TCP, Port: 80, NodePort: uint16(30000 + i)}},
		})
		s.Slices = append(s.Slices, state.EndpointSlice{
			Namespace: "test", Name: name, Service: name, Ports: []state.EndpointPort{{Protocol: state.TCP, Port: 8080}}, Endpoints: slices.Clone(endpoints),
		})
	}
	return s
}

// change changes one thing.
func (c *cluster) change() {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	i := c.random.IntN(10)
	name := fmt.Sprintf("s%d", i)
	endpoints := c.services[name]
	no, yes := false, true
	switch c.random.IntN(6) {
	case 0:
		delete(c.services, name)
	case 1:
		if len(endpoints) > 0 {
			e := &endpoints[c.random.IntN(len(endpoints))]
			e.Ready, e.Serving, e.Terminating = &no, &yes, &yes
		}
	default:
		c.scale(i, c.random.IntN(12))
	}
}

func (c *cluster) source() *Compiled {
	return &Compiled{Settings: c.settings, Snapshot: func(context.Context) (*state.Snapshot, []state.Notice, error) {
		return c.snapshot(), c.notices, c.err
	}}
}

// state is what the kernel should hold.
func (c *cluster) state() string {
	st, _ := datapath.Compile(c.settings, c.snapshot())
	return st.String()
}

func (c *cluster) fake() *store.Fake {
	st, _ := datapath.Compile(c.settings, &state.Snapshot{})
	return store.NewFake(c.settings.Layout, st.Maps)
}

func (c *cluster) reconciler(t *testing.T, s store.Store, change func(*Config)) *Reconciler {
	t.Helper()
	cfg := Config{Store: s, Source: c.source(), Mode: state.Own, Interval: time.Minute, Grace: 10 * time.Second, AllowEmpty: true}
	if change != nil {
		change(&cfg)
	}
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Whatever changes, following it brings the store to where a round would.
func TestFollowIsARound(t *testing.T) {
	for seed := range uint64(40) {
		c := newCluster(seed)
		c.followsAsARound(t, seed, c.fake())
	}
}

// The same against kernels.
func TestPrivilegedFollowIsARound(t *testing.T) {
	for seed := range uint64(4) {
		c := newCluster(seed)
		c.followsAsARound(t, seed, c.kernel(t))
	}
}

func (c *cluster) followsAsARound(t *testing.T, seed uint64, s store.Store) {
	t.Helper()
	reads := &counted{Store: s}
	r := c.reconciler(t, reads, nil)
	if first := r.Round(t.Context()); first.Status != InSync {
		t.Fatalf("seed %d: the first round came to %s: %v", seed, first.Status, first.Err)
	}
	for step := range 40 {
		c.change()
		before := reads.reads
		report := r.Follow(t.Context())
		if report.Status != InSync || report.Err != nil || len(report.Drifts) > 0 {
			t.Fatalf("seed %d, step %d: %s (%s) %v %v", seed, step, report.Status, report.Reason, report.Err, report.Drifts)
		}
		if reads.reads != before {
			t.Fatalf("seed %d, step %d: the change was not followed: the kernel was read", seed, step)
		}
		holds(t, s, c.state())
		if c.random.IntN(8) > 0 {
			continue
		}
		if round := r.Round(t.Context()); round.Status != InSync || round.Applied > 0 || round.Counts != report.Counts {
			t.Fatalf("seed %d, step %d: a round finds what was followed %s, %d applied, counts %+v, want %+v", seed, step, round.Status, round.Applied, round.Counts, report.Counts)
		}
	}
}

// counted counts reads.
type counted struct {
	store.Store
	reads int
}

func (c *counted) Read(ctx context.Context) (*plan.Have, error) {
	c.reads++
	return c.Store.Read(ctx)
}

// The fault sweep over changes that are followed.
func TestFollowFaultSweepConverges(t *testing.T) {
	for _, effect := range []bool{false, true} {
		for at, operations := 1, 1; at <= operations; at++ {
			c := newCluster(7)
			fake := c.fake()
			faulty := &store.Faulty{Store: fake, At: at, TookEffect: effect}
			r := c.reconciler(t, faulty, nil)
			for range 6 {
				c.change()
				for i := 0; r.Follow(t.Context()).Status != InSync; i++ {
					if i == 3 {
						t.Fatalf("a fault at operation %d: not in sync after three rounds", at)
					}
				}
				holds(t, fake, c.state())
			}
			if faulty.Fired() {
				operations = faulty.Operations()
			} else if at < 50 {
				t.Errorf("only %d operations were swept", at)
			}
		}
	}
}

// A change that can't be understood leaves the last complete State in force, and
// what comes after it starts from there.
func TestFollowHoldsToWhatWasComplete(t *testing.T) {
	c := newCluster(3)
	fake := c.fake()
	r := c.reconciler(t, fake, nil)
	r.Round(t.Context())
	before := c.state()
	for _, spoil := range []func(){
		func() { c.err = fmt.Errorf("the folder is gone") },
		func() {
			c.err, c.notices = nil, []state.Notice{{Severity: state.Error, Code: "x", Message: "half a file"}}
		},
	} {
		spoil()
		c.scale(1, 9)
		if report := r.Follow(t.Context()); report.Err == nil || report.Applied > 0 {
			t.Errorf("error %v, %d applied", report.Err, report.Applied)
		}
		holds(t, fake, before)
	}
	c.err, c.notices = nil, nil
	r.Round(t.Context())
	holds(t, fake, c.state())
	c.scale(2, 5)
	r.Follow(t.Context())
	holds(t, fake, c.state())
}

// A follow never empties the maps, unless that is allowed (I2).
func TestFollowDoesNotEmpty(t *testing.T) {
	c := newCluster(5)
	fake := c.fake()
	r := c.reconciler(t, fake, func(cfg *Config) { cfg.AllowEmpty = false })
	r.Round(t.Context())
	before := c.state()
	clear(c.services)
	if report := r.Follow(t.Context()); report.Applied > 0 || report.Reason != ReasonEmpty && report.Err == nil {
		t.Errorf("%s (%s) %v, %d applied", report.Status, report.Reason, report.Err, report.Applied)
	}
	holds(t, fake, before)
	c.scale(1, 2)
	r.Follow(t.Context())
	r.Round(t.Context())
	holds(t, fake, c.state())
}

// tampered is a store whose entries can be taken away behind its back.
type tampered struct {
	store.Store
	remove func(layout.MapID, []byte) error
}

// I5 under churn: ten minutes of fifty changes a second, and no drift is reported
// but the one that was made, within an interval and the grace.
func TestInvariantI5UnderChurn(t *testing.T) {
	c := newCluster(11)
	fake := c.fake()
	c.churn(t, tampered{fake, func(id layout.MapID, key []byte) error {
		fake.Tamper(id, key, nil)
		return nil
	}})
}

// The same against a kernel.
func TestPrivilegedInvariantI5UnderChurn(t *testing.T) {
	c := newCluster(11)
	k := c.kernel(t)
	c.churn(t, tampered{k, func(id layout.MapID, key []byte) error {
		m, err := ebpf.LoadPinnedMap(filepath.Join(c.settings.BPFRoot, store.OwnPins, id.String()), nil)
		if err != nil {
			return err
		}
		defer m.Close()
		return m.Delete(key)
	}})
}

func (c *cluster) churn(t *testing.T, s tampered) {
	synctest.Test(t, func(t *testing.T) {
		var confirmed []string
		var at time.Time
		var rounds, faults int
		r := c.reconciler(t, s, func(cfg *Config) {
			cfg.Report = func(report Report) {
				if report.Err != nil {
					faults++
				}
				if report.Digest.Have != "" {
					rounds++
				}
				for _, d := range report.Drifts {
					confirmed, at = append(confirmed, d.Frontend), time.Now()
				}
			}
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		synctest.Wait()
		c.services["s63"] = []state.EndpointSpec{{Addresses: []netip.Addr{netip.MustParseAddr("10.244.63.1")}}} // never changes again
		r.Changed()
		synctest.Wait()
		var since time.Time
		for i := range 10 * 60 * 50 {
			time.Sleep(20 * time.Millisecond)
			c.change()
			r.Changed()
			synctest.Wait()
			if i == 5*60*50 {
				if err := s.remove(layout.Services4, slotKey(t, "10.96.0.64:80/TCP", 1)); err != nil {
					t.Fatal(err)
				}
				since = time.Now()
			}
		}
		cancel()
		if err := <-ended; err != nil || faults > 0 {
			t.Errorf("Run gave %v, %d reports had an error", err, faults)
		}
		if rounds < 10 {
			t.Errorf("%d rounds in ten minutes, want ten at least", rounds)
		}
		if len(confirmed) == 0 || slices.ContainsFunc(confirmed, func(f string) bool { return f != "10.96.0.64:80/TCP" }) {
			t.Errorf("drift of %v was reported, want that of 10.96.0.64:80/TCP alone", confirmed)
		}
		if age, most := at.Sub(since), time.Minute+10*time.Second; age > most {
			t.Errorf("the fault was found after %s, want %s at most", age, most)
		}
		holds(t, s, c.state())
	})
}
