// SPDX-License-Identifier: Apache-2.0

// Package metric names the numbers that agents and the controller expose. It is a leaf: what
// counts them, and what writes alerts and dashboards on them, take their names
// from here. It counts nothing itself.
package metric

// Kind is how a metric behaves.
type Kind string

// The kinds, as Prometheus names them.
const (
	Gauge     Kind = "gauge"
	Counter   Kind = "counter"
	Histogram Kind = "histogram"
)

// Metric is one of them. Its name is stable.
type Metric struct {
	Name   string
	Kind   Kind
	Help   string
	Labels []string
}

// The metrics of an agent.
var (
	BuildInfo   = Metric{"plumbline_build_info", Gauge, "1, with the version of the agent.", []string{"version"}}
	Status      = Metric{"plumbline_status", Gauge, "1 for the status that the last round came to, 0 for every other.", []string{"status"}}
	Rounds      = Metric{"plumbline_rounds_total", Counter, "Rounds by what they came to.", []string{"status", "reason"}}
	RoundTime   = Metric{"plumbline_round_duration_seconds", Histogram, "How long a round took, from the source to the report.", nil}
	LastRound   = Metric{"plumbline_last_round_timestamp_seconds", Gauge, "When the last round ended.", nil}
	LastInSync  = Metric{"plumbline_last_in_sync_timestamp_seconds", Gauge, "When a round last found the kernel in sync; 0 is never.", nil}
	Drifts      = Metric{"plumbline_drifts", Gauge, "Confirmed drifts of the last round, by kind.", []string{"kind"}}
	Unconfirmed = Metric{"plumbline_unconfirmed_differences", Gauge, "Differences of the last round that are not confirmed as drift.", nil}
	Steps       = Metric{"plumbline_steps_total", Counter, "Steps that were planned, and that were applied.", []string{"outcome"}}
	Frontends   = Metric{"plumbline_wanted_frontends", Gauge, "Frontends of the wanted state.", nil}
	Backends    = Metric{"plumbline_wanted_backends", Gauge, "Backends of the wanted state.", nil}
	SourceAge   = Metric{"plumbline_source_age_seconds", Gauge, "How old the wanted state is: above 0 where the source failed.", nil}
	Suspended   = Metric{"plumbline_suspended", Gauge, "1 while the agent is told to write nothing, else 0.", nil}
	MapEntries  = Metric{"plumbline_map_entries", Gauge, "Entries that a map holds.", []string{"map"}}
	MapSize     = Metric{"plumbline_map_max_entries", Gauge, "Entries that a map can hold.", []string{"map"}}
)

// The metrics of the controller, beside those that every controller of Flux's has.
var (
	FleetLeader   = Metric{"plumbline_fleet_leader", Gauge, "1 while this replica leads.", nil}
	FleetNodes    = Metric{"plumbline_fleet_nodes", Gauge, "Nodes by what their reports come to; they add up to the cluster's.", []string{"state"}}
	FleetRounds   = Metric{"plumbline_fleet_rounds_total", Counter, "Rounds by what they came to: unchanged, written, failed.", []string{"outcome"}}
	FleetLastDone = Metric{"plumbline_fleet_last_round_timestamp_seconds", Gauge, "When the last round ended without an error.", nil}
)

// Reconciled are those metrics of Flux's own controllers that the controller has too.
// Their names and labels are Flux's.
var (
	ReconcileCondition = Metric{"gotk_reconcile_condition", Gauge, "The current condition status of a GitOps Toolkit resource reconciliation.", []string{"kind", "name", "namespace", "type", "status"}}
	ReconcileDuration  = Metric{"gotk_reconcile_duration_seconds", Histogram, "The duration in seconds of a GitOps Toolkit resource reconciliation.", []string{"kind", "name", "namespace"}}
	SuspendStatus      = Metric{"gotk_suspend_status", Gauge, "The current suspend status of a GitOps Toolkit resource.", []string{"kind", "name", "namespace"}}
)

// Fleet lists the controller's.
func Fleet() []Metric {
	return []Metric{FleetLeader, FleetNodes, FleetRounds, FleetLastDone, ReconcileCondition, ReconcileDuration, SuspendStatus}
}

// All lists the agent's.
func All() []Metric {
	return []Metric{BuildInfo, Status, Rounds, RoundTime, LastRound, LastInSync, Drifts, Unconfirmed, Steps,
		Frontends, Backends, SourceAge, Suspended, MapEntries, MapSize}
}
