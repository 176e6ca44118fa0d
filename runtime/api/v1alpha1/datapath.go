// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Datapath is what the nodes of an environment should hold in their kernels, and
// whether they do.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=datapaths,singular=datapath,scope=Namespaced,categories=plumbline
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Nodes",type=integer,JSONPath=`.status.nodes.total`
// +kubebuilder:printcolumn:name="Drifted",type=integer,JSONPath=`.status.nodes.drifted`
// +kubebuilder:printcolumn:name="Unknown",type=integer,JSONPath=`.status.nodes.unknown`
// +kubebuilder:printcolumn:name="Mode",type=string,JSONPath=`.spec.mode`,priority=1
// +kubebuilder:printcolumn:name="Layout",type=string,JSONPath=`.spec.layout`,priority=1
// +kubebuilder:printcolumn:name="Suspended",type=boolean,JSONPath=`.spec.suspend`,priority=1
type Datapath struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec DatapathSpec `json:"spec"`
	// +kubebuilder:default={"observedGeneration":-1}
	Status DatapathStatus `json:"status,omitempty"`
}

// DatapathList is several.
//
// +kubebuilder:object:root=true
type DatapathList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Datapath `json:"items"`
}

// DatapathSpec is the Settings that an environment compiles to. Agents read them
// strictly: a field that one does not know is an error, and so it is to the API
// server.
//
// +kubebuilder:validation:XValidation:rule="duration(self.interval) >= duration('1s')",message="interval is a second or longer",fieldPath=".interval"
// +kubebuilder:validation:XValidation:rule="self.mode != 'repair' || duration(self.grace) > duration('0s')",message="mode repair writes confirmed drift only: grace is above 0s",fieldPath=".grace"
// +kubebuilder:validation:XValidation:rule="self.mode != 'own' || has(self.maps) && self.maps.services > 0 && self.maps.backends > 0 && self.maps.reverseNat > 0",message="mode own makes the maps: maps has the sizes of services, backends and reverseNat",fieldPath=".maps"
// +kubebuilder:validation:XValidation:rule="self.mode != 'own' || !has(self.devices)",message="mode own has no programs at devices",fieldPath=".devices"
// +kubebuilder:validation:XValidation:rule="!has(self.nodePortMin) || !has(self.nodePortMax) || self.nodePortMin <= self.nodePortMax",message="nodePortMin is not above nodePortMax",fieldPath=".nodePortMin"
// +kubebuilder:validation:XValidation:rule="self.chartVersion.startsWith(self.layout.substring(7) + '.') || self.chartVersion.startsWith('v' + self.layout.substring(7) + '.')",message="layout is the one of chartVersion's minor",fieldPath=".layout"
type DatapathSpec struct {
	// Environment is the name of the environment.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Environment string `json:"environment"`
	// ChartVersion is the full version, such as 1.17.2.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	ChartVersion string `json:"chartVersion"`
	// Layout is how the maps are laid out. There is no guess at one that is not known.
	// +required
	// +kubebuilder:validation:Enum=cilium/1.17;cilium/1.18;cilium/1.19;cilium/1.20
	Layout string `json:"layout"`
	// Mode is what agents may do to the maps.
	// +kubebuilder:validation:Enum=observe;repair;own
	// +kubebuilder:default=observe
	Mode string `json:"mode"`
	// CgroupRoot is the cgroup that the socket load balancer hangs at.
	// +required
	// +kubebuilder:validation:Pattern=`^/`
	// +kubebuilder:validation:MaxLength=4096
	CgroupRoot string `json:"cgroupRoot"`
	// BPFRoot is where the bpffs is mounted.
	// +required
	// +kubebuilder:validation:Pattern=`^/`
	// +kubebuilder:validation:MaxLength=4096
	BPFRoot string `json:"bpfRoot"`

	IPv4 bool `json:"ipv4"`
	IPv6 bool `json:"ipv6"`
	// KubeProxyReplacement turns on everything but ClusterIPs.
	KubeProxyReplacement bool `json:"kubeProxyReplacement"`
	SocketLB             bool `json:"socketLB"`

	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=65535
	NodePortMin int32 `json:"nodePortMin"`
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=65535
	NodePortMax int32 `json:"nodePortMax"`
	// NodePortAddresses are the prefixes that node ports are served at; none is all.
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:Format=cidr
	NodePortAddresses []string `json:"nodePortAddresses,omitempty"`
	BindProtection    bool     `json:"bindProtection"`

	// Devices are what is said of the programs at network devices; absent is that
	// nothing is known of them.
	Devices      *Devices     `json:"devices,omitempty"`
	LoadBalancer LoadBalancer `json:"loadBalancer"`
	Maps         Maps         `json:"maps"`

	// Interval lies between two audits of a node.
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:default="30s"
	Interval string `json:"interval"`
	// Grace lies between the two reads that confirm a drift.
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:default="10s"
	Grace string `json:"grace"`
	// +kubebuilder:default={}
	Limits Limits `json:"limits"`
	// NodeSelector are labels of the nodes that have an agent, beside that they run
	// Linux. Of other nodes no report is expected.
	// +kubebuilder:validation:MaxProperties=32
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`
	// Suspend has agents write nothing, whatever the mode: they go on auditing.
	Suspend bool `json:"suspend,omitempty"`

	// Routing is how pods of other nodes are reached; empty is not known.
	// +kubebuilder:validation:Enum="";tunnel;native
	Routing string `json:"routing"`
	// +kubebuilder:default={}
	Audits Audits `json:"audits"`

	// Services are declared by the environment itself, beside those of the API.
	// +kubebuilder:validation:MaxItems=1000
	Services []Service `json:"services,omitempty"`
}

// Devices say which programs hang at which network devices.
type Devices struct {
	// Names select the native devices; one that ends in + is a prefix. None is what
	// the agent detects.
	// +kubebuilder:validation:MaxItems=64
	Names []string `json:"names,omitempty"`
	// TCX tells whether programs hang by tcx where the kernel has it.
	TCX bool `json:"tcx"`
	// Egress tells whether native devices are needed on their way out as well.
	Egress bool `json:"egress"`
	// Acceleration is XDP's mode.
	Acceleration string `json:"acceleration"`
	// Tunnel is the tunnel's protocol; empty is none, or not known.
	Tunnel string `json:"tunnel,omitempty"`
}

// LoadBalancer is what the Helm values say of service load balancing.
type LoadBalancer struct {
	// +kubebuilder:validation:Enum=undef;random;maglev
	Algorithm             string `json:"algorithm,omitempty"`
	Mode                  string `json:"mode"`
	MaglevTableSize       uint32 `json:"maglevTableSize"`
	MaglevHashSeed        string `json:"maglevHashSeed"`
	SessionAffinity       bool   `json:"sessionAffinity"`
	SourceRangeCheck      bool   `json:"sourceRangeCheck"`
	SourceRangeAllTypes   bool   `json:"sourceRangeAllTypes"`
	ExternalClusterIP     bool   `json:"externalClusterIP"`
	AlgorithmAnnotation   bool   `json:"algorithmAnnotation"`
	ModeAnnotation        bool   `json:"modeAnnotation"`
	ServiceTopology       bool   `json:"serviceTopology"`
	InternalTrafficPolicy bool   `json:"internalTrafficPolicy"`
	TerminatingEndpoints  bool   `json:"terminatingEndpoints"`
	ServiceProxyName      string `json:"serviceProxyName,omitempty"`
	DefaultIPAM           string `json:"defaultIPAM"`
	WildcardEntries       bool   `json:"wildcardEntries"`
	LocalRedirectPolicy   bool   `json:"localRedirectPolicy"`
	EnvoyConfig           bool   `json:"envoyConfig,omitempty"`
	SCTP                  bool   `json:"sctp"`
	HealthCheckVIP        bool   `json:"healthCheckVIP"`
	// Zones maps a zone's name to its number in a backend row.
	// +kubebuilder:validation:MaxProperties=255
	Zones map[string]uint8 `json:"zones,omitempty"`
}

// Maps are the sizes of the maps, in entries, and how they are created.
type Maps struct {
	// +kubebuilder:default=0
	Services uint32 `json:"services"`
	// +kubebuilder:default=0
	Backends uint32 `json:"backends"`
	// +kubebuilder:default=0
	ReverseNAT   uint32 `json:"reverseNat"`
	Affinity     uint32 `json:"affinity"`
	SourceRanges uint32 `json:"sourceRanges"`
	Maglev       uint32 `json:"maglev"`
	// SocketReverse is 0 where Cilium sizes the map from the node's memory.
	SocketReverse  uint32 `json:"socketReverse"`
	Preallocate    bool   `json:"preallocate"`
	DistributedLRU bool   `json:"distributedLRU"`
}

// Limits bound what one cycle may do and one report may hold, where 0 is no limit,
// and how many nodes may not be as they should.
type Limits struct {
	// RepairEntries is how many map entries one cycle may write in mode repair.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	// +kubebuilder:default=64
	RepairEntries int `json:"repairEntries"`
	// ReportDrifts is how many drifts a node's report holds.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	// +kubebuilder:default=32
	ReportDrifts int `json:"reportDrifts"`
	// DriftedNodes is how many nodes may have drifted, or what part of all ("5%"), while
	// the Datapath is Ready still. None is the default.
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=4
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 0 : self.matches('^(100|[1-9]?[0-9])%$')",message="want a number of nodes, or a part of all such as 5%"
	DriftedNodes *intstr.IntOrString `json:"driftedNodes,omitempty"`
	// UnknownNodes is how many nodes may be silent, or have differences that are not
	// confirmed, while the Datapath is Ready still. None is the default.
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=4
	// +kubebuilder:validation:XValidation:rule="type(self) == int ? self >= 0 : self.matches('^(100|[1-9]?[0-9])%$')",message="want a number of nodes, or a part of all such as 5%"
	UnknownNodes *intstr.IntOrString `json:"unknownNodes,omitempty"`
}

// Audits switch what is compared beside the services.
type Audits struct {
	// +kubebuilder:default=true
	IPCache bool `json:"ipcache"`
	// +kubebuilder:default=true
	Endpoints bool `json:"endpoints"`
	// +kubebuilder:default=true
	Liveness bool `json:"liveness"`
	// +kubebuilder:default=true
	Fill bool `json:"fill"`
}

// Service is a service that an environment declares without the API server.
type Service struct {
	// +required
	Namespace string `json:"namespace"`
	// +required
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
	// +kubebuilder:validation:MaxItems=64
	IPs []string `json:"ips"`
	// +kubebuilder:validation:MaxItems=1000
	Ports []ServicePort `json:"ports"`
}

// ServicePort is one port of a declared service, and where it leads.
type ServicePort struct {
	Name string `json:"name,omitempty"`
	// +required
	// +kubebuilder:validation:Enum=TCP;UDP;SCTP
	Protocol string `json:"protocol"`
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port"`
	// Backends are ADDR:PORT, with brackets around an IPv6 address.
	// +kubebuilder:validation:MaxItems=10000
	Backends []string `json:"backends"`
}
