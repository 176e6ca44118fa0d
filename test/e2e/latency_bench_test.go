// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	bytesof "encoding/binary"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	clientset "k8s.io/client-go/kubernetes"
)

const (
	// perService are the endpoints of each service, of which the last comes and goes.
	perService = 10
	// changesEach is how many changes one turn of the benchmark has, changeEvery how
	// far apart they begin, whatever became of those before: 100 a second.
	changesEach = 500
	changeEvery = 10 * time.Millisecond
)

// The time from the PUT of an EndpointSlice until a lookup in the kernel's map has it,
// while 100 change a second. Beside it stands how long the API server alone takes of
// that: until the PUT is answered, and until a bare watch has the event, which is what
// no agent can be faster than.
func BenchmarkPrivilegedPutToLookup(b *testing.B) {
	for _, services := range []int{100, 10000} {
		b.Run(fmt.Sprintf("services=%d", services), func(b *testing.B) {
			l := newLatency(b, services)
			for b.Loop() {
				l.turn(b)
			}
			l.report(b)
		})
	}
}

type latency struct {
	client   clientset.Interface
	slices   []*discoveryv1.EndpointSlice
	services *ebpf.Map
	next     int

	mu      sync.Mutex
	seen    map[string]time.Time       // by a bare watch, by resource version
	sent    map[string]time.Time       // by resource version
	figures map[string][]time.Duration // by what was waited for
}

func newLatency(b *testing.B, services int) *latency {
	b.Helper()
	c := newCluster(b)
	mountBPFFS(b, bpffs)
	e := build(b, "prod", newCgroup(b), owning+"environment: values: bpf: lbMapMax: 262144")
	c.addNode(b, "n1")
	l := &latency{seen: map[string]time.Time{}, sent: map[string]time.Time{}, figures: map[string][]time.Duration{}}
	config := c.as(adminToken)
	config.ContentType = "application/vnd.kubernetes.protobuf"
	var err error
	if l.client, err = clientset.NewForConfig(config); err != nil {
		b.Fatal(err)
	}
	l.declare(b, services)
	f := &fleet{node: &node{bpffs: bpffs}}
	f.agent = start(b, nil, binary("plumb-agent"), "run", "--mode", "own", "--datapath", e.settings, "--kubeconfig", c.kubeconfig(b, adminToken), "--node", "n1", "--interval", "1h", "--output", "json")
	b.Cleanup(f.disown)
	f.agent.await(b, "in sync", func(said string) bool { return strings.Contains(said, `"status":"InSync"`) })
	if l.services, err = ebpf.LoadPinnedMap(filepath.Join(bpffs, "plumbline/cilium_lb4_services_v2"), &ebpf.LoadPinOptions{ReadOnly: true}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.services.Close() })
	l.watch(b)
	return l
}

// declare makes the services and their EndpointSlices.
func (l *latency) declare(b *testing.B, services int) {
	b.Helper()
	l.slices = make([]*discoveryv1.EndpointSlice, services)
	errs := make(chan error, services)
	room := make(chan struct{}, 16)
	for i := range services {
		room <- struct{}{}
		go func() {
			errs <- l.create(b.Context(), i)
			<-room
		}()
	}
	for range services {
		if err := <-errs; err != nil {
			b.Fatal(err)
		}
	}
}

func clusterIP(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 96, byte(1 + i>>8), byte(i)}) }

func (l *latency) create(ctx context.Context, i int) error {
	name := fmt.Sprintf("s%d", i)
	ports := []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080)}}
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.ServiceSpec{ClusterIP: clusterIP(i).String(), Ports: ports}}
	if _, err := l.client.CoreV1().Services("default").Create(ctx, service, metav1.CreateOptions{}); err != nil {
		return err
	}
	port, number, tcp, ready := "http", int32(8080), corev1.ProtocolTCP, true
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: name}}, AddressType: discoveryv1.AddressTypeIPv4,
		Ports: []discoveryv1.EndpointPort{{Name: &port, Port: &number, Protocol: &tcp}},
	}
	for k := range perService {
		n := i*perService + k
		address := netip.AddrFrom4([4]byte{10, 128 + byte(n>>16), byte(n >> 8), byte(n)}).String()
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{address}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}})
	}
	var err error
	l.slices[i], err = l.client.DiscoveryV1().EndpointSlices("default").Create(ctx, slice, metav1.CreateOptions{})
	return err
}

