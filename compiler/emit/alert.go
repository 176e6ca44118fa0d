// SPDX-License-Identifier: Apache-2.0

package emit

import (
	"fmt"
	"math"
	"time"

	"plumbline.dev/plumbline/schema/metric"
	"plumbline.dev/plumbline/schema/state"
)

// alert is one of Prometheus'. Its annotations are templates of Prometheus' own.
type alert struct {
	name, expr, after, severity string
	summary, description        string
}

// alerts are what somebody is to be told of an environment's agents. Each names
// its node; one on a number takes the state that the number is of from the labels.
func alerts(environment string, settings *state.Settings) []alert {
	list := []alert{{
		name: "PlumblineDrift", after: "1m", severity: "critical",
		expr:        fmt.Sprintf("max by (node, kind) (%s) > 0", metric.Drifts.Name),
		summary:     "The load-balancer maps of {{ $labels.node }} have drifted",
		description: fmt.Sprintf("{{ $value }} confirmed drifts of kind {{ $labels.kind }}. On the node, plumb diff %s --live shows each with its service.", environment),
	}, {
		name: "PlumblineNotInSync", after: "15m", severity: "warning",
		expr:        isStatus("OutOfSync"),
		summary:     "What should be in the maps of {{ $labels.node }} does not get there",
		description: "A difference comes again and again, or can't be written. The agent's log says which.",
	}, {
		name: "PlumblineUnknown", after: "10m", severity: "warning",
		expr:        isStatus("Unknown|Uninitialized"),
		summary:     "Nobody knows what the maps of {{ $labels.node }} hold, or should hold",
		description: "The status is {{ $labels.status }}: the kernel, or the API server, can't be read. The agent's log says why.",
	}, {
		name: "PlumblineIncompatible", after: "10m", severity: "warning",
		expr:        isStatus("Incompatible"),
		summary:     "The maps of {{ $labels.node }} are not of the layout that the environment states",
		description: fmt.Sprintf("The environment states Cilium %s, the node runs another release. Nothing is compared until the two agree.", settings.ChartVersion),
	}, {
		name: "PlumblineSourceStale", after: "5m", severity: "warning",
		expr:        fmt.Sprintf("max by (node) (%s) > 300", metric.SourceAge.Name),
		summary:     "The agent of {{ $labels.node }} no longer hears from the API server",
		description: "What should be there was last known {{ $value | humanizeDuration }} ago. That state stays in force, and nothing is pruned by it.",
	}, {
		name: "PlumblineSuspended", after: "1h", severity: "warning",
		expr:        fmt.Sprintf("max by (node) (%s) > 0", metric.Suspended.Name),
		summary:     "The agent of {{ $labels.node }} is suspended",
		description: "It compares and reports, but writes nothing, whatever its mode. Somebody may have forgotten to resume it.",
	}, {
		name: "PlumblineMapFull", after: "10m", severity: "warning",
		expr:        fmt.Sprintf("max by (node, map) (%s / %s) > 0.9", metric.MapEntries.Name, metric.MapSize.Name),
		summary:     "The map {{ $labels.map }} of {{ $labels.node }} is nearly full",
		description: "{{ $value | humanizePercentage }} of its entries are taken. A full map takes no new service, and says so nowhere else.",
	}, {
		name: "PlumblineSilent", after: "1m", severity: "critical",
		expr:        fmt.Sprintf("time() - max by (node) (%s) > %d", metric.LastRound.Name, silence(settings.Interval.Duration)),
		summary:     "The agent of {{ $labels.node }} has stopped comparing",
		description: "Its last round ended {{ $value | humanizeDuration }} ago.",
	}, {
		name: "PlumblineAbsent", after: "15m", severity: "critical",
		expr:        fmt.Sprintf("absent(%s)", metric.BuildInfo.Name),
		summary:     "No agent of Plumbline is to be seen",
		description: "Prometheus scrapes none: drift would go unseen.",
	}}
	list = append(list, fleetAlerts(environment)...)
	if settings.Mode != state.Observe {
		list = append(list, alert{
			name: "PlumblineRepairFails", after: "5m", severity: "critical",
			expr:        fmt.Sprintf(`sum by (node) (increase(%s{reason="ApplyFailed"}[15m])) > 2`, metric.Rounds.Name),
			summary:     "The agent of {{ $labels.node }} can't write what it should",
			description: "Rounds end before their plan is carried out. The agent's log says at which step.",
		})
	}
	return list
}

// fleetAlerts are on what the controller sums up. They name no node: the Datapath does.
func fleetAlerts(environment string) []alert {
	datapath := fmt.Sprintf(`kind="Datapath",name=%q`, environment)
	return []alert{{
		name: "PlumblineFleetNotReady", after: "15m", severity: "warning",
		expr:        fmt.Sprintf(`max(%s{%s,type="Ready",status="True"}) == 0`, metric.ReconcileCondition.Name, datapath),
		summary:     "The Datapath " + environment + " is not Ready",
		description: "More nodes than its limits allow have drifted or are not known. kubectl get datapaths -A says which; Flux holds back Cilium's next revision.",
	}, {
		name: "PlumblineFleetUnknown", after: "15m", severity: "warning",
		expr:        fmt.Sprintf(`max(%s{state="unknown"}) > 0`, metric.FleetNodes.Name),
		summary:     "Of some nodes nothing is known",
		description: "{{ $value }} nodes have reported nothing lately, or nothing of the present settings.",
	}, {
		name: "PlumblineFleetSuspended", after: "24h", severity: "info",
		expr:        fmt.Sprintf(`max(%s{%s}) == 1`, metric.SuspendStatus.Name, datapath),
		summary:     "The Datapath " + environment + " is suspended",
		description: "Agents write nothing, whatever its mode.",
	}, {
		name: "PlumblineFleetFails", after: "10m", severity: "critical",
		expr:        fmt.Sprintf(`sum(increase(%s{outcome="failed"}[10m])) > 3 and sum(increase(%s{outcome!="failed"}[10m])) == 0`, metric.FleetRounds.Name, metric.FleetRounds.Name),
		summary:     "What nodes report is not summed up",
		description: "Each round of plumb-controller fails: its log says why. The Datapath is as it was before.",
	}, {
		name: "PlumblineFleetLeaderless", after: "5m", severity: "critical",
		expr:        fmt.Sprintf(`(sum(%[1]s) or absent(%[1]s) - 1) < 1`, metric.FleetLeader.Name),
		summary:     "No replica of plumb-controller leads",
		description: "Nobody sums up what nodes report: drift would not reach Flux.",
	}}
}

// isStatus is a node whose last round came to one of some statuses.
func isStatus(pattern string) string {
	return fmt.Sprintf("max by (node, status) (%s{status=~%q}) == 1", metric.Status.Name, pattern)
}

// silence is after how many seconds without a round an agent is silent: three
// intervals, as /healthz has it, and what a scrape and a slow round take.
func silence(interval time.Duration) int {
	return int(math.Ceil(3*interval.Seconds())) + 60
}

// rule is the alert as the Prometheus operator takes it.
func (a alert) rule(environment string) object {
	return object{
		"alert": a.name, "expr": a.expr, "for": a.after,
		"labels":      object{"severity": a.severity, "environment": environment},
		"annotations": object{"summary": a.summary, "description": a.description},
	}
}
