// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"runtime/debug"
	"runtime/metrics"
	"sync"

	"plumbline.dev/plumbline/runtime/reconcile"
)

const (
	// restingGC is by how many percent the heap may grow between two collections once
	// the first round is over. A change makes little that is to be collected, and on
	// each node memory is dearer than that.
	restingGC = 50
	// muchSpare is how many bytes the heap may have beside what lives in it before a
	// round gives them back.
	muchSpare = 32 << 20
)

// rests gives memory back to the system after a round that leaves much of it, as the
// first does, which compiles everything, and one that follows a burst of changes. The
// Go runtime does so as well, over minutes. GOGC has the last word.
func rests(next func(reconcile.Report)) func(reconcile.Report) {
	var once sync.Once
	return func(r reconcile.Report) {
		if r.Status == reconcile.InSync {
			once.Do(func() {
				if os.Getenv("GOGC") == "" {
					debug.SetGCPercent(restingGC)
				}
			})
		}
		if r.Maps != nil && spare() > muchSpare { // a whole round, and no change that was followed
			go debug.FreeOSMemory() // a full collection, which nobody needs to wait for
		}
		next(r)
	}
}

// spare is how much of the heap is free, or may be after a collection.
func spare() int64 {
	read := []metrics.Sample{{Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(read)
	value := func(i int) int64 {
		if read[i].Value.Kind() != metrics.KindUint64 { // this runtime does not say
			return 0
		}
		return int64(read[i].Value.Uint64())
	}
	return value(0) + value(1) - value(2)
}
