// SPDX-License-Identifier: Apache-2.0

package layout

import "plumbline.dev/plumbline/schema/state"

// MasterFields are what a master's value says beside its counts and its id.
type MasterFields struct {
	Type      state.FrontendType
	Flags     state.Flags
	Algorithm state.Algorithm
	// AffinityTimeoutSeconds is the lower 24 bits of the word.
	AffinityTimeoutSeconds uint32
	L7ProxyPort            uint16 // host byte order; only with the L7 flag
}

// Fields reads a master's value as Decode does.
func (s Service) Fields() MasterFields {
	var f state.Frontend
	f.Type, f.Flags = decodeFlags(s.Flags, s.Flags2)
	decodeWord(&f, s.Word)
	return MasterFields{f.Type, f.Flags, f.Algorithm, f.AffinityTimeoutSeconds, f.L7ProxyPort}
}
