// SPDX-License-Identifier: Apache-2.0

// Package source makes Snapshots out of what Kubernetes says: Files reads YAML,
// Cluster watches an API server and gives Deltas, and Service, EndpointSlice, Pod and
// Node convert single objects of the API. It judges only whether an object can be
// understood, not what follows from it.
package source
