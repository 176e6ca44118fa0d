// SPDX-License-Identifier: Apache-2.0

// Package tools pins what the end-to-end tests run beside Plumbline: etcd, the
// API server, Flux's kustomize-controller, and the types that Flux's CRDs are
// made from. It holds no code.
package tools

import (
	_ "github.com/fluxcd/helm-controller/api/v2"
	_ "github.com/fluxcd/kustomize-controller/api/v1"
	_ "github.com/fluxcd/source-controller/api/v1"
)
