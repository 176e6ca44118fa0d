// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"plumbline.dev/plumbline/compiler/datapath"
	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/schema/state"
)

// docs/DRIFT.md has a section of every kind and of no other, each with all that
// is promised, and every link leads somewhere.
func TestDriftIsDocumented(t *testing.T) {
	data, err := os.ReadFile("../../docs/DRIFT.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[plan.Kind]string{}
	for part := range strings.SplitSeq(string(data), "\n### ") {
		if name, text, ok := strings.Cut(part, "\n"); ok && strings.HasPrefix(name, "`") {
			sections[plan.Kind(strings.Trim(name, "`"))] = text
		}
	}
	kinds := append(plan.Kinds(), Kinds()...)
	for _, kind := range kinds {
		for _, label := range []string{"Means", "Comes about", "Traffic sees", "Look closer", "Mend"} {
			if !regexp.MustCompile(`(?m)^- \*\*` + label + `:\*\* \S`).MatchString(sections[kind]) {
				t.Errorf("%s has no %q", kind, label)
			}
		}
	}
	for kind := range sections {
		if !slices.Contains(kinds, kind) {
			t.Errorf("%s is documented, but no kind of drift", kind)
		}
	}
	defined := regexp.MustCompile(`(?m)^\[(\w+)\]: https://github\.com/\S+$`).FindAllStringSubmatch(string(data), -1)
	used := regexp.MustCompile(`\]\[(\w+)\]`).FindAllStringSubmatch(string(data), -1)
	if a, b := names(defined), names(used); !slices.Equal(a, b) || len(a) < 10 {
		t.Errorf("links defined %v, used %v", a, b)
	}
}

// It names every program that is expected at a device, and where.
func TestDeviceProgramsAreDocumented(t *testing.T) {
	data, err := os.ReadFile("../../docs/DRIFT.md")
	if err != nil {
		t.Fatal(err)
	}
	settings := &state.Settings{Devices: &state.DeviceSettings{Names: []string{"eth0"}, Egress: true, Acceleration: "native", Tunnel: "vxlan"}}
	list := datapath.Attachments(settings, &state.Node{})
	if len(list) < 8 {
		t.Errorf("%d programs at devices, want all eight", len(list))
	}
	for _, a := range list {
		if !strings.Contains(string(data), "`"+a.Program+"`") {
			t.Errorf("%s is expected at %s, and not named", a.Program, a.Target)
		}
	}
}

func names(matches [][]string) []string {
	var list []string
	for _, m := range matches {
		list = append(list, m[1])
	}
	slices.Sort(list)
	return slices.Compact(list)
}
