// SPDX-License-Identifier: Apache-2.0

package report

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"plumbline.dev/plumbline/runtime/audit"
	"plumbline.dev/plumbline/runtime/plan"
	"plumbline.dev/plumbline/runtime/reconcile"
)

// kinds are those of every drift that a round may find.
func kinds() []string {
	var list []string
	for _, kind := range append(plan.Kinds(), audit.Kinds()...) {
		list = append(list, string(kind))
	}
	return list
}

// stalled is after how many intervals without a round an agent is not healthy.
const stalled = 3

// Health knows how the last round went.
type Health struct {
	interval time.Duration
	now      func() time.Time

	mu    sync.Mutex
	since time.Time // of the last round, or of the start
	last  *reconcile.Report
}

// NewHealth makes the health of an agent that begins now. now is the clock; its
// monotonic part counts, so that a clock that is set makes nobody ill.
func NewHealth(interval time.Duration, now func() time.Time) *Health {
	return &Health{interval: interval, now: now, since: now()}
}

// Observe takes note of a round.
func (h *Health) Observe(r reconcile.Report) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.since, h.last = h.now(), &r
}

// Healthy says why the agent should be restarted, or nothing: rounds no longer
// come. One that fails is no reason: the next agent would fail as well.
func (h *Health) Healthy() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if age := h.now().Sub(h.since); age > stalled*h.interval {
		return fmt.Errorf("no round for %s, with one every %s", age.Round(time.Second), h.interval)
	}
	return nil
}

// Ready says why nothing is known of the kernel, or nothing. Drift does not make
// an agent unready: it has been seen.
func (h *Health) Ready() error {
	h.mu.Lock()
	last := h.last
	h.mu.Unlock()
	switch {
	case last == nil:
		return errors.New("no round has ended yet")
	case !Compared(last.Status):
		return fmt.Errorf("%s (%s): %w", last.Status, last.Reason, errors.Join(last.Err, errNotCompared))
	}
	return h.Healthy()
}

var errNotCompared = errors.New("the kernel has not been compared with what it should hold")

// Handler serves /metrics, /healthz and /readyz; with profiles also /debug/pprof.
func Handler(m *Metrics, h *Health, profiles bool) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	mux.Handle("GET /healthz", check(h.Healthy))
	mux.Handle("GET /readyz", check(h.Ready))
	if profiles {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	return mux
}

func check(f func() error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if err := f(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
}

// Serve serves until ctx ends. The error tells of an address that can't be
// listened at, before anything else begins; done gives what ended it.
func Serve(ctx context.Context, address string, handler http.Handler) (at net.Addr, done <-chan error, err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, nil, fmt.Errorf("listen: %w", err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	ended := make(chan error, 1)
	go func() {
		defer stop()
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			ended <- err
		}
		close(ended)
	}()
	return listener.Addr(), ended, nil
}
