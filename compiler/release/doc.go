// SPDX-License-Identifier: Apache-2.0

// Package release reads the HelmRelease of a team that has Flux and no CUE: its
// Helm values, its chart's version and how Helm is to go about it, as they
// arrive in the cluster, with every value's place in the team's files. It judges
// what Flux's substitution does to a value, never the value itself.
//
// On its way to the cluster a HelmRelease is read by kustomize and written anew,
// sorted and with no more quotes than its text needs; then the variables are put
// into that text, and the result is read again. So "${N}" loses its quotes
// before N becomes 24, and the string that was meant becomes a number. The
// package goes the very same way (kustomize-controller 1.9, post-build
// substitution), with the libraries that Flux itself has, and compares what came
// out with what was written.
package release
