// SPDX-License-Identifier: Apache-2.0

package reconcile

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The time between two rounds is the interval, more or less by the jitter, as the
// random numbers say; changes in between do not put a round off.
func TestJitter(t *testing.T) {
	for name, busy := range map[string]bool{"at rest": false, "under change": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { jitter(t, busy) })
		})
	}
}

func jitter(t *testing.T, busy bool) {
	c := newCluster(1)
	var rounds []time.Time
	numbers := []float64{1, 0.5, 0, 0.75}
	drawn := 0
	r := c.reconciler(t, c.fake(), func(cfg *Config) {
		cfg.Interval, cfg.Jitter = 100*time.Second, 0.1
		cfg.Random = func() float64 {
			drawn++
			return numbers[min(drawn, len(numbers))-1]
		}
		cfg.Report = func(report Report) {
			if report.Digest.Have != "" { // a round, and no followed change
				rounds = append(rounds, time.Now())
			}
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	for range 401 {
		time.Sleep(time.Second)
		synctest.Wait()
		if busy {
			c.change()
			r.Changed()
			synctest.Wait()
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	var pauses []time.Duration
	for i := 1; i < len(rounds); i++ {
		pauses = append(pauses, rounds[i].Sub(rounds[i-1]))
	}
	want := []time.Duration{110 * time.Second, 100 * time.Second, 90 * time.Second}
	if diff := cmp.Diff(want, pauses[:min(3, len(pauses))]); diff != "" {
		t.Errorf("pauses (-want +got)\n%s", diff)
	}
	if drawn != len(rounds) {
		t.Errorf("%d random numbers for %d rounds", drawn, len(rounds))
	}
}

// A Request is a round at once, whatever the interval and its jitter.
func TestRequestDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(1)
		var rounds []time.Time
		r := c.reconciler(t, c.fake(), func(cfg *Config) {
			cfg.Interval, cfg.Jitter = time.Hour, 0.5
			cfg.Report = func(Report) { rounds = append(rounds, time.Now()) }
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		time.Sleep(time.Second)
		asked := time.Now()
		r.Request()
		synctest.Wait()
		if len(rounds) != 2 || !slices.ContainsFunc(rounds, asked.Equal) {
			t.Errorf("rounds at %v, want one at %v", rounds, asked)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestJitterIsAShare(t *testing.T) {
	c := newCluster(1)
	for _, share := range []float64{-0.1, 1, 3} {
		_, err := New(Config{Store: c.fake(), Source: c.source(), Interval: time.Second, Jitter: share})
		if err == nil || !strings.Contains(err.Error(), "jitter") {
			t.Errorf("jitter %g: %v", share, err)
		}
	}
}
