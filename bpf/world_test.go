// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"plumbline.dev/plumbline/bpf/layout"
	"plumbline.dev/plumbline/schema/state"
)

const childVariable = "PLUMB_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		if err := child(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// requireKernel skips a test that may not load programs here, and fails it
// where PLUMB_REQUIRE_KERNEL=1 says that it must.
func requireKernel(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("PLUMB_REQUIRE_KERNEL") == "1" {
		t.Fatal("this test needs root, and PLUMB_REQUIRE_KERNEL=1 forbids to skip it")
	}
	t.Skip("needs root: it loads eBPF programs and makes a cgroup and a network namespace")
}

// testWorld is a cgroup with the programs, maps, and a child process in that
// cgroup and in a network namespace of its own, where every pod address is on
// its loopback.
type testWorld struct {
	t      *testing.T
	maps   map[string]*ebpf.Map
	served map[state.Endpoint]bool
	cgroup string
	links  string
	in     io.Writer
	out    *bufio.Scanner
}

func newTestWorld(t *testing.T, cfg Config) *testWorld {
	return newTestWorldIn(t, cfg, unix.CLONE_NEWNET)
}

// newHostWorld has its child in this process' own network namespace: it serves
// and connects on loopback only.
func newHostWorld(t *testing.T, cfg Config) *testWorld { return newTestWorldIn(t, cfg, 0) }

func newTestWorldIn(t *testing.T, cfg Config, clone uintptr) *testWorld {
	t.Helper()
	requireKernel(t)
	w := &testWorld{t: t, served: map[state.Endpoint]bool{}, maps: testMaps(t), cgroup: testCgroup(t), links: filepath.Join(testBPFFS(t), "links")}
	objects, err := Load(cfg, w.maps)
	if err != nil {
		t.Fatalf("load: %+v", err)
	}
	t.Cleanup(func() { objects.Close() })
	for _, p := range Programs() {
		if err := objects.Attach(p, w.cgroup, w.links); err != nil {
			t.Fatal(err)
		}
	}
	w.startChild(clone)
	return w
}

func testMaps(t *testing.T) map[string]*ebpf.Map {
	t.Helper()
	specs, err := MapSpecs()
	if err != nil {
		t.Fatal(err)
	}
	maps := map[string]*ebpf.Map{}
	for name, spec := range specs {
		spec.MaxEntries = 1024
		if maps[name], err = ebpf.NewMap(spec); err != nil {
			t.Fatalf("map %s: %v", name, err)
		}
		t.Cleanup(func() { maps[name].Close() })
	}
	return maps
}

func testCgroup(t *testing.T) string {
	t.Helper()
	root, err := CgroupMount()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(root, "plumb-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Errorf("remove cgroup: %v", err)
		}
	})
	return dir
}

func testBPFFS(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("bpf", dir, "bpf", 0, "mode=0700"); err != nil {
		t.Fatalf("mount a bpffs: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount the bpffs: %v", err)
		}
	})
	return dir
}

func (w *testWorld) startChild(clone uintptr) {
	w.t.Helper()
	dir, err := os.Open(w.cgroup)
	if err != nil {
		w.t.Fatal(err)
	}
	defer dir.Close()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), childVariable+"=1")
	command.Stderr = os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: clone, UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	in, err := command.StdinPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { // it ends with its stdin
		in.Close()
		if err := command.Wait(); err != nil {
			w.t.Errorf("child: %v", err)
		}
	})
	w.in, w.out = in, bufio.NewScanner(out)
}

// probe is what the child is told to do: connect, or send and receive unconnected.
type probe struct {
	Network string // "tcp4", "udp6", …
	To      string
	Times   int
	Unbound bool     // UDP: sendto and recvfrom
	Mapped  bool     // TCP: by an IPv6 socket and a mapped address
	Hold    bool     // TCP: keep the connection
	Held    bool     // give the peer of the one that was kept
	Serve   []string // "tcp 10.244.0.1:8080"
}

// outcome counts who answered, what failed, and as whom the peer was shown.
type outcome struct {
	Answers, Errors, Peers map[string]int
	Failure                string
}

func (w *testWorld) do(p probe) outcome {
	w.t.Helper()
	line, err := json.Marshal(p)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.in.Write(append(line, '\n')); err != nil {
		w.t.Fatal(err)
	}
	if !w.out.Scan() {
		w.t.Fatalf("the child gave no answer: %v", w.out.Err())
	}
	var o outcome
	if err := json.Unmarshal(w.out.Bytes(), &o); err != nil {
		w.t.Fatal(err)
	}
	if o.Failure != "" {
		w.t.Fatalf("child: %s", o.Failure)
	}
	return o
}

