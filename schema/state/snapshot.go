// SPDX-License-Identifier: Apache-2.0

package state

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Snapshot is what the API server, or a folder of YAML, says of a cluster at
// one moment, trimmed to what the datapath depends on. Services and slices come
// in any order: nothing compiled from them depends on it.
type Snapshot struct {
	Node     Node            `json:"node"`
	Services []Service       `json:"services"`
	Slices   []EndpointSlice `json:"endpointSlices"`
	Pods     []Pod           `json:"pods,omitempty"`
	// RedirectPolicies are the cluster's CiliumLocalRedirectPolicies.
	RedirectPolicies []RedirectPolicy `json:"redirectPolicies,omitempty"`
	// EnvoyConfigs are the CiliumEnvoyConfigs and CiliumClusterwideEnvoyConfigs.
	EnvoyConfigs []EnvoyConfig `json:"envoyConfigs,omitempty"`
	// CiliumEndpoints and CiliumNodes are what Cilium itself says of pods and
	// nodes. None at all means that they were not asked for, or are not there.
	CiliumEndpoints []CiliumEndpoint `json:"ciliumEndpoints,omitempty"`
	CiliumNodes     []CiliumNode     `json:"ciliumNodes,omitempty"`
}

// Position is where an object was written; the zero value is "not from a file".
type Position struct {
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
}

