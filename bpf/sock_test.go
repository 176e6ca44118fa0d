// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"plumbline.dev/plumbline/bpf/layout"
)

var defaults = Config{NodePortMin: 30000, NodePortMax: 32767}

const (
	refused = "no route to host"
	nobody  = "connection refused"
)

// services is what most tests hold: each backend answers with its own address.
const services = `
frontend 10.96.0.1:80/TCP type=ClusterIP flags=non-routable alg=random affinity=0 service=- port=- backends=10.244.0.1:8080/TCP,10.244.0.2:8080/TCP,10.244.0.3:8080/TCP inactive=10.244.0.4:8080/TCP
frontend 10.96.0.1:53/UDP type=ClusterIP flags=non-routable alg=random affinity=0 service=- port=- backends=10.244.0.1:5353/UDP,10.244.0.2:5353/UDP inactive=-
frontend 10.96.0.2:80/TCP type=ClusterIP flags=non-routable alg=random affinity=0 service=- port=- backends=- inactive=-
frontend [fd00:96::1]:80/TCP type=ClusterIP flags=non-routable alg=random affinity=0 service=- port=- backends=[fd00:244::1]:8080/TCP,[fd00:244::2]:8080/TCP inactive=-
frontend [fd00:96::1]:53/UDP type=ClusterIP flags=non-routable alg=random affinity=0 service=- port=- backends=[fd00:244::1]:5353/UDP inactive=-
backend 10.244.0.1:8080/TCP state=active zone=0
backend 10.244.0.2:8080/TCP state=active zone=0
backend 10.244.0.3:8080/TCP state=active zone=0
backend 10.244.0.4:8080/TCP state=terminating zone=0
backend 10.244.0.1:5353/UDP state=active zone=0
backend 10.244.0.2:5353/UDP state=active zone=0
backend [fd00:244::1]:8080/TCP state=active zone=0
backend [fd00:244::2]:8080/TCP state=active zone=0
backend [fd00:244::1]:5353/UDP state=active zone=0
`

// names gives the keys of a count, sorted.
func names(counts map[string]int) []string { return slices.Sorted(maps.Keys(counts)) }

// expect checks who answered, as whom, and that nothing failed.
func expect(t *testing.T, o outcome, answers []string, peer string) {
	t.Helper()
	if diff := cmp.Diff(answers, names(o.Answers)); diff != "" {
		t.Errorf("who answered (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{peer}, names(o.Peers)); diff != "" {
		t.Errorf("as whom (-want +got):\n%s", diff)
	}
	if len(o.Errors) > 0 {
		t.Errorf("errors: %v", o.Errors)
	}
}

// expectError checks that every attempt failed in one way.
func expectError(t *testing.T, o outcome, want string) {
	t.Helper()
	if len(o.Answers) > 0 || !slices.Equal(names(o.Errors), []string{want}) {
		t.Errorf("answers %v, errors %v; want only %q", o.Answers, o.Errors, want)
	}
}

func TestPrivilegedClusterIP(t *testing.T) {
	w := newTestWorld(t, defaults)
	w.hold(services)
	three := []string{"10.244.0.1:8080", "10.244.0.2:8080", "10.244.0.3:8080"}
	for _, test := range []struct {
		name    string
		probe   probe
		answers []string
		peer    string
	}{
		{"TCP", probe{Network: "tcp4", To: "10.96.0.1:80", Times: 60}, three, "10.96.0.1:80"},
		{"TCP, IPv6", probe{Network: "tcp6", To: "[fd00:96::1]:80", Times: 60}, []string{"[fd00:244::1]:8080", "[fd00:244::2]:8080"}, "[fd00:96::1]:80"},
		{"TCP, mapped", probe{Mapped: true, To: "10.96.0.1:80", Times: 60}, three, "10.96.0.1:80"},
		{"UDP, connected", probe{Network: "udp4", To: "10.96.0.1:53", Times: 40}, []string{"10.244.0.1:5353", "10.244.0.2:5353"}, "10.96.0.1:53"},
		{"UDP, IPv6, connected", probe{Network: "udp6", To: "[fd00:96::1]:53", Times: 4}, []string{"[fd00:244::1]:5353"}, "[fd00:96::1]:53"},
		{"UDP, IPv6, unconnected", probe{Network: "udp6", To: "[fd00:96::1]:53", Times: 4, Unbound: true}, []string{"[fd00:244::1]:5353"}, "[fd00:96::1]:53"},
		{"no service", probe{Network: "tcp4", To: "10.244.0.2:8080", Times: 3}, []string{"10.244.0.2:8080"}, "10.244.0.2:8080"},
	} {
		t.Run(test.name, func(t *testing.T) { expect(t, w.do(test.probe), test.answers, test.peer) })
	}
}

// One unconnected UDP socket stays with one backend, and the answers come from
// the service.
func TestPrivilegedUDPSocketStays(t *testing.T) {
	w := newTestWorld(t, defaults)
	w.hold(services)
	for range 5 {
		o := w.do(probe{Network: "udp4", To: "10.96.0.1:53", Times: 12, Unbound: true})
		if len(o.Answers) != 1 || len(o.Errors) > 0 {
			t.Errorf("one socket was answered by %v (errors %v), want one backend", o.Answers, o.Errors)
		}
		if diff := cmp.Diff([]string{"10.96.0.1:53"}, names(o.Peers)); diff != "" {
			t.Errorf("source of the answers (-want +got):\n%s", diff)
		}
	}
}

func TestPrivilegedNoBackendsIsRefused(t *testing.T) {
	w := newTestWorld(t, defaults)
	w.hold(services)
	expectError(t, w.do(probe{Network: "tcp4", To: "10.96.0.2:80", Times: 3}), refused)
}

// A slot that the master counts and that is not there fails its share of the
// connections, and so does one whose backend has no row.
func TestPrivilegedHoles(t *testing.T) {
	for name, damage := range map[string]func(*testWorld) error{
		"slot": func(w *testWorld) error {
			return w.maps[layout.Services4.String()].Delete(key(t, "10.96.0.1:80/TCP", 2))
		},
		"row": func(w *testWorld) error { return w.maps[layout.Backends4.String()].Delete(layout.BackendID(5)) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newTestWorld(t, defaults)
			w.hold(services)
			if err := damage(w); err != nil {
				t.Fatal(err)
			}
			o := w.do(probe{Network: "tcp4", To: "10.96.0.1:80", Times: 90})
			if o.Errors[refused] == 0 || len(o.Errors) > 1 || len(o.Answers) != 2 {
				t.Errorf("answers %v, errors %v; want two backends and some %q", o.Answers, o.Errors, refused)
			}
		})
	}
}

