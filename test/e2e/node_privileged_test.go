// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os/exec"
	"strings"
	"testing"
)

// shop is a service of the tests' cluster.
var shop = service{namespace: "default", name: "shop", address: "10.96.0.50", endpoints: []string{"10.244.1.1", "10.244.1.2"}}

// To an agent the stand-in's node is one of Cilium's that is in sync, until its
// maps are tampered with, and once they are mended: the tests' own ground.
func TestPrivilegedNodeIsAsCiliumsWouldBe(t *testing.T) {
	n := newNode(t)
	e := build(t, "node", n.cgroup, "")
	n.follow(t, shop)
	n.install(t, e)
	observe := func() (string, error) {
		out, err := exec.Command(binary("plumb-agent"), "run", "--datapath", e.settings, "--snapshot", n.files, "--node", "n1", "--node-address", nodeAddress, "--once", "--grace", "0").CombinedOutput()
		return string(out), err
	}
	if out, err := observe(); err != nil {
		t.Errorf("before: %v, want in sync\n%s", err, out)
	}
	n.tamper(t, "delete-slot", shop.frontend(), "6")
	if out, err := observe(); err == nil || !strings.Contains(out, "differs") {
		t.Errorf("with a slot deleted: %v, want that it differs\n%s", err, out)
	}
	n.mend(t)
	if out, err := observe(); err != nil {
		t.Errorf("mended: %v, want in sync\n%s", err, out)
	}
}
