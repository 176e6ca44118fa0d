// SPDX-License-Identifier: Apache-2.0

package emit

import (
	"slices"
	"strings"

	"plumbline.dev/plumbline/compiler/load"
)

const (
	groupRBAC = "rbac.authorization.k8s.io"
	apiRBAC   = groupRBAC + "/v1"
)

// The API groups that rules name.
const (
	groupCore       = ""
	groupPlumbline  = "plumbline.dev"
	groupDiscovery  = "discovery.k8s.io"
	groupCilium     = "cilium.io"
	groupLeases     = "coordination.k8s.io"
	groupEvents     = "events.k8s.io"
	groupKustomize  = "kustomize.toolkit.fluxcd.io"
	readVerbs       = "get list watch"
	recordVerbs     = "create patch"
	ownReportsVerbs = "get list watch create update patch"
)

// agentAccess is what an agent may do: read what a node's maps follow from, and
// write the report of its node. That it writes no other node's the admission
// policy sees to: RBAC can't.
func agentAccess(env *load.Environment) []object {
	everywhere := []object{
		rule(groupCore, readVerbs, "services", "nodes", "pods"),
		rule(groupDiscovery, readVerbs, "endpointslices"),
		rule(groupCilium, readVerbs, "ciliumnodes", "ciliumendpoints", "ciliumendpointslices", "ciliumlocalredirectpolicies",
			"ciliumenvoyconfigs", "ciliumclusterwideenvoyconfigs"),
	}
	here := []object{
		rule(groupPlumbline, readVerbs, "datapaths"),
		rule(groupPlumbline, ownReportsVerbs, "datapathnodes"),
		rule(groupPlumbline, "get update patch", "datapathnodes/status"),
		rule(groupCore, recordVerbs, "events"),
		rule(groupEvents, recordVerbs, "events"),
	}
	return slices.Concat([]object{serviceAccount(env, agentName)}, clusterRole(env, agentName, everywhere),
		role(env, agentName, agentName, env.Agent.Namespace, here))
}

// controllerAccess is what the controller may do: sum up, tell Flux, and take
// away the reports of nodes that are gone.
func controllerAccess(env *load.Environment) []object {
	everywhere := []object{rule(groupCore, readVerbs, "nodes")}
	here := []object{
		rule(groupPlumbline, readVerbs, "datapaths"),
		rule(groupPlumbline, "get update patch", "datapaths/status"),
		rule(groupPlumbline, readVerbs+" delete", "datapathnodes"),
		rule(groupCore, recordVerbs, "events"),
		rule(groupEvents, recordVerbs, "events"),
		rule(groupLeases, "create get list watch update patch", "leases"),
	}
	// A new annotation on the gate makes Flux look at once.
	poke := rule(groupKustomize, "get patch", "kustomizations")
	poke["resourceNames"] = []string{stageGate}
	return slices.Concat([]object{serviceAccount(env, controllerName)}, clusterRole(env, controllerName, everywhere),
		role(env, controllerName, controllerName, env.Agent.Namespace, here),
		role(env, controllerName, controllerName+"-flux", env.Flux.Namespace, []object{poke}))
}

func serviceAccount(env *load.Environment, name string) object {
	return object{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": inAgent(env, name)}
}

// rule allows verbs, parted by spaces, on resources of one group.
func rule(group, verbs string, resources ...string) object {
	return object{"apiGroups": []string{group}, "resources": resources, "verbs": strings.Fields(verbs)}
}

// clusterRole is a role for the whole cluster, bound to the account of its name. It
// has the namespace in its name: another environment in the cluster has its own.
func clusterRole(env *load.Environment, name string, rules []object) []object {
	meta := object{"name": env.Agent.Namespace + ":" + name}
	return []object{
		{"apiVersion": apiRBAC, "kind": "ClusterRole", "metadata": meta, "rules": rules},
		{"apiVersion": apiRBAC, "kind": "ClusterRoleBinding", "metadata": meta, "roleRef": roleRef("ClusterRole", env.Agent.Namespace+":"+name), "subjects": subject(env, name)},
	}
}

// role is a role in a namespace, bound to the account that its name begins with.
func role(env *load.Environment, account, name, namespace string, rules []object) []object {
	meta := object{"name": name, "namespace": namespace}
	return []object{
		{"apiVersion": apiRBAC, "kind": "Role", "metadata": meta, "rules": rules},
		{"apiVersion": apiRBAC, "kind": "RoleBinding", "metadata": meta, "roleRef": roleRef("Role", name), "subjects": subject(env, account)},
	}
}

func roleRef(kind, name string) object {
	return object{"apiGroup": groupRBAC, "kind": kind, "name": name}
}

func subject(env *load.Environment, account string) []object {
	return []object{{"kind": "ServiceAccount", "name": account, "namespace": env.Agent.Namespace}}
}