func key(t *testing.T, frontend string, slot uint16) []byte {
	t.Helper()
	k := layout.ServiceKey{Slot: slot}
	if err := k.FrontendName.UnmarshalText([]byte(frontend)); err != nil {
		t.Fatal(err)
	}
	return k.Bytes()
}

// A service with two scopes answers clients in the cluster by its internal entry.
func TestPrivilegedTwoScopes(t *testing.T) {
	w := newTestWorld(t, defaults)
	w.hold(`
frontend 192.168.1.10:30080/TCP type=NodePort flags=Local,two-scopes alg=random affinity=0 service=- port=- backends=10.244.0.1:8080/TCP inactive=-
frontend 192.168.1.10:30080/TCP/i type=NodePort flags=Local,two-scopes alg=random affinity=0 service=- port=- backends=10.244.0.2:8080/TCP inactive=-
backend 10.244.0.1:8080/TCP state=active zone=0
backend 10.244.0.2:8080/TCP state=active zone=0
`)
	expect(t, w.do(probe{Network: "tcp4", To: "192.168.1.10:30080", Times: 10}), []string{"10.244.0.2:8080"}, "192.168.1.10:30080")
}

const sticky = `
frontend 10.96.0.3:80/TCP type=ClusterIP flags=non-routable,affinity alg=random affinity=%TIMEOUT service=- port=- backends=10.244.0.1:8080/TCP,10.244.0.2:8080/TCP,10.244.0.3:8080/TCP inactive=-
backend 10.244.0.1:8080/TCP state=active zone=0
backend 10.244.0.2:8080/TCP state=active zone=0
backend 10.244.0.3:8080/TCP state=active zone=0
`

const matches = `
affinity 10.96.0.3:80/TCP backend=10.244.0.1:8080/TCP
affinity 10.96.0.3:80/TCP backend=10.244.0.2:8080/TCP
affinity 10.96.0.3:80/TCP backend=10.244.0.3:8080/TCP
`

