// SPDX-License-Identifier: Apache-2.0

package emit

import (
	"encoding/json"
	"fmt"

	"plumbline.dev/plumbline/schema/metric"
)

// panel is one graph of the dashboard.
type panel struct {
	title, kind, unit, expr, legend string
}

// panels are what somebody looks at who was told of drift: what it is, since when,
// and whether the agents can be trusted.
func panels() []panel {
	rate := func(d metric.Metric) string { return fmt.Sprintf("rate(%s[$__rate_interval])", d.Name) }
	return []panel{
		{"Nodes by status", "timeseries", "short", fmt.Sprintf("sum by (status) (%s)", metric.Status.Name), "{{status}}"},
		{"Drifts", "timeseries", "short", fmt.Sprintf("sum by (node, kind) (%s) > 0", metric.Drifts.Name), "{{node}} {{kind}}"},
		{"Differences that are not confirmed", "timeseries", "short", fmt.Sprintf("sum by (node) (%s)", metric.Unconfirmed.Name), "{{node}}"},
		{"Since the last round that found the kernel in sync", "timeseries", "s",
			fmt.Sprintf("time() - max by (node) (%s > 0)", metric.LastInSync.Name), "{{node}}"},
		{"Since the last round", "timeseries", "s", fmt.Sprintf("time() - max by (node) (%s)", metric.LastRound.Name), "{{node}}"},
		{"How long a round takes, 99 %", "timeseries", "s",
			fmt.Sprintf("histogram_quantile(0.99, sum by (le) (rate(%s_bucket[$__rate_interval])))", metric.RoundTime.Name), "p99"},
		{"Rounds by what they came to", "timeseries", "ops", fmt.Sprintf("sum by (status, reason) (%s)", rate(metric.Rounds)), "{{status}} {{reason}}"},
		{"Steps", "timeseries", "ops", fmt.Sprintf("sum by (outcome) (%s)", rate(metric.Steps)), "{{outcome}}"},
		{"How full the maps are", "timeseries", "percentunit",
			fmt.Sprintf("max by (map) (%s / %s)", metric.MapEntries.Name, metric.MapSize.Name), "{{map}}"},
		{"Age of what should be there", "timeseries", "s", fmt.Sprintf("max by (node) (%s)", metric.SourceAge.Name), "{{node}}"},
		{"Suspended agents", "timeseries", "short", fmt.Sprintf("sum(%s)", metric.Suspended.Name), "suspended"},
		{"Frontends that should be there", "timeseries", "short", fmt.Sprintf("max by (node) (%s)", metric.Frontends.Name), "{{node}}"},
		{"Backends that should be there", "timeseries", "short", fmt.Sprintf("max by (node) (%s)", metric.Backends.Name), "{{node}}"},
		{"Versions", "timeseries", "short", fmt.Sprintf("count by (version) (%s)", metric.BuildInfo.Name), "{{version}}"},
	}
}

// Of Grafana's grid: its width, and the size of a panel.
const (
	gridColumns = 24
	panelWidth  = 12
	panelHeight = 8
)

// dashboard is Grafana's, in JSON. The data source is one that the viewer chooses.
func dashboard(environment string) (string, error) {
	source := object{"type": "prometheus", "uid": "${datasource}"}
	var list []object
	for i, p := range panels() {
		list = append(list, object{
			"id": i + 1, "type": p.kind, "title": p.title, "datasource": source,
			"gridPos":     object{"x": i * panelWidth % gridColumns, "y": i * panelWidth / gridColumns * panelHeight, "w": panelWidth, "h": panelHeight},
			"fieldConfig": object{"defaults": object{"unit": p.unit, "min": 0}, "overrides": []object{}},
			"targets":     []object{{"refId": "A", "datasource": source, "expr": p.expr, "legendFormat": p.legend}},
		})
	}
	data, err := json.MarshalIndent(object{
		"uid": "plumbline-" + environment, "title": "Plumbline " + environment, "tags": []string{"plumbline", "cilium"},
		"schemaVersion": 39, "editable": false, "refresh": "1m", "time": object{"from": "now-6h", "to": "now"},
		"templating": object{"list": []object{{"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"}}},
		"panels":     list,
	}, "", "  ")
	if err != nil {
		return "", fmt.Errorf("dashboard: %w", err)
	}
	return string(data) + "\n", nil
}
