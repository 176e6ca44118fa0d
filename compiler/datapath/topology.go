// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"slices"

	"plumbline.dev/plumbline/schema/state"
)

// topologyMode is what a service asks of the endpoints' hints.
type topologyMode uint8

const (
	anywhere topologyMode = iota
	sameZone
	sameNode
)

// The two annotations that ask for zone hints; the deprecated one rules.
const (
	annotationHints = "service.kubernetes.io/topology-aware-hints"
	annotationMode  = "service.kubernetes.io/topology-mode"
)

// topologyOf judges a service's wish. Its candidates must have been gathered.
func (c *compiler) topologyOf(svc *state.Service, o *owner) topologyMode {
	mode := c.wish(svc, o)
	if mode == anywhere {
		return anywhere
	}
	if !c.settings.LoadBalancer.ServiceTopology {
		c.notice(state.Info, "snapshot/topology-off", o, "", "set loadBalancer.serviceTopology",
			"the service asks for topology-aware routing, which is off; all endpoints are taken")
		return anywhere
	}
	if local(svc.InternalTrafficPolicy) || c.rules.topology == wholeService && local(svc.ExternalTrafficPolicy) {
		return anywhere
	}
	if c.rules.topology == wholeService && !c.hinted(c.candidates, zoneHints, c.node.Zone) {
		return anywhere
	}
	return mode
}

func (c *compiler) wish(svc *state.Service, o *owner) topologyMode {
	value, set := svc.Annotations[annotationHints]
	if !set {
		value = svc.Annotations[annotationMode]
	}
	if value != "" && value != "disabled" && value != "Disabled" {
		return sameZone
	}
	later := c.rules.topology >= notTerminating
	switch svc.TrafficDistribution {
	case "":
		return anywhere
	case "PreferClose":
		return sameZone
	case "PreferSameZone":
		if later {
			return sameZone
		}
	case "PreferSameNode":
		if later {
			return sameNode
		}
	}
	c.notice(state.Warning, "snapshot/traffic-distribution", o, "spec.trafficDistribution", "",
		"%q is not known to Cilium %s; all endpoints are taken", svc.TrafficDistribution, c.settings.ChartVersion)
	return anywhere
}

func zoneHints(e *state.EndpointSpec) []string { return e.HintZones }
func nodeHints(e *state.EndpointSpec) []string { return e.HintNodes }

// hinted tells whether every candidate has hints and one of them names here.
func (c *compiler) hinted(list []candidate, hints func(*state.EndpointSpec) []string, here string) bool {
	found := false
	for i := range list {
		h := hints(list[i].spec)
		if len(h) == 0 {
			return false
		}
		found = found || slices.Contains(h, here)
	}
	return found && here != ""
}

// prefer leaves out the candidates that the hints keep for others.
func (c *compiler) prefer(chosen []candidate, mode topologyMode) []candidate {
	if mode == anywhere || c.rules.topology != wholeService && c.node.Zone == "" && mode != sameNode {
		return chosen
	}
	if c.rules.topology == perBackend {
		return slices.DeleteFunc(chosen, func(b candidate) bool {
			return len(b.spec.HintZones) > 0 && !slices.Contains(b.spec.HintZones, c.node.Zone)
		})
	}
	judged := chosen
	switch c.rules.topology {
	case wholeService: // judged by topologyOf
		return keepHinted(chosen, zoneHints, c.node.Zone)
	case notTerminating:
		judged = slices.DeleteFunc(slices.Clone(chosen), func(b candidate) bool { return b.condition == terminating || b.condition == gone })
	case activeOnly:
		judged = slices.DeleteFunc(slices.Clone(chosen), func(b candidate) bool { return b.condition != active })
	}
	if mode == sameNode && c.hinted(judged, nodeHints, c.node.Name) {
		return keepHinted(chosen, nodeHints, c.node.Name)
	}
	if c.hinted(judged, zoneHints, c.node.Zone) {
		return keepHinted(chosen, zoneHints, c.node.Zone)
	}
	return chosen
}

func keepHinted(chosen []candidate, hints func(*state.EndpointSpec) []string, here string) []candidate {
	return slices.DeleteFunc(chosen, func(b candidate) bool { return !slices.Contains(hints(b.spec), here) })
}
