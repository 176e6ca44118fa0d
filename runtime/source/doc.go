// SPDX-License-Identifier: Apache-2.0

// Package source makes Snapshots out of what Kubernetes says: Files reads YAML,
// and Service, EndpointSlice, Pod and Node convert single objects of the API, which
// package apiserver below watches. It judges only whether an object can be
// understood, not what follows from it.
package source
