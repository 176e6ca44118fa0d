// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"plumbline.dev/plumbline/bpf"
	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/schema/state"
)

// attachments reads where programs hang. pins are the ids of the pinned maps, by
// name; noTCX tells that the kernel has no tcx. Programs that come and go
// meanwhile are read again.
func (k *Kernel) attachments(pins map[string]uint32) (list []state.Attachment, noTCX bool, err error) {
	for range attempts {
		list, noTCX, err = k.attachmentsOnce(pins)
		if !errors.Is(err, unix.ENOENT) {
			break
		}
	}
	return list, noTCX, err
}

func (k *Kernel) attachmentsOnce(pins map[string]uint32) ([]state.Attachment, bool, error) {
	programs := bpf.NewProgramInfos()
	links, err := bpf.Attachments(k.pins.links)
	if err != nil {
		return nil, false, err
	}
	root := uint64(0)
	if k.cgroup != "" {
		// A cgroup that is gone is no id: then every link is at another one.
		if root, err = bpf.CgroupID(k.cgroup); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, false, err
		}
	}
	var hooked []bpf.Hooked
	noTCX := false
	if k.hooks {
		if hooked, noTCX, err = k.readHooks(root, programs); err != nil {
			return nil, false, err
		}
	}
	c := &collection{programs: programs, pins: pins}
	for _, a := range links {
		target := k.target(a, root)
		if k.hooks && root != 0 && a.CgroupID == root && strings.HasPrefix(a.Name, "cil_") {
			continue // it is among what the cgroup itself says
		}
		c.add(state.Attachment{Program: a.Name, Attach: bpf.AttachName(a.Attach), Target: target}, a.ProgID)
	}
	for _, h := range hooked {
		target := k.cgroup
		if h.Device != "" {
			target = state.DeviceTarget(h.Device)
		}
		c.add(state.Attachment{Program: h.Name, Attach: h.Attach, Target: target}, h.ProgID)
	}
	return c.list, noTCX, errors.Join(c.errs...)
}

// readHooks asks the cgroup, if it is there, and the devices.
func (k *Kernel) readHooks(root uint64, programs *bpf.ProgramInfos) (list []bpf.Hooked, noTCX bool, err error) {
	var cgroupErr error
	if root != 0 {
		list, cgroupErr = bpf.CgroupHooks(k.cgroup, programs)
	}
	devices, tcx, err := bpf.DeviceHooks(programs)
	return append(list, devices...), !tcx, errors.Join(cgroupErr, err)
}

// target says where a link hangs, in the words of state.Attachment.
func (k *Kernel) target(a bpf.Attached, root uint64) string {
	switch {
	case a.CgroupID == 0:
		return ""
	case a.CgroupID != root || root == 0:
		return fmt.Sprintf("cgroup:%d", a.CgroupID)
	}
	return k.cgroup
}

// collection folds what hangs at one hook more than once into one entry.
type collection struct {
	programs *bpf.ProgramInfos
	pins     map[string]uint32
	list     []state.Attachment
	errs     []error
}

func (c *collection) add(a state.Attachment, program uint32) {
	if a.Target != "" {
		stale, err := c.staleMaps(program)
		if err != nil {
			c.errs = append(c.errs, fmt.Errorf("maps of program %s at %s: %w", a.Program, a.Target, err))
		}
		a.StaleMaps = stale
	}
	i := slices.IndexFunc(c.list, func(b state.Attachment) bool {
		return b.Program == a.Program && b.Attach == a.Attach && b.Target == a.Target
	})
	if i < 0 {
		c.list = append(c.list, a)
		return
	}
	c.list[i].Copies++
	if a.StaleMaps != "" && !strings.Contains(c.list[i].StaleMaps, a.StaleMaps) {
		c.list[i].StaleMaps = strings.Trim(c.list[i].StaleMaps+","+a.StaleMaps, ",")
	}
}

// staleMaps says which load-balancer maps a program works on that are not those
// that are pinned, as state.Attachment has it. A family that is switched off has
// no pin, and its maps are the program's own; so only a map that is named and
// made as a pin is counts.
func (c *collection) staleMaps(program uint32) (string, error) {
	held, err := c.programs.Maps(program)
	if err != nil {
		return "", err
	}
	var words []string
	for _, m := range held {
		for _, d := range layout.Maps() {
			if pin := c.pins[d.Name]; pin != m.ID && isMap(m, d) {
				words = append(words, fmt.Sprintf("%s=%d/%d", d.Name, m.ID, pin))
			}
		}
	}
	return strings.Join(words, ","), nil
}

// isMap tells whether a map is one of the load balancer's, by its name, of which
// the kernel keeps a part, and by its sizes, which tell apart those that begin
// alike.
func isMap(m *bpf.MapInfo, d layout.Desc) bool {
	return m.Name == d.Name[:min(len(d.Name), kernelName)] && int(m.KeySize) == d.KeySize && int(m.ValueSize) == d.ValueSize
}
