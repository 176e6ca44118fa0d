// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"

	"plumbline.dev/plumbline/schema/state"
)

// A demonstration has two more processes, each in a network namespace of its
// own: one that answers as every pod of the cluster, and one client. They are
// this binary again, told by lines of JSON on stdin, and answer each line with
// one on stdout.

// order is a line to a role.
type order struct {
	// Addresses are given to the namespace's eth0; it is set up with the first order.
	Addresses []netip.Addr     `json:"addresses,omitempty"`
	Serve     []state.Endpoint `json:"serve,omitempty"`   // of the pods
	Connect   *connectOrder    `json:"connect,omitempty"` // of the client
}

// connectOrder asks for connections to one frontend until all wanted backends
// have answered, or Attempts have been made.
type connectOrder struct {
	To       state.Endpoint   `json:"to"`
	Want     []state.Endpoint `json:"want"`
	Attempts int              `json:"attempts"`
	// All makes every attempt, whoever has answered.
	All bool `json:"all"`
	// Sticky has one backend answer one client, always.
	Sticky bool `json:"sticky"`
}

// answer is a role's line.
type answer struct {
	Error   string         `json:"error,omitempty"`
	Answers map[string]int `json:"answers,omitempty"` // by the backend that answered
	Errors  map[string]int `json:"errors,omitempty"`  // by error
	// WrongPeers counts connections whose peer was not shown as the frontend.
	WrongPeers int `json:"wrongPeers,omitempty"`
}

// Role runs one of the two until stdin ends.
func Role(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	lines := bufio.NewScanner(stdin)
	lines.Buffer(nil, 1<<20)
	out := json.NewEncoder(stdout)
	for lines.Scan() {
		var o order
		reply := answer{}
		err := json.Unmarshal(lines.Bytes(), &o)
		if err == nil {
			reply, err = obey(ctx, o)
		}
		if err != nil {
			reply.Error = err.Error()
		}
		if err := out.Encode(reply); err != nil {
			return err
		}
	}
	return lines.Err()
}

func obey(ctx context.Context, o order) (answer, error) {
	if len(o.Addresses) > 0 {
		if err := configure(o.Addresses); err != nil {
			return answer{}, err
		}
	}
	for _, e := range o.Serve {
		if err := serve(ctx, e); err != nil {
			return answer{}, fmt.Errorf("serve %s: %w", e, err)
		}
	}
	if o.Connect != nil {
		return connect(ctx, *o.Connect), nil
	}
	return answer{}, nil
}

// configure sets this process' namespace up: loopback, and eth0 with addresses
// and a default route to whoever is at the other end.
func configure(addresses []netip.Addr) error {
	for _, name := range []string{"lo", "eth0"} {
		l, err := netlink.LinkByName(name)
		if err != nil {
			return fmt.Errorf("link %s: %w", name, err)
		}
		if err := netlink.LinkSetUp(l); err != nil {
			return fmt.Errorf("set %s up: %w", name, err)
		}
	}
	eth0, err := netlink.LinkByName("eth0")
	if err != nil {
		return err
	}
	var errs []error
	for _, a := range addresses {
		ip := &netlink.Addr{IPNet: hostNet(a), Flags: syscall.IFA_F_NODAD}
		if err := netlink.AddrAdd(eth0, ip); err != nil && !errors.Is(err, syscall.EEXIST) {
			errs = append(errs, fmt.Errorf("address %s: %w", a, err))
		}
	}
	for _, to := range []string{"0.0.0.0/0", "::/0"} {
		_, network, _ := net.ParseCIDR(to)
		route := &netlink.Route{LinkIndex: eth0.Attrs().Index, Dst: network, Scope: netlink.SCOPE_LINK}
		if err := netlink.RouteReplace(route); err != nil {
			errs = append(errs, fmt.Errorf("route %s: %w", to, err))
		}
	}
	return errors.Join(errs...)
}

func hostNet(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
}

// serve answers on an endpoint with the endpoint's own name.
func serve(ctx context.Context, e state.Endpoint) error {
	address := netip.AddrPortFrom(e.Address, e.Port).String()
	switch e.Protocol {
	case state.TCP:
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err != nil {
			return err
		}
		go serveTCP(l, e.String())
	case state.UDP:
		c, err := new(net.ListenConfig).ListenPacket(ctx, "udp", address)
		if err != nil {
			return err
		}
		go serveUDP(c, e.String())
	}
	return nil
}

func serveTCP(l net.Listener, name string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		io.WriteString(c, name+"\n")
		c.Close()
	}
}

func serveUDP(c net.PacketConn, name string) {
	buffer := make([]byte, 64)
	for {
		_, from, err := c.ReadFrom(buffer)
		if err != nil {
			return
		}
		c.WriteTo([]byte(name+"\n"), from)
	}
}

// patience is how long one connection may take: everything is on this machine.
const patience = 250 * time.Millisecond

func connect(ctx context.Context, o connectOrder) answer {
	reply := answer{Answers: map[string]int{}, Errors: map[string]int{}}
	for range o.Attempts {
		name, rightPeer, err := ask(ctx, o.To)
		if err != nil {
			reply.Errors[cause(err)]++
			continue
		}
		reply.Answers[name]++
		if !rightPeer {
			reply.WrongPeers++
		}
		if !o.All && len(reply.Answers) >= len(o.Want) && len(o.Want) > 0 {
			break
		}
	}
	return reply
}

// cause gives the errno's words where there is one: "no route to host".
func cause(err error) string {
	var errno syscall.Errno
	var timeout net.Error
	switch {
	case errors.As(err, &errno):
		return errno.Error()
	case errors.As(err, &timeout) && timeout.Timeout():
		return "no answer"
	}
	return err.Error()
}

// ask connects once and gives the backend's name, and whether the peer of the
// socket is shown as the frontend.
func ask(ctx context.Context, to state.Endpoint) (name string, rightPeer bool, err error) {
	network := strings.ToLower(to.Protocol.String())
	want := netip.AddrPortFrom(to.Address, to.Port).String()
	dialer := net.Dialer{Timeout: patience}
	c, err := dialer.DialContext(ctx, network, want)
	if err != nil {
		return "", false, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", false, err
	}
	if to.Protocol == state.UDP {
		if _, err := io.WriteString(c, "who\n"); err != nil {
			return "", false, err
		}
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return "", false, err
	}
	return strings.TrimSpace(line), c.RemoteAddr().String() == want, nil
}
