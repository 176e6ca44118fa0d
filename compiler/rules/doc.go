// SPDX-License-Identifier: Apache-2.0

// Package rules relates one value to another, and values to facts of the
// cluster: what no chart and no type can say. Rules are CUE; a team's own have
// the same form as those that are embedded here. It neither checks keys and
// types, which is package values' part, nor looks at a cluster.
//
// A file of rules belongs to the CUE package rules. It reads what Input gives
// it under the names of input.cue and states, below rule, what is wrong:
//
//	package rules
//
//	rule: "team/relay-off": {
//		title:    "Hubble Relay is off"
//		severity: "warning"
//		why:      "The support desk looks at flows through it."
//		mend:     "Set hubble.relay.enabled to true."
//		found: [if values.hubble.relay.enabled == false {
//			at: ["values.hubble.relay.enabled"]
//			message: "the support desk needs Hubble Relay"
//		}]
//	}
//
// A value or fact that is not there is null, so that a rule can ask for it.
// Whatever else a rule reads it has to guard: CUE has no order between null and
// a number. A rule that ends in an error is a finding itself.
package rules
