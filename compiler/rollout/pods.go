// SPDX-License-Identifier: Apache-2.0

package rollout

import (
	"slices"
	"time"
)

// agent is the container of Cilium's agent in its pods.
const agent = "cilium-agent"

// pods says what each node runs.
func (c *comparison) pods() error {
	if c.held.DaemonSet == nil {
		return nil
	}
	newest := c.revision()
	changed, known := dataChanged(c.held.Config)
	if c.held.Config != nil && !known {
		c.notJudged("whether agents began before their configuration was changed: ConfigMap %s does not say when that was", ConfigName)
	}
	without := map[string]bool{}
	for _, node := range c.held.Nodes {
		without[node] = true
	}
	for _, pod := range c.held.Pods {
		if at(pod, "metadata", "deletionTimestamp") != nil {
			continue // another one takes its place
		}
		node := text(pod, "spec", "nodeName")
		if node == "" {
			continue // it has no node yet, and the node no pod
		}
		delete(without, node)
		c.pod(pod, node, newest, changed)
	}
	for _, node := range c.held.Nodes {
		if without[node] {
			c.findOn(node, NodeWithoutPod, title(c.held.DaemonSet), "the node has no pod of Cilium's agent: a selector or a taint keeps it off, or it can't be made; kubectl describe daemonset says why")
		}
	}
	return nil
}

// pod judges one pod. newest is the revision that it should be of, "" where that is
// not known, and changed when its configuration was, or zero.
func (c *comparison) pod(pod map[string]any, node, newest string, changed time.Time) {
	object := title(pod)
	if ready := condition(pod, "Ready"); text(ready, "status") != "True" {
		c.findOn(node, PodNotReady, object, "it is %s, and not ready: %s", text(pod, "status", "phase"), text(ready, "message"))
	}
	if have := text(pod, "metadata", "labels", "controller-revision-hash"); newest != "" && have != newest {
		c.findOn(node, PodOutdated, object, "it is of revision %s, and the DaemonSet is at %s: the rollout has not come to this node, or hangs", have, newest)
	}
	began, ok := started(pod)
	if !ok || changed.IsZero() || !began.Before(changed) {
		return
	}
	c.findOn(node, PodBeforeConfig, object, "its agent began at %s, and the configuration was changed at %s: it runs by the old one, as an agent reads it once; kubectl rollout restart daemonset, or set rollOutCiliumPods",
		began.UTC().Format(time.RFC3339), changed.UTC().Format(time.RFC3339))
}

func (c *comparison) findOn(node string, kind Kind, object, format string, args ...any) {
	c.find(kind, object, format, args...)
	c.report.Findings[len(c.report.Findings)-1].Node = node
}

// revision is the name of the DaemonSet's newest revision, as its pods bear it.
func (c *comparison) revision() string {
	uid := text(c.held.DaemonSet, "metadata", "uid")
	newest, name := int64(-1), ""
	for _, r := range c.held.Revisions {
		of := func(owner map[string]any) bool { return uid != "" && text(owner, "uid") == uid }
		if !slices.ContainsFunc(objects(r, "metadata", "ownerReferences"), of) {
			continue
		}
		if n := number(r, "revision"); n > newest {
			newest, name = n, text(r, "metadata", "labels", "controller-revision-hash")
		}
	}
	if name == "" {
		c.notJudged("which revision of the DaemonSet pods are of: it has no ControllerRevision")
	}
	return name
}

// dataChanged is when a ConfigMap's data were changed last, by whoever did. The API
// server notes it with each field manager (kubernetes.io, server-side apply: the time
// of an entry is updated when the manager adds, changes or removes a field).
func dataChanged(config map[string]any) (last time.Time, known bool) {
	for _, entry := range objects(config, "metadata", "managedFields") {
		if at(entry, "fieldsV1", "f:data") == nil {
			continue
		}
		when, err := time.Parse(time.RFC3339, text(entry, "time"))
		if err != nil {
			continue
		}
		known = true
		if when.After(last) {
			last = when
		}
	}
	return last, known
}

// started is when a pod's agent began to run, if it does.
func started(pod map[string]any) (time.Time, bool) {
	for _, s := range objects(pod, "status", "containerStatuses") {
		if text(s, "name") == agent {
			when, err := time.Parse(time.RFC3339, text(s, "state", "running", "startedAt"))
			return when, err == nil
		}
	}
	return time.Time{}, false
}
