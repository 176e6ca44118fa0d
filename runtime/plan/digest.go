// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/schema/state"
)

// Digest condenses what a State says of services, so that a wanted and a held
// one that are in sync have the same: names of services and ids are left out,
// and the order of slots that the datapath does not tell apart. It is the
// SHA-256, in hex, of the State's canonical text.
func Digest(st *state.State) string {
	bare := &state.State{
		Layout: st.Layout, Frontends: slices.Clone(st.Frontends), Backends: st.Backends,
		SourceRanges: st.SourceRanges, AffinityMatches: st.AffinityMatches, Maglev: st.Maglev,
	}
	for i := range bare.Frontends {
		f := &bare.Frontends[i]
		f.Service, f.PortName, f.IDs = "", "", nil
		f.Backends, f.Inactive = sortedSlots(f.Backends), sortedSlots(f.Inactive)
	}
	sum := sha256.New()
	_ = bare.WriteText(sum) // a hash takes everything
	return hex.EncodeToString(sum.Sum(nil))
}

func sortedSlots(list []state.Endpoint) []state.Endpoint {
	if slices.IsSortedFunc(list, state.Endpoint.Compare) {
		return list
	}
	list = slices.Clone(list)
	slices.SortFunc(list, state.Endpoint.Compare)
	return list
}

// DigestHave is Digest of what a kernel holds.
func DigestHave(have *Have) (string, error) {
	dec, err := layout.Decode(have.Layout, have.Tables)
	if err != nil {
		return "", err
	}
	return Digest(dec.State), nil
}
