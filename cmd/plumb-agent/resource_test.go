// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"testing"

	"plumbline.dev/plumbline/runtime/reconcile"
	"plumbline.dev/plumbline/runtime/store"
	"plumbline.dev/plumbline/schema/state"
)

// Maps of other sizes than the settings want are known to be such, not unknown.
func TestNotBegun(t *testing.T) {
	for _, test := range []struct {
		err    error
		status reconcile.Status
		reason reconcile.Reason
	}{
		{fmt.Errorf("open: %w", store.ErrIncompatible), reconcile.Incompatible, reconcile.ReasonLayout},
		{errors.New("no bpffs"), reconcile.Unknown, reconcile.ReasonReadFailed},
	} {
		if r := notBegun(state.Own, test.err); r.Status != test.status || r.Reason != test.reason || r.Mode != state.Own || !errors.Is(r.Err, test.err) {
			t.Errorf("%v: %s %s %s", test.err, r.Status, r.Reason, r.Mode)
		}
	}
}