// String gives "file:line", or "" for the zero value.
func (p Position) String() string {
	if p.File == "" {
		return ""
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// Node is the node that the datapath is compiled for.
type Node struct {
	Name string `json:"name"`
	// Addresses are the node's own, each family's primary first: they become
	// NodePort frontends.
	Addresses []netip.Addr      `json:"addresses"`
	Zone      string            `json:"zone,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
	// Devices are the node's network devices, but for Cilium's own and those of pods.
	// None at all means that they are not known.
	Devices []Device `json:"devices,omitempty"`
}

// Device is a network device of the node.
type Device struct {
	Name      string       `json:"name"`
	Kind      string       `json:"kind,omitempty"` // as `ip -d link` has it: veth, bridge; empty is hardware
	Addresses []netip.Addr `json:"addresses,omitempty"`
	Up        bool         `json:"up,omitempty"`
	// Inner tells that it is a loopback, or belongs to a bond or a bridge.
	Inner        bool `json:"inner,omitempty"`
	DefaultRoute bool `json:"defaultRoute,omitempty"` // leads through it
}

// Service is a Kubernetes Service. Enumerations of the API are kept as their
// text; the compiler judges them.
type Service struct {
	Namespace             string            `json:"namespace"`
	Name                  string            `json:"name"`
	Labels                map[string]string `json:"labels,omitempty"`
	Annotations           map[string]string `json:"annotations,omitempty"`
	Type                  string            `json:"type"` // ClusterIP, NodePort, LoadBalancer, ExternalName
	ClusterIPs            []netip.Addr      `json:"clusterIPs"`
	Headless              bool              `json:"headless,omitempty"`   // clusterIP: None
	IPFamilies            []string          `json:"ipFamilies,omitempty"` // IPv4, IPv6; empty where the object says nothing
	ExternalIPs           []netip.Addr      `json:"externalIPs,omitempty"`
	LoadBalancerIPs       []LoadBalancerIP  `json:"loadBalancerIPs,omitempty"`
	LoadBalancerClass     *string           `json:"loadBalancerClass,omitempty"`
	SourceRanges          []string          `json:"sourceRanges,omitempty"`
	ExternalTrafficPolicy string            `json:"externalTrafficPolicy,omitempty"` // "", Cluster, Local
	InternalTrafficPolicy string            `json:"internalTrafficPolicy,omitempty"` // "", Cluster, Local
	TrafficDistribution   string            `json:"trafficDistribution,omitempty"`
	SessionAffinity       bool              `json:"sessionAffinity,omitempty"` // ClientIP
	// AffinityTimeoutSeconds is 0 where the object says nothing.
	AffinityTimeoutSeconds uint32        `json:"affinityTimeoutSeconds,omitempty"`
	HealthCheckNodePort    uint16        `json:"healthCheckNodePort,omitempty"`
	Ports                  []ServicePort `json:"ports"`
	Pos                    Position      `json:"-"`
}

// Key is "namespace/name".
func (s *Service) Key() string { return s.Namespace + "/" + s.Name }

// LoadBalancerIP is one entry of status.loadBalancer.ingress that has an IP.
type LoadBalancerIP struct {
	IP     netip.Addr `json:"ip"`
	IPMode string     `json:"ipMode,omitempty"` // "", VIP, Proxy
}

// ServicePort is one port of a Service; port numbers are in host byte order.
type ServicePort struct {
	Name     string   `json:"name"`
	Protocol Protocol `json:"protocol"`
	Port     uint16   `json:"port"`
	NodePort uint16   `json:"nodePort,omitempty"` // 0: none
	// AppProtocol and targetPort are of no consequence here: slices are resolved.
}

// EndpointSlice is a discovery.k8s.io/v1 EndpointSlice.
type EndpointSlice struct {
	Namespace string         `json:"namespace"`
	Name      string         `json:"name"`
	Service   string         `json:"service"` // of the label kubernetes.io/service-name; "": none
	IPv6      bool           `json:"ipv6,omitempty"`
	Ports     []EndpointPort `json:"ports"`
	Endpoints []EndpointSpec `json:"endpoints"`
	// Weight is the annotation service.cilium.io/weight as it stands there; nil is none.
	Weight *string  `json:"weight,omitempty"`
	Pos    Position `json:"-"`
}

// Key is "namespace/name" of the slice itself.
func (s *EndpointSlice) Key() string { return s.Namespace + "/" + s.Name }

// EndpointPort is one port of a slice.
type EndpointPort struct {
	Name     string   `json:"name"`
	Protocol Protocol `json:"protocol"`
	Port     uint16   `json:"port"`
}

// EndpointSpec is one endpoint of a slice. Conditions are three-valued in the
// API; nil here is the API's nil.
type EndpointSpec struct {
	Addresses   []netip.Addr `json:"addresses"`
	Ready       *bool        `json:"ready,omitempty"`
	Serving     *bool        `json:"serving,omitempty"`
	Terminating *bool        `json:"terminating,omitempty"`
	NodeName    string       `json:"nodeName,omitempty"`
	Zone        string       `json:"zone,omitempty"`
	HintZones   []string     `json:"hintZones,omitempty"`
}

// Pod is a pod with host ports, or one that a redirect policy may select.
type Pod struct {
	Namespace   string            `json:"namespace"`
	Name        string            `json:"name"`
	UID         string            `json:"uid,omitempty"`
	NodeName    string            `json:"nodeName"`
	HostNetwork bool              `json:"hostNetwork,omitempty"`
	Running     bool              `json:"running"`
	Ended       bool              `json:"ended,omitempty"` // succeeded or failed
	Labels      map[string]string `json:"labels,omitempty"`
	IPs         []netip.Addr      `json:"ips"`
	HostPorts   []HostPortSpec    `json:"hostPorts"`
	// Ready is its condition of that name; Ports are those that its containers
	// declare. Both matter to redirect policies alone.
	Ready bool           `json:"ready,omitempty"`
	Ports []EndpointPort `json:"ports,omitempty"`
	Pos   Position       `json:"-"`
}

// RedirectPolicy is a cilium.io/v2 CiliumLocalRedirectPolicy: the traffic to an
// address, or to a Service of its namespace, goes to pods of the client's node.
// Exactly one of Address and Service is set in a sound one.
type RedirectPolicy struct {
	Namespace string           `json:"namespace"`
	Name      string           `json:"name"`
	Address   *RedirectAddress `json:"address,omitempty"`
	Service   *RedirectService `json:"service,omitempty"`
	// Selector is the text of a label selector; "" selects all pods of the
	// policy's namespace.
	Selector string         `json:"selector"`
	ToPorts  []RedirectPort `json:"toPorts"` // of the pods
	// SkipFromBackend: the selected pods' own traffic is not redirected, for which
	// Cilium writes maps of sockets that no object tells of.
	SkipFromBackend bool     `json:"skipFromBackend,omitempty"`
	Pos             Position `json:"-"`
}

// Key is "namespace/name".
func (p *RedirectPolicy) Key() string { return p.Namespace + "/" + p.Name }

// RedirectAddress is an addressMatcher.
type RedirectAddress struct {
	IP    string         `json:"ip"`
	Ports []RedirectPort `json:"ports"`
}

// RedirectService is a serviceMatcher; without Ports it means all of them.
type RedirectService struct {
	Namespace string         `json:"namespace"`
	Name      string         `json:"name"`
	Ports     []RedirectPort `json:"ports,omitempty"`
}

// RedirectPort is a port as the policy writes it; the compiler judges it.
type RedirectPort struct {
	Port     string `json:"port"`
	Name     string `json:"name,omitempty"`
	Protocol string `json:"protocol"`
}

// EnvoyConfig is a cilium.io/v2 CiliumEnvoyConfig or, without a namespace, a
// CiliumClusterwideEnvoyConfig: which services are led to which of its listeners.
type EnvoyConfig struct {
	Namespace string         `json:"namespace,omitempty"`
	Name      string         `json:"name"`
	Services  []EnvoyService `json:"services"`
	// Listeners are the names of those that get a port, as they are written.
	Listeners []string `json:"listeners"`
	// NodeSelector is the text of a label selector; nil is every node.
	NodeSelector *string  `json:"nodeSelector,omitempty"`
	Pos          Position `json:"-"`
}

// EnvoyService is a service whose traffic goes to a listener.
type EnvoyService struct {
	Namespace string   `json:"namespace,omitempty"`
	Name      string   `json:"name"`
	Ports     []uint16 `json:"ports,omitempty"`    // none is all
	Listener  string   `json:"listener,omitempty"` // "": any
}

// Object names the configuration with its kind.
func (e *EnvoyConfig) Object() string {
	if e.Namespace == "" {
		return "CiliumClusterwideEnvoyConfig " + e.Name
	}
	return "CiliumEnvoyConfig " + e.Namespace + "/" + e.Name
}

// Listens tells whether the configuration has a listener of the name, or any for
// "". A name may be written with the namespace and the name of the configuration
// before it.
func (e *EnvoyConfig) Listens(name string) bool {
	if name == "" {
		return len(e.Listeners) > 0
	}
	return slices.ContainsFunc(e.Listeners, func(l string) bool { return e.qualified(l) == e.qualified(name) })
}

func (e *EnvoyConfig) qualified(name string) string {
	if first, _, cut := strings.Cut(name, "/"); cut && first == e.Namespace {
		return name
	}
	return e.Namespace + "/" + e.Name + "/" + name
}

// HostPortSpec is one container port that asks for a port of the node.
type HostPortSpec struct {
	HostIP        netip.Addr `json:"hostIP,omitzero"` // zero: unset
	HostPort      uint16     `json:"hostPort"`
	ContainerPort uint16     `json:"containerPort"`
	Protocol      Protocol   `json:"protocol"`
}

// CiliumEndpoint is a pod as Cilium knows it: of a cilium.io/v2 CiliumEndpoint, or
// of an entry of a cilium.io/v2alpha1 CiliumEndpointSlice.
type CiliumEndpoint struct {
	Namespace string       `json:"namespace"`
	Name      string       `json:"name"`
	Identity  uint32       `json:"identity"` // 0: none is given yet
	Addresses []netip.Addr `json:"addresses"`
	Node      netip.Addr   `json:"node"` // address of its node; the zero Addr is unknown
	Pos       Position     `json:"-"`
}

// Key is "namespace/name".
func (e *CiliumEndpoint) Key() string { return e.Namespace + "/" + e.Name }

// CiliumNode is a node as Cilium knows it: a cilium.io/v2 CiliumNode.
type CiliumNode struct {
	Name      string         `json:"name"`
	Addresses []netip.Addr   `json:"addresses"` // internal, external and Cilium's own
	Internal  netip.Addr     `json:"internal"`  // the first internal one, which tunnels end at
	PodCIDRs  []netip.Prefix `json:"podCIDRs,omitempty"`
	Health    []netip.Addr   `json:"health,omitempty"`  // of the node's health endpoint
	Ingress   []netip.Addr   `json:"ingress,omitempty"` // of the node's ingress proxy
	Pos       Position       `json:"-"`
}
