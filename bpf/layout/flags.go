// SPDX-License-Identifier: Apache-2.0

package layout

import "plumbline.dev/plumbline/schema/state"

// typeBits are a frontend's type bits, in the order in which a damaged entry
// with several of them is read. ClusterIP has none.
var typeBits = []struct {
	bit uint8
	t   state.FrontendType
}{
	{flagHostPort, state.HostPort},
	{flagLoadBalancer, state.LoadBalancer},
	{flagExternalIP, state.ExternalIPs},
	{flagNodePort, state.NodePort},
}

// masterBits pairs each flag with its bit. Two bits have a second meaning that
// depends on the type; they are handled apart.
var masterBits = []struct {
	flag          state.Flags
	flags, flags2 uint8
}{
	{state.Local, flagExtLocal, 0},
	{state.Affinity, flagAffinity, 0},
	{state.SourceRangeFlag, flagSourceRange, 0},
	{state.LocalRedirect, 0, flag2LocalRedirect},
	{state.NAT46x64, 0, flag2NAT46x64},
	{state.L7, 0, flag2L7},
	{state.InternalLocal, 0, flag2IntLocal},
	{state.TwoScopes, 0, flag2TwoScopes},
	{state.SourceRangeDeny, 0, flag2Quarantined},
	{state.DSR, 0, flag2DSR},
}

// masterFlags gives the two flag bytes of a frontend's master. One State flag
// is inverted: the map says routable, people ask what is not.
func masterFlags(f *state.Frontend) (flags, flags2 uint8) {
	for _, t := range typeBits {
		if t.t == f.Type {
			flags |= t.bit
		}
	}
	for _, m := range masterBits {
		if f.Flags&m.flag != 0 {
			flags, flags2 = flags|m.flags, flags2|m.flags2
		}
	}
	if f.Flags&state.NonRoutable == 0 {
		flags |= flagRoutable
	}
	if f.Flags&(state.Loopback|state.L7Delegate) != 0 {
		flags2 |= flag2Loopback
	}
	return flags, flags2
}

// decodeFlags is the inverse of masterFlags.
func decodeFlags(flags, flags2 uint8) (state.FrontendType, state.Flags) {
	t, f := state.ClusterIP, state.Flags(0)
	for _, b := range typeBits {
		if flags&b.bit != 0 {
			t = b.t
			break
		}
	}
	for _, m := range masterBits {
		if flags&m.flags != 0 || flags2&m.flags2 != 0 {
			f |= m.flag
		}
	}
	if flags&flagRoutable == 0 {
		f |= state.NonRoutable
	}
	if flags2&flag2Loopback != 0 {
		if t == state.HostPort {
			f |= state.Loopback
		} else {
			f |= state.L7Delegate
		}
	}
	return t, f
}

// slotFlags gives the two flag bytes of slot n of a master. Cilium 1.17 leaves
// them empty but for the quarantine bit of a slot that is not selectable
// (pkg/maps/lbmap); 1.18 and later copy the master's (pkg/loadbalancer/reconciler).
func slotFlags(l state.Layout, master Service, slot int) (flags, flags2 uint8) {
	if l >= state.Cilium118 {
		return master.Flags, master.Flags2
	}
	if slot > int(master.Count) {
		return 0, flag2Quarantined
	}
	return 0, 0
}

// affinityTimeoutMask is the part of a master's word below the algorithm.
const affinityTimeoutMask = 1<<24 - 1

// masterWord gives the union of a master's value.
func masterWord(f *state.Frontend) uint32 {
	if f.Flags&state.L7 != 0 {
		return uint32(f.L7ProxyPort>>8 | f.L7ProxyPort<<8)
	}
	return uint32(f.Algorithm)<<24 | f.AffinityTimeoutSeconds&affinityTimeoutMask
}

// decodeWord is the inverse of masterWord.
func decodeWord(f *state.Frontend, word uint32) {
	if f.Flags&state.L7 != 0 {
		f.L7ProxyPort = uint16(word)>>8 | uint16(word)<<8
		return
	}
	f.Algorithm = state.Algorithm(word >> 24)
	f.AffinityTimeoutSeconds = word & affinityTimeoutMask
}
