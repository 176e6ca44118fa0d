// SPDX-License-Identifier: Apache-2.0

package cilium

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/cilium/hive/cell"
	"github.com/cilium/statedb"
	"github.com/cilium/statedb/reconciler"
	"k8s.io/apimachinery/pkg/runtime"

	cmtypes "github.com/cilium/cilium/pkg/clustermesh/types"
	"github.com/cilium/cilium/pkg/datapath/tables"
	"github.com/cilium/cilium/pkg/hive"
	"github.com/cilium/cilium/pkg/k8s"
	client "github.com/cilium/cilium/pkg/k8s/client/testutils"
	"github.com/cilium/cilium/pkg/k8s/resource"
	slimcore "github.com/cilium/cilium/pkg/k8s/slim/k8s/api/core/v1"
	slimdiscovery "github.com/cilium/cilium/pkg/k8s/slim/k8s/api/discovery/v1"
	k8stables "github.com/cilium/cilium/pkg/k8s/tables"
	"github.com/cilium/cilium/pkg/loadbalancer"
	lbmaps "github.com/cilium/cilium/pkg/loadbalancer/maps"
	lbreconciler "github.com/cilium/cilium/pkg/loadbalancer/reconciler"
	"github.com/cilium/cilium/pkg/loadbalancer/reflectors"
	"github.com/cilium/cilium/pkg/loadbalancer/writer"
	"github.com/cilium/cilium/pkg/maglev"
	"github.com/cilium/cilium/pkg/node"
	"github.com/cilium/cilium/pkg/option"
	"github.com/cilium/cilium/pkg/source"

	"plumbline.dev/plumbline/runtime/source/sourcetest"
	"plumbline.dev/plumbline/test/peers/ours"
)

// agent is the part of Cilium's agent that brings services into the maps: its
// reflector, its tables and its reconciler, with unpinned maps of its own.
type agent struct {
	services  chan resource.Event[*slimcore.Service]
	endpoints chan resource.Event[*k8s.Endpoints]
	objects   []*slimcore.Service
	slices    []*slimdiscovery.EndpointSlice
	hive      *hive.Hive
	log       *slog.Logger
	db        *statedb.DB
	writer    *writer.Writer
	maps      *lbmaps.BPFLBMaps
}

// newAgent starts it with empty maps, which have as much room as ours; wait is
// lb-reflector-wait-time.
func newAgent(t testing.TB, objects sourcetest.Objects, wait time.Duration) *agent {
	t.Helper()
	ours.BPFFS(t) // it names its maps after one, wherever that is, and pins nothing there
	a := &agent{
		services: make(chan resource.Event[*slimcore.Service], 1000), endpoints: make(chan resource.Event[*k8s.Endpoints], 1000),
		log: slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError})),
	}
	a.slim(t, objects)
	option.Config.EnableIPv4, option.Config.EnableIPv6 = true, false
	a.hive = hive.New(a.cells(lbConfig(len(a.objects), wait)))
	if err := a.hive.Start(a.log, context.Background()); err != nil {
		t.Fatalf("start Cilium's load balancer: %v", err)
	}
	return a
}

func (a *agent) close(t testing.TB) {
	t.Helper()
	if err := a.hive.Stop(a.log, context.Background()); err != nil {
		t.Errorf("stop Cilium's load balancer: %v", err)
	}
}

// lbConfig is Cilium's default but for the maps' sizes and the wildcard entries, which
// ours does not write either.
func lbConfig(services int, wait time.Duration) loadbalancer.Config {
	c := loadbalancer.DefaultConfig
	room := services * (ours.Endpoints + 2) * 2
	c.LBMapEntries, c.LBServiceMapEntries, c.LBBackendMapEntries, c.LBRevNatEntries = room, room, room, room
	c.LBAffinityMapEntries, c.LBSourceRangeMapEntries, c.LBMaglevMapEntries, c.LBSockRevNatEntries = room, room, room, room
	c.EnableWildcardEntries = false
	c.ReflectorWaitTime = wait
	return c
}

// slim makes the objects those of Cilium's own types, whose wire format is the same.
func (a *agent) slim(t testing.TB, objects sourcetest.Objects) {
	t.Helper()
	for i := range objects.Services.Items {
		data, err := objects.Services.Items[i].Marshal()
		if err != nil {
			t.Fatal(err)
		}
		out := &slimcore.Service{}
		if err := out.Unmarshal(data); err != nil {
			t.Fatal(err)
		}
		a.objects = append(a.objects, out)
	}
	for i := range objects.Slices.Items {
		data, err := objects.Slices.Items[i].Marshal()
		if err != nil {
			t.Fatal(err)
		}
		a.slices = append(a.slices, slimSlice(t, data))
	}
}

func slimSlice(t testing.TB, data []byte) *slimdiscovery.EndpointSlice {
	t.Helper()
	out := &slimdiscovery.EndpointSlice{}
	if err := out.Unmarshal(data); err != nil {
		t.Fatal(err)
	}
	return out
}

