// SPDX-License-Identifier: Apache-2.0

// Package datapath compiles Settings and a Snapshot into the State that a node's
// load-balancer maps should hold, as Cilium of that version would write it. It
// is pure: it reads no clock, no file and no kernel, and knows no map bytes.
//
// What it holds:
//
//   - I9: equal input gives equal output, whatever the order of the Snapshot's
//     lists. Cilium's own result depends on the order of its events in four
//     places; here each has one answer. Slots are in the order of address and
//     port (1.17 orders them by backend id, that is, by order of arrival: the
//     order of the selectable slots is no drift there). Of two services that
//     claim one address the one with the smaller namespace/name has it. A
//     backend that two services see in different conditions has the better one.
//     And a wildcard entry belongs to the first service, by name, of its address.
//   - I10: whatever of the input is not understood, or not used as its author may
//     think, is a Notice.
//
// Entries that follow from other objects than Services, EndpointSlices, Pods and
// the Node, CiliumLocalRedirectPolicies and CiliumEnvoyConfigs are not compiled:
// other clusters' endpoints. A Notice says where a Snapshot asks for them. The port
// of the L7 proxy, which no object tells, is 0.
package datapath
