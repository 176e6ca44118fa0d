// SPDX-License-Identifier: Apache-2.0

package state

import (
	"fmt"
	"strings"
)

// parseEnum finds text among names, whose index is the value. The error lists
// what would have been understood: an unknown word is never a zero value.
func parseEnum[T ~uint8](what string, names []string, text []byte) (T, error) {
	for i, name := range names {
		if name == string(text) {
			return T(i), nil
		}
	}
	return 0, fmt.Errorf("unknown %s %q: want one of %s", what, text, strings.Join(names, ", "))
}

func enumString[T ~uint8](what string, names []string, v T) string {
	if int(v) < len(names) {
		return names[v]
	}
	return fmt.Sprintf("%s(%d)", what, uint8(v))
}

func enumText[T ~uint8](what string, names []string, v T) ([]byte, error) {
	if int(v) < len(names) {
		return []byte(names[v]), nil
	}
	return nil, fmt.Errorf("%s %d has no name", what, uint8(v))
}

// Protocol is an IP protocol number as it stands in the maps' proto byte.
type Protocol uint8

// The protocols that a load-balancer map can hold. Any is the wildcard entry's
// (Cilium 1.19 and later) and the legacy any-protocol entry's (1.17, 1.18).
const (
	Any  Protocol = 0
	TCP  Protocol = 6
	UDP  Protocol = 17
	SCTP Protocol = 132
)

var protocolNames = map[Protocol]string{Any: "ANY", TCP: "TCP", UDP: "UDP", SCTP: "SCTP"}

// String gives the protocol's name, or its number where the maps hold one that
// has none.
func (p Protocol) String() string {
	if name, ok := protocolNames[p]; ok {
		return name
	}
	return fmt.Sprintf("%d", uint8(p))
}

// MarshalText never fails: a damaged map may hold any number, and a dump says it.
func (p Protocol) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText is the inverse of String.
func (p *Protocol) UnmarshalText(text []byte) error {
	for v, name := range protocolNames {
		if name == string(text) {
			*p = v
			return nil
		}
	}
	var n uint8
	if _, err := fmt.Sscanf(string(text), "%d", &n); err != nil || fmt.Sprintf("%d", n) != string(text) {
		return fmt.Errorf("unknown protocol %q: want one of TCP, UDP, SCTP, ANY", text)
	}
	*p = Protocol(n)
	return nil
}

// Scope tells for which side of a two-scoped service an entry answers.
type Scope uint8

// The scopes, with the value of the key's scope byte.
const (
	External Scope = 0 // the default lookup
	Internal Scope = 1 // in-cluster clients of a service whose two traffic policies differ
)

var scopeNames = []string{"external", "internal"}

// String gives the scope's name, or its number: a damaged map may hold any byte.
func (s Scope) String() string {
	if int(s) < len(scopeNames) {
		return scopeNames[s]
	}
	return fmt.Sprintf("%d", uint8(s))
}

// MarshalText never fails, for the reason of Protocol's.
func (s Scope) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText accepts exactly what String gives.
func (s *Scope) UnmarshalText(text []byte) (err error) {
	var n uint8
	if _, serr := fmt.Sscanf(string(text), "%d", &n); serr == nil && Scope(n).String() == string(text) {
		*s = Scope(n)
		return nil
	}
	*s, err = parseEnum[Scope]("scope", scopeNames, text)
	return err
}

// FrontendType is what made a frontend, as its type flag says it.
type FrontendType uint8

// The frontend types. No flag bit set means ClusterIP.
const (
	ClusterIP FrontendType = iota
	NodePort
	LoadBalancer
	ExternalIPs
	HostPort
)

var frontendTypeNames = []string{"ClusterIP", "NodePort", "LoadBalancer", "ExternalIPs", "HostPort"}

func (t FrontendType) String() string { return enumString("frontend type", frontendTypeNames, t) }
func (t FrontendType) MarshalText() ([]byte, error) {
	return enumText("frontend type", frontendTypeNames, t)
}

// UnmarshalText accepts exactly what String gives.
func (t *FrontendType) UnmarshalText(text []byte) (err error) {
	*t, err = parseEnum[FrontendType]("frontend type", frontendTypeNames, text)
	return err
}

// Algorithm is what a master entry's algorithm byte says.
type Algorithm uint8

// The algorithms, with their byte. Cilium 1.18 and later leave it undefined
// unless the service carries an annotation.
const (
	Undef  Algorithm = 0
	Random Algorithm = 1
	Maglev Algorithm = 2
)

var algorithmNames = []string{"undef", "random", "maglev"}

// String gives the algorithm's name, or its number: a damaged master may hold any byte.
func (a Algorithm) String() string {
	if int(a) < len(algorithmNames) {
		return algorithmNames[a]
	}
	return fmt.Sprintf("%d", uint8(a))
}

// MarshalText never fails, for the reason of Protocol's.
func (a Algorithm) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText is the inverse of String.
func (a *Algorithm) UnmarshalText(text []byte) (err error) {
	var n uint8
	if _, serr := fmt.Sscanf(string(text), "%d", &n); serr == nil && Algorithm(n).String() == string(text) {
		*a = Algorithm(n)
		return nil
	}
	*a, err = parseEnum[Algorithm]("algorithm", algorithmNames, text)
	return err
}

