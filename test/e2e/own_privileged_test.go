// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/vishvananda/netlink"
)

const owning = "environment: datapath: mode: \"own\"\n"

// New settings reach agents that own their maps while connections go through these
// and endpoints come and go: no connection fails, and nothing is called drift. Settings
// that the maps there can't take are refused, with what is to be done, and the traffic
// goes on by the old ones.
func TestPrivilegedSettingsChangeUnderLoad(t *testing.T) {
	const another = "192.168.1.11"
	addAddress(t, another)
	for _, address := range []string{nodeAddress, another} {
		serve(t, address+":8080")
	}
	web := service{"default", "web", "10.96.0.60", []string{nodeAddress, another}}
	less := web
	less.endpoints = web.endpoints[:1]
	f := newFleet(t, owning, web)
	t.Cleanup(f.disown)
	f.rolls(t, "kube-system")
	clients := startLoad(t, f.cgroup, web.frontend())
	clients.goesOn(t, 100)
	drifted := f.watchFor(t, f.datapath(), hasCondition("Drifted", "True"))
	reconciled := f.watchFor(t, f.kustomization("gate"), hasCondition("Reconciling", "True"))

	f.environment = build(t, "prod", f.cgroup, owning+`environment: services: "shop/extra": {ips: ["10.96.0.70"], ports: [{port: 80, backends: ["192.168.1.10:8080"]}]}`)
	second := f.next(t, "two")
	changes := f.changeUntil(t, f.kustomization("apps"), applied(second), less, web)
	f.await(t, f.datapath(), "Ready", isReady)
	t.Logf("%d changes of endpoints until the second revision was Ready", changes)
	extra := startLoad(t, f.cgroup, "10.96.0.70:80")
	extra.goesOn(t, 10)
	clients.goesOn(t, 100)
	if !reconciled() {
		t.Error("the gate has not been Reconciling")
	}

	f.environment = build(t, "prod", f.cgroup, owning+"environment: values: bpf: lbMapMax: 2048")
	third := f.next(t, "three")
	f.await(t, named(apiPlumbline, "DatapathNode", namespace, "n1"), "refusing the size, and saying what to do", func(r resource) bool {
		return r.text("status", "status") == "Incompatible" && containsAll(r.text("status", "message"), []string{"max entries 1024, want 2048", "remove /sys/fs/bpf/plumbline"})
	})
	f.await(t, f.datapath(), "unknown", reason("Ready", "Unknown NoReports"))
	clients.goesOn(t, 100)
	extra.goesOn(t, 10)
	f.await(t, f.kustomization("gate"), "looking at its health", checking(third))
	clients.sound(t)
	extra.sound(t)
	if drifted() {
		t.Error("a change of settings or endpoints has been called drift")
	}
}

// changeUntil makes a service one and the other, again and again, until an object is
// as it should be. It gives the number of changes.
func (f *fleet) changeUntil(t testing.TB, r resource, ok func(resource) bool, forms ...service) (changes int) {
	t.Helper()
	done := f.watchFor(t, r, ok)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for ; !done() || changes < 2*len(forms); changes++ {
		if ctx.Err() != nil {
			t.Fatalf("%s is not as it should be after %s and %d changes", r, patience, changes)
		}
		f.declare(t, forms[changes%len(forms)])
	}
	if changes%len(forms) != 0 {
		f.declare(t, forms[len(forms)-1])
	}
	return changes
}

// watchFor watches an object from now on. The function that it gives tells whether it
// has been so, at any time.
func (c *cluster) watchFor(t testing.TB, r resource, so func(resource) bool) func() bool {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	been := make(chan struct{})
	go func() {
		for ctx.Err() == nil {
			if _, is, _ := c.follow(ctx, r, so, func(resource) {}); is {
				close(been)
				return
			}
		}
	}()
	return func() bool {
		select {
		case <-been:
			return true
		default:
			return false
		}
	}
}

// disown ends the agent and takes its programs off the cgroup.
func (f *fleet) disown() {
	f.agent.kill()
	links, _ := filepath.Glob(filepath.Join(f.bpffs, "plumbline", "links", "*"))
	for _, name := range links {
		os.Remove(name)
	}
}

// addAddress gives the node's device another address.
func addAddress(t testing.TB, address string) {
	t.Helper()
	require(t)
	device, err := netlink.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := netlink.ParseAddr(address + "/24")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.AddrAdd(device, parsed); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := netlink.AddrDel(device, parsed); err != nil {
			t.Errorf("remove %s: %v", address, err)
		}
	})
}
