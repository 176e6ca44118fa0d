// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"plumbline.dev/plumbline/bpf"
	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/runtime/internal/testkernel"
	"plumbline.dev/plumbline/runtime/internal/testvector"
	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/runtime/reconcile"
	"plumbline.dev/plumbline/runtime/store"
	"plumbline.dev/plumbline/runtime/store/storetest"
	"plumbline.dev/plumbline/schema/state"
)

// crashEnv has the test's own program be an agent of mode own, or repair where it
// has no cgroup, that brings a node in sync, and is killed after as many steps;
// dialEnv has it connect wherever it is told.
const crashEnv, dialEnv = "PLUMB_TEST_CRASH_AFTER", "PLUMB_TEST_DIAL"

// dying is a store whose process is killed in the midst of a plan.
type dying struct {
	store.Store
	steps int // until then; below 0 is never
}

func (d *dying) Apply(ctx context.Context, steps []plan.Step) (int, error) {
	for i, s := range steps {
		if d.steps == 0 {
			if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
				return i, err
			}
			select {}
		}
		d.steps--
		if _, err := d.Store.Apply(ctx, []plan.Step{s}); err != nil {
			return i, err
		}
	}
	return len(steps), nil
}

// crash runs the agent of crashEnv.
func crash(after string) int {
	steps, err := strconv.Atoi(after)
	if err != nil {
		return 3
	}
	text, err := os.ReadFile(os.Getenv("PLUMB_TEST_WANT"))
	if err != nil {
		return 4
	}
	want, err := state.Parse(string(text))
	if err != nil {
		return 5
	}
	s := &state.Settings{Layout: want.Layout, BPFRoot: os.Getenv(observeRoot), CgroupRoot: os.Getenv("PLUMB_TEST_CGROUP"), NodePortMin: 30000, NodePortMax: 32767}
	mode, rounds := state.Own, 1
	k, err := (*store.Kernel)(nil), error(nil)
	if s.CgroupRoot == "" {
		mode, rounds = state.Repair, 2 // the first one only sees
		k, err = store.OpenForRepair(s.BPFRoot, s.Layout, store.Options{})
	} else {
		k, err = store.Create(s, want.Maps)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 6
	}
	r, err := reconcile.New(reconcile.Config{Store: &dying{k, steps}, Source: wanted{want}, Mode: mode, Interval: time.Hour})
	if err != nil {
		return 7
	}
	for range rounds - 1 {
		r.Round(context.Background())
	}
	if report := r.Round(context.Background()); report.Status != reconcile.InSync {
		fmt.Fprintln(os.Stderr, report.Status, report.Reason, report.Err)
		return 8
	}
	return 0
}

// dial connects to each line's address and says how that went.
func dial() int {
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		conn, err := net.DialTimeout("tcp", lines.Text(), 5*time.Second)
		if err == nil {
			err = conn.Close()
		}
		fmt.Println("result", err)
	}
	return 0
}

// stage is a cgroup and a bpffs in which agents are started and killed, with a
// client whose connections go through their programs.
type stage struct {
	s   *state.Settings
	in  io.Writer
	out *bufio.Scanner
}

func newStage(t *testing.T) *stage {
	t.Helper()
	testkernel.Require(t)
	n := &stage{s: settings(t)}
	cgroup, err := os.Open(n.s.CgroupRoot)
	if err != nil {
		t.Fatal(err)
	}
	defer cgroup.Close()
	client := exec.Command("/proc/self/exe")
	client.Env = []string{dialEnv + "=1"}
	client.Stderr = os.Stderr
	client.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(cgroup.Fd())}
	in, err := client.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := client.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := in.Close(); err != nil {
			t.Error(err)
		}
		if err := client.Wait(); err != nil {
			t.Error(err)
		}
	})
	n.in, n.out = in, bufio.NewScanner(out)
	return n
}

// connects asks that a frontend accepts a few connections.
func (n *stage) connects(t *testing.T, address, when string) {
	t.Helper()
	for range 6 {
		if _, err := fmt.Fprintln(n.in, address); err != nil || !n.out.Scan() {
			t.Fatalf("the client has ended: %v", err)
		}
		if said := n.out.Text(); said != "result <nil>" {
			t.Fatalf("%s: connect to %s: %s", when, address, said)
		}
	}
}

// agent runs one that is killed after steps, and tells whether it was.
func (n *stage) agent(t *testing.T, want *state.State, steps int) (killed bool) {
	t.Helper()
	return agent(t, n.s, want, steps)
}

