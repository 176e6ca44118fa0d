// SPDX-License-Identifier: Apache-2.0

// Package state holds the nouns of the datapath in Go: Settings (what an
// environment asks of the kernel), Snapshot (what the API server says) and
// State (what the kernel should hold, or holds), with their canonical text and
// JSON. It is a leaf: it compiles nothing, reads nothing and knows no map bytes.
package state
