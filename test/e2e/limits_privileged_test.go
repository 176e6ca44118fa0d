// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"strings"
	"testing"
)

// Drift of as many nodes as the limits allow holds nothing back, and is not hidden.
func TestPrivilegedDriftWithinLimits(t *testing.T) {
	f := newGuarded(t, "environment: datapath: limits: driftedNodes: 1\n", shop)
	f.tamper(t, "delete-slot", shop.frontend(), "6")
	drifted := f.drift(t, "True")
	if is, message := drifted.condition("Ready"); !strings.HasPrefix(is, "True ") || !strings.Contains(message, "n1") {
		t.Errorf("Ready is %s: %s", is, message)
	}
	f.event(t, "n1", "default/shop")
	second := f.next(t, "two")
	f.await(t, f.kustomization("apps"), "Ready at the second revision", applied(second))
	if is, _ := f.drift(t, "True").condition("Ready"); !strings.HasPrefix(is, "True ") {
		t.Errorf("Ready is %s", is)
	}
}
