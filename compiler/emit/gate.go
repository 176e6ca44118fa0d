// SPDX-License-Identifier: Apache-2.0

package emit

import (
	"encoding/json"
	"fmt"
	"strings"

	"plumbline.dev/plumbline/compiler/load"
	"plumbline.dev/plumbline/schema/crd"
)

// apiPlumbline is the API version of Plumbline's own objects.
const apiPlumbline = "plumbline.dev/v1alpha1"

// The names of what the gate holds.
const (
	agentName      = "plumb-agent"
	controllerName = "plumb-controller"
)

// gateStage holds Plumbline's own part: it is healthy where every node's agent has
// reported and none has found drift. It prunes nothing: with the CRDs all reports
// would go.
func gateStage(env *load.Environment, o Options) (stage, error) {
	s := stage{folder: folder{name: stageGate}, spec: object{"prune": false, "wait": true, "healthCheckExprs": gateHealth()}}
	datapath, err := datapathObject(env, o)
	if err != nil {
		return s, err
	}
	definitions, err := crd.Definitions()
	if err != nil {
		return s, err
	}
	s.add("namespace", namespace(env))
	s.addByKind(definitions...)
	s.addByKind(admission(env)...)
	s.addByKind(agentAccess(env)...)
	s.addByKind(controllerAccess(env)...)
	s.addByKind(agent(env, o.Settings), controller(env), datapath)
	return s, nil
}

// fileName takes out of an object's name what the name of a file has no use for.
var fileName = strings.NewReplacer(":", "-", ".plumbline.dev", "")

// addByKind adds objects, each in a file named by its name and kind.
func (f *folder) addByKind(objects ...object) {
	for _, o := range objects {
		name, _ := o["metadata"].(object)["name"].(string)
		f.add(strings.ToLower(fmt.Sprintf("%s-%v", fileName.Replace(name), o["kind"])), o)
	}
}

// namespace allows what the agent needs of the host; nothing but Plumbline runs
// in it.
func namespace(env *load.Environment) object {
	labels := object{}
	for _, mode := range []string{"enforce", "audit", "warn"} {
		labels["pod-security.kubernetes.io/"+mode] = "privileged"
	}
	return object{"apiVersion": "v1", "kind": "Namespace", "metadata": object{"name": env.Agent.Namespace, "labels": labels}}
}

// datapathObject is what the agents read: the Settings, as --only datapath prints
// them.
func datapathObject(env *load.Environment, o Options) (object, error) {
	if o.Settings == nil {
		return nil, errNoSettings
	}
	data, err := json.Marshal(o.Settings)
	if err != nil {
		return nil, fmt.Errorf("datapath: %w", err)
	}
	spec := object{}
	if err := json.Unmarshal(data, &spec); err != nil {
		return nil, fmt.Errorf("datapath: %w", err)
	}
	return object{"apiVersion": apiPlumbline, "kind": "Datapath", "metadata": inAgent(env, env.Name), "spec": spec}, nil
}

// gateHealth says what kstatus does not: it takes an object without conditions
// for healthy, and a DaemonSet for unhealthy whose pods are not all ready. Before
// Cilium is there, or on a node that is down, agents are not: of the DaemonSet the
// gate wants that it is rolled out, and leaves the rest to the Datapath, which no
// agent that is silent leaves Ready. Drift within the environment's limits leaves it
// Ready too. In a new cluster no node has maps: there is
// nothing to guard, and Cilium may come.
func gateHealth() []object {
	const (
		conditions = "has(status.conditions) && "
		ready      = "status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')"
		drifted    = "status.conditions.exists(c, c.type == 'Drifted' && c.status == 'True')"
		looked     = "status.conditions.exists(c, c.type == 'Drifted' && c.status != 'Unknown')"
		noPins     = "status.conditions.exists(c, c.type == 'Ready' && has(c.reason) && c.reason == '" + crd.ReasonNoPins + "')"
	)
	return []object{
		{"apiVersion": apiPlumbline, "kind": "Datapath", "failed": conditions + drifted + " && !" + ready, "current": conditions + "(" + ready + " && " + looked + " || " + noPins + ")"},
		{"apiVersion": "apps/v1", "kind": "DaemonSet", "current": "has(status.desiredNumberScheduled) && (status.desiredNumberScheduled == 0 || " +
			"has(status.updatedNumberScheduled) && status.updatedNumberScheduled == status.desiredNumberScheduled)"},
	}
}

func inAgent(env *load.Environment, name string) object {
	return object{"name": name, "namespace": env.Agent.Namespace}
}
