// SPDX-License-Identifier: Apache-2.0

package state

import (
	"net/netip"
	"time"
)

// Settings are the small resolved part of an environment that the datapath
// needs. They hold no Helm key: compiler/lower resolves those, defaults of the
// agent included, so that a node needs no chart. They travel in the Datapath
// resource.
type Settings struct {
	Environment string `json:"environment"`
	// ChartVersion is the full version ("1.17.2"): a patch release may change
	// what is written into the maps.
	ChartVersion string `json:"chartVersion"`
	Layout       Layout `json:"layout"`
	Mode         Mode   `json:"mode"`
	CgroupRoot   string `json:"cgroupRoot"`
	// BPFRoot is where the bpffs is mounted; Cilium's pins lie in BPFRoot/tc/globals.
	BPFRoot string `json:"bpfRoot"`

	IPv4 bool `json:"ipv4"`
	IPv6 bool `json:"ipv6"`
	// KubeProxyReplacement turns on everything but ClusterIPs.
	KubeProxyReplacement bool `json:"kubeProxyReplacement"`
	SocketLB             bool `json:"socketLB"`

	NodePortMin       uint16         `json:"nodePortMin"`
	NodePortMax       uint16         `json:"nodePortMax"`
	NodePortAddresses []netip.Prefix `json:"nodePortAddresses,omitempty"`
	BindProtection    bool           `json:"bindProtection"`

	// Devices are what is said of the programs at network devices; nil is that
	// nothing is known of them, or that they are not Cilium's.
	Devices *DeviceSettings `json:"devices,omitempty"`

	LoadBalancer LoadBalancerSettings `json:"loadBalancer"`
	Maps         MapSettings          `json:"maps"`

	// Interval lies between two audits, Grace between the two reads that
	// confirm a drift (I5).
	Interval Duration `json:"interval"`
	Grace    Duration `json:"grace"`
	Limits   Limits   `json:"limits"`
	// NodeSelector are labels of the nodes that have an agent, beside that they run
	// Linux; none is every one of these.
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`
	// Suspend has an agent write nothing, whatever its mode: it goes on auditing.
	Suspend bool `json:"suspend,omitempty"`

	// Routing is "tunnel" or "native": whether pods of other nodes are reached
	// through an encapsulation. Empty is not known.
	Routing string `json:"routing"`
	// Audits are what is compared beside the services.
	Audits Audits `json:"audits"`

	// Services are declared by the environment itself, beside those of the API.
	Services []DeclaredService `json:"services,omitempty"`
}

// DeviceSettings say which programs hang at which network devices.
type DeviceSettings struct {
	// Names select the native devices; one that ends in "+" is a prefix. None is
	// what the agent detects.
	Names []string `json:"names,omitempty"`
	// TCX tells whether programs hang by tcx, where the kernel has it (6.6), or
	// else by filters below clsact.
	TCX bool `json:"tcx"`
	// Egress tells whether native devices are needed on their way out as well: by
	// node ports, the host's firewall, WireGuard or announcements.
	Egress bool `json:"egress"`
	// Acceleration is XDP's mode: disabled, native, best-effort, testing-only.
	Acceleration string `json:"acceleration"`
	// Tunnel is the tunnel's protocol, vxlan or geneve; empty is none, or not known.
	Tunnel string `json:"tunnel,omitempty"`
}

// LoadBalancerSettings are what the values say of service load balancing.
type LoadBalancerSettings struct {
	Algorithm             Algorithm `json:"algorithm"` // Random or Maglev
	Mode                  string    `json:"mode"`      // snat, dsr, hybrid
	MaglevTableSize       uint32    `json:"maglevTableSize"`
	MaglevHashSeed        string    `json:"maglevHashSeed"`
	SessionAffinity       bool      `json:"sessionAffinity"`
	SourceRangeCheck      bool      `json:"sourceRangeCheck"`
	SourceRangeAllTypes   bool      `json:"sourceRangeAllTypes"`
	ExternalClusterIP     bool      `json:"externalClusterIP"`
	AlgorithmAnnotation   bool      `json:"algorithmAnnotation"`
	ModeAnnotation        bool      `json:"modeAnnotation"`
	ServiceTopology       bool      `json:"serviceTopology"`
	InternalTrafficPolicy bool      `json:"internalTrafficPolicy"`
	TerminatingEndpoints  bool      `json:"terminatingEndpoints"`
	ServiceProxyName      string    `json:"serviceProxyName,omitempty"`
	DefaultIPAM           string    `json:"defaultIPAM"` // lbipam, nodeipam, none
	WildcardEntries       bool      `json:"wildcardEntries"`
	LocalRedirectPolicy   bool      `json:"localRedirectPolicy"`
	// EnvoyConfig: services that a CiliumEnvoyConfig names are led to the L7 proxy.
	EnvoyConfig bool `json:"envoyConfig,omitempty"`
	// SCTP tells whether the datapath handles SCTP; its entries are written in
	// any case.
	SCTP           bool `json:"sctp"`
	HealthCheckVIP bool `json:"healthCheckVIP"`
	// Zones maps a zone's name to its number in a backend row.
	Zones map[string]uint8 `json:"zones,omitempty"`
}

// MapSettings are the sizes of the maps, in entries, and how they are created.
type MapSettings struct {
	Services     uint32 `json:"services"`
	Backends     uint32 `json:"backends"`
	ReverseNAT   uint32 `json:"reverseNat"`
	Affinity     uint32 `json:"affinity"`
	SourceRanges uint32 `json:"sourceRanges"`
	Maglev       uint32 `json:"maglev"`
	// SocketReverse is 0 where the agent sizes the map from the node's memory.
	SocketReverse  uint32 `json:"socketReverse"`
	Preallocate    bool   `json:"preallocate"`
	DistributedLRU bool   `json:"distributedLRU"`
}

// Audits switch what is compared beside the services.
type Audits struct {
	IPCache   bool `json:"ipcache"`   // addresses, their identities and tunnel endpoints
	Endpoints bool `json:"endpoints"` // the node's own pods
	Liveness  bool `json:"liveness"`  // the agent's heartbeat
	Fill      bool `json:"fill"`      // maps that are nearly full
}

// Limits bound what one cycle may do and one report may hold, where 0 is no limit,
// and how many nodes may not be as they should before the fleet is not Ready, where 0
// is none.
type Limits struct {
	RepairEntries int `json:"repairEntries"`
	ReportDrifts  int `json:"reportDrifts"`
	// DriftedNodes may have confirmed drift; of UnknownNodes nothing need be known for
	// sure: they report nothing, something old, or differences that are not confirmed.
	DriftedNodes Share `json:"driftedNodes,omitzero"`
	UnknownNodes Share `json:"unknownNodes,omitzero"`
}

// DeclaredService is a service that an environment declares without the API
// server: a name, its frontends and where they lead.
type DeclaredService struct {
	Namespace string                `json:"namespace"`
	Name      string                `json:"name"`
	IPs       []netip.Addr          `json:"ips"`
	Ports     []DeclaredServicePort `json:"ports"`
}

// DeclaredServicePort is one port of a declared service.
type DeclaredServicePort struct {
	Name     string           `json:"name,omitempty"`
	Protocol Protocol         `json:"protocol"`
	Port     uint16           `json:"port"`
	Backends []netip.AddrPort `json:"backends"`
}

// Duration is a time.Duration whose JSON is its text ("30s"), as Kubernetes has it.
type Duration struct{ time.Duration }

// MarshalText gives the duration's text.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.Duration.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (d *Duration) UnmarshalText(text []byte) (err error) {
	d.Duration, err = time.ParseDuration(string(text))
	return err
}
