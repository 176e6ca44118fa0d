// SPDX-License-Identifier: Apache-2.0

package state

import (
	"crypto/sha256"
	"encoding/hex"
)

// CondenseMaglev condenses a lookup table: table holds an index into backends
// for each of its positions. An index outside of backends counts as the
// unknown backend, the zero Endpoint. The digest is the SHA-256, in hex, over the backends' names
// in table order, each followed by a line feed.
func CondenseMaglev(frontend FrontendName, backends []Endpoint, table []uint32) MaglevTable {
	names := make([][]byte, len(backends)+1)
	for i, b := range backends {
		names[i] = []byte(b.String() + "\n")
	}
	names[len(backends)] = []byte(Endpoint{}.String() + "\n")
	counts := make([]int, len(names))
	digest := sha256.New()
	for _, i := range table {
		i = min(i, uint32(len(backends)))
		counts[i]++
		digest.Write(names[i])
	}
	slots := make(map[string]int, len(backends))
	for i, n := range counts {
		if n > 0 {
			slots[string(names[i][:len(names[i])-1])] += n
		}
	}
	return MaglevTable{
		Frontend: frontend, TableSize: uint32(len(table)),
		Slots: slots, Digest: hex.EncodeToString(digest.Sum(nil)),
	}
}
