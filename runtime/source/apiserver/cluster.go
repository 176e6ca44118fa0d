// SPDX-License-Identifier: Apache-2.0

// Package apiserver watches an API server: Cluster gives what has changed in a
// cluster as Deltas, WatchDatapath the settings. What an object means is package
// source's; this one links client-go, which commands that read files do without.
package apiserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"plumbline.dev/plumbline/runtime/source"
	"plumbline.dev/plumbline/schema/state"
)

// ErrNotSynced is given until the API server has told of everything once.
var ErrNotSynced = errors.New("the API server has not told of everything yet")

// ClusterConfig is what a Cluster works with.
type ClusterConfig struct {
	Client  kubernetes.Interface
	Dynamic dynamic.Interface // for Cilium's own resources; nil where Settings ask for none
	// Node is the node that the Deltas are for: what is empty of it is taken from
	// the Node object of its name.
	Node state.Node
	// Settings say which resources count beside Services, EndpointSlices, the Node
	// and its pods.
	Settings *state.Settings
	// Retry is how the API server is tried again; nil is client-go's way, with up to
	// a minute between two tries: a fleet must not fall on it when it comes back.
	Retry *wait.Backoff
	// Changed is called whenever there is something new; it must not block.
	Changed func()
}

// Cluster is an API server as a source: what it tells of, change by change. It
// keeps no object. A watch that breaks is started anew; what it missed, a deletion
// too, is found by the list that follows.
type Cluster struct {
	cfg ClusterConfig

	mutex     sync.Mutex
	resources []*reflected
	pending   *state.Delta
	current   state.Node // cfg.Node, completed
	unsynced  int
	synced    chan struct{}
	endpoints map[state.Name][]state.CiliumEndpoint
	nodes     map[state.Name]state.CiliumNode
}

