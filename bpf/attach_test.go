// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"
)

func TestPrivilegedAttachments(t *testing.T) {
	w := newTestWorld(t, defaults)
	cgroup, err := CgroupID(w.cgroup)
	if err != nil {
		t.Fatal(err)
	}
	list, err := Attachments(w.links)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != len(Programs()) {
		t.Fatalf("%d links, want %d", len(list), len(Programs()))
	}
	services, err := w.maps["cilium_lb4_services_v2"].Info()
	if err != nil {
		t.Fatal(err)
	}
	id, _ := services.ID()
	for _, a := range list {
		p, ok := ProgramNamed(a.Name)
		if !ok || a.Attach != p.Attach || a.CgroupID != cgroup {
			t.Errorf("%s: attached as %v to cgroup %d, want %v and %d", a.Name, a.Attach, a.CgroupID, p.Attach, cgroup)
		}
		if !contains(a.MapIDs, uint32(id)) {
			t.Errorf("%s holds maps %v, not the services map %d", a.Name, a.MapIDs, id)
		}
	}
}

func contains(list []uint32, id uint32) bool {
	for _, x := range list {
		if x == id {
			return true
		}
	}
	return false
}

// What detaches a program behind our back is seen: the pin is there, the cgroup
// is not. Attaching again mends it.
func TestPrivilegedDetachedBehindOurBack(t *testing.T) {
	w := newTestWorld(t, defaults)
	w.hold(services)
	if err := pinnedLink(t, w.links, "plumb_connect4").Detach(); err != nil {
		t.Fatal(err)
	}
	if id := find(t, w, "plumb_connect4").CgroupID; id != 0 {
		t.Errorf("the detached link is at cgroup %d, want 0", id)
	}
	objects, err := Load(defaults, w.maps)
	if err != nil {
		t.Fatal(err)
	}
	defer objects.Close()
	p, _ := ProgramNamed("plumb_connect4")
	if err := objects.Attach(p, w.cgroup, w.links); err != nil {
		t.Fatal(err)
	}
	want, _ := CgroupID(w.cgroup)
	if id := find(t, w, "plumb_connect4").CgroupID; id != want {
		t.Errorf("the link is at cgroup %d, want %d", id, want)
	}
	o := w.do(probe{Network: "tcp4", To: "10.96.0.1:80", Times: 60})
	expect(t, o, []string{"10.244.0.1:8080", "10.244.0.2:8080", "10.244.0.3:8080"}, "10.96.0.1:80")
}

func find(t *testing.T, w *testWorld, name string) Attached {
	t.Helper()
	list, err := Attachments(w.links)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range list {
		if a.Name == name {
			return a
		}
	}
	t.Fatalf("no link %s", name)
	return Attached{}
}

// I8: a new program takes the place of the old one in the same link, so that
// there is no moment without one.
func TestPrivilegedInvariantI8AttachUpdatesInPlace(t *testing.T) {
	w := newTestWorld(t, defaults)
	before, err := pinnedLink(t, w.links, "plumb_connect4").Info()
	if err != nil {
		t.Fatal(err)
	}
	objects, err := Load(defaults, w.maps)
	if err != nil {
		t.Fatal(err)
	}
	defer objects.Close()
	p, _ := ProgramNamed("plumb_connect4")
	if err := objects.Attach(p, w.cgroup, w.links); err != nil {
		t.Fatal(err)
	}
	after, err := pinnedLink(t, w.links, "plumb_connect4").Info()
	if err != nil {
		t.Fatal(err)
	}
	if before.ID != after.ID || before.Program == after.Program {
		t.Errorf("link %d with program %d became link %d with program %d; want the same link and another program", before.ID, before.Program, after.ID, after.Program)
	}
}

// A link at another cgroup than the wanted one is replaced.
func TestPrivilegedAttachMovesToAnotherCgroup(t *testing.T) {
	w := newTestWorld(t, defaults)
	other := testCgroup(t)
	objects, err := Load(defaults, w.maps)
	if err != nil {
		t.Fatal(err)
	}
	defer objects.Close()
	p, _ := ProgramNamed("plumb_connect4")
	if err := objects.Attach(p, other, w.links); err != nil {
		t.Fatal(err)
	}
	want, _ := CgroupID(other)
	if id := find(t, w, p.Name).CgroupID; id != want {
		t.Errorf("the link is at cgroup %d, want %d", id, want)
	}
}

func TestPrivilegedDetachIsIdempotent(t *testing.T) {
	w := newTestWorld(t, defaults)
	for range 2 {
		if err := Detach("plumb_connect4", w.links); err != nil {
			t.Fatal(err)
		}
	}
	list, err := Attachments(w.links)
	if err != nil || len(list) != len(Programs())-1 {
		t.Errorf("%d links (%v), want %d", len(list), err, len(Programs())-1)
	}
}

func TestAttachmentsOfNoDirectory(t *testing.T) {
	list, err := Attachments(filepath.Join(t.TempDir(), "none"))
	if err != nil || len(list) > 0 {
		t.Errorf("have %v, %v; want no link and no error", list, err)
	}
}

// I1: what is no link is an error, not one link less.
func TestInvariantI1AttachmentsOfNoLinks(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "plumb_connect4"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if list, err := Attachments(dir); err == nil {
		t.Errorf("have %v, want an error", list)
	}
}

func TestCgroupIDOfNoCgroup(t *testing.T) {
	if _, err := CgroupID(t.TempDir()); !errors.Is(err, ErrNotCgroup2) {
		t.Errorf("have %v, want ErrNotCgroup2", err)
	}
}

// Every map that does not fit is named, and nothing is loaded.
func TestPrivilegedLoadNamesEveryMap(t *testing.T) {
	requireKernel(t)
	maps := testMaps(t)
	delete(maps, "cilium_lb6_backends_v3")
	wrong, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Hash, KeySize: 12, ValueSize: 16, MaxEntries: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer wrong.Close()
	maps["cilium_lb4_services_v2"] = wrong
	_, err = Load(defaults, maps)
	if !errors.Is(err, ErrIncompatible) {
		t.Fatalf("have %v, want ErrIncompatible", err)
	}
	for _, name := range []string{"cilium_lb6_backends_v3", "cilium_lb4_services_v2"} {
		if !containsText(err.Error(), name) {
			t.Errorf("%q does not name %s", err, name)
		}
	}
}

func TestProgramsAreInTheObject(t *testing.T) {
	spec, err := loadSock()
	if err != nil {
		t.Fatal(err)
	}
	var have, want []string
	for name, p := range spec.Programs {
		have = append(have, name+" "+p.AttachType.String())
	}
	for _, p := range Programs() {
		want = append(want, p.Name+" "+p.Attach.String())
	}
	if diff := cmp.Diff(sorted(want), sorted(have)); diff != "" {
		t.Errorf("programs (-want +got):\n%s", diff)
	}
}
