// SPDX-License-Identifier: Apache-2.0

package emit

import (
	"fmt"
	"net"
	"strconv"

	"plumbline.dev/plumbline/compiler/load"
	"plumbline.dev/plumbline/schema/state"
)

// agent is the DaemonSet. It stands on the host's network and tolerates every
// taint: it has to run where there is no network of Cilium's yet, or no longer.
func agent(env *load.Environment, settings *state.Settings) object {
	volumes, mounts := hostFolders(settings)
	args := []string{"run", "--namespace=" + env.Agent.Namespace, "--datapath=" + env.Name, "--node=$(NODE_NAME)", "--listen=" + listen(env, env.Agent.Port)}
	if env.Agent.Traces != "" {
		args = append(args, "--traces="+env.Agent.Traces)
	}
	container := object{
		"name":            "agent",
		"image":           env.Agent.Image,
		"args":            args,
		"env":             append(apiServer(env), fromField("NODE_NAME", "spec.nodeName"), memoryLimit()),
		"resources":       resources(env.Agent.Resources),
		"securityContext": agentSecurity(env, settings),
		"volumeMounts":    mounts,
		"ports":           []object{{"name": "metrics", "containerPort": int(env.Agent.Port), "protocol": "TCP"}},
		"livenessProbe":   probe("/healthz", env.Agent.Port, 30),
		"readinessProbe":  probe("/readyz", env.Agent.Port, 10),
	}
	pod := object{
		"serviceAccountName": agentName,
		"priorityClassName":  "system-node-critical",
		"hostNetwork":        true,
		// The cluster's DNS is a Service: it is what may be broken. The host's own
		// resolver finds the API server.
		"dnsPolicy":                     "Default",
		"tolerations":                   tolerations(env),
		"nodeSelector":                  nodeSelector(env),
		"terminationGracePeriodSeconds": 10,
		"securityContext":               object{"seccompProfile": object{"type": "RuntimeDefault"}},
		"containers":                    []object{container},
		"volumes":                       volumes,
	}
	return object{
		"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": withLabels(inAgent(env, agentName), agentName),
		"spec": object{
			"selector":       object{"matchLabels": appLabels(agentName)},
			"updateStrategy": object{"type": "RollingUpdate", "rollingUpdate": object{"maxUnavailable": env.Agent.MaxUnavailable}},
			"template":       object{"metadata": object{"labels": appLabels(agentName)}, "spec": withPullSecrets(env, pod)},
		},
	}
}

// agentSecurity drops all that is not needed. It stays root: pins belong to root
// and no one else may open them.
func agentSecurity(env *load.Environment, settings *state.Settings) object {
	byID := env.Agent.Programs || settings.LoadBalancer.Algorithm == state.Maglev
	return object{
		"runAsUser":                0,
		"privileged":               false,
		"allowPrivilegeEscalation": false,
		"readOnlyRootFilesystem":   true,
		"capabilities":             object{"drop": []string{"ALL"}, "add": capabilities(settings.Mode, byID, env.Agent.Programs)},
	}
}

// capabilities are what each mode needs of the kernel:
//
//   - BPF opens pins and reads maps, where the kernel keeps others from it.
//   - SYS_ADMIN is what the kernel asks for to open a map or a program by its id,
//     whatever other capabilities are there (kernel/bpf/syscall.c,
//     bpf_map_get_fd_by_id and bpf_prog_get_fd_by_id). A pinned link names its
//     program by id, and a map of maps its inner ones, so that programs and Maglev
//     tables can't be read without; plain maps can.
//   - NET_ADMIN asks a cgroup or a device what hangs there; in mode own it also
//     loads programs for sockets and attaches them.
//   - PERFMON lets the verifier take the programs that write many entries at once.
//
// Nothing else is: not even files of other users can be read.
func capabilities(mode state.Mode, byID, programs bool) []string {
	list := []string{"BPF"}
	if mode == state.Own || programs {
		list = append(list, "NET_ADMIN")
	}
	if mode != state.Observe {
		list = append(list, "PERFMON")
	}
	if mode == state.Own || byID {
		list = append(list, "SYS_ADMIN")
	}
	return list
}

// hostFolders are the bpffs and the cgroup hierarchy, at the paths that they have
// on the host: messages name them. Cilium may mount either after the agent has
// started, so mounts of the host reach the container; none of its own reach the
// host. The agent writes into the bpffs alone, and only where the mode says so.
func hostFolders(settings *state.Settings) (volumes, mounts []object) {
	for _, f := range []struct {
		name, path string
		readOnly   bool
	}{
		{"bpffs", settings.BPFRoot, settings.Mode == state.Observe},
		{"cgroup", settings.CgroupRoot, true},
	} {
		volumes = append(volumes, object{"name": f.name, "hostPath": object{"path": f.path, "type": "DirectoryOrCreate"}})
		mounts = append(mounts, object{"name": f.name, "mountPath": f.path, "mountPropagation": "HostToContainer", "readOnly": f.readOnly})
	}
	return volumes, mounts
}

// listen is the address of metrics and health: all of the node's only where
// somebody scrapes it.
func listen(env *load.Environment, port uint16) string {
	host := "127.0.0.1"
	if env.Agent.Monitoring.Enabled {
		host = ""
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// probe asks at the loopback address, which both kinds of listening serve.
func probe(path string, port uint16, seconds int) object {
	return object{
		"httpGet":       object{"host": "127.0.0.1", "path": path, "port": int(port)},
		"periodSeconds": seconds, "timeoutSeconds": 5, "failureThreshold": 3,
	}
}

// apiServer names the API server by the variables that a client within a cluster
// reads: they stand in for the ClusterIP, which the kubelet would put there.
func apiServer(env *load.Environment) []object {
	return []object{
		{"name": "KUBERNETES_SERVICE_HOST", "value": env.API.Host},
		{"name": "KUBERNETES_SERVICE_PORT", "value": fmt.Sprint(env.API.Port)},
	}
}

func fromField(name, path string) object {
	return object{"name": name, "valueFrom": object{"fieldRef": object{"fieldPath": path}}}
}

// memoryLimit tells Go's collector of the container's limit, before the kernel
// does.
func memoryLimit() object {
	return object{"name": "GOMEMLIMIT", "valueFrom": object{"resourceFieldRef": object{"resource": "limits.memory"}}}
}

func resources(r load.Resources) object {
	limits := object{"memory": r.MemoryLimit}
	if r.CPULimit != "" {
		limits["cpu"] = r.CPULimit
	}
	return object{"requests": object{"cpu": r.CPU, "memory": r.Memory}, "limits": limits}
}

// tolerations are the environment's, or one of every taint.
func tolerations(env *load.Environment) []object {
	if len(env.Agent.Tolerations) > 0 {
		return env.Agent.Tolerations
	}
	return []object{{"operator": "Exists"}}
}

func nodeSelector(env *load.Environment) object {
	labels := object{"kubernetes.io/os": "linux"}
	for key, value := range env.Agent.NodeSelector {
		labels[key] = value
	}
	return labels
}

func withPullSecrets(env *load.Environment, pod object) object {
	var list []object
	for _, name := range env.Agent.PullSecrets {
		list = append(list, object{"name": name})
	}
	if len(list) > 0 {
		pod["imagePullSecrets"] = list
	}
	return pod
}

func appLabels(name string) object {
	return object{"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "plumbline"}
}

func withLabels(meta object, name string) object {
	meta["labels"] = appLabels(name)
	return meta
}
