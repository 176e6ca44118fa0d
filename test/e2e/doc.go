// SPDX-License-Identifier: Apache-2.0

// Package e2e tests Plumbline with the real things: etcd, the API server and
// Flux's kustomize-controller, the agent and the controller, and this machine's
// kernel. It holds tests alone. `make test-e2e` in the project's root runs it.
//
// What it stands in for, as there is no kubelet and no controller manager:
// source-controller (the tests publish artifacts themselves), helm-controller,
// and whatever makes pods of a DaemonSet or a Deployment.
package e2e
