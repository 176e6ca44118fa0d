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
	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/schema/state"
)

// readAttachments reads where programs hang. pins are the ids of the pinned maps,
// by name. Programs that come and go meanwhile are read again.
func (k *Kernel) readAttachments(have *plan.Have, pins map[string]uint32) (err error) {
	for range attempts {
		if err = k.attachmentsOnce(have, pins); !errors.Is(err, unix.ENOENT) {
			break
		}
	}
	if k.skip && errors.Is(err, os.ErrPermission) {
		have.Attachments, have.AttachmentsUnread = nil, err
		return nil
	}
	return err
}

func (k *Kernel) attachmentsOnce(have *plan.Have, pins map[string]uint32) error {
	links, err := bpf.Attachments(k.pins.links)
	if err != nil {
		return err
	}
	root := uint64(0)
	if k.cgroup != "" {
		// A cgroup that is gone is no id: then every link is at another one.
		if root, err = bpf.CgroupID(k.cgroup); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	c := &collection{programs: bpf.NewProgramInfos(), pins: pins}
	for _, a := range links {
		if k.hooks && root != 0 && a.CgroupID == root && strings.HasPrefix(a.Name, "cil_") {
			continue // the cgroup itself tells of it
		}
		c.add(state.Attachment{Program: a.Name, Attach: bpf.AttachName(a.Attach), Target: k.target(a, root)}, a.ProgID)
	}
	if k.hooks {
		c.errs = append(c.errs, k.readHooks(root, have, c))
	}
	have.Attachments = c.list
	return errors.Join(c.errs...)
}

// readHooks asks the cgroup, if it is there, and the devices.
func (k *Kernel) readHooks(root uint64, have *plan.Have, c *collection) error {
	var atCgroup []bpf.Hooked
	var cgroupErr error
	if root != 0 {
		atCgroup, cgroupErr = bpf.CgroupHooks(k.cgroup, c.programs)
	}
	devices, err := bpf.DeviceHooks(c.programs)
	if err := errors.Join(cgroupErr, err); err != nil {
		return err
	}
	have.NoTCX, have.Devices = !devices.TCX, devices.Names
	for _, h := range slices.Concat(atCgroup, devices.Hooked) {
		target := k.cgroup
		if h.Device != "" {
			target = state.DeviceTarget(h.Device)
		}
		c.add(state.Attachment{Program: h.Name, Attach: h.Attach, Target: target}, h.ProgID)
	}
	return nil
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
