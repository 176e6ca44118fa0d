// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Attached is a program's pinned link as the kernel has it.
type Attached struct {
	Name string // of the pin, and of the program
	// Attach is the link's attach type.
	Attach ebpf.AttachType
	// CgroupID is the inode of the cgroup that it hangs at; 0 once it has been
	// detached or the cgroup is gone, though the pin is still there.
	CgroupID uint64
	ProgID   uint32
	// MapIDs are the maps that the program works on.
	MapIDs []uint32
}

// Attach hangs a program at a cgroup by a link and pins that at linkDir/name.
// A live link at the same cgroup gets the program in place, without a gap (I8);
// any other is replaced, the new one before the old one goes.
func (o *Objects) Attach(p Program, cgroupDir, linkDir string) error {
	program, ok := o.programs[p.Name]
	if !ok {
		return fmt.Errorf("attach %s: no such program", p.Name)
	}
	want, err := CgroupID(cgroupDir)
	if err != nil {
		return fmt.Errorf("attach %s: %w", p.Name, err)
	}
	if err := os.MkdirAll(linkDir, 0o700); err != nil {
		return fmt.Errorf("attach %s: %w", p.Name, err)
	}
	pin := filepath.Join(linkDir, p.Name)
	updated, err := update(pin, program, p.Attach, want)
	if err != nil || updated {
		return wrap("attach", p.Name, err)
	}
	created, err := link.AttachCgroup(link.CgroupOptions{Path: cgroupDir, Attach: p.Attach, Program: program})
	if err != nil {
		return fmt.Errorf("attach %s to %s: %w", p.Name, cgroupDir, err)
	}
	defer created.Close()
	if err := os.Remove(pin); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("attach %s: replace its old link: %w", p.Name, err)
	}
	return wrap("pin the link of", p.Name, created.Pin(pin))
}

func wrap(what, name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", what, name, err)
}

// update gives the program to the pinned link, if that is alive, of the right
// type and at the wanted cgroup.
func update(pin string, program *ebpf.Program, attach ebpf.AttachType, cgroup uint64) (bool, error) {
	pinned, err := link.LoadPinnedLink(pin, nil)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer pinned.Close()
	info, err := pinned.Info()
	if err != nil {
		return false, err
	}
	if c := info.Cgroup(); c == nil || c.CgroupId != cgroup || ebpf.AttachType(c.AttachType) != attach {
		return false, nil
	}
	return true, pinned.Update(program)
}

// Detach detaches a program and removes its pin. One that is not there is no error.
func Detach(name, linkDir string) error {
	pin := filepath.Join(linkDir, name)
	pinned, err := link.LoadPinnedLink(pin, nil)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("detach %s: %w", name, err)
	}
	defer pinned.Close()
	return wrap("detach", name, pinned.Unpin())
}

// Attachments reads every link that is pinned in linkDir. No such directory is
// no link; anything that cannot be read is an error (I1).
func Attachments(linkDir string) ([]Attached, error) {
	entries, err := os.ReadDir(linkDir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read links: %w", err)
	}
	var list []Attached
	for _, entry := range entries {
		a, err := readLink(linkDir, entry.Name())
		if err != nil {
			return nil, fmt.Errorf("read link %s: %w", entry.Name(), err)
		}
		list = append(list, a)
	}
	return list, nil
}

func readLink(linkDir, name string) (Attached, error) {
	pinned, err := link.LoadPinnedLink(filepath.Join(linkDir, name), nil)
	if err != nil {
		return Attached{}, err
	}
	defer pinned.Close()
	info, err := pinned.Info()
	if err != nil {
		return Attached{}, err
	}
	a := Attached{Name: name, ProgID: uint32(info.Program)}
	if c := info.Cgroup(); c != nil {
		a.CgroupID, a.Attach = c.CgroupId, ebpf.AttachType(c.AttachType)
	}
	a.MapIDs, err = programMaps(info.Program)
	return a, err
}

func programMaps(id ebpf.ProgramID) ([]uint32, error) {
	program, err := ebpf.NewProgramFromID(id)
	if err != nil {
		return nil, fmt.Errorf("program %d: %w", id, err)
	}
	defer program.Close()
	info, err := program.Info()
	if err != nil {
		return nil, fmt.Errorf("program %d: %w", id, err)
	}
	ids, ok := info.MapIDs()
	if !ok {
		return nil, fmt.Errorf("program %d: the kernel does not say which maps it holds", id)
	}
	list := make([]uint32, 0, len(ids))
	for _, m := range ids {
		list = append(list, uint32(m))
	}
	return list, nil
}

// cgroup2Magic is what statfs says of the unified hierarchy (linux/magic.h).
const cgroup2Magic = 0x63677270

// CgroupID gives the id of the cgroup at dir: its inode, as links have it. A
// directory outside the unified hierarchy is ErrNotCgroup2.
func CgroupID(dir string) (uint64, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return 0, fmt.Errorf("cgroup %s: %w", dir, err)
	}
	if fs.Type != cgroup2Magic {
		return 0, fmt.Errorf("cgroup %s: %w (its file system is 0x%x): set cgroup.root to where cgroup2 is mounted; `findmnt -t cgroup2` shows it", dir, ErrNotCgroup2, fs.Type)
	}
	var stat unix.Stat_t
	if err := unix.Stat(dir, &stat); err != nil {
		return 0, fmt.Errorf("cgroup %s: %w", dir, err)
	}
	return stat.Ino, nil
}

// CgroupMount finds where this machine mounts cgroup2: /sys/fs/cgroup, or below
// it on a hybrid hierarchy.
func CgroupMount() (string, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", fmt.Errorf("look for cgroup2: %w", err)
	}
	for line := range strings.Lines(string(mounts)) {
		before, after, _ := strings.Cut(line, " - ")
		if fields := strings.Fields(before); strings.HasPrefix(after, "cgroup2 ") && len(fields) > 4 {
			return fields[4], nil
		}
	}
	return "", fmt.Errorf("%w: none is mounted on this machine: `mount -t cgroup2 none DIR` mounts it", ErrNotCgroup2)
}
