// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"sync"

	"plumbline.dev/plumbline/runtime/plan"
)

// ErrInjected is what a Faulty store fails with.
var ErrInjected = errors.New("injected fault")

// Faulty fails one operation of the store that it wraps, once: reads and steps
// are counted from 1 on. A sweep over all of them shows that every single
// failure is survived.
type Faulty struct {
	Store
	// At is the operation to fail; 0 is none.
	At int
	// TookEffect has a failing step take effect before it is reported as
	// failed, as a write does whose answer was lost.
	TookEffect bool

	mu    sync.Mutex
	count int
	fired bool
}

// Operations is how many reads and steps there have been.
func (f *Faulty) Operations() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count
}

// Fired tells whether the fault has been injected.
func (f *Faulty) Fired() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fired
}

func (f *Faulty) fails() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count++
	if f.count != f.At {
		return false
	}
	f.fired = true
	return true
}

// Read fails where it is its turn.
func (f *Faulty) Read(ctx context.Context) (*plan.Have, error) {
	if f.fails() {
		return nil, ErrInjected
	}
	return f.Store.Read(ctx)
}

// Apply applies one step after the other, and fails at the one whose turn it is.
func (f *Faulty) Apply(ctx context.Context, steps []plan.Step) (int, error) {
	for i, s := range steps {
		failing := f.fails()
		if failing && !f.TookEffect {
			return i, ErrInjected
		}
		if _, err := f.Store.Apply(ctx, []plan.Step{s}); err != nil {
			return i, err
		}
		if failing {
			return i, ErrInjected
		}
	}
	return len(steps), nil
}
