// SPDX-License-Identifier: Apache-2.0

// Package kubeproxy compares Plumbline with kube-proxy's proxier for nftables, over
// the same objects, in the same process and in turn.
package kubeproxy

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/proxy/apis/config"
	"k8s.io/kubernetes/pkg/proxy/nftables"
	proxyutil "k8s.io/kubernetes/pkg/proxy/util"

	"plumbline.dev/plumbline/runtime/source/sourcetest"
	"plumbline.dev/plumbline/test/peers/ours"
)

const fairness = `read with the ratios:
 - kube-proxy's ruleset also masquerades, rejects what has no endpoints and has room for node ports; all objects here are ClusterIP
 - nft swaps rules in one transaction; the maps are written entry by entry, in an order of which every prefix is safe
 - ours includes attaching the programs (first), which are loaded before; kube-proxy's own pace, 1 s between two syncs by default, is left out (change)
 - the rules see all traffic of the node; programs at the socket see that of processes in the cgroup`

// inside is set in the process that runs in the network namespace.
const inside = "PLUMB_PEERS_NETNS"

// TestMain runs the benchmarks in a process whose network namespace is its own, all
// of its threads in it: no rule is written anywhere else.
func TestMain(m *testing.M) {
	if os.Getenv("PLUMB_PEERS") != "1" || os.Geteuid() != 0 || os.Getenv(inside) != "" {
		quiet()
		os.Exit(m.Run())
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		os.Exit(exit.ExitCode())
	case err != nil:
		fmt.Fprintln(os.Stderr, "run in a network namespace:", err)
		os.Exit(1)
	}
}

// quiet has kube-proxy keep its log to itself: of each first sync it says that there
// are no rules yet. What it wrote is counted instead.
func quiet() {
	flags := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(flags)
	for name, value := range map[string]string{"logtostderr": "false", "stderrthreshold": "FATAL"} {
		if err := flags.Set(name, value); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	klog.SetOutput(io.Discard)
}

// ways are how kube-proxy hands its rules to the kernel: by netlink, as it does by
// default, or by running nft, as all did before 1.37.
var ways = []struct{ name, gate string }{{"kube-proxy", "NFTablesNetlink=true"}, {"kube-proxy-nft", "NFTablesNetlink=false"}}

// proxier makes one as kube-proxy does in mode nftables, of the default configuration
// but for the gate.
func proxier(b *testing.B, gate string) *nftables.Proxier {
	b.Helper()
	if err := utilfeature.DefaultMutableFeatureGate.Set(gate); err != nil {
		b.Fatal(err)
	}
	bit := int32(14)
	c := &config.KubeProxyConfiguration{NFTables: config.KubeProxyNFTablesConfiguration{MasqueradeBit: &bit}}
	c.SyncPeriod.Duration, c.MinSyncPeriod.Duration = 30*time.Second, time.Second
	p, err := nftables.NewProxier(b.Context(), c, v1.IPv4Protocol, proxyutil.NewDetectLocalByCIDR("10.128.0.0/9"), "node-0", net.ParseIP("192.168.1.10"), nil, nil, false)
	if err != nil {
		b.Fatal(err)
	}
	return p
}

// first gives the proxier all objects and has it write its rules.
func first(b *testing.B, p *nftables.Proxier, objects sourcetest.Objects) time.Duration {
	b.Helper()
	begin := time.Now()
	for i := range objects.Services.Items {
		p.OnServiceAdd(&objects.Services.Items[i])
	}
	for i := range objects.Slices.Items {
		p.OnEndpointSliceAdd(&objects.Slices.Items[i])
	}
	p.OnEndpointSlicesSynced() // writes nothing before the services are known
	p.OnServiceSynced()
	took := time.Since(begin)
	if n := listed(b, " : goto service-"); n != len(objects.Services.Items) {
		b.Fatalf("kube-proxy wrote %d services, want %d", n, len(objects.Services.Items))
	}
	return took
}

// listed counts a text in the rules.
func listed(b *testing.B, text string) int {
	b.Helper()
	out, err := exec.Command("nft", "list", "table", "ip", "kube-proxy").Output()
	if err != nil {
		b.Fatalf("list kube-proxy's rules: %v", err)
	}
	return bytes.Count(out, []byte(text))
}

func empty(b *testing.B) {
	b.Helper()
	if out, err := exec.Command("nft", "delete", "table", "ip", "kube-proxy").CombinedOutput(); err != nil {
		b.Fatalf("delete kube-proxy's rules: %v: %s", err, out)
	}
}

// Empty rules and empty maps become those of all objects.
func BenchmarkPrivilegedFirst(b *testing.B) {
	ours.Require(b)
	objects := sourcetest.New(ours.Services(b), ours.Endpoints)
	t := ours.Times{}
	for b.Loop() {
		for _, w := range ways {
			p := proxier(b, w.gate)
			runtime.GC() // nobody has to collect what another has left
			t.Add(w.name, first(b, p, objects))
			empty(b)
		}
		n := ours.New(b, objects)
		runtime.GC()
		written, round := n.First(b)
		t.Add("ours", written)
		t.Add("ours-verified", round)
		n.Close(b)
	}
	t.Report(b, fairness, "kube-proxy", "kube-proxy-nft", "ours-verified")
}

// changes is how often an endpoint leaves or joins in one round.
const changes = 10

// An endpoint leaves a service, or joins it.
func BenchmarkPrivilegedChange(b *testing.B) {
	ours.Require(b)
	objects := sourcetest.New(ours.Services(b), ours.Endpoints)
	n := ours.New(b, objects)
	defer n.Close(b)
	n.First(b)
	t := ours.Times{}
	for b.Loop() {
		for _, w := range ways {
			p := proxier(b, w.gate)
			first(b, p, objects)
			for i := range changes {
				slice := ours.Changed(objects, i)
				t.Add(w.name, change(b, p, slice, i == 0))
				t.Add("ours", n.Change(b, slice))
			}
			empty(b)
		}
	}
	t.Report(b, fairness, "kube-proxy", "kube-proxy-nft")
}

// change has the proxier sync one slice at once; its runner would, within its pace.
func change(b *testing.B, p *nftables.Proxier, slice *discoveryv1.EndpointSlice, verify bool) time.Duration {
	b.Helper()
	begin := time.Now()
	p.OnEndpointSliceUpdate(nil, slice)
	p.OnServiceSynced()
	took := time.Since(begin)
	if verify {
		if got := listed(b, fmt.Sprintf("numgen random mod %d ", len(slice.Endpoints))); got != 1 {
			b.Fatalf("kube-proxy has %d services with an endpoint less, want 1", got)
		}
	}
	return took
}
