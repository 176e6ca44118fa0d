// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/fluxcd/pkg/runtime/metrics"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"plumbline.dev/plumbline/runtime/api/v1alpha1"
	"plumbline.dev/plumbline/schema/metric"
)

// Metrics counts rounds of a Controller, as Flux's own controllers count theirs and
// what concerns the fleet beside that.
type Metrics struct {
	registry *prometheus.Registry
	flux     *metrics.Recorder
	leader   prometheus.Gauge
	nodes    *prometheus.GaugeVec
	rounds   *prometheus.CounterVec
	done     prometheus.Gauge

	mu    sync.Mutex
	leads bool
	had   *corev1.ObjectReference // the Datapath that is counted
}

// NewMetrics makes the metrics of a controller, in a registry of their own.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(), flux: metrics.NewRecorder(),
		leader: gauge(metric.FleetLeader).WithLabelValues(), nodes: gauge(metric.FleetNodes), done: gauge(metric.FleetLastDone).WithLabelValues(),
		rounds: prometheus.NewCounterVec(prometheus.CounterOpts{Name: metric.FleetRounds.Name, Help: metric.FleetRounds.Help}, metric.FleetRounds.Labels),
	}
	for _, outcome := range []string{"unchanged", "written", "failed"} {
		m.rounds.WithLabelValues(outcome) // an alert compares them
	}
	m.registry.MustRegister(m.flux.Collectors()...)
	m.registry.MustRegister(m.leader, m.nodes, m.rounds, m.done,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func gauge(d metric.Metric) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: d.Name, Help: d.Help}, d.Labels)
}

// Handler serves them.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Lead counts from now on, or no longer: of a fleet that another replica sums up this
// one tells nothing, or an alert would rest on what was.
func (m *Metrics) Lead(leads bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.leads = leads
	if leads {
		m.leader.Set(1)
		return
	}
	m.leader.Set(0)
	m.forget()
}

func (m *Metrics) forget() {
	m.nodes.Reset()
	if m.had == nil {
		return
	}
	for _, kind := range conditionTypes() {
		m.flux.DeleteCondition(*m.had, kind)
	}
	m.flux.DeleteSuspend(*m.had)
	m.flux.DeleteDuration(*m.had)
	m.had = nil
}

// conditionTypes are those that a Datapath may have.
func conditionTypes() []string {
	return []string{v1alpha1.Ready, v1alpha1.Drifted, v1alpha1.Reconciling, v1alpha1.Stalled}
}

// Observe counts a round of a replica that leads.
func (m *Metrics) Observe(r Round) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.leads {
		return // the last one, of a replica that has just lost the lead
	}
	outcome := "unchanged"
	switch {
	case r.Err != nil:
		outcome = "failed"
	case r.Wrote:
		outcome = "written"
	}
	m.rounds.WithLabelValues(outcome).Inc()
	if r.Err == nil {
		m.done.Set(float64(time.Now().UnixNano()) / 1e9)
	}
	m.datapath(r)
}

// datapath counts the Datapath of a round.
func (m *Metrics) datapath(r Round) {
	if r.Datapath == nil {
		if r.Err == nil {
			m.forget()
		}
		return
	}
	ref := corev1.ObjectReference{Kind: r.Datapath.GetKind(), Name: r.Datapath.GetName(), Namespace: r.Datapath.GetNamespace()}
	m.had = &ref
	m.flux.RecordDuration(ref, time.Now().Add(-r.Took))
	if r.Status.Conditions == nil {
		return // the status before can't be understood
	}
	m.flux.RecordSuspend(ref, r.Settings.Suspend)
	for _, kind := range conditionTypes() {
		m.condition(ref, r.Status.Conditions, kind)
	}
	n := r.Status.Nodes
	for state, count := range map[string]int{"in_sync": n.InSync, "drifted": n.Drifted, "no_pins": n.NoPins, "unknown": n.Unknown, "other": n.Other} {
		m.nodes.WithLabelValues(state).Set(float64(count))
	}
}

// condition counts one. Reconciling and Stalled that are not there are False: kstatus
// has it so.
func (m *Metrics) condition(ref corev1.ObjectReference, list []metav1.Condition, kind string) {
	if i := slices.IndexFunc(list, func(c metav1.Condition) bool { return c.Type == kind }); i >= 0 {
		m.flux.RecordCondition(ref, list[i])
		return
	}
	m.flux.RecordCondition(ref, metav1.Condition{Type: kind, Status: metav1.ConditionFalse})
}
