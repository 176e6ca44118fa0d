// SPDX-License-Identifier: Apache-2.0

// Package emit writes the manifests of an environment: what Flux needs to bring
// Cilium into a cluster, and Plumbline's agent in front of it. It goes through
// kustomize, in memory, and decides nothing that the environment says. It renders
// no chart.
//
// The files, below the folder that the environment's flux.path names:
//
//	kustomization.yaml         what Flux's own Kustomization of the cluster takes in:
//	environment.yaml           the ConfigMap of those who still substitute variables
//	cilium.yaml                a Flux Kustomization of the folder cilium/
//	cilium/kustomization.yaml
//	cilium/helmrelease.yaml
//	cilium/source.yaml         where the chart comes from, unless it is in the same source
//	gate.yaml, gate/           with an agent: what Cilium waits for
//	monitoring.yaml, monitoring/  alerts and a dashboard
//	NAME.yaml                  a Flux Kustomization of the environment's own
//
// A file other than a kustomization.yaml holds one object.
package emit
