// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/schema/state"
)

// What is planned for empty maps is what Diff plans by decoding them, but for the
// order among steps of one rank and map, whatever is known of ids.
func TestFreshIsDiff(t *testing.T) {
	compared := 0
	eachSeed(t, 200, func(t *testing.T, r *rand.Rand, l state.Layout) {
		want := randomState(r, l)
		want.Maglev = nil
		have := &Have{Layout: l, Tables: layout.Tables{layout.Services4: layout.NewTable(12, 12, 0)}}
		if r.IntN(2) == 0 {
			want.Attachments = []state.Attachment{{Program: "plumb_connect4", Attach: "cgroup_inet4_connect", Target: "/c"}, {Program: "plumb_recvmsg4", Attach: "cgroup_udp4_recvmsg", Target: "/c"}}
			want.Maps = []state.Map{{Name: "cilium_lb4_services_v2", Type: "hash"}}
		}
		for _, known := range []*layout.Ledger{nil, randomLedger(r, want)} {
			got, err := fresh(have, want, known)
			if err != nil {
				t.Fatal(err)
			}
			if got == nil { // a proxy's port is not known
				continue
			}
			compared++
			whole, err := diff(have, want, known)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.IsSortedFunc(got.Plan, func(a, b Step) int { return class{rank(a), a.Map}.compare(class{rank(b), b.Map}) }) {
				t.Errorf("the steps are not in the order of their ranks:\n%s", got.Plan)
			}
			order(got.Plan)
			if diff := cmp.Diff(whole.Plan.String(), got.Plan.String()); diff != "" {
				t.Errorf("plan (-diff +fresh):\n%s", diff)
			}
			if diff := cmp.Diff(whole.Drifts, got.Drifts); diff != "" {
				t.Errorf("drifts (-diff +fresh):\n%s", diff)
			}
			if diff := cmp.Diff(whole.Ledger(), got.Ledger(), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Errorf("ids (-diff +fresh):\n%s", diff)
			}
			for id, table := range whole.Target.Tables() {
				if !table.Equal(got.Target.Tables()[id]) {
					t.Errorf("the target's %s differs", id)
				}
			}
		}
	})
	if compared == 0 {
		t.Error("nothing was compared")
	}
}
