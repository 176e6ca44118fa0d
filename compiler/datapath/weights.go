// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"strconv"

	"plumbline.dev/plumbline/schema/state"
)

// defaultWeight is a backend's share in a Maglev table where nothing says another
// (DefaultBackendWeight, pkg/loadbalancer/loadbalancer.go of Cilium 1.20).
const defaultWeight = 100

const annotationWeight = annotationPrefix + "weight"

// weigh gives the weight of a slice's endpoints. Weight 0 takes them out of
// balancing: they stay in the backends map, in maintenance.
func (c *compiler) weigh(slice *state.EndpointSlice, o *owner) uint16 {
	if slice.Weight == nil {
		return defaultWeight
	}
	field := "metadata.annotations[" + annotationWeight + "]"
	if !c.rules.sliceWeights {
		c.notice(state.Warning, "snapshot/unknown-annotation", o, field, "", "Cilium %s knows no weights of EndpointSlices; it has no effect", c.settings.ChartVersion)
		return defaultWeight
	}
	weight, err := strconv.ParseUint(*slice.Weight, 10, 16)
	if err != nil {
		c.notice(state.Warning, "snapshot/bad-annotation", o, field, "want 0 to 65535", "%q is no weight; the annotation has no effect", *slice.Weight)
		return defaultWeight
	}
	return uint16(weight)
}
