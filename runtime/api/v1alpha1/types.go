// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 types what Plumbline's resources say in a cluster, as far as
// agents and the controller read and write it. The resources themselves are defined
// in schema/crd, and the settings of a Datapath are schema/state's.
package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Group and Version are those of all of Plumbline's resources.
const (
	Group   = "plumbline.dev"
	Version = "v1alpha1"
)

// The condition types.
const (
	Ready   = "Ready"
	Drifted = "Drifted"
)

// NodeStatus is the status of a DatapathNode: what a node's agent last reported. It
// says when only now and then (see report.Node): a report that says nothing new is
// not written each round.
type NodeStatus struct {
	// ObservedGeneration is the DatapathNode's own; Settings that of the Datapath
	// whose settings the agent works by.
	ObservedGeneration int64 `json:"observedGeneration"`
	Settings           int64 `json:"settingsGeneration"`
	// Reported is when the report was written. A report that is older than three
	// intervals says nothing of the node any more.
	Reported        metav1.Time `json:"reportedAt"`
	IntervalSeconds int64       `json:"intervalSeconds"`
	Agent           string      `json:"agentVersion"`
	Layout          string      `json:"layout"`
	// Status and Reason are the round's, as docs/AGENT.md has them.
	Status  string `json:"status"`
	Reason  string `json:"reason"`
	Message string `json:"message,omitempty"`
	// Drifts are the first ones; DriftCount is how many there are.
	DriftCount int                `json:"driftCount"`
	Drifts     []Drift            `json:"drifts,omitempty"`
	Conditions []metav1.Condition `json:"conditions"`
}

// Drift is a confirmed difference on a node.
type Drift struct {
	Node     string `json:"node,omitempty"` // in a Datapath's status
	Kind     string `json:"kind"`
	Service  string `json:"service,omitempty"`
	Frontend string `json:"frontend,omitempty"`
	Backend  string `json:"backend,omitempty"`
	Message  string `json:"message"`
}

// DatapathStatus sums up the reports of all nodes.
type DatapathStatus struct {
	ObservedGeneration     int64  `json:"observedGeneration"`
	LastHandledReconcileAt string `json:"lastHandledReconcileAt,omitempty"`
	Nodes                  Nodes  `json:"nodes"`
	// Guarded tells that some node has had maps of Cilium's: from then on it is drift
	// where one has none.
	Guarded    bool               `json:"guarded"`
	Drifts     []Drift            `json:"drifts,omitempty"` // the first ones
	Conditions []metav1.Condition `json:"conditions"`
}

// Nodes counts nodes by what they report; they add up to Total.
type Nodes struct {
	Total   int `json:"total"`
	InSync  int `json:"inSync"`
	Drifted int `json:"drifted"`
	NoPins  int `json:"noPins"`  // Cilium has no map there
	Unknown int `json:"unknown"` // no report, an old one, or one that could not tell
	Other   int `json:"other"`   // not in sync, and not confirmed as drift
}
