// SPDX-License-Identifier: Apache-2.0

// Package crd embeds the definitions of Plumbline's own resources, a YAML file
// each, so that what is built for a cluster and what runs in it have the same
// ones. It types nothing: the Go types, which the files are generated from, are
// runtime/api/v1alpha1's.
package crd

import (
	"embed"
	"fmt"

	"sigs.k8s.io/yaml"
)

// ReasonNoPins is the reason of a Datapath's condition Ready where every node has
// reported and none has a map of Cilium's: it has never run there. Cilium's
// release does not wait for such a Datapath, or it would wait for itself.
const ReasonNoPins = "NoPins"

//go:embed *.yaml
var files embed.FS

// Definitions are the CustomResourceDefinitions, in the order of their files'
// names. The trees are the caller's.
func Definitions() ([]map[string]any, error) {
	entries, err := files.ReadDir(".")
	if err != nil {
		return nil, fmt.Errorf("definitions: %w", err)
	}
	var list []map[string]any
	for _, e := range entries {
		data, err := files.ReadFile(e.Name())
		if err != nil {
			return nil, fmt.Errorf("definition %s: %w", e.Name(), err)
		}
		tree := map[string]any{}
		if err := yaml.UnmarshalStrict(data, &tree); err != nil {
			return nil, fmt.Errorf("definition %s: %w", e.Name(), err)
		}
		list = append(list, tree)
	}
	return list, nil
}
