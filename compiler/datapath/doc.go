// SPDX-License-Identifier: Apache-2.0

// Package datapath compiles Settings and a Snapshot into the State that a node's
// load-balancer maps should hold, as Cilium of that version would write it. It
// is pure: it reads no clock, no file and no kernel, and knows no map bytes.
//
// What it holds:
//
//   - I9: equal input gives equal output, whatever the order of the Snapshot's
//     lists. Cilium's own result depends on the order of its events in a few
//     places; here each has one answer, that of an agent which starts and meets
//     its objects by namespace and name. Slots are in the order of address and
//     port (1.17 orders them by backend id, that is, by order of arrival: the
//     order of the selectable slots is no drift there). Of two services that
//     claim one address the first has it, in 1.17 the last. Of two EndpointSlices
//     of a service that hold one endpoint the last has it; in 1.17 it is merged. A
//     backend that two services see in different conditions has the better one.
//     A wildcard entry belongs to the first service of its address. And the host
//     ports of a pod that is being deleted are written until it has ended.
//   - I10: whatever of the input is not understood, or not used as its author may
//     think, is a Notice.
//
// Entries that follow from other objects than Services, EndpointSlices, Pods and
// the Node, CiliumLocalRedirectPolicies and CiliumEnvoyConfigs are not compiled:
// other clusters' endpoints. A Notice says where a Snapshot asks for them. The port
// of the L7 proxy, which no object tells, is 0.
package datapath