// Start starts to watch an API server, until ctx ends.
func Start(ctx context.Context, cfg ClusterConfig) *Cluster {
	c := &Cluster{cfg: cfg, current: cfg.Node, synced: make(chan struct{}), unsynced: 1, pending: &state.Delta{}, endpoints: map[state.Name][]state.CiliumEndpoint{}, nodes: map[state.Name]state.CiliumNode{}}
	core, slices := cfg.Client.CoreV1(), cfg.Client.DiscoveryV1()
	everywhere := metav1.NamespaceAll
	c.pending.Node = &cfg.Node
	c.watch(ctx, "services", &corev1.Service{}, taking(source.Service, (*state.Delta).SetService), lister(core.Services(everywhere).List, core.Services(everywhere).Watch, ""))
	c.watch(ctx, "endpointslices", &discoveryv1.EndpointSlice{}, taking(source.EndpointSlice, (*state.Delta).SetSlice), lister(slices.EndpointSlices(everywhere).List, slices.EndpointSlices(everywhere).Watch, ""))
	c.watch(ctx, "nodes", &corev1.Node{}, c.node, lister(core.Nodes().List, core.Nodes().Watch, fields.OneTermEqualSelector("metadata.name", cfg.Node.Name).String()))
	c.watch(ctx, "pods", &corev1.Pod{}, c.pod, lister(core.Pods(everywhere).List, core.Pods(everywhere).Watch, fields.OneTermEqualSelector("spec.nodeName", cfg.Node.Name).String()))
	for _, r := range ciliumResources(c) {
		if cfg.Dynamic != nil && r.asked(cfg.Settings) {
			client := cfg.Dynamic.Resource(r.resource)
			c.watch(ctx, r.resource.Resource, &unstructured.Unstructured{}, r.take, lister(client.List, client.Watch, ""))
		}
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.oneLess() // all are counted now
	return c
}

// Synced is closed once the API server has told of everything.
func (c *Cluster) Synced() <-chan struct{} { return c.synced }

func (c *Cluster) oneLess() {
	if c.unsynced--; c.unsynced == 0 {
		close(c.synced)
	}
}

// lister is a typed client's List and Watch with a field selector.
func lister[L runtime.Object](list func(context.Context, metav1.ListOptions) (L, error), watches func(context.Context, metav1.ListOptions) (apiwatch.Interface, error), selector string) *cache.ListWatch {
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector = selector
			return list(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (apiwatch.Interface, error) {
			o.FieldSelector = selector
			return watches(ctx, o)
		},
	}
}

// ciliumResource is a resource of Cilium's own.
type ciliumResource struct {
	resource schema.GroupVersionResource
	asked    func(*state.Settings) bool
	take     func(*state.Delta, state.Name, any) []state.Notice
}

func ciliumResources(c *Cluster) []ciliumResource {
	of := func(name, version string) schema.GroupVersionResource {
		return schema.GroupVersionResource{Group: "cilium.io", Version: version, Resource: name}
	}
	audited := func(s *state.Settings) bool { return s.Mode != state.Own && (s.Audits.IPCache || s.Audits.Endpoints) }
	envoy := func(s *state.Settings) bool { return s.LoadBalancer.EnvoyConfig }
	envoyConfigs := func(kind string) func(*state.Delta, state.Name, any) []state.Notice {
		convert := func(in *source.EnvoyConfigObject) (state.EnvoyConfig, []state.Notice) {
			return source.EnvoyConfig(in, kind)
		}
		return takingWhole(kind, convert, (*state.Delta).SetEnvoy)
	}
	return []ciliumResource{
		{of("ciliumenvoyconfigs", "v2"), envoy, envoyConfigs("CiliumEnvoyConfig")},
		{of("ciliumclusterwideenvoyconfigs", "v2"), envoy, envoyConfigs("CiliumClusterwideEnvoyConfig")},
		{of("ciliumlocalredirectpolicies", "v2"), func(s *state.Settings) bool { return s.LoadBalancer.LocalRedirectPolicy },
			takingWhole("CiliumLocalRedirectPolicy", source.RedirectPolicy, (*state.Delta).SetRedirect)},
		{of("ciliumendpoints", "v2"), audited, c.ciliumEndpoint},
		{of("ciliumendpointslices", "v2alpha1"), audited, c.ciliumEndpointSlice},
		{of("ciliumnodes", "v2"), audited, c.ciliumNode},
	}
}

func (c *Cluster) watch(ctx context.Context, name string, kind any, take func(*state.Delta, state.Name, any) []state.Notice, lw cache.ListerWatcher) {
	r := &reflected{
		name: name, mutex: &c.mutex, signal: c.cfg.Changed, first: c.oneLess, take: take, pending: c.pending,
		versions: map[state.Name]string{}, notices: map[state.Name][]state.Notice{},
	}
	c.mutex.Lock()
	c.resources = append(c.resources, r)
	c.unsynced++
	c.mutex.Unlock()
	reflector := cache.NewReflectorWithOptions(watched{lw, r}, kind, r, cache.ReflectorOptions{Name: "plumbline " + name, Backoff: c.cfg.Retry})
	go reflector.RunWithContext(ctx)
}

// Delta gives what has changed since it was asked last without an error, the first
// time everything, and what there is to say about all objects. Where the API server
// does not answer it is an error, and what has changed meanwhile is kept for the
// next time (I1): half a change is none.
func (c *Cluster) Delta(context.Context) (*state.Delta, []state.Notice, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	var errs []error
	for _, r := range c.resources {
		switch {
		case r.err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", r.name, r.err))
		case !r.synced:
			errs = append(errs, fmt.Errorf("%s: %w", r.name, ErrNotSynced))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, nil, fmt.Errorf("the API server: %w", err)
	}
	if err := c.lookAtDevices(); err != nil {
		return nil, nil, err
	}
	out := *c.pending
	*c.pending = state.Delta{}
	var said []state.Notice
	for _, r := range c.resources {
		for _, name := range sortedNames(r.notices) {
			said = append(said, r.notices[name]...)
		}
	}
	return &out, said, nil
}

func sortedNames(m map[state.Name][]state.Notice) []state.Name {
	names := make([]state.Name, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.SortFunc(names, state.Name.Compare)
	return names
}

// Cilium gives what Cilium says of pods and nodes, as far as it was asked for, and
// the node.
func (c *Cluster) Cilium() *state.Snapshot {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	s := &state.Snapshot{Node: c.current}
	for _, list := range c.endpoints {
		s.CiliumEndpoints = append(s.CiliumEndpoints, list...)
	}
	for _, node := range c.nodes {
		s.CiliumNodes = append(s.CiliumNodes, node)
	}
	slices.SortFunc(s.CiliumEndpoints, func(a, b state.CiliumEndpoint) int {
		return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
	})
	slices.SortFunc(s.CiliumNodes, func(a, b state.CiliumNode) int { return strings.Compare(a.Name, b.Name) })
	return s
}

// lookAtDevices reads the node's devices where programs at them are judged.
func (c *Cluster) lookAtDevices() error {
	if s := c.cfg.Settings; s.Devices == nil || s.Mode == state.Own {
		return nil
	}
	devices, err := source.Devices()
	if err != nil {
		return err
	}
	if !slices.EqualFunc(devices, c.current.Devices, source.SameDevice) {
		node := c.current
		node.Devices = devices
		c.setNode(c.pending, node)
	}
	return nil
}

func (c *Cluster) setNode(d *state.Delta, node state.Node) {
	c.current = node
	d.Node = &node
}

// taking takes objects of a type: O as the API has them, T as the Delta does.
func taking[O, T any](convert func(*O) (T, []state.Notice), set func(*state.Delta, state.Name, ...*T)) func(*state.Delta, state.Name, any) []state.Notice {
	return func(d *state.Delta, name state.Name, object any) []state.Notice {
		in, ok := object.(*O)
		if !ok {
			set(d, name)
			return nil
		}
		out, said := convert(in)
		set(d, name, &out)
		return said
	}
}

// takingWhole takes objects of Cilium's own; one about which there is anything to
// say is not to be used.
func takingWhole[O, T any](kind string, convert func(*O) (T, []state.Notice), set func(*state.Delta, state.Name, ...*T)) func(*state.Delta, state.Name, any) []state.Notice {
	return func(d *state.Delta, name state.Name, object any) []state.Notice {
		var in O
		ok, said := fromUnstructured(object, name, kind, &in)
		if !ok {
			set(d, name)
			return said
		}
		out, said := convert(&in)
		if len(said) > 0 {
			set(d, name)
			return said
		}
		set(d, name, &out)
		return nil
	}
}

// pod takes a pod that counts: with host ports, or any where redirect policies may
// select it.
func (c *Cluster) pod(d *state.Delta, name state.Name, object any) []state.Notice {
	in, ok := object.(*corev1.Pod)
	if !ok {
		d.SetPod(name)
		return nil
	}
	out, said := source.Pod(in)
	if len(out.HostPorts) == 0 && !c.cfg.Settings.LoadBalancer.LocalRedirectPolicy {
		d.SetPod(name)
		return nil
	}
	d.SetPod(name, &out)
	return said
}

// node takes the node's own object; what was given of the node stays. Where it is
// gone the last one stays: it is this machine that the agent runs on.
func (c *Cluster) node(d *state.Delta, _ state.Name, object any) []state.Notice {
	in, ok := object.(*corev1.Node)
	if !ok {
		return nil
	}
	out, said := source.Node(in)
	node := c.cfg.Node
	node.Labels, node.Devices = out.Labels, c.current.Devices
	if len(node.Addresses) == 0 {
		node.Addresses = out.Addresses
	}
	if node.Zone == "" {
		node.Zone = out.Zone
	}
	if !source.SameNode(&node, &c.current) { // or else it is a heartbeat
		c.setNode(d, node)
	}
	return said
}

func (c *Cluster) ciliumEndpoint(_ *state.Delta, name state.Name, object any) []state.Notice {
	var in source.CiliumEndpointObject
	if ok, said := fromUnstructured(object, name, "CiliumEndpoint", &in); !ok {
		delete(c.endpoints, name)
		return said
	}
	out, said := source.CiliumEndpoint(&in)
	c.endpoints[name] = []state.CiliumEndpoint{out}
	return said
}

func (c *Cluster) ciliumEndpointSlice(_ *state.Delta, name state.Name, object any) []state.Notice {
	var in source.CiliumEndpointSliceObject
	if ok, said := fromUnstructured(object, name, "CiliumEndpointSlice", &in); !ok {
		delete(c.endpoints, name)
		return said
	}
	list, said := source.CiliumEndpointSlice(&in)
	c.endpoints[name] = list
	return said
}

func (c *Cluster) ciliumNode(_ *state.Delta, name state.Name, object any) []state.Notice {
	var in source.CiliumNodeObject
	if ok, said := fromUnstructured(object, name, "CiliumNode", &in); !ok {
		delete(c.nodes, name)
		return said
	}
	out, said := source.CiliumNode(&in)
	c.nodes[name] = out
	return said
}

// fromUnstructured decodes an object of Cilium's; it is not ok where the object is
// gone, or can't be understood.
func fromUnstructured(object any, name state.Name, kind string, into any) (ok bool, said []state.Notice) {
	in, ok := object.(*unstructured.Unstructured)
	if !ok {
		return false, nil
	}
	data, err := in.MarshalJSON()
	if err == nil {
		err = json.Unmarshal(data, into)
	}
	if err != nil {
		return false, []state.Notice{{Severity: state.Error, Code: "snapshot/malformed-object", Object: kind + " " + name.String(), Message: err.Error()}}
	}
	return true, nil
}
