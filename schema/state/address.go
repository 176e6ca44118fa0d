// SPDX-License-Identifier: Apache-2.0

package state

import (
	"cmp"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Endpoint is an address, port and protocol: the identity of a backend, and
// with a Scope that of a frontend. The port is in host byte order.
type Endpoint struct {
	Address  netip.Addr
	Port     uint16
	Protocol Protocol
}

// String gives "10.0.0.1:80/TCP", or "[fd00::1]:80/TCP". An address that is not
// known (a slot whose backend row is missing) is "?".
func (e Endpoint) String() string {
	text, _ := e.AppendText(make([]byte, 0, 56))
	return string(text)
}

// AppendText appends String; it never fails.
func (e Endpoint) AppendText(b []byte) ([]byte, error) {
	if e.Address.IsValid() {
		b = netip.AddrPortFrom(e.Address, e.Port).AppendTo(b)
	} else {
		b = strconv.AppendUint(append(b, "?:"...), uint64(e.Port), 10)
	}
	return append(append(b, '/'), e.Protocol.String()...), nil
}

// MarshalText gives String.
func (e Endpoint) MarshalText() ([]byte, error) { return e.AppendText(nil) }

// UnmarshalText is the inverse of String.
func (e *Endpoint) UnmarshalText(text []byte) error {
	host, proto, ok := strings.Cut(string(text), "/")
	if !ok {
		return fmt.Errorf("endpoint %q: want ADDR:PORT/PROTO", text)
	}
	var err error
	if e.Address, e.Port, err = parseHost(host); err != nil {
		return fmt.Errorf("endpoint %q: want ADDR:PORT/PROTO: %v", text, err)
	}
	if err := e.Protocol.UnmarshalText([]byte(proto)); err != nil {
		return fmt.Errorf("endpoint %q: %v", text, err)
	}
	return nil
}

// parseHost parses ADDR:PORT; "?" is an unknown address.
func parseHost(host string) (netip.Addr, uint16, error) {
	if port, unknown := strings.CutPrefix(host, "?:"); unknown {
		n, err := strconv.ParseUint(port, 10, 16)
		return netip.Addr{}, uint16(n), err
	}
	ap, err := netip.ParseAddrPort(host)
	if err == nil && ap.Addr().Zone() != "" {
		err = fmt.Errorf("a map holds no zone")
	}
	return ap.Addr(), ap.Port(), err
}

// Compare orders by address (IPv4 first), port, protocol.
func (e Endpoint) Compare(o Endpoint) int {
	if c := e.Address.Compare(o.Address); c != 0 { // as a rule
		return c
	}
	return cmp.Or(cmp.Compare(e.Port, o.Port), cmp.Compare(e.Protocol, o.Protocol))
}

// FrontendName is the identity of a frontend.
type FrontendName struct {
	Endpoint
	Scope Scope
}

// String gives the endpoint's text, with "/i" behind it for the internal scope
// and the byte's number for one that has no name.
func (n FrontendName) String() string {
	text, _ := n.AppendText(make([]byte, 0, 58))
	return string(text)
}

// AppendText appends String; it never fails.
func (n FrontendName) AppendText(b []byte) ([]byte, error) {
	b, _ = n.Endpoint.AppendText(b)
	switch n.Scope {
	case External:
		return b, nil
	case Internal:
		return append(b, "/i"...), nil
	}
	return strconv.AppendUint(append(b, '/'), uint64(n.Scope), 10), nil
}

// MarshalText gives String.
func (n FrontendName) MarshalText() ([]byte, error) { return n.AppendText(nil) }

// UnmarshalText is the inverse of String.
func (n *FrontendName) UnmarshalText(text []byte) error {
	n.Scope = External
	endpoint := string(text)
	if slash := strings.LastIndexByte(endpoint, '/'); slash != strings.IndexByte(endpoint, '/') {
		scope, err := parseScope(endpoint[slash+1:])
		if err != nil {
			return fmt.Errorf("frontend %q: %v", text, err)
		}
		endpoint, n.Scope = endpoint[:slash], scope
	}
	return n.Endpoint.UnmarshalText([]byte(endpoint))
}

// parseScope parses what stands behind a frontend's protocol: "i", or the
// number of a scope without a name.
func parseScope(text string) (Scope, error) {
	if text == "i" {
		return Internal, nil
	}
	n, err := strconv.ParseUint(text, 10, 8)
	if err != nil || n < 2 || strconv.FormatUint(n, 10) != text {
		return 0, fmt.Errorf("unknown scope %q: want /i or none", text)
	}
	return Scope(n), nil
}

// Compare orders by endpoint, then external before internal.
func (n FrontendName) Compare(o FrontendName) int {
	if c := n.Endpoint.Compare(o.Endpoint); c != 0 {
		return c
	}
	return cmp.Compare(n.Scope, o.Scope)
}