// cells are what the agent's load balancer is made of, with channels in the place of
// informers.
func (a *agent) cells(config loadbalancer.Config) cell.Cell {
	external := loadbalancer.ExternalConfig{ZoneMapper: &option.DaemonConfig{}, EnableIPv4: true, KubeProxyReplacement: true}
	maglevConfig, err := maglev.DefaultUserConfig.ToConfig()
	if err != nil {
		panic(err) // Cilium's own default
	}
	a.maps = &lbmaps.BPFLBMaps{Log: a.log, Cfg: config, ExtCfg: external, MaglevCfg: maglevConfig}
	return cell.Module("peer", "The load balancer alone",
		client.FakeClientCell(), node.LocalNodeStoreTestCell, k8stables.PodTableCell,
		cell.Provide(
			func() (loadbalancer.Config, loadbalancer.ExternalConfig, cmtypes.ClusterInfo) {
				return config, external, cmtypes.ClusterInfo{}
			},
			func(lc cell.Lifecycle) lbmaps.LBMaps { lc.Append(a.maps); return a.maps },
			func(lc cell.Lifecycle) (*maglev.Maglev, maglev.Config) {
				return maglev.New(maglevConfig, lc), maglevConfig
			},
			func() (<-chan resource.Event[*slimcore.Service], <-chan resource.Event[*k8s.Endpoints]) {
				return a.services, a.endpoints
			},
			reflectors.EventStreamForBenchmark, reflectors.NetnsCookieSupportFunc,
			tables.NewNodeAddressTable, statedb.RWTable[tables.NodeAddress].ToTable, source.NewSources,
		),
		writer.Cell, lbreconciler.Cell,
		cell.Invoke(reflectors.RegisterK8sReflector),
		cell.Invoke(func(db *statedb.DB, w *writer.Writer) { a.db, a.writer = db, w }),
		cell.Invoke(func(db *statedb.DB, addresses statedb.RWTable[tables.NodeAddress]) error {
			txn := db.WriteTxn(addresses)
			defer txn.Commit()
			_, _, err := addresses.Insert(txn, tables.NodeAddress{Addr: netip.MustParseAddr("192.168.1.10"), NodePort: true, Primary: true, DeviceName: "eth0"})
			return err
		}),
	)
}

// event is what an informer says of an object that is new or has changed.
func event[T runtime.Object](object T) resource.Event[T] {
	return resource.Event[T]{Kind: resource.Upsert, Key: resource.NewKey(object), Object: object, Done: func(error) {}}
}

// first sends all objects and waits until the reconciler has written every frontend.
func (a *agent) first(t testing.TB) time.Duration {
	t.Helper()
	begin := time.Now()
	for _, slice := range a.slices {
		a.endpoints <- event(k8s.ParseEndpointSliceV1(a.log, slice))
	}
	for _, service := range a.objects {
		a.services <- event(service)
	}
	a.await(t, func(txn statedb.ReadTxn) bool { return a.written(txn) })
	took := time.Since(begin)
	a.verify(t)
	return took
}

// change sends one slice and waits until its frontend is written.
func (a *agent) change(t testing.TB, data []byte, of netip.Addr, want int) time.Duration {
	t.Helper()
	slice := slimSlice(t, data)
	address := loadbalancer.NewL3n4Addr(loadbalancer.TCP, cmtypes.AddrClusterFrom(of, 0), 80, loadbalancer.ScopeExternal)
	begin := time.Now()
	a.endpoints <- event(k8s.ParseEndpointSliceV1(a.log, slice))
	a.await(t, func(txn statedb.ReadTxn) bool {
		frontend, _, found := a.writer.Frontends().Get(txn, loadbalancer.FrontendByAddress(address))
		return found && frontend.Status.Kind == reconciler.StatusKindDone && backends(frontend) == want
	})
	return time.Since(begin)
}

func backends(f *loadbalancer.Frontend) int {
	n := 0
	for range f.Backends {
		n++
	}
	return n
}

// written tells whether every frontend is, with all of its backends.
func (a *agent) written(txn statedb.ReadTxn) bool {
	if a.writer.Frontends().NumObjects(txn) < len(a.objects) || a.writer.Backends().NumObjects(txn) < len(a.objects)*ours.Endpoints {
		return false
	}
	for frontend := range a.writer.Frontends().All(txn) {
		if frontend.Status.Kind != reconciler.StatusKindDone {
			return false
		}
	}
	return true
}

// await asks whenever the frontends have changed.
func (a *agent) await(t testing.TB, done func(statedb.ReadTxn) bool) {
	t.Helper()
	deadline := time.After(10 * time.Minute)
	for {
		txn := a.db.ReadTxn()
		_, changed := a.writer.Frontends().AllWatch(txn)
		if done(txn) {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatal("Cilium's load balancer has not written all frontends within ten minutes")
		}
	}
}

// verify counts the entries of its maps: those of 2 * (endpoints + 1) for each service.
func (a *agent) verify(t testing.TB) {
	t.Helper()
	var n [3]int
	for i, err := range []error{
		a.maps.DumpService(func(lbmaps.ServiceKey, lbmaps.ServiceValue) { n[0]++ }),
		a.maps.DumpBackend(func(lbmaps.BackendKey, lbmaps.BackendValue) { n[1]++ }),
		a.maps.DumpRevNat(func(lbmaps.RevNatKey, lbmaps.RevNatValue) { n[2]++ }),
	} {
		if err != nil {
			t.Fatalf("read Cilium's maps (%d): %v", i, err)
		}
	}
	s := len(a.objects)
	if want := [3]int{s * (ours.Endpoints + 1), s * ours.Endpoints, s}; n != want {
		t.Fatalf("Cilium's maps have %d entries (services, backends, reverse NAT), want %d", n, want)
	}
}
