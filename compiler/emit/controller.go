// SPDX-License-Identifier: Apache-2.0

package emit

import (
	"fmt"

	"plumbline.dev/plumbline/compiler/load"
)

// controller is the Deployment that sums up what the agents find. It is part of
// the gate in front of Cilium, so it has to run without Cilium's network: it
// stands on the host's. But for that it keeps to the restricted profile of Pod
// Security.
func controller(env *load.Environment) object {
	c := env.Agent.Controller
	container := object{
		"name":           "controller",
		"image":          env.Agent.Image,
		"args":           controllerArgs(env),
		"env":            append(apiServer(env), fromField("POD_NAME", "metadata.name"), memoryLimit()),
		"resources":      resources(c.Resources),
		"ports":          []object{{"name": "metrics", "containerPort": int(c.Port), "protocol": "TCP"}},
		"livenessProbe":  probe("/healthz", c.Port, 30),
		"readinessProbe": probe("/readyz", c.Port, 10),
		"securityContext": object{
			"allowPrivilegeEscalation": false,
			"readOnlyRootFilesystem":   true,
			"capabilities":             object{"drop": []string{"ALL"}},
		},
	}
	pod := object{
		"serviceAccountName": controllerName,
		"priorityClassName":  "system-cluster-critical",
		"hostNetwork":        true,
		"dnsPolicy":          "Default",
		"tolerations":        controllerTolerations(),
		"nodeSelector":       nodeSelector(env),
		"affinity":           apart(controllerName),
		"securityContext": object{
			"runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532,
			"seccompProfile": object{"type": "RuntimeDefault"},
		},
		"containers": []object{container},
	}
	return object{
		"apiVersion": "apps/v1", "kind": "Deployment", "metadata": withLabels(inAgent(env, controllerName), controllerName),
		"spec": object{
			"replicas": replicas(env),
			"selector": object{"matchLabels": appLabels(controllerName)},
			// Where every node has its replica a further one finds none: the old one
			// goes first.
			"strategy": object{"type": "RollingUpdate", "rollingUpdate": object{"maxSurge": 0, "maxUnavailable": 1}},
			"template": object{"metadata": object{"labels": appLabels(controllerName)}, "spec": withPullSecrets(env, pod)},
		},
	}
}

func controllerArgs(env *load.Environment) []string {
	c := env.Agent.Controller
	args := []string{"controller", "--namespace=" + env.Agent.Namespace, "--datapath=" + env.Name, "--leader-elect", "--listen=" + listen(env, c.Port)}
	if c.Events != "" {
		args = append(args, "--events-addr="+c.Events)
	}
	return args
}

// replicas are two, so that one may go; a single node has room for one.
func replicas(env *load.Environment) int {
	switch {
	case env.Agent.Controller.Replicas > 0:
		return env.Agent.Controller.Replicas
	case fmt.Sprint(env.Cluster["nodes"]) == "1":
		return 1
	}
	return 2
}

// controllerTolerations are those of what brings a cluster up: control planes,
// and nodes that have no network yet.
func controllerTolerations() []object {
	var list []object
	for _, key := range []string{"node-role.kubernetes.io/control-plane", "node.kubernetes.io/not-ready", "node.kubernetes.io/network-unavailable",
		"node.cilium.io/agent-not-ready", "node.cloudprovider.kubernetes.io/uninitialized"} {
		list = append(list, object{"key": key, "operator": "Exists"})
	}
	return list
}

// apart keeps replicas off each other's nodes: on the host's network they would
// want one port.
func apart(name string) object {
	return object{"podAntiAffinity": object{"requiredDuringSchedulingIgnoredDuringExecution": []object{{
		"labelSelector": object{"matchLabels": appLabels(name)}, "topologyKey": "kubernetes.io/hostname",
	}}}}
}
