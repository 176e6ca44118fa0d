// SPDX-License-Identifier: Apache-2.0

package emit

import (
	"cmp"

	"plumbline.dev/plumbline/compiler/load"
	"plumbline.dev/plumbline/schema/state"
)

// apiMonitoring is the Prometheus operator's.
const apiMonitoring = "monitoring.coreos.com/v1"

// monitoringStage tells Prometheus and Grafana of the agents. Their CRDs and pods
// come after the network, so it does too; nothing waits for it.
func monitoringStage(env *load.Environment, settings *state.Settings) (stage, error) {
	s := stage{folder: folder{name: stageMonitoring}, spec: object{"prune": true}}
	s.add("podmonitor", podMonitor(env))
	s.add("prometheusrule", prometheusRule(env, settings))
	d := env.Agent.Monitoring.Dashboard
	if !d.Enabled {
		return s, nil
	}
	text, err := dashboard(env.Name)
	if err != nil {
		return s, err
	}
	s.add("dashboard", object{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": object{
			"name": "plumbline-dashboard-" + env.Name, "namespace": cmp.Or(d.Namespace, env.Agent.Namespace),
			"labels": object{d.Label: "1"},
		},
		"data": object{"plumbline-" + env.Name + ".json": text},
	})
	return s, nil
}

// podMonitor scrapes agents and controller. Numbers are told apart by node, not
// by the pod that happens to run there.
func podMonitor(env *load.Environment) object {
	return object{
		"apiVersion": apiMonitoring, "kind": "PodMonitor", "metadata": monitored(env, "plumbline"),
		"spec": object{
			"selector": object{"matchLabels": object{"app.kubernetes.io/part-of": "plumbline"}},
			"podMetricsEndpoints": []object{{
				"port": "metrics", "path": "/metrics", "interval": env.Agent.Monitoring.Interval,
				"relabelings": []object{{"sourceLabels": []string{"__meta_kubernetes_pod_node_name"}, "targetLabel": "node"}},
			}},
		},
	}
}

func prometheusRule(env *load.Environment, settings *state.Settings) object {
	var list []object
	for _, a := range alerts(env.Name, settings) {
		list = append(list, a.rule(env.Name))
	}
	return object{
		"apiVersion": apiMonitoring, "kind": "PrometheusRule", "metadata": monitored(env, "plumbline"),
		"spec": object{"groups": []object{{"name": "plumbline", "rules": list}}},
	}
}

// monitored is the metadata of what the Prometheus operator selects by labels.
func monitored(env *load.Environment, name string) object {
	meta := inAgent(env, name)
	labels := object{}
	for key, value := range env.Agent.Monitoring.Labels {
		labels[key] = value
	}
	if len(labels) > 0 {
		meta["labels"] = labels
	}
	return meta
}
