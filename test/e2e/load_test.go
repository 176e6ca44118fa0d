// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// envDial makes this test binary a client that makes connections to an address
// until it is killed.
const envDial = "PLUMB_E2E_DIAL"

// pace lies between two connections of a client: many a second, and two cores are
// left to the others.
const pace = 5 * time.Millisecond

// dial makes connections, one after the other, and says of each what became of it.
func dial(address string) {
	for range time.Tick(pace) {
		if err := talk(address); err != nil {
			fmt.Println("failed:", err)
			continue
		}
		fmt.Println("served")
	}
}

// talk is one connection, by which the server says a word.
func talk(address string) error {
	c, err := net.DialTimeout("tcp", address, 2*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	c.(*net.TCPConn).SetLinger(0) // no port is kept waiting
	c.SetDeadline(time.Now().Add(2 * time.Second))
	word, err := io.ReadAll(c)
	if err == nil && string(word) != greeting {
		err = fmt.Errorf("the server says %q", word)
	}
	return err
}

const greeting = "hello"

// serve is a server of the test's own at an address, which greets and hangs up.
func serve(t testing.TB, address string) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				io.WriteString(c, greeting)
				c.Close()
			}
		}
	}()
}

// load is a client in a cgroup, whose connections go by the programs there.
type load struct{ *process }

func startLoad(t testing.TB, cgroup, address string) load {
	t.Helper()
	dir, err := os.Open(cgroup)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	attr := &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	return load{startWith(t, attr, []string{envDial + "=" + address}, "client", "/proc/self/exe")}
}

// goesOn waits for n more connections to be served.
func (l load) goesOn(t testing.TB, n int) {
	t.Helper()
	before := strings.Count(l.said(t), "served\n")
	l.await(t, fmt.Sprintf("%d connections more", n), func(said string) bool { return strings.Count(said, "served\n") >= before+n })
}

// sound is that no connection has failed.
func (l load) sound(t testing.TB) {
	t.Helper()
	said := l.said(t)
	if failed := strings.Count(said, "failed:"); failed > 0 {
		t.Errorf("of %d connections %d have failed, the first: %s", strings.Count(said, "\n"), failed, said[strings.Index(said, "failed:"):][:80])
	}
	t.Logf("%d connections have been served", strings.Count(said, "served\n"))
}