// A client sticks to its backend while there is a match and the timeout has not
// passed.
func TestPrivilegedAffinity(t *testing.T) {
	ask := probe{Network: "tcp4", To: "10.96.0.3:80", Times: 60}
	for _, test := range []struct {
		name, state string
		want        int // backends that answer
	}{
		{"sticks", replaceTimeout(sticky, "300") + matches, 1},
		{"needs a match", replaceTimeout(sticky, "300"), 3},
		{"expires at once", replaceTimeout(sticky, "0") + matches, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newTestWorld(t, defaults)
			w.hold(test.state)
			if o := w.do(ask); len(o.Answers) != test.want || len(o.Errors) > 0 {
				t.Errorf("answers %v, errors %v; want %d backends", o.Answers, o.Errors, test.want)
			}
		})
	}
}

func replaceTimeout(text, seconds string) string {
	return strings.ReplaceAll(text, "%TIMEOUT", seconds)
}

// A peer is shown as the service only while the frontend has the id that the
// socket was translated under: a renumbered id would break that for every open
// socket (I4).
func TestPrivilegedRenumberedServiceLosesItsPeers(t *testing.T) {
	w := newTestWorld(t, defaults)
	w.hold(services)
	first := w.do(probe{Hold: true, To: "10.96.0.1:80", Times: 1})
	expect(t, first, names(first.Answers), "10.96.0.1:80")
	master := key(t, "10.96.0.1:80/TCP", 0)
	value, err := w.maps[layout.Services4.String()].LookupBytes(master)
	if err != nil || value == nil {
		t.Fatal("no master", err)
	}
	value[7]++ // the low byte of the reverse-NAT id
	if err := w.maps[layout.Services4.String()].Put(master, value); err != nil {
		t.Fatal(err)
	}
	after := w.do(probe{Held: true, Times: 1})
	if diff := cmp.Diff(names(first.Answers), names(after.Peers)); diff != "" {
		t.Errorf("peer of the open socket (-want +got):\n%s", diff)
	}
}

// The surrogate of a NodePort answers on the host's loopback, in the range of
// node ports, and only where the entry is a NodePort's.
func TestPrivilegedSurrogate(t *testing.T) {
	const surrogates = `
frontend 0.0.0.0:30080/TCP type=NodePort flags=non-routable alg=random affinity=0 service=- port=- backends=127.0.0.77:38080/TCP inactive=-
frontend 0.0.0.0:30081/TCP type=ClusterIP flags=non-routable alg=random affinity=0 service=- port=- backends=127.0.0.77:38080/TCP inactive=-
frontend 0.0.0.0:29999/TCP type=NodePort flags=non-routable alg=random affinity=0 service=- port=- backends=127.0.0.77:38080/TCP inactive=-
backend 127.0.0.77:38080/TCP state=active zone=0
`
	w := newHostWorld(t, defaults)
	w.hold(surrogates)
	expect(t, w.do(probe{Network: "tcp4", To: "127.0.0.1:30080", Times: 3}), []string{"127.0.0.77:38080"}, "127.0.0.1:30080")
	expectError(t, w.do(probe{Network: "tcp4", To: "127.0.0.1:30081", Times: 1}), nobody)
	expectError(t, w.do(probe{Network: "tcp4", To: "127.0.0.1:29999", Times: 1}), nobody)
}

// The surrogate of a NodePort answers on loopback in the host's namespace only:
// this client is in another one.
func TestPrivilegedSurrogateIsTheHostsAlone(t *testing.T) {
	w := newTestWorld(t, defaults)
	w.hold(`
frontend 0.0.0.0:30080/TCP type=NodePort flags=non-routable alg=random affinity=0 service=- port=- backends=10.244.0.1:8080/TCP inactive=-
backend 10.244.0.1:8080/TCP state=active zone=0
`)
	expectError(t, w.do(probe{Network: "tcp4", To: "127.0.0.1:30080", Times: 2}), nobody)
}

// An entry for any protocol answers where the configuration says so.
func TestPrivilegedAnyProtocol(t *testing.T) {
	any := `
frontend 10.96.0.9:80/ANY type=ClusterIP flags=non-routable alg=random affinity=0 service=- port=- backends=10.244.0.1:8080/TCP inactive=-
backend 10.244.0.1:8080/TCP state=active zone=0
`
	with := defaults
	with.AnyProtocolFallback = true
	w := newTestWorld(t, with)
	w.hold(any)
	expect(t, w.do(probe{Network: "tcp4", To: "10.96.0.9:80", Times: 2}), []string{"10.244.0.1:8080"}, "10.96.0.9:80")
	without := newTestWorld(t, defaults)
	without.hold(any)
	if o := without.do(probe{Network: "tcp4", To: "10.96.0.9:80", Times: 1}); len(o.Answers) > 0 {
		t.Errorf("answers %v without the fallback", o.Answers)
	}
}