// watch notes when a watch that does nothing else has each change.
func (l *latency) watch(b *testing.B) {
	b.Helper()
	from, err := l.client.DiscoveryV1().EndpointSlices("default").List(b.Context(), metav1.ListOptions{Limit: 1})
	if err != nil {
		b.Fatal(err)
	}
	w, err := l.client.DiscoveryV1().EndpointSlices("default").Watch(b.Context(), metav1.ListOptions{ResourceVersion: from.ResourceVersion})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(w.Stop)
	go func() {
		for event := range w.ResultChan() {
			now := time.Now()
			if s, ok := event.Object.(*discoveryv1.EndpointSlice); ok {
				l.mu.Lock()
				l.seen[s.ResourceVersion] = now
				l.mu.Unlock()
			}
		}
	}()
}

// turn makes its changes, each of another service than those before, as far as there
// are so many.
func (l *latency) turn(b *testing.B) {
	b.Helper()
	tick := time.NewTicker(changeEvery)
	defer tick.Stop()
	errs := make(chan error, changesEach)
	for range changesEach {
		<-tick.C
		i := l.next % len(l.slices)
		endpoints := perService - 1 + l.next/len(l.slices)%2
		l.next++
		go func() { errs <- l.change(b.Context(), i, endpoints) }()
	}
	for range changesEach {
		if err := <-errs; err != nil {
			b.Fatal(err)
		}
	}
}

// change gives a service so many endpoints, and waits until a connection would find
// them.
func (l *latency) change(ctx context.Context, i, endpoints int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	next := l.slices[i].DeepCopy()
	next.ResourceVersion = ""
	next.Endpoints = next.Endpoints[:endpoints]
	answered := make(chan error, 1)
	begin := time.Now()
	go func() {
		s, err := l.client.DiscoveryV1().EndpointSlices("default").Update(ctx, next, metav1.UpdateOptions{})
		if err == nil {
			l.note("put", time.Since(begin))
			l.mu.Lock()
			l.sent[s.ResourceVersion] = begin
			l.mu.Unlock()
		}
		answered <- err
	}()
	for {
		count, err := l.count(i)
		if err != nil {
			return err
		}
		if count == endpoints {
			l.note("lookup", time.Since(begin))
			return <-answered
		}
		if ctx.Err() != nil {
			return fmt.Errorf("service s%d has %d backends in the map, want %d: %w", i, count, endpoints, ctx.Err())
		}
		time.Sleep(20 * time.Microsecond) // which leaves the processor to those who are measured
	}
}

func (l *latency) note(what string, d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.figures[what] = append(l.figures[what], d)
}

// count looks a service's master entry up, as a connection does: struct lb4_key and
// lb4_service of Cilium 1.17's bpf/lib/common.h, whose count are bytes 4 and 5.
func (l *latency) count(i int) (int, error) {
	ip := clusterIP(i).As4()
	key := [12]byte{ip[0], ip[1], ip[2], ip[3], 0, 80, 8: 6}
	var value [12]byte
	err := l.services.Lookup(key, &value)
	return int(bytesof.NativeEndian.Uint16(value[4:])), err
}

func (l *latency) report(b *testing.B) {
	b.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for version, begin := range l.sent {
		if at, ok := l.seen[version]; ok {
			l.figures["watch"] = append(l.figures["watch"], at.Sub(begin))
		}
	}
	if len(l.figures["lookup"]) == 0 || len(l.figures["watch"]) == 0 {
		b.Fatal("nothing was measured")
	}
	for what, list := range l.figures {
		slices.Sort(list)
		for _, p := range []int{50, 99} {
			b.ReportMetric(float64(list[(len(list)-1)*p/100].Microseconds())/1000, fmt.Sprintf("%s-p%d-ms", what, p))
		}
	}
	b.ReportMetric(0, "ns/op") // a turn lasts as long as its changes are apart
}