func agent(t *testing.T, s *state.Settings, want *state.State, steps int) (killed bool) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "want")
	if err := os.WriteFile(file, []byte(want.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.Command("/proc/self/exe")
	c.Env = []string{crashEnv + "=" + strconv.Itoa(steps), observeRoot + "=" + s.BPFRoot, "PLUMB_TEST_CGROUP=" + s.CgroupRoot, "PLUMB_TEST_WANT=" + file}
	out, err := c.CombinedOutput()
	if status, ok := c.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() && status.Signal() == syscall.SIGKILL {
		return true
	}
	if err != nil {
		t.Fatalf("the agent ended with %v: %s", err, out)
	}
	return false
}

// listeners accept connections on loopback, and give their ports.
func listeners(t *testing.T, count int) []int {
	t.Helper()
	var ports []int
	for range count {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				conn.Close()
			}
		}()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// served is a State with a frontend 10.96.0.10:80 over the ports, and one at
// 10.96.0.11:80 over the last of them.
func (n *stage) served(t *testing.T, ports ...int) *state.State {
	t.Helper()
	var b strings.Builder
	fmt.Fprintln(&b, "layout cilium/1.17")
	var list []string
	for _, p := range ports {
		list = append(list, fmt.Sprintf("127.0.0.1:%d/TCP", p))
		fmt.Fprintf(&b, "backend 127.0.0.1:%d/TCP state=active zone=0\n", p)
	}
	for i, backends := range []string{strings.Join(list, ","), list[len(list)-1]} {
		fmt.Fprintf(&b, "frontend 10.96.0.%d:80/TCP type=ClusterIP flags=non-routable alg=random affinity=0 service=web/shop port=http backends=%s inactive=-\n", 10+i, backends)
	}
	st, err := state.Parse(b.String())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range bpf.Programs() {
		st.Attachments = append(st.Attachments, state.Attachment{Program: p.Name, Attach: bpf.AttachName(p.Attach), Target: n.s.CgroupRoot})
	}
	st.Maps = storetest.Maps()
	st.Sort()
	return st
}

// I3, I8: an agent that is killed after any step of a plan leaves every frontend
// with backends that answer, and the next one takes over from there.
func TestPrivilegedInvariantI3KilledAtEveryStep(t *testing.T) {
	n := newStage(t)
	ports := listeners(t, 4)
	before, after := n.served(t, ports[0], ports[1]), n.served(t, ports[1], ports[2], ports[3])
	killed, cuts := 0, 0
	for steps := 0; n.agent(t, before, steps); steps++ { // the very first start, cut everywhere
		killed++
	}
	for steps := 0; ; steps++ {
		cut := n.agent(t, after, steps)
		when := fmt.Sprintf("after %d steps", steps)
		n.connects(t, "10.96.0.10:80", when)
		n.connects(t, "10.96.0.11:80", when)
		if !cut {
			break
		}
		cuts++
		for _, want := range []*state.State{after, before} {
			if n.agent(t, want, -1) {
				t.Fatal("an agent that is not to be killed was")
			}
			n.connects(t, "10.96.0.10:80", when+", taken over")
			n.connects(t, "10.96.0.11:80", when+", taken over")
		}
	}
	if killed < 5 || cuts < 5 {
		t.Errorf("%d and %d agents were killed, want more: the plans are too short to show anything", killed, cuts)
	}
}

// A repairing agent that is killed after any step leaves what the next one mends:
// it comes to what Cilium wrote, to the byte.
func TestPrivilegedRepairKilledAtEveryStep(t *testing.T) {
	const version = "1.19.0"
	root, held := vectors(t, version)
	_, k := repairing(t, root, version, nil)
	sound := entries(t, k)
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	s := &state.Settings{Layout: testvector.Versions[version], BPFRoot: root}
	want := testvector.Want(t, version)
	tables := testvector.Tables(t, version)
	for steps := 0; ; steps++ {
		for _, id := range []layout.MapID{layout.AffinityMatch, layout.ReverseNAT4} { // by these nothing is known
			for key := range tables[id].All() {
				write(t, held[id], key, nil)
			}
		}
		for key := range tables[layout.Services4].All() {
			if slotOf(layout.Services4, key) == 1 {
				write(t, held[layout.Services4], key, nil)
			}
		}
		cut := agent(t, s, want, steps)
		if cut && agent(t, s, want, -1) {
			t.Fatal("an agent that is not to be killed was")
		}
		last, err := store.Open(root, s.Layout, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(sound, entries(t, last)); diff != "" {
			t.Fatalf("after %d steps and a second agent (-want +got):\n%s", steps, diff)
		}
		if err := last.Close(); err != nil {
			t.Fatal(err)
		}
		if !cut {
			if steps < 10 {
				t.Errorf("%d steps are too few to show anything", steps)
			}
			return
		}
	}
}
