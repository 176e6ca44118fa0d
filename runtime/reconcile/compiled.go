// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"
	"fmt"

	"plumbline.dev/plumbline/compiler/datapath"
	"plumbline.dev/plumbline/schema/state"
)

// Compiled is a Source that compiles a Snapshot.
type Compiled struct {
	Settings *state.Settings
	// Snapshot gives a complete Snapshot and what there is to say about it, or
	// an error.
	Snapshot func(context.Context) (*state.Snapshot, []state.Notice, error)
	// Notices is told of every Notice, each round; nil is nobody.
	Notices func([]state.Notice)

	last *state.Snapshot
}

var _ Source = (*Compiled)(nil)

// ErrNotices is wrapped by State where the Snapshot has errors.
var ErrNotices = errors.New("the snapshot has errors")

// State compiles the Snapshot for this node. Where any Notice is an Error there
// is no State: what was not understood may be what is missing from it (I2).
func (c *Compiled) State(ctx context.Context) (*state.State, error) {
	snapshot, notices, err := c.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	want, more := datapath.Compile(c.Settings, snapshot)
	notices = append(notices, more...)
	if c.Notices != nil {
		c.Notices(notices)
	}
	var errs []error
	for _, n := range notices {
		if n.Severity == state.Error {
			errs = append(errs, errors.New(n.String()))
		}
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("%w: %w", ErrNotices, errors.Join(errs...))
	}
	c.last = snapshot
	return want, nil
}

// Last gives the Snapshot of the last State that was complete; nil before the
// first.
func (c *Compiled) Last() *state.Snapshot { return c.last }
