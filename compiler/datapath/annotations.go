// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"

	"plumbline.dev/plumbline/schema/state"
)

const annotationPrefix = "service.cilium.io/"

// annotationGlobalAlias is the former name of service.cilium.io/global.
const annotationGlobalAlias = "io.cilium/global-service"

// annotate applies the annotations that change a service's entries. Those that
// decide where they are written are exposedHere's and exposes'.
func (c *compiler) annotate(svc *state.Service, s *service, o *owner) {
	for name, value := range svc.Annotations {
		if name == annotationGlobalAlias {
			name = annotationPrefix + "global"
		}
		if short, ours := strings.CutPrefix(name, annotationPrefix); ours {
			c.annotation(short, value, s, o, "metadata.annotations["+name+"]")
		}
	}
}

// annotation applies one annotation. None depends on another, so the order of
// the map does not matter.
func (c *compiler) annotation(short, value string, s *service, o *owner, field string) {
	lb := &c.settings.LoadBalancer
	switch short {
	case "lb-algorithm":
		if c.allowed(lb.AlgorithmAnnotation, "bpf.lbAlgorithmAnnotation", o, field) {
			c.algorithm(value, s, o, field)
		}
	case "forwarding-mode":
		on, setting := lb.ModeAnnotation, "bpf.lbModeAnnotation"
		if c.rules.modeByAlgorithm {
			on, setting = lb.AlgorithmAnnotation, "bpf.lbAlgorithmAnnotation"
		}
		if c.allowed(on, setting, o, field) {
			c.forwardingMode(value, s, o, field)
		}
	case "src-ranges-policy":
		s.deny = c.oneOf(value, o, field, "allow", "deny") && strings.EqualFold(value, "deny")
	case "proxy-delegation":
		c.delegation(value, s, o, field)
	case "type":
		c.oneOfExactly(value, o, field, "ClusterIP", "NodePort", "LoadBalancer")
	case "affinity":
		c.oneOf(value, o, field, "local", "remote", "none")
	case "global":
		if strings.EqualFold(value, "true") {
			c.notice(state.Warning, "snapshot/not-modelled", o, field, "", "endpoints of other clusters are not in the snapshot")
		}
	case "lb-l7", "lb-l7-algorithm":
		if c.proxied[s.key] == nil {
			c.notice(state.Warning, "snapshot/not-modelled", o, field, "add the CiliumEnvoyConfig that the operator makes of it", "L7 load balancing follows from a CiliumEnvoyConfig, and the snapshot has none of the service")
		}
	case "node", "node-selector", "shared", "global-sync-endpoint-slices":
	default:
		c.notice(state.Warning, "snapshot/unknown-annotation", o, field, "", "Cilium %s knows no such annotation; it has no effect", c.settings.ChartVersion)
	}
}

// allowed says where an annotation has no effect because its setting is off.
func (c *compiler) allowed(on bool, setting string, o *owner, field string) bool {
	if !on {
		c.notice(state.Warning, "snapshot/annotation-off", o, field, "set "+setting, "the annotation has no effect while %s is off", setting)
	}
	return on
}

// oneOf compares as Cilium does for these annotations: in lower case.
func (c *compiler) oneOf(value string, o *owner, field string, known ...string) bool {
	return c.oneOfExactly(strings.ToLower(value), o, field, known...)
}

func (c *compiler) oneOfExactly(value string, o *owner, field string, known ...string) bool {
	if slices.Contains(known, value) {
		return true
	}
	c.notice(state.Warning, "snapshot/bad-annotation", o, field, "want "+strings.Join(known, ", "), "%q is not understood; the annotation has no effect", value)
	return false
}

// forwardingMode takes hybrid, where it is known, for snat: Cilium asks for the
// mode without a protocol there (ToSVCForwardingMode, pkg/loadbalancer/loadbalancer.go).
func (c *compiler) forwardingMode(value string, s *service, o *owner, field string) {
	if c.rules.hybridDSR && strings.EqualFold(value, "hybrid") {
		c.notice(state.Warning, "snapshot/hybrid-annotation", o, field, "write snat or dsr", "Cilium %s takes hybrid for snat in the annotation", c.settings.ChartVersion)
		s.dsr = "snat"
	} else if c.oneOf(value, o, field, "dsr", "snat") {
		s.dsr = strings.ToLower(value)
	}
}

// algorithm takes the value in any case in 1.17 and as it stands later
// (Service.GetLBAlgorithmAnnotation, pkg/loadbalancer/service.go).
func (c *compiler) algorithm(value string, s *service, o *owner, field string) {
	if !c.rules.ownAlgorithm && value != strings.ToLower(value) {
		c.oneOfExactly(value, o, field, "random", "maglev")
		return
	}
	if !c.oneOf(value, o, field, "random", "maglev") {
		return
	}
	s.algorithm = state.Random
	if strings.EqualFold(value, "maglev") {
		s.algorithm = state.Maglev
	}
}

func (c *compiler) delegation(value string, s *service, o *owner, field string) {
	if !c.rules.nodeSelector {
		c.notice(state.Warning, "snapshot/unknown-annotation", o, field, "", "Cilium %s does not know the annotation; it has no effect", c.settings.ChartVersion)
		return
	}
	s.delegate = c.oneOf(value, o, field, "none", "delegate-if-local") && strings.EqualFold(value, "delegate-if-local")
}

// exposes tells whether service.cilium.io/type lets a type be written.
func exposes(svc *state.Service, t string) bool {
	value, set := svc.Annotations[annotationPrefix+"type"]
	if set && (value == "ClusterIP" || value == "NodePort" || value == "LoadBalancer") {
		return value == t
	}
	return true
}

// exposedHere tells whether the service is written on this node, as its
// annotations node-selector and node, in this order, have it.
func (c *compiler) exposedHere(svc *state.Service, o *owner) bool {
	const node, selector = annotationPrefix + "node", annotationPrefix + "node-selector"
	if text, set := svc.Annotations[selector]; set {
		field := "metadata.annotations[" + selector + "]"
		if c.rules.nodeSelector {
			return c.selected(text, o, field)
		}
		c.notice(state.Warning, "snapshot/unknown-annotation", o, field, "use "+node, "Cilium %s does not know the annotation; it has no effect", c.settings.ChartVersion)
	}
	value, set := svc.Annotations[node]
	if !set {
		return true
	}
	c.needsLabels(o, "metadata.annotations["+node+"]")
	label, has := c.node.Labels[node]
	return has && label == value
}

func (c *compiler) selected(text string, o *owner, field string) bool {
	sel, err := labels.Parse(text)
	if err != nil {
		c.notice(state.Warning, "snapshot/bad-annotation", o, field, "want a label selector", "%q is not understood, so the service is written on every node: %v", text, err)
		return true
	}
	c.needsLabels(o, field)
	return sel.Matches(labels.Set(c.node.Labels))
}

func (c *compiler) needsLabels(o *owner, field string) {
	if c.node.Labels == nil {
		c.notice(state.Warning, "snapshot/node-labels-unknown", o, field, "add the Node to the snapshot",
			"the service is only for nodes with certain labels, and those of node %s are not known", fmt.Sprintf("%q", c.node.Name))
	}
}
