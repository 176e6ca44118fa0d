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
	if c.rules.topology == wholeService && c.settings.LoadBalancer.ServiceTopology {
		mode = sameZone // 1.17 does not ask what the service wants (filterEndpoints, pkg/k8s/service_cache.go)
	}
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
	if (c.rules.topology == wholeService || c.rules.topology == allEndpoints) && !c.hinted(c.current()) {
		return anywhere
	}
	return mode
}

// current are the candidates that no later slice has taken over.
func (c *compiler) current() []candidate {
	var last *candidate
	return slices.DeleteFunc(slices.Clone(c.candidates), func(b candidate) bool {
		if last != nil && last.Endpoint == b.Endpoint {
			return last.rank != b.rank
		}
		last = &b
		return false
	})
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

// hints are the zones that an endpoint is for. From 1.19 on those of an endpoint
// without a zone of its own are lost (pkg/loadbalancer/reflectors/conversions.go).
func (c *compiler) hints(b *candidate) []string {
	if c.rules.hintsNeedZone && b.spec.Zone == "" {
		return nil
	}
	return b.spec.HintZones
}

// hinted tells whether every candidate has hints and one of them names this zone.
func (c *compiler) hinted(list []candidate) bool {
	found := false
	for i := range list {
		h := c.hints(&list[i])
		if len(h) == 0 {
			return false
		}
		found = found || slices.Contains(h, c.node.Zone)
	}
	return found && c.node.Zone != ""
}

// prefer leaves out the candidates that are for others.
func (c *compiler) prefer(chosen []candidate, mode topologyMode) []candidate {
	switch {
	case mode == sameNode:
		return c.preferNode(chosen)
	case mode == anywhere || c.rules.topology != wholeService && c.node.Zone == "":
		return chosen
	case c.rules.topology == perBackend:
		return slices.DeleteFunc(chosen, func(b candidate) bool {
			h := c.hints(&b)
			return len(h) > 0 && !slices.Contains(h, c.node.Zone)
		})
	}
	// The other rules were judged by topologyOf.
	if c.rules.topology >= notTerminating && !c.hinted(slices.DeleteFunc(slices.Clone(chosen), c.unjudged)) {
		return chosen
	}
	return slices.DeleteFunc(chosen, func(b candidate) bool { return !slices.Contains(c.hints(&b), c.node.Zone) })
}

// preferNode keeps the endpoints that are on this node, by their node's name and
// not by hints, if there are such (pkg/loadbalancer/writer/writer.go of 1.20).
func (c *compiler) preferNode(chosen []candidate) []candidate {
	away := func(b candidate) bool { return b.spec.NodeName != c.node.Name || c.unjudged(b) }
	if slices.IndexFunc(chosen, func(b candidate) bool { return !away(b) }) < 0 {
		return chosen
	}
	return slices.DeleteFunc(chosen, away)
}

// unjudged tells whether a candidate has no say in a preference.
func (c *compiler) unjudged(b candidate) bool {
	switch c.rules.topology {
	case notTerminating:
		return b.condition == terminating || b.condition == gone
	case activeOnly:
		return b.condition != active
	}
	return false
}
