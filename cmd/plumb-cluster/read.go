// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"plumbline.dev/plumbline/cmd/internal/cluster"
)

// What is asked for.
var (
	helmReleases = resource("helm.toolkit.fluxcd.io/v2/helmreleases")
	configMaps   = resource("v1/configmaps")
	daemonSets   = resource("apps/v1/daemonsets")
	revisions    = resource("apps/v1/controllerrevisions")
	pods         = resource("v1/pods")
	nodes        = resource("v1/nodes")

	// snapshotted are the kinds that a State is compiled from, and that audits look at.
	// Those of Cilium's may be unknown to the API server.
	snapshotted = []schema.GroupVersionResource{
		nodes, resource("v1/services"), resource("discovery.k8s.io/v1/endpointslices"),
		resource("cilium.io/v2/ciliumnodes"), resource("cilium.io/v2/ciliumendpoints"), resource("cilium.io/v2alpha1/ciliumendpointslices"),
		resource("cilium.io/v2/ciliumlocalredirectpolicies"), resource("cilium.io/v2/ciliumenvoyconfigs"), resource("cilium.io/v2/ciliumclusterwideenvoyconfigs"),
	}
)

func resource(text string) schema.GroupVersionResource {
	parts := strings.Split(text, "/")
	if len(parts) == 2 {
		parts = append([]string{""}, parts...)
	}
	return schema.GroupVersionResource{Group: parts[0], Version: parts[1], Resource: parts[2]}
}

// page is how many objects one answer may hold.
const page = 500

// newInstalledCommand reads what a cluster has of Cilium: `plumb diff --cluster`.
func newInstalledCommand(e *env) *cobra.Command {
	var reach cluster.Reach
	command := &cobra.Command{
		Use: "installed RELEASE-NAMESPACE RELEASE NAMESPACE CONFIGMAP DAEMONSET", Hidden: true, Args: cobra.ExactArgs(5),
		RunE: func(_ *cobra.Command, args []string) error {
			client, _, err := connect(&reach)
			if err != nil {
				return err
			}
			held, err := installed(e.ctx, client, args)
			if err != nil {
				return err
			}
			return json.NewEncoder(e.stdout).Encode(held)
		},
	}
	reach.Add(command)
	return command
}

// installed reads all of it, or gives every error that there was (I1).
func installed(ctx context.Context, client dynamic.Interface, args []string) (*cluster.Installed, error) {
	held, namespace := &cluster.Installed{}, args[2]
	var errs []error
	one := func(into *map[string]any, r schema.GroupVersionResource, namespace, name string) {
		o, err := client.Resource(r).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
		switch {
		case err == nil:
			*into = o.Object
		case !apierrors.IsNotFound(err):
			errs = append(errs, unread(r, err))
		}
	}
	one(&held.Release, helmReleases, args[0], args[1])
	one(&held.Config, configMaps, namespace, args[3])
	one(&held.DaemonSet, daemonSets, namespace, args[4])
	all := func(r schema.GroupVersionResource, namespace, selector string) (list []map[string]any) {
		err := each(ctx, client, r, namespace, metav1.ListOptions{LabelSelector: selector}, func(o *unstructured.Unstructured) error {
			list = append(list, o.Object)
			return nil
		})
		if err != nil {
			errs = append(errs, unread(r, err))
		}
		return list
	}
	if held.DaemonSet != nil {
		selected, _, _ := unstructured.NestedStringMap(held.DaemonSet, "spec", "selector", "matchLabels")
		held.Revisions = all(revisions, namespace, labels.FormatLabels(selected))
		held.Pods = all(pods, namespace, labels.FormatLabels(selected))
		for _, n := range all(nodes, "", "kubernetes.io/os=linux") {
			name, _, _ := unstructured.NestedString(n, "metadata", "name")
			held.Nodes = append(held.Nodes, name)
		}
	}
	return held, errors.Join(errs...)
}

func unread(r schema.GroupVersionResource, err error) error {
	if apierrors.IsForbidden(err) {
		return fmt.Errorf("read %s: %w; grant get and list of it to who asks", r.GroupResource(), err)
	}
	return fmt.Errorf("read %s: %w", r.GroupResource(), err)
}

// each lists in pages, as a large cluster is too much for one answer.
func each(ctx context.Context, client dynamic.Interface, r schema.GroupVersionResource, namespace string, o metav1.ListOptions, do func(*unstructured.Unstructured) error) error {
	o.Limit = page
	for {
		list, err := client.Resource(r).Namespace(namespace).List(ctx, o)
		if err != nil {
			return err
		}
		for i := range list.Items {
			if err := do(&list.Items[i]); err != nil {
				return err
			}
		}
		if o.Continue = list.GetContinue(); o.Continue == "" {
			return nil
		}
	}
}

// newSnapshotCommand reads what a node's State is compiled from, as a list in JSON: what
// `kubectl get -o json` gives of each kind.
func newSnapshotCommand(e *env) *cobra.Command {
	var reach cluster.Reach
	command := &cobra.Command{
		Use: "snapshot NODE", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			client, _, err := connect(&reach)
			if err != nil {
				return err
			}
			items, err := snapshot(e.ctx, client, args[0])
			if err != nil {
				return err
			}
			enc := json.NewEncoder(e.stdout)
			return enc.Encode(map[string]any{"apiVersion": "v1", "kind": "List", "items": items})
		},
	}
	reach.Add(command)
	return command
}

// snapshot reads everything, of pods those of the node alone: no other's are in its maps.
// It is all of it or an error: half a cluster would look like one whose services have gone (I1).
func snapshot(ctx context.Context, client dynamic.Interface, node string) ([]any, error) {
	items := []any{}
	var errs []error
	add := func(r schema.GroupVersionResource, o metav1.ListOptions) {
		err := each(ctx, client, r, "", o, func(o *unstructured.Unstructured) error {
			unstructured.RemoveNestedField(o.Object, "metadata", "managedFields")
			items = append(items, o.Object)
			return nil
		})
		if apierrors.IsNotFound(err) && strings.HasSuffix(r.Group, "cilium.io") {
			return // the API server knows no such kind, so that there is none
		}
		if err != nil {
			errs = append(errs, unread(r, err))
		}
	}
	for _, r := range snapshotted {
		add(r, metav1.ListOptions{})
	}
	add(pods, metav1.ListOptions{FieldSelector: "spec.nodeName=" + node})
	return items, errors.Join(errs...)
}