// hold writes a State into the maps, under ids 1, 2, … in its order.
func (w *testWorld) hold(text string) {
	w.t.Helper()
	st, err := state.Parse("layout cilium/1.17\n" + text)
	if err != nil {
		w.t.Fatal(err)
	}
	ids := layout.NewLedger()
	for i, b := range st.Backends {
		ids.Backends.Set(b.Endpoint, uint32(i+1))
	}
	for i, f := range st.Frontends {
		ids.Frontends[f.FrontendName] = uint16(i + 1)
	}
	tables, err := layout.Encode(st, ids)
	if err != nil {
		w.t.Fatal(err)
	}
	for id, table := range tables {
		m := w.maps[id.String()]
		if m == nil {
			continue
		}
		for key, value := range table.All() {
			if err := m.Put(key, value); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	for _, b := range st.Backends {
		w.serveBackend(b.Endpoint)
	}
}

// serveBackend has the child answer as a backend, once.
func (w *testWorld) serveBackend(b state.Endpoint) {
	w.t.Helper()
	if !w.served[b] {
		w.served[b] = true
		w.do(probe{Serve: []string{strings.ToLower(b.Protocol.String()) + " " + netip.AddrPortFrom(b.Address, b.Port).String()}})
	}
}

// child obeys probes until stdin ends.
func child(in io.Reader, out io.Writer) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return err
	}
	encoder := json.NewEncoder(out)
	for lines := bufio.NewScanner(in); lines.Scan(); {
		var p probe
		if err := json.Unmarshal(lines.Bytes(), &p); err != nil {
			return err
		}
		o := outcome{Answers: map[string]int{}, Errors: map[string]int{}, Peers: map[string]int{}}
		for _, what := range p.Serve {
			if err := serveOn(lo, what); err != nil {
				o.Failure = fmt.Sprintf("serve %s: %v", what, err)
			}
		}
		if p.To != "" || p.Held {
			ask(p, &o)
		}
		if err := encoder.Encode(o); err != nil {
			return err
		}
	}
	return nil
}

func serveOn(lo netlink.Link, what string) error {
	network, address, _ := strings.Cut(what, " ")
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if err := giveAddress(lo, ap.Addr()); err != nil {
		return err
	}
	if network == "udp" {
		c, err := net.ListenPacket("udp", address)
		if err != nil {
			return err
		}
		go echoPackets(c, address)
		return nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
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

// giveAddress puts an address on loopback; 127.0.0.0/8 is there already.
func giveAddress(lo netlink.Link, a netip.Addr) error {
	if a.IsLoopback() {
		return nil
	}
	bits := a.BitLen()
	ip := &netlink.Addr{IPNet: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(bits, bits)}, Flags: unix.IFA_F_NODAD}
	if err := netlink.AddrAdd(lo, ip); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}

func echoPackets(c net.PacketConn, name string) {
	buffer := make([]byte, 16)
	for {
		_, from, err := c.ReadFrom(buffer)
		if err != nil {
			return
		}
		c.WriteTo([]byte(name+"\n"), from)
	}
}

func ask(p probe, o *outcome) {
	if p.Unbound {
		if err := datagrams(p, o); err != nil {
			o.Errors[errnoText(err)]++
		}
		return
	}
	for range p.Times {
		if err := askOnce(p, o); err != nil {
			o.Errors[errnoText(err)]++
		}
	}
}

func errnoText(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	if os.IsTimeout(err) {
		return "timeout"
	}
	return err.Error()
}

// patience is how long a connection that no test expects to fail may take: the
// machine may be busy.
const patience = 20 * time.Second

// held is the socket that a probe has kept.
var held int

func askOnce(p probe, o *outcome) error {
	if p.Mapped || p.Hold || p.Held {
		return askRaw(p, o)
	}
	c, err := net.DialTimeout(p.Network, p.To, patience)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if strings.HasPrefix(p.Network, "udp") {
		if _, err := io.WriteString(c, "who"); err != nil {
			return err
		}
	}
	name, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return err
	}
	o.Answers[strings.TrimSpace(name)]++
	o.Peers[c.RemoteAddr().String()]++
	return nil
}

// askRaw is askOnce by plain system calls, for what package net does not offer.
func askRaw(p probe, o *outcome) error {
	if p.Held {
		return peerOf(held, o)
	}
	to, err := netip.ParseAddrPort(p.To)
	if err != nil {
		return err
	}
	family, address := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()})
	if p.Mapped {
		family, address = unix.AF_INET6, &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if p.Hold {
		held = fd
	} else {
		defer unix.Close(fd)
	}
	if err := unix.Connect(fd, address); err != nil {
		return err
	}
	buffer := make([]byte, 64)
	n, err := unix.Read(fd, buffer)
	if err != nil {
		return err
	}
	o.Answers[strings.TrimSpace(string(buffer[:n]))]++
	return peerOf(fd, o)
}

func peerOf(fd int, o *outcome) error {
	peer, err := unix.Getpeername(fd)
	if err != nil {
		return err
	}
	switch a := peer.(type) {
	case *unix.SockaddrInet4:
		o.Peers[netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)).String()]++
	case *unix.SockaddrInet6:
		o.Peers[netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port)).String()]++
	}
	return nil
}

// datagrams sends by one unconnected socket.
func datagrams(p probe, o *outcome) error {
	to, err := net.ResolveUDPAddr(p.Network, p.To)
	if err != nil {
		return err
	}
	c, err := net.ListenUDP(p.Network, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	buffer := make([]byte, 64)
	for range p.Times {
		if _, err := c.WriteToUDP([]byte("who"), to); err != nil {
			return err
		}
		n, from, err := c.ReadFromUDP(buffer)
		if err != nil {
			return err
		}
		o.Answers[strings.TrimSpace(string(buffer[:n]))]++
		o.Peers[from.AddrPort().String()]++
	}
	return nil
}

// pinnedLink opens a pinned link for a test that meddles with it.
func pinnedLink(t *testing.T, dir, name string) link.Link {
	t.Helper()
	l, err := link.LoadPinnedLink(filepath.Join(dir, name), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}
