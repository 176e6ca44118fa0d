// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"plumbline.dev/plumbline/schema/state"
)

func attachmentsOf(t *testing.T, text string) []state.Attachment {
	t.Helper()
	s, err := state.Parse("layout cilium/1.18\n" + text)
	if err != nil {
		t.Fatal(err)
	}
	return s.Attachments
}

const wantedPrograms = `attachment cil_from_netdev attach=tcx_ingress target=dev:eth0
attachment cil_sock4_connect attach=cgroup_inet4_connect target=/cgroup
attachment cil_to_netdev attach=tcx_egress target=dev:eth0
attachment cil_xdp_entry attach=xdp target=dev:eth0
`

func compare(t *testing.T, have *Have, want []state.Attachment) []string {
	t.Helper()
	have.Layout = state.Cilium118
	wanted := &state.State{Layout: state.Cilium118, Attachments: want}
	result, err := Diff(have, wanted, nil)
	if err != nil {
		t.Fatal(err)
	}
	if InSync(have, wanted) != (len(result.Drifts) == 0) {
		t.Errorf("InSync says otherwise than Diff, which finds %v", result.Drifts)
	}
	for _, s := range result.Plan {
		if _, device := s.Attachment.Device(); device {
			t.Errorf("step %q: no store can attach at a device", s)
		}
	}
	var list []string
	for _, d := range result.Drifts {
		list = append(list, d.String())
	}
	return list
}

// Where the kernel has no tcx, filters are what is wanted; where it has, they are
// a warning. XDP's mode is not excused by it.
func TestFiltersWithoutTCX(t *testing.T) {
	want := attachmentsOf(t, wantedPrograms)
	held := attachmentsOf(t, strings.ReplaceAll(strings.ReplaceAll(wantedPrograms, "tcx_", "tc_"), "attach=xdp ", "attach=xdp_generic "))
	if list := compare(t, &Have{Attachments: held, NoTCX: true}, want); len(list) != 1 || !strings.Contains(list[0], "cil_xdp_entry hangs at device eth0 by xdp_generic, want xdp") {
		t.Errorf("without tcx: %q", list)
	}
	list := compare(t, &Have{Attachments: held}, want)
	if len(list) != 3 {
		t.Errorf("with tcx: %q", list)
	}
	for _, text := range list {
		if !strings.HasPrefix(text, "warning program-detached") {
			t.Errorf("%q is no warning", text)
		}
	}
}

// A device that is not there is said to be none; without knowledge of devices
// nothing is said of them.
func TestProgramsOfADeviceThatIsNotThere(t *testing.T) {
	want := attachmentsOf(t, wantedPrograms)[:1]
	for text, devices := range map[string][]string{
		"there is no device eth0":                 {"lo", "eth1"},
		"does not hang at device eth0 (tcx_ingre": {"lo", "eth0"},
		"does not hang at device eth0 (tcx_ingr":  nil,
	} {
		if list := compare(t, &Have{Devices: devices}, want); len(list) != 1 || !strings.Contains(list[0], text) {
			t.Errorf("devices %v: %q has no %q", devices, list, text)
		}
	}
}

// Whatever order programs are read in, what is found is the same; what is wanted
// is in sync with itself.
func TestAttachmentsInAnyOrder(t *testing.T) {
	want := attachmentsOf(t, wantedPrograms)
	if list := compare(t, &Have{Attachments: slices.Clone(want)}, want); len(list) > 0 {
		t.Errorf("in sync: %q", list)
	}
	held := attachmentsOf(t, `attachment cil_from_netdev attach=tc_ingress target=dev:eth0 copies=1
attachment cil_from_netdev attach=tcx_ingress target=dev:eth0 stale=cilium_lb4_services_v2=3/4
attachment cil_from_netdev attach=xdp target=dev:eth0
attachment cil_sock4_connect attach=cgroup_inet4_connect target=/cgroup
attachment cil_sock4_connect attach=cgroup_inet4_connect target=-
attachment cil_sock4_connect attach=cgroup_inet4_connect target=cgroup:7
attachment cil_to_container attach=tcx_egress target=dev:lxc1 copies=1 stale=cilium_lb4_services_v2=3/4
`)
	first := compare(t, &Have{Attachments: held}, want)
	if len(first) != 7 {
		t.Errorf("%d drifts, want 7: %q", len(first), first)
	}
	r := rand.New(rand.NewPCG(3, 5))
	for range 50 {
		shuffled := slices.Clone(held)
		r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		if diff := cmp.Diff(first, compare(t, &Have{Attachments: shuffled}, want)); diff != "" {
			t.Fatalf("in another order (-first +shuffled):\n%s", diff)
		}
	}
}
