// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"errors"
	"fmt"

	"plumbline.dev/plumbline/compiler/datapath"
	"plumbline.dev/plumbline/runtime/source"
	"plumbline.dev/plumbline/schema/state"
)

// Compiled is a Source that compiles a Snapshot: all of it once, and then what a
// change concerns.
type Compiled struct {
	// Settings must not be changed once the first State was asked for.
	Settings *state.Settings
	// Snapshot gives a complete Snapshot and what there is to say about it, or
	// an error. It must not be changed any more.
	Snapshot func(context.Context) (*state.Snapshot, []state.Notice, error)
	// Delta gives what has changed since it was asked last without an error, the
	// first time everything, and what there is to say about all that it stands for,
	// changed or not. Where it is set Snapshot is not asked.
	Delta func(context.Context) (*state.Delta, []state.Notice, error)
	// Notices is told of every Notice, each round, and with Change of those about
	// what has changed; nil is nobody.
	Notices func([]state.Notice)

	compiler *datapath.Compiler
	read     *state.Snapshot // the last one that the compiler took in
	last     *state.Snapshot // the last one that was complete
	// held is the last complete State while the compiler's is not one; else nil. It
	// is empty where complete is false, as there was none.
	held     *state.State
	complete bool
}

var (
	_ Follower = (*Compiled)(nil)
	_ Tabler   = (*Compiled)(nil)
)

// ErrNotices is wrapped where the Snapshot has errors.
var ErrNotices = errors.New("the snapshot has errors")

// State compiles what has changed for this node and gives the whole State. Where
// any Notice is an Error there is no State: what was not understood may be what is
// missing from it (I2).
func (c *Compiled) State(ctx context.Context) (*state.State, error) {
	if _, err := c.take(ctx, true); err != nil {
		return nil, err
	}
	return c.compiler.State(), nil
}

// Change compiles what has changed, under the same terms.
func (c *Compiled) Change(ctx context.Context) (*state.Change, error) { return c.take(ctx, false) }

// Current gives the last complete State; nil before the first.
func (c *Compiled) Current() *state.State {
	switch {
	case !c.complete:
		return nil
	case c.held != nil:
		return c.held
	}
	return c.compiler.State()
}

// MaglevTable computes a table by the settings' hash seed. A seed that is none has
// been said by the compiler, which compiles no table then: nor is one given here.
func (c *Compiled) MaglevTable(backends []state.Endpoint, size uint32) []uint32 {
	seed, err := datapath.MaglevSeed(c.Settings.LoadBalancer.MaglevHashSeed)
	if err != nil {
		return nil
	}
	return datapath.MaglevTable(backends, nil, size, seed)
}

// Last gives the Snapshot of the last State that was complete; nil before the
// first, and where Deltas are asked for.
func (c *Compiled) Last() *state.Snapshot { return c.last }

// take takes in what has changed. With all every Notice is told and the change is
// not asked for, else it is given and Notices are told about what has changed.
func (c *Compiled) take(ctx context.Context, all bool) (*state.Change, error) {
	delta, said, read, err := c.ask(ctx)
	if err != nil {
		return nil, err
	}
	if c.compiler == nil {
		c.compiler = datapath.New(c.Settings)
		c.held = &state.State{Layout: c.compiler.State().Layout}
	}
	change, compiled := c.compile(delta, all)
	c.read = read
	if said = append(said, compiled...); c.Notices != nil {
		c.Notices(said)
	}
	if c.compiler.Failed() || failed(said) {
		return nil, c.refuse(change, said)
	}
	if c.held != nil && !all { // with all, nobody asks for the change
		change = state.Between(c.held, c.compiler.State())
	}
	c.held = nil
	c.last, c.complete = read, true
	return change, nil
}

// compile compiles what has changed. What the compiler has otherwise then is not
// asked for where all is, and where something else is held to.
func (c *Compiled) compile(delta *state.Delta, all bool) (*state.Change, []state.Notice) {
	if all && c.held != nil {
		c.compiler.Load(delta)
		return nil, c.compiler.Notices()
	}
	change, said := c.compiler.Apply(delta)
	if all {
		said = c.compiler.Notices()
	}
	return change, said
}

// ask gives what has changed, and the Snapshot that it came from, if any.
func (c *Compiled) ask(ctx context.Context) (*state.Delta, []state.Notice, *state.Snapshot, error) {
	if c.Delta != nil {
		delta, said, err := c.Delta(ctx)
		return delta, said, nil, err
	}
	snapshot, said, err := c.Snapshot(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	return source.Delta(c.read, snapshot), said, snapshot, nil
}

// refuse keeps the State that was complete before the change, and says what is
// wrong.
func (c *Compiled) refuse(change *state.Change, said []state.Notice) error {
	if c.held == nil {
		c.held = change.Undo(c.compiler.State())
	}
	var errs []error
	seen := map[state.Notice]bool{}
	for _, n := range append(said, c.compiler.Notices()...) {
		if n.Severity == state.Error && !seen[n] {
			seen[n] = true
			errs = append(errs, errors.New(n.String()))
		}
	}
	return fmt.Errorf("%w: %w", ErrNotices, errors.Join(errs...))
}

func failed(list []state.Notice) bool {
	for _, n := range list {
		if n.Severity == state.Error {
			return true
		}
	}
	return false
}
