// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const childVariable = "PLUMB_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) == "" {
		os.Exit(m.Run())
	}
	if err := servePods(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// podWorld is a child process in a cgroup and in a network namespace of its own,
// where all pods listen on loopback and clients connect without a pause.
type podWorld struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Scanner
}

func newPodWorld(t *testing.T, cgroup string) *podWorld {
	t.Helper()
	dir, err := os.Open(cgroup)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), childVariable+"=1")
	command.Stderr = os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	in, inErr := command.StdinPipe()
	out, outErr := command.StdoutPipe()
	if err := errors.Join(inErr, outErr); err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // it ends with its stdin
		in.Close()
		if err := command.Wait(); err != nil {
			t.Errorf("the pods' process: %v", err)
		}
	})
	return &podWorld{t: t, in: in, out: bufio.NewScanner(out)}
}

// do has the child do something, and gives its answer.
func (w *podWorld) do(format string, args ...any) string {
	w.t.Helper()
	if _, err := fmt.Fprintf(w.in, format+"\n", args...); err != nil {
		w.t.Fatal(err)
	}
	if !w.out.Scan() {
		w.t.Fatalf("no answer to %s: %v", fmt.Sprintf(format, args...), w.out.Err())
	}
	answer := w.out.Text()
	if fault, failed := strings.CutPrefix(answer, "error "); failed {
		w.t.Fatalf("%s: %s", fmt.Sprintf(format, args...), fault)
	}
	return answer
}

// pods is the child: it obeys `start ADDRESS`, `stop ADDRESS`, `clients ADDRESS…`
// and `end`, one a line.
type pods struct {
	listeners map[string]net.Listener
	// connecting is held for reading by each connection until it is answered. A
	// pod that stops holds it for writing, as one that is given time to drain.
	connecting sync.RWMutex
	mu         sync.Mutex
	answers    int
	faults     []string
	clients    sync.WaitGroup
	ended      chan struct{}
}

func servePods(in io.Reader, out io.Writer) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	_, all, err := net.ParseCIDR("10.244.0.0/16")
	if err != nil {
		return err
	}
	local := &netlink.Route{LinkIndex: lo.Attrs().Index, Dst: all, Type: unix.RTN_LOCAL, Table: unix.RT_TABLE_LOCAL, Scope: netlink.SCOPE_HOST}
	if err := errors.Join(netlink.LinkSetUp(lo), netlink.RouteAdd(local)); err != nil {
		return err
	}
	p := &pods{listeners: map[string]net.Listener{}, ended: make(chan struct{})}
	for lines := bufio.NewScanner(in); lines.Scan(); {
		words := strings.Fields(lines.Text())
		answer, err := p.obey(words[0], words[1:])
		if err != nil {
			answer = "error " + err.Error()
		}
		if _, err := fmt.Fprintln(out, answer); err != nil {
			return err
		}
	}
	return nil
}

func (p *pods) obey(verb string, args []string) (string, error) {
	switch verb {
	case "start":
		return "ok", p.start(args[0])
	case "stop":
		p.connecting.Lock()
		defer p.connecting.Unlock()
		return "ok", p.listeners[args[0]].Close()
	case "clients":
		for _, address := range args {
			p.clients.Go(func() { p.connect(address) })
		}
		return "ok", nil
	case "end":
		close(p.ended)
		p.clients.Wait()
		return fmt.Sprintf("%d answers, %d faults %s", p.answers, len(p.faults), strings.Join(p.faults, "; ")), nil
	}
	return "", fmt.Errorf("no verb %q", verb)
}

func (p *pods) start(address string) error {
	l, err := net.Listen("tcp4", address)
	if err != nil {
		return err
	}
	p.listeners[address] = l
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprintln(c, address)
			c.Close()
		}
	}()
	return nil
}

// connect connects to a service again and again until the end.
func (p *pods) connect(service string) {
	for {
		select {
		case <-p.ended:
			return
		default:
		}
		err := p.once(service)
		p.mu.Lock()
		if err == nil {
			p.answers++
		} else {
			p.faults = append(p.faults, err.Error())
		}
		p.mu.Unlock()
	}
}

func (p *pods) once(service string) error {
	p.connecting.RLock()
	defer p.connecting.RUnlock()
	c, err := net.DialTimeout("tcp4", service, 10*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	name, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return fmt.Errorf("%s: %w", service, err)
	}
	_, err = netip.ParseAddrPort(strings.TrimSpace(name))
	return err
}
