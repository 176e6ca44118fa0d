// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"testing"

	"plumbline.dev/plumbline/runtime/internal/testvector"
	"plumbline.dev/plumbline/runtime/plan"
)

// What four Cilium minors wrote for one set of objects is what the same objects
// compile to: there is no drift, under whatever ids Cilium chose.
func TestVectorsAreInSync(t *testing.T) {
	for version, l := range testvector.Versions {
		t.Run(version, func(t *testing.T) {
			have := &plan.Have{Layout: l, Tables: testvector.Tables(t, version)}
			result, err := plan.Diff(have, testvector.Want(t, version), nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range result.Drifts {
				t.Errorf("%s\n  want %s\n  have %s", d, d.Want, d.Have)
			}
			if len(result.Plan) > 0 {
				t.Errorf("plan:\n%s", result.Plan)
			}
		})
	}
}
