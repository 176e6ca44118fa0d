// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"strconv"
	"strings"

	"plumbline.dev/plumbline/schema/state"
)

// rules are what one Cilium release does otherwise than another, where the
// difference can be seen in a State. Each was read from the sources of every patch
// release that changed it, up to 1.17.17, 1.18.11, 1.19.8 and 1.20.2, and confirmed
// by running 1.17.2, 1.18.0, 1.18.6, 1.18.11, 1.19.0, 1.19.5, 1.20.0 and 1.20.2
// over random sets of objects.
type rules struct {
	// needsSlice: a service without any EndpointSlice is not written at all (1.17).
	needsSlice bool
	// keepsUnready: endpoints that are neither ready nor serving stay in the
	// backends map (from 1.18.5 on); before that they are dropped.
	keepsUnready bool
	// mergesSlices: an endpoint in several slices has the ports of all of them (1.17);
	// later the last of them has it.
	mergesSlices bool
	// firstInSlice: of two endpoints of one slice that hold an address the first has
	// it (1.18 until 1.18.4); later the last.
	firstInSlice bool
	// exactPortName: a slice's port name must equal the service's (1.17); later an
	// unnamed port of the service takes every port.
	exactPortName bool
	// unnamedPortMatches: an unnamed port of a slice matches every name (from 1.18.2 on).
	unnamedPortMatches bool
	// policyFlagsByType: the traffic-policy flags stand only on types that the
	// policy is for (1.17); later on every frontend of the service.
	policyFlagsByType bool
	// ownAlgorithm: the master names the global algorithm (1.17); later it is
	// undefined unless the service is annotated.
	ownAlgorithm bool
	// modeByAlgorithm: the setting that allows the annotation of an algorithm allows
	// that of a forwarding mode, and its own does nothing (1.17, pkg/k8s/service.go).
	modeByAlgorithm bool
	// lastWins: of two services that claim an address the last one has it (1.17); later
	// the first.
	lastWins bool
	// matchAll: every backend has an affinity match, in whatever state (1.17);
	// later only active ones.
	matchAll bool
	// settingsDecide: session affinity matches, source ranges and the internal
	// traffic policy depend on their settings (1.17).
	settingsDecide bool
	// internalFilter: the internal traffic policy's setting decides which
	// backends are taken, though not the flags (1.18).
	internalFilter bool
	// rangesEverywhere: source ranges are written for every frontend (from 1.18 on).
	rangesEverywhere bool
	// proxyVIPs: load-balancer IPs of mode Proxy are frontends too (1.18.0).
	proxyVIPs bool
	// hybridDSR: mode hybrid means DSR for TCP (from 1.18.5 on).
	hybridDSR bool
	// denyNeedsRange: the deny flag stands only beside the source-range flag
	// (from 1.18.6 on).
	denyNeedsRange bool
	// rangeFlag: the types whose frontends check source ranges.
	rangeFlag [state.HostPort + 1]bool
	// withoutKPR: the types that are written without the kube-proxy replacement.
	withoutKPR [state.HostPort + 1]bool
	// loopbackExpands: a HostPort on a loopback address is written for the node's
	// addresses too (from 1.18 on).
	loopbackExpands bool
	// pendingPods: the host ports of pods that have addresses but do not run yet are
	// written (1.17).
	pendingPods bool
	// hostPortTables: host ports at the unspecified address have a Maglev table (1.17).
	hostPortTables bool
	// hostPortsNeedPod: a host port at an address of a family that the pod has not is
	// not written (1.17); later it is, without backends.
	hostPortsNeedPod bool
	// groupsHostPorts: a pod's host ports of one number are one service (from 1.18 on).
	groupsHostPorts bool
	// unspecifiedHostIP: hostIP 0.0.0.0 means the same as none (1.17); later such
	// a HostPort is not written.
	unspecifiedHostIP bool
	// nodeSelector: the annotation service.cilium.io/node-selector is known, and
	// so is proxy-delegation (from 1.18 on).
	nodeSelector bool
	// topology is how zone and node hints are used.
	topology topology
	// hintsNeedZone: an endpoint without a zone has no hints (from 1.19 on).
	hintsNeedZone bool
	// rejectsWhole: a service one of whose addresses is taken is not written at
	// all (from 1.18 on); before that only the address is lost.
	rejectsWhole bool
	// wildcards: an entry for all ports of each ClusterIP and load-balancer IP
	// (from 1.19 on).
	wildcards bool
	// sparesNode: no wildcard on the node's own addresses (from 1.19.5 on).
	sparesNode bool
	// nodePortsYield: node-port entries give way to an entry that a service has on
	// the node's address (from 1.19.7 on).
	nodePortsYield bool
	// undefUnlessAnnotated: where the annotation of an algorithm is allowed, a
	// service without one has none (1.17.15); before that it has the global one.
	undefUnlessAnnotated bool
	// redirects is how local redirect policies work.
	redirects redirection
	// envoy is how Envoy configurations work.
	envoy envoyRule
	// firstFamily: without spec.ipFamilies the first ClusterIP decides the family of
	// node ports (1.17).
	firstFamily bool
	// mistakesFamily: without spec.ipFamilies node ports are of IPv4 (1.18 until
	// 1.18.10, 1.19 until 1.19.4).
	mistakesFamily bool
	// externalNames: the external IPs of an ExternalName service are written (from 1.18 on).
	externalNames bool
	// sliceWeights: an EndpointSlice may carry its endpoints' weight (from 1.20 on).
	sliceWeights bool
	// trimsRanges: spaces around a source range are cut off (1.17).
	trimsRanges bool
}

