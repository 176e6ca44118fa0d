// SPDX-License-Identifier: Apache-2.0

// Package compare tells two compiled environments apart: their Helm values, their
// manifests and their Settings, path by path. It is pure: it compiles nothing,
// reads nothing and decides nothing about what a difference means.
//
// A tree is compared as the set of its leaves, each with its path. A leaf is a
// scalar, a list or an empty object. So a difference is always one leaf that is
// on one side only, or another on both, and the differences of A and B turn A
// into B. Lists of a value are leaves, as Helm replaces them whole; those of
// manifests whose elements all have a name of their own are gone into by it.
package compare
