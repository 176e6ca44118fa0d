// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"plumbline.dev/plumbline/runtime/reconcile"
	"plumbline.dev/plumbline/runtime/source"
	"plumbline.dev/plumbline/runtime/source/apiserver"
	"plumbline.dev/plumbline/schema/state"
)

// clusterSource is where an agent's wanted State comes from.
type clusterSource struct {
	compiled *reconcile.Compiled
	// audited is the Snapshot that audits compare with, as far as they need it.
	audited func() *state.Snapshot
	// start begins to watch, and has the Reconciler told.
	start func(context.Context, *reconcile.Reconciler, *slog.Logger) error
}

// cluster gives the source that the flags name: files, or an API server.
func (f *runFlags) cluster(settings *state.Settings) (*clusterSource, error) {
	node, err := f.nodeGiven()
	if err != nil {
		return nil, err
	}
	if f.kubeconfig == "" && !f.inCluster && f.namespace == "" {
		if len(f.apiServers) > 0 {
			return nil, errors.New("--api-server needs --kubeconfig or --in-cluster: they say who the agent is")
		}
		return f.files(settings, node), nil
	}
	cfg, err := apiserver.ClientConfig(f.kubeconfig, f.context, f.apiServers)
	if err != nil {
		return nil, err
	}
	return f.apiServer(settings, node, cfg)
}

func (f *runFlags) nodeGiven() (state.Node, error) {
	node := state.Node{Name: f.node, Zone: f.zone}
	for _, text := range f.addresses {
		address, err := netip.ParseAddr(text)
		if err != nil {
			return node, fmt.Errorf("--node-address: %w", err)
		}
		node.Addresses = append(node.Addresses, address)
	}
	return node, nil
}

// files reads the cluster's YAML and the node's devices, anew each time.
func (f *runFlags) files(settings *state.Settings, node state.Node) *clusterSource {
	compiled := &reconcile.Compiled{Settings: settings, Snapshot: func(context.Context) (*state.Snapshot, []state.Notice, error) {
		node := node
		if settings.Devices != nil && settings.Mode != state.Own {
			var err error
			if node.Devices, err = source.Devices(); err != nil {
				return nil, nil, err
			}
		}
		return source.Files(f.snapshot, node)
	}}
	start := func(ctx context.Context, r *reconcile.Reconciler, log *slog.Logger) error {
		if !f.watch || settings.Mode != state.Own || f.once {
			return nil
		}
		failed := func(err error) { log.Error("changes may be seen at the next audit only", "error", err) }
		return source.Watch(ctx, f.snapshot, r.Changed, failed)
	}
	return &clusterSource{compiled: compiled, audited: compiled.Last, start: start}
}

// firstAnswer is how long a single round waits for the API server.
const firstAnswer = 30 * time.Second

// apiServer watches an API server.
func (f *runFlags) apiServer(settings *state.Settings, node state.Node, cfg *rest.Config) (*clusterSource, error) {
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("API server: %w", err)
	}
	asJSON := rest.CopyConfig(cfg)
	asJSON.ContentType = "application/json"
	other, err := dynamic.NewForConfig(asJSON)
	if err != nil {
		return nil, fmt.Errorf("API server: %w", err)
	}
	var c *apiserver.Cluster
	start := func(ctx context.Context, r *reconcile.Reconciler, log *slog.Logger) error {
		klog.SetSlogLogger(log.With("from", "client-go"))
		c = apiserver.Start(ctx, apiserver.ClusterConfig{Client: client, Dynamic: other, Node: node, Settings: settings, Changed: r.Changed})
		if f.once {
			select {
			case <-c.Synced():
			case <-ctx.Done():
			case <-time.After(firstAnswer):
			}
			return nil // the round says what is wrong
		}
		go func() {
			select {
			case <-c.Synced():
				r.Request()
			case <-ctx.Done():
			}
		}()
		return nil
	}
	compiled := &reconcile.Compiled{Settings: settings, Delta: func(ctx context.Context) (*state.Delta, []state.Notice, error) { return c.Delta(ctx) }}
	return &clusterSource{compiled: compiled, audited: func() *state.Snapshot { return c.Cilium() }, start: start}, nil
}
