// SPDX-License-Identifier: Apache-2.0

// Package cilium compares Plumbline with the load balancer of Cilium's agent, over
// the same objects, in the same process and in turn.
package cilium

import (
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"plumbline.dev/plumbline/runtime/source/sourcetest"
	"plumbline.dev/plumbline/test/peers/ours"
)

const fairness = `read with the ratios:
 - Cilium's tables serve more than these maps: health, status, scripts, proxies, other clusters; and it retries entry by entry
 - both start from decoded objects and end with the last entry written; ours includes attaching the programs (first), which are loaded before, Cilium's does not
 - Cilium collects changes for lb-reflector-wait-time (500 ms) so that many become one; 1 ms is what its flag can be set to, not what it ships with
 - ours is awaited by its return, Cilium by its table of frontends, whose status follows the write
 - nothing here is said about Cilium's datapath: it was not run`

// waits are lb-reflector-wait-time: what Cilium ships with, and what is fastest.
var waits = []struct {
	name string
	wait time.Duration
}{{"cilium", 500 * time.Millisecond}, {"cilium-1ms", time.Millisecond}}

// Empty maps become those of all objects.
func BenchmarkPrivilegedFirst(b *testing.B) {
	ours.Require(b)
	objects := sourcetest.New(ours.Services(b), ours.Endpoints)
	t := ours.Times{}
	for b.Loop() {
		for _, w := range waits {
			a := newAgent(b, objects, w.wait)
			runtime.GC() // nobody has to collect what another has left
			t.Add(w.name, a.first(b))
			a.close(b)
		}
		n := ours.New(b, objects)
		runtime.GC()
		written, round := n.First(b)
		t.Add("ours", written)
		t.Add("ours-verified", round)
		n.Close(b)
	}
	t.Report(b, fairness, "cilium", "cilium-1ms", "ours-verified")
}

// changes is how often an endpoint leaves or joins in one round.
const changes = 10

// An endpoint leaves a service, or joins it, at any moment of Cilium's interval.
func BenchmarkPrivilegedChange(b *testing.B) {
	ours.Require(b)
	objects := sourcetest.New(ours.Services(b), ours.Endpoints)
	n := ours.New(b, objects)
	defer n.Close(b)
	n.First(b)
	var agents []*agent
	for _, w := range waits {
		a := newAgent(b, objects, w.wait)
		defer a.close(b)
		a.first(b)
		agents = append(agents, a)
	}
	t, random := ours.Times{}, rand.New(rand.NewPCG(1, 2))
	for b.Loop() {
		for i := range changes {
			slice := ours.Changed(objects, i)
			data, err := slice.Marshal()
			if err != nil {
				b.Fatal(err)
			}
			address := netip.MustParseAddr(objects.Services.Items[i/2*7919%len(objects.Services.Items)].Spec.ClusterIP)
			for j, w := range waits {
				time.Sleep(time.Duration(random.Int64N(int64(w.wait)))) // else each change would find the interval begun by the one before
				t.Add(w.name, agents[j].change(b, data, address, len(slice.Endpoints)))
			}
			t.Add("ours", n.Change(b, slice))
		}
	}
	t.Report(b, fairness, "cilium", "cilium-1ms")
}
