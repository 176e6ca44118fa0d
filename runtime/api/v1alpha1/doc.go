// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 types Plumbline's resources as a cluster has them. The definitions
// in schema/crd are generated from it. It holds no logic, and agents don't read
// settings by it: schema/state's Settings are what they decode, strictly.
//
// +groupName=plumbline.dev
// +kubebuilder:validation:Optional
package v1alpha1

//go:generate go tool -modfile=../../../test/e2e/tools/go.mod controller-gen crd:maxDescLen=400 paths=. output:crd:dir=../../../schema/crd
