// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"plumbline.dev/plumbline/bpf"
)

// world is all that a demonstration makes on this machine: a folder, a bpffs, a
// cgroup, and two processes in network namespaces of their own. What it makes
// it removes, in reverse order, whatever has happened in between.
type world struct {
	dir    string // temporary, everything else is below it or named after it
	bpffs  string // a bpffs mount of its own
	cgroup string // below the machine's cgroup2 mount

	pods, client *role
	undo         []func() error
}

// newWorld makes a world; on an error nothing of it is left.
func newWorld(ctx context.Context, self string) (w *world, err error) {
	w = &world{}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	if w.dir, err = os.MkdirTemp("", "plumb-demo-"); err != nil {
		return w, err
	}
	w.undo = append(w.undo, func() error { return os.RemoveAll(w.dir) })
	if err := w.mountBPF(); err != nil {
		return w, err
	}
	if err := w.makeCgroup(); err != nil {
		return w, err
	}
	if w.pods, err = w.start(ctx, self, ""); err != nil {
		return w, err
	}
	if w.client, err = w.start(ctx, self, w.cgroup); err != nil {
		return w, err
	}
	return w, w.connect()
}

func (w *world) mountBPF() error {
	w.bpffs = filepath.Join(w.dir, "bpf")
	if err := os.Mkdir(w.bpffs, 0o700); err != nil {
		return err
	}
	if err := unix.Mount("bpf", w.bpffs, "bpf", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=0700"); err != nil {
		return fmt.Errorf("mount a bpffs at %s: %w: the demonstration needs root", w.bpffs, err)
	}
	w.undo = append(w.undo, func() error { return unix.Unmount(w.bpffs, unix.MNT_DETACH) })
	return nil
}

func (w *world) makeCgroup() error {
	root, err := bpf.CgroupMount()
	if err != nil {
		return err
	}
	w.cgroup = filepath.Join(root, filepath.Base(w.dir))
	if err := os.Mkdir(w.cgroup, 0o755); err != nil {
		return err
	}
	w.undo = append(w.undo, func() error { return os.Remove(w.cgroup) })
	return nil
}

// role is one of the two processes.
type role struct {
	command *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Scanner
}

// start starts a role in a network namespace of its own, and in a cgroup if one
// is named: the process is in it from its first instruction on.
func (w *world) start(ctx context.Context, self, cgroup string) (*role, error) {
	r := &role{command: exec.CommandContext(ctx, self, RoleCommand)}
	r.command.Stderr = os.Stderr
	r.command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if cgroup != "" {
		dir, err := os.Open(cgroup)
		if err != nil {
			return nil, err
		}
		defer dir.Close()
		r.command.SysProcAttr.UseCgroupFD, r.command.SysProcAttr.CgroupFD = true, int(dir.Fd())
	}
	var err error
	if r.in, err = r.command.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := r.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	r.out = bufio.NewScanner(out)
	r.out.Buffer(nil, 1<<20)
	if err := r.command.Start(); err != nil {
		return nil, fmt.Errorf("start a process in a network namespace of its own: %w", err)
	}
	w.undo = append(w.undo, r.stop)
	return r, nil
}

// stop ends the role by closing its stdin, and waits for it.
func (r *role) stop() error {
	r.in.Close()
	timer := time.AfterFunc(5*time.Second, func() { r.command.Process.Kill() })
	defer timer.Stop()
	return r.command.Wait()
}

// obey gives an order and waits for the answer.
func (r *role) obey(o order) (answer, error) {
	line, err := json.Marshal(o)
	if err != nil {
		return answer{}, err
	}
	if _, err := r.in.Write(append(line, '\n')); err != nil {
		return answer{}, err
	}
	if !r.out.Scan() {
		return answer{}, fmt.Errorf("process %d gave no answer: %w", r.command.Process.Pid, errors.Join(r.out.Err(), io.EOF))
	}
	var reply answer
	if err := json.Unmarshal(r.out.Bytes(), &reply); err != nil {
		return answer{}, err
	}
	if reply.Error != "" {
		return answer{}, errors.New(reply.Error)
	}
	return reply, nil
}

// connect lays a veth between the two namespaces. It never stands in ours: both
// ends are made where they belong.
func (w *world) connect() error {
	veth := &netlink.Veth{
		LinkAttrs:     netlink.LinkAttrs{Name: "eth0", Namespace: netlink.NsPid(w.client.command.Process.Pid)},
		PeerName:      "eth0",
		PeerNamespace: netlink.NsPid(w.pods.command.Process.Pid),
	}
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("lay a veth between the namespaces: %w", err)
	}
	return nil
}

// close removes everything; it reports all that could not be.
func (w *world) close() error {
	var errs []error
	for i := len(w.undo) - 1; i >= 0; i-- {
		errs = append(errs, w.undo[i]())
	}
	w.undo = nil
	return errors.Join(errs...)
}
