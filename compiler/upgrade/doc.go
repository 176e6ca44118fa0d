// SPDX-License-Identifier: Apache-2.0

// Package upgrade finds what another version of the Cilium chart changes in one
// environment: keys and words that it no longer takes, defaults that it leaves to
// the chart, what its datapath is compiled to. It is pure, knows what the tables
// of package values know and no more, and changes nothing.
package upgrade
