// SPDX-License-Identifier: Apache-2.0

package main

import (
	"runtime"
	"runtime/debug"
	"testing"

	"plumbline.dev/plumbline/runtime/reconcile"
)

// Garbage counts as spare, and is none once it was given back; reports are handed on.
func TestSpareMemory(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	debug.FreeOSMemory()
	if n := spare(); n > muchSpare {
		t.Fatalf("%d bytes are spare after a collection", n)
	}
	big := make([]byte, 2*muchSpare)
	big[0] = 1
	runtime.KeepAlive(big)
	if n := spare(); n < muchSpare {
		t.Errorf("%d bytes are spare, of which %d are garbage", n, 2*muchSpare)
	}
	told := 0
	report := rests(func(reconcile.Report) { told++ })
	report(reconcile.Report{Status: reconcile.InSync, Maps: []reconcile.MapFill{{}}})
	report(reconcile.Report{})
	if told != 2 {
		t.Errorf("%d reports were handed on, want 2", told)
	}
}