// topology is how a release uses the hints of EndpointSlices.
type topology uint8

const (
	// wholeService: unless every endpoint has hints and one names this zone, all
	// endpoints are taken; not at all with a Local policy of either kind (1.17).
	wholeService topology = iota
	// perBackend: an endpoint whose hints name other zones is left out (1.18.0).
	perBackend
	// allEndpoints: as wholeService, whatever the external policy (from 1.18.1 on).
	allEndpoints
	// notTerminating: judged over a frontend's candidates that do not terminate; a
	// service may prefer its node, too (1.20.0).
	notTerminating
	// activeOnly: as notTerminating, judged over the active ones (from 1.20.1 on).
	activeOnly
)

func topologyRule(minor, patch int) topology {
	switch {
	case minor == minor17:
		return wholeService
	case minor == minor18 && patch == 0:
		return perBackend
	case minor < minor20:
		return allEndpoints
	case patch == 0:
		return notTerminating
	}
	return activeOnly
}

// minor and patch of the releases between which a behaviour changed.
const (
	minor17 = 17
	minor18 = 18
	minor19 = 19
	minor20 = 20
	// settled17 is the first 1.17 patch whose pkg/k8s/service.go and
	// pkg/redirectpolicy/manager.go set the algorithm otherwise; 1.17.7 was not read.
	settled17 = 8
	// newest is taken where a version has no patch number.
	newest = 1 << 30
)

// unverified tells of a release between two that were read whose sources differ in
// what the settings turn on.
func unverified(s *state.Settings, patch int) bool {
	lb := &s.LoadBalancer
	if patch == newest {
		return false
	}
	switch s.Layout {
	case state.Cilium117:
		return patch == 7 && (lb.AlgorithmAnnotation || lb.LocalRedirectPolicy)
	case state.Cilium118:
		return patch > 0 && patch != 6 && lb.LocalRedirectPolicy
	case state.Cilium119:
		return patch > 0 && lb.LocalRedirectPolicy
	case state.Cilium120:
		return patch == 1 && lb.LocalRedirectPolicy
	}
	return false
}

func rulesOf(s *state.Settings, patch int) rules {
	minor := minorOf(s.Layout)
	old := minor == minor17
	yields := minor >= minor20 || minor == minor19 && patch >= 7
	since18 := func(first int) bool { return minor > minor18 || minor == minor18 && patch >= first }
	r := rules{
		needsSlice: old, mergesSlices: old, exactPortName: old, policyFlagsByType: old, ownAlgorithm: old, matchAll: old,
		settingsDecide: old, modeByAlgorithm: old, lastWins: old, pendingPods: old, hostPortTables: old, hostPortsNeedPod: old, unspecifiedHostIP: old, trimsRanges: old,
		keepsUnready: since18(5), hybridDSR: since18(5), denyNeedsRange: since18(6), unnamedPortMatches: since18(2), firstInSlice: minor == minor18 && patch < 5,
		firstFamily: old, mistakesFamily: minor == minor18 && patch < 11 || minor == minor19 && patch < 5, externalNames: !old,
		internalFilter:   minor == minor18,
		rangesEverywhere: !old, loopbackExpands: !old, groupsHostPorts: !old, nodeSelector: !old, rejectsWhole: !old,
		proxyVIPs: minor == minor18 && patch == 0,
		wildcards: minor >= minor19, sparesNode: minor >= minor20 || minor == minor19 && patch >= 5, nodePortsYield: yields, sliceWeights: minor >= minor20,
		topology: topologyRule(minor, patch), hintsNeedZone: minor >= minor19,
		redirects: redirectionOf(minor, patch),
		envoy:     envoyRuleOf(minor, patch),
	}
	all := s.LoadBalancer.SourceRangeAllTypes
	r.rangeFlag = [...]bool{
		state.ClusterIP:    all && (!old || s.LoadBalancer.ExternalClusterIP),
		state.NodePort:     all,
		state.LoadBalancer: true,
		state.ExternalIPs:  all && !old || minor == minor20,
		state.HostPort:     false,
	}
	if minor == minor18 && patch < 6 {
		r.rangeFlag = [...]bool{true, true, true, true, false}
	}
	r.undefUnlessAnnotated = old && patch >= settled17
	r.withoutKPR[state.ClusterIP] = true
	r.withoutKPR[state.LoadBalancer] = minor == minor19 && !yields
	r.withoutKPR[state.ExternalIPs] = minor >= minor19
	return r
}

func minorOf(l state.Layout) int { return int(l-state.Cilium117) + minor17 }

// patchOf gives the patch number of "1.18.6" or "v1.18.6-rc.1"; a text without
// one is taken for the newest.
func patchOf(chartVersion string) int {
	parts := strings.SplitN(chartVersion, ".", 3)
	if len(parts) < 3 {
		return newest
	}
	digits := strings.IndexFunc(parts[2], func(r rune) bool { return r < '0' || r > '9' })
	if digits < 0 {
		digits = len(parts[2])
	}
	patch, err := strconv.Atoi(parts[2][:digits])
	if err != nil {
		return newest
	}
	return patch
}
