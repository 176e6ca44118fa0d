// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"runtime/debug"
	"sync"

	"plumbline.dev/plumbline/runtime/reconcile"
)

// restingGC is by how many percent the heap may grow between two collections once
// the first round is over. A change makes little that is to be collected, and on
// each node memory is dearer than that.
const restingGC = 50

// rests gives memory back to the system after the first round in sync, which took far
// more than any that follows: it compiled everything. GOGC has the last word.
func rests(next func(reconcile.Report)) func(reconcile.Report) {
	var once sync.Once
	return func(r reconcile.Report) {
		if r.Status == reconcile.InSync {
			once.Do(func() {
				if os.Getenv("GOGC") == "" {
					debug.SetGCPercent(restingGC)
				}
				go debug.FreeOSMemory() // a full collection, which nobody needs to wait for
			})
		}
		next(r)
	}
}
