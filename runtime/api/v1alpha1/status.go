// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Group and Version are those of all of Plumbline's resources.
const (
	Group   = "plumbline.dev"
	Version = "v1alpha1"
)

// The condition types. Reconciling and Stalled are kstatus': they are there only
// while they are True.
const (
	Ready       = "Ready"
	Reconciling = "Reconciling"
	Stalled     = "Stalled"
	Drifted     = "Drifted"
)

// How long a report and its parts are at most, in bytes where they are texts. The
// definitions hold the first three; etcd takes no object of more than 1.5 MiB.
const (
	MaxDrifts       = 1000
	MaxMessage      = 4096
	MaxDriftMessage = 1024
	MaxReport       = 512 << 10
)

// DatapathNode is what a node's agent last found. It has the node's name, and no
// one else writes it.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=datapathnodes,singular=datapathnode,scope=Namespaced,categories=plumbline
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Found",type=string,JSONPath=`.status.status`
// +kubebuilder:printcolumn:name="Drifts",type=integer,JSONPath=`.status.driftCount`
// +kubebuilder:printcolumn:name="Reported",type=date,JSONPath=`.status.reportedAt`
// +kubebuilder:printcolumn:name="Layout",type=string,JSONPath=`.status.layout`,priority=1
// +kubebuilder:printcolumn:name="Agent",type=string,JSONPath=`.status.agentVersion`,priority=1
type DatapathNode struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is empty: all that there is to say is the node's own to say.
	Spec DatapathNodeSpec `json:"spec,omitempty"`
	// +kubebuilder:default={"observedGeneration":-1}
	Status NodeStatus `json:"status,omitempty"`
}

// DatapathNodeSpec is empty.
type DatapathNodeSpec struct{}

// DatapathNodeList is several.
//
// +kubebuilder:object:root=true
type DatapathNodeList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []DatapathNode `json:"items"`
}

// NodeStatus is the status of a DatapathNode: what a node's agent last reported. It
// says when only now and then (see report.Node): a report that says nothing new is
// not written each round.
//
// What may go away is written even where there is none: a merge patch keeps what it
// does not name.
type NodeStatus struct {
	// ObservedGeneration is the DatapathNode's own; SettingsGeneration that of the
	// Datapath whose settings the agent works by.
	ObservedGeneration int64 `json:"observedGeneration"`
	Settings           int64 `json:"settingsGeneration"`
	// LastHandledReconcileAt is the last request to reconcile the Datapath that a
	// round has begun after.
	// +kubebuilder:validation:MaxLength=256
	LastHandledReconcileAt string `json:"lastHandledReconcileAt,omitempty"`
	// ReportedAt is when the report was written. A report that is older than three
	// intervals says nothing of the node any more.
	Reported metav1.Time `json:"reportedAt"`
	// +kubebuilder:validation:Minimum=1
	IntervalSeconds int64 `json:"intervalSeconds"`
	// +kubebuilder:validation:MaxLength=256
	Agent string `json:"agentVersion"`
	// +kubebuilder:validation:MaxLength=64
	Layout string `json:"layout"`
	// Status is what the last round came to.
	// +kubebuilder:validation:Enum=Unknown;Uninitialized;Incompatible;OutOfSync;Drifted;InSync
	Status string `json:"status"`
	// Reason is why. It is a closed set.
	// +kubebuilder:validation:Enum=InSync;Applied;Unconfirmed;DriftDetected;DriftCorrected;ApplyFailed;SourceFailed;EmptyWantedState;ReadFailed;LayoutMismatch;Suspended;Changed;RepairLeftOver;NoPins
	Reason string `json:"reason"`
	// +kubebuilder:validation:MaxLength=4096
	Message string `json:"message"`
	// DriftCount is how many confirmed differences there are; Drifts are the first ones.
	// +kubebuilder:validation:Minimum=0
	DriftCount int `json:"driftCount"`
	// +kubebuilder:validation:MaxItems=1000
	// +listType=atomic
	Drifts []Drift `json:"drifts"`
	// +kubebuilder:validation:MaxItems=8
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:XValidation:rule="self.all(c, c.type in ['Ready', 'Drifted', 'Reconciling', 'Stalled'])",message="conditions are Ready, Drifted, Reconciling and Stalled"
	// +kubebuilder:validation:XValidation:rule="self.all(c, c.reason in ['InSync', 'Applied', 'Unconfirmed', 'DriftDetected', 'DriftCorrected', 'ApplyFailed', 'SourceFailed', 'EmptyWantedState', 'ReadFailed', 'LayoutMismatch', 'Suspended', 'Changed', 'RepairLeftOver', 'NoPins'])",message="a condition's reason is the round's"
	Conditions []metav1.Condition `json:"conditions"`
}

// Drift is a confirmed difference on a node.
type Drift struct {
	// Node is the node's name, in a Datapath's status.
	// +kubebuilder:validation:MaxLength=253
	Node string `json:"node,omitempty"`
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Kind string `json:"kind"`
	// +kubebuilder:validation:MaxLength=512
	Service string `json:"service,omitempty"`
	// +kubebuilder:validation:MaxLength=128
	Frontend string `json:"frontend,omitempty"`
	// +kubebuilder:validation:MaxLength=128
	Backend string `json:"backend,omitempty"`
	// +required
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message"`
}

// DatapathStatus sums up the reports of all nodes. Without an agent it is of no
// generation, so nobody takes it for healthy.
type DatapathStatus struct {
	ObservedGeneration int64 `json:"observedGeneration"`
	// +kubebuilder:validation:MaxLength=256
	LastHandledReconcileAt string `json:"lastHandledReconcileAt,omitempty"`
	Nodes                  Nodes  `json:"nodes"`
	// Guarded tells that some node has had maps of Cilium's: from then on it is drift
	// where one has none.
	Guarded bool `json:"guarded"`
	// Drifts are the first ones of the nodes.
	// +kubebuilder:validation:MaxItems=32
	// +listType=atomic
	Drifts []Drift `json:"drifts"`
	// +kubebuilder:validation:MaxItems=8
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:XValidation:rule="self.all(c, c.type in ['Ready', 'Drifted', 'Reconciling', 'Stalled'])",message="conditions are Ready, Drifted, Reconciling and Stalled"
	// +kubebuilder:validation:XValidation:rule="self.all(c, c.reason in ['InSync', 'DriftDetected', 'NoReports', 'NotInSync', 'NoNodes', 'NodesLack', 'InvalidSettings', 'Suspended', 'NoPins'])",message="a condition's reason is one of those in docs/CLUSTER.md"
	Conditions []metav1.Condition `json:"conditions"`
}

// Nodes counts nodes by what they report; they add up to Total.
type Nodes struct {
	Total   int `json:"total"`
	InSync  int `json:"inSync"`
	Drifted int `json:"drifted"`
	// NoPins are those where Cilium has no map.
	NoPins int `json:"noPins"`
	// Unknown are those without a report, with an old one, or with one that could not
	// tell.
	Unknown int `json:"unknown"`
	// Other are those not in sync, and not confirmed as drift.
	Other int `json:"other"`
}
