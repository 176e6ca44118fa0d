// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// How much an agent asks of the API server: it watches, and seldom writes.
const (
	clientQPS   = 5
	clientBurst = 20
)

// ClientConfig gives what an agent reaches its API server by: a kubeconfig and one
// of its contexts, "" being the current one, or without a kubeconfig the pod's own
// service account. Where addresses (HOST:PORT) are given these are dialled, whatever
// name the configuration has: the first that answers, and from then on that one as
// long as it does. The certificate still has to be of the configuration's name.
func ClientConfig(kubeconfig, contextName string, addresses []string) (*rest.Config, error) {
	cfg, err := baseConfig(kubeconfig, contextName)
	if err != nil {
		return nil, fmt.Errorf("API server: %w", err)
	}
	for _, a := range addresses {
		if _, _, err := net.SplitHostPort(a); err != nil {
			return nil, fmt.Errorf("API server %q: want HOST:PORT: %w", a, err)
		}
	}
	if len(addresses) > 0 {
		cfg.Dial = (&failover{addresses: addresses, dial: (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}).DialContext}).DialContext
	}
	cfg.QPS, cfg.Burst = clientQPS, clientBurst
	cfg.ContentType = "application/vnd.kubernetes.protobuf,application/json"
	cfg.UserAgent = "plumb-agent"
	return cfg, nil
}

func baseConfig(kubeconfig, contextName string) (*rest.Config, error) {
	if kubeconfig == "" {
		return rest.InClusterConfig()
	}
	rules := &clientcmd.ClientConfigLoadingRules{ExplicitPath: kubeconfig}
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: contextName}).ClientConfig()
}

// failover dials the first of several addresses that answers, beginning with the one
// that did last.
type failover struct {
	addresses []string
	dial      func(ctx context.Context, network, address string) (net.Conn, error)
	last      atomic.Int64
}

// DialContext dials, whatever the address is that it is given.
func (f *failover) DialContext(ctx context.Context, network, _ string) (net.Conn, error) {
	var errs []error
	begin := int(f.last.Load())
	for i := range f.addresses {
		at := (begin + i) % len(f.addresses)
		conn, err := f.dial(ctx, network, f.addresses[at])
		if err == nil {
			f.last.Store(int64(at))
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}
