// SPDX-License-Identifier: Apache-2.0

// Package report tells of rounds to whoever watches an agent: as metrics, and as
// health. It decides nothing.
package report

import (
	"github.com/prometheus/client_golang/prometheus"

	"plumbline.dev/plumbline/runtime/reconcile"
	"plumbline.dev/plumbline/schema/metric"
)

// Metrics counts rounds.
type Metrics struct {
	registry *prometheus.Registry
	gauges   map[string]*prometheus.GaugeVec
	counters map[string]*prometheus.CounterVec
	duration prometheus.Histogram
}

// NewMetrics makes the metrics of an agent of a version, in a registry of their
// own.
func NewMetrics(version string) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), gauges: map[string]*prometheus.GaugeVec{}, counters: map[string]*prometheus.CounterVec{}}
	for _, d := range metric.All() {
		switch d.Kind {
		case metric.Gauge:
			m.gauges[d.Name] = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: d.Name, Help: d.Help}, d.Labels)
			m.registry.MustRegister(m.gauges[d.Name])
		case metric.Counter:
			m.counters[d.Name] = prometheus.NewCounterVec(prometheus.CounterOpts{Name: d.Name, Help: d.Help}, d.Labels)
			m.registry.MustRegister(m.counters[d.Name])
		case metric.Histogram:
			m.duration = prometheus.NewHistogram(prometheus.HistogramOpts{Name: d.Name, Help: d.Help, Buckets: prometheus.ExponentialBuckets(0.001, 2, 14)})
			m.registry.MustRegister(m.duration)
		}
	}
	m.gauge(metric.BuildInfo, version).Set(1)
	m.gauge(metric.LastInSync).Set(0)
	return m
}

func (m *Metrics) gauge(d metric.Metric, labels ...string) prometheus.Gauge {
	return m.gauges[d.Name].WithLabelValues(labels...)
}

func (m *Metrics) counter(d metric.Metric, labels ...string) prometheus.Counter {
	return m.counters[d.Name].WithLabelValues(labels...)
}

// Observe counts a round. What a round that failed does not know stays as the
// last one that knew it left it, but for its status and age.
func (m *Metrics) Observe(r reconcile.Report) {
	for _, status := range reconcile.Statuses() {
		m.gauge(metric.Status, status.String()).Set(number(status == r.Status))
	}
	m.counter(metric.Rounds, r.Status.String(), string(r.Reason)).Inc()
	m.duration.Observe(r.Seconds)
	ended := float64(r.Time.UnixNano())/1e9 + r.Seconds
	m.gauge(metric.LastRound).Set(ended)
	if r.Status == reconcile.InSync {
		m.gauge(metric.LastInSync).Set(ended)
	}
	m.counter(metric.Steps, "planned").Add(float64(r.Planned))
	m.counter(metric.Steps, "applied").Add(float64(r.Applied))
	m.gauge(metric.SourceAge).Set(r.WantAgeSeconds)
	m.gauge(metric.Suspended).Set(number(r.Suspended))
	if !Compared(r.Status) {
		return
	}
	m.drifts(r)
	m.gauge(metric.Unconfirmed).Set(float64(r.Counts.Unconfirmed))
	m.gauge(metric.Frontends).Set(float64(r.Counts.Frontends))
	m.gauge(metric.Backends).Set(float64(r.Counts.Backends))
	for _, f := range r.Maps {
		m.gauge(metric.MapEntries, f.Name).Set(float64(f.Entries))
		m.gauge(metric.MapSize, f.Name).Set(float64(f.MaxEntries))
	}
}

func number(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// drifts counts by kind; a kind that is gone is 0, so that an alert on it ends.
func (m *Metrics) drifts(r reconcile.Report) {
	counts := map[string]int{}
	for _, d := range r.Drifts {
		counts[string(d.Kind)]++
	}
	m.gauges[metric.Drifts.Name].Reset()
	for _, kind := range kinds() {
		m.gauge(metric.Drifts, kind).Set(float64(counts[kind]))
	}
}

// Compared tells whether a round of this status has read the kernel and compared
// it with what should be there.
func Compared(s reconcile.Status) bool {
	return s == reconcile.InSync || s == reconcile.Drifted || s == reconcile.OutOfSync
}