// BackendState is what a backend row's flag byte says.
type BackendState uint8

// The backend states, with their byte.
const (
	Active      BackendState = 0
	Terminating BackendState = 1
	Quarantined BackendState = 2
	Maintenance BackendState = 3
)

var backendStateNames = []string{"active", "terminating", "quarantined", "maintenance"}

// String gives the state's name, or its number: a damaged row may hold any byte.
func (s BackendState) String() string {
	if int(s) < len(backendStateNames) {
		return backendStateNames[s]
	}
	return fmt.Sprintf("%d", uint8(s))
}

// MarshalText never fails, for the reason of Protocol's.
func (s BackendState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is the inverse of String.
func (s *BackendState) UnmarshalText(text []byte) (err error) {
	var n uint8
	if _, serr := fmt.Sscanf(string(text), "%d", &n); serr == nil && BackendState(n).String() == string(text) {
		*s = BackendState(n)
		return nil
	}
	*s, err = parseEnum[BackendState]("backend state", backendStateNames, text)
	return err
}

// Mode is what the agent may do to the kernel's maps.
type Mode uint8

// The modes. Observe is the zero value: whoever says nothing gets the one that
// writes nothing.
const (
	Observe Mode = iota
	Repair
	Own
)

var modeNames = []string{"observe", "repair", "own"}

func (m Mode) String() string               { return enumString("mode", modeNames, m) }
func (m Mode) MarshalText() ([]byte, error) { return enumText("mode", modeNames, m) }

// UnmarshalText accepts exactly what String gives.
func (m *Mode) UnmarshalText(text []byte) (err error) {
	*m, err = parseEnum[Mode]("mode", modeNames, text)
	return err
}

// Layout names the byte layout of the maps. It follows from the chart's minor.
type Layout uint8

// The layouts that are known. There is no guess at an unknown one (I7).
const (
	LayoutNone Layout = iota
	Cilium117
	Cilium118
	Cilium119
	Cilium120
)

var layoutNames = []string{"", "cilium/1.17", "cilium/1.18", "cilium/1.19", "cilium/1.20"}

func (l Layout) String() string               { return enumString("layout", layoutNames, l) }
func (l Layout) MarshalText() ([]byte, error) { return enumText("layout", layoutNames, l) }

// UnmarshalText accepts exactly what String gives, the empty text for LayoutNone included.
func (l *Layout) UnmarshalText(text []byte) error {
	for i, name := range layoutNames {
		if name == string(text) {
			*l = Layout(i)
			return nil
		}
	}
	return fmt.Errorf("unknown layout %q: want one of %s", text, strings.Join(layoutNames[1:], ", "))
}

// LayoutOf gives the layout of a chart version such as "1.17.2". The error
// names the minors that are known.
func LayoutOf(chartVersion string) (Layout, error) {
	parts := strings.Split(strings.TrimPrefix(chartVersion, "v"), ".")
	if len(parts) >= 2 {
		for i, name := range layoutNames[1:] {
			if name == "cilium/"+parts[0]+"."+parts[1] {
				return Layout(i + 1), nil
			}
		}
	}
	return LayoutNone, fmt.Errorf("chart version %q has no known map layout: supported minors are 1.17, 1.18, 1.19, 1.20", chartVersion)
}

// Flags are the properties of a frontend that are not its type.
type Flags uint16

// The flags of a frontend, in the order in which they are printed. They are
// Plumbline's own numbers; bpf/layout knows the bits of each Cilium layout.
const (
	NonRoutable     Flags = 1 << iota // address is 0.0.0.0 or ::, or a ClusterIP not open to the outside
	Local                             // externalTrafficPolicy: Local
	InternalLocal                     // internalTrafficPolicy: Local
	TwoScopes                         // an internal entry exists beside the external one
	Affinity                          // sessionAffinity: ClientIP
	SourceRangeFlag                   // loadBalancerSourceRanges are checked
	SourceRangeDeny                   // the ranges deny instead of allow
	LocalRedirect                     // a local redirect policy rules
	L7                                // the datapath hands over to the L7 proxy
	L7Delegate                        // the L7 proxy is left to handle it
	Loopback                          // a HostPort bound to a loopback address
	NAT46x64                          // backends of the other IP family
	DSR                               // direct server return
)

var flagNames = []string{"non-routable", "Local", "InternalLocal", "two-scopes", "affinity", "source-range",
	"source-range-deny", "local-redirect", "l7", "l7-delegate", "loopback", "46x64", "dsr"}

// Names lists the flags that are set, in their fixed order; never nil.
func (f Flags) Names() []string {
	names := []string{}
	for i, name := range flagNames {
		if f&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// String joins Names by commas; "-" is the empty set.
func (f Flags) String() string {
	if f == 0 {
		return "-"
	}
	return strings.Join(f.Names(), ",")
}

// ParseFlags is the inverse of Names; an unknown or repeated name is an error.
func ParseFlags(names []string) (Flags, error) {
	var f Flags
	for _, name := range names {
		i, err := parseEnum[uint8]("flag", flagNames, []byte(name))
		if err != nil {
			return 0, err
		}
		if f&(1<<i) != 0 {
			return 0, fmt.Errorf("flag %q is given twice", name)
		}
		f |= 1 << i
	}
	return f, nil
}
