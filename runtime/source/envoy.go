// SPDX-License-Identifier: Apache-2.0

package source

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"plumbline.dev/plumbline/schema/state"
)

// EnvoyConfigObject is what counts of cilium.io/v2 CiliumEnvoyConfig and
// CiliumClusterwideEnvoyConfig, as pkg/k8s/apis/cilium.io/v2/cec_types.go has them
// from 1.17 to 1.20.
type EnvoyConfigObject struct {
	Metadata metav1.ObjectMeta `json:"metadata"`
	Spec     struct {
		Services []struct {
			Name      string   `json:"name"`
			Namespace string   `json:"namespace"`
			Ports     []uint16 `json:"ports"`
			Listener  string   `json:"listener"`
		} `json:"services"`
		Resources    []map[string]any      `json:"resources"`
		NodeSelector *metav1.LabelSelector `json:"nodeSelector"`
	} `json:"spec"`
}

// EnvoyConfig converts an Envoy configuration of the kind. Beside a Notice it is
// not to be used.
func EnvoyConfig(in *EnvoyConfigObject, kind string) (state.EnvoyConfig, []state.Notice) {
	out := state.EnvoyConfig{Namespace: in.Metadata.Namespace, Name: in.Metadata.Name}
	n := &notes{object: kind + " " + namespaced(out.Namespace, out.Name)}
	if (kind == "CiliumEnvoyConfig") != (out.Namespace != "") {
		n.add(state.Error, "snapshot/envoy-config", "metadata.namespace", "", "a CiliumEnvoyConfig has a namespace and a CiliumClusterwideEnvoyConfig has none; the configuration is left out")
	}
	for i, s := range in.Spec.Services {
		if s.Name == "" {
			n.add(state.Error, "snapshot/envoy-config", fmt.Sprintf("spec.services[%d].name", i), "", "the entry names no service; the configuration is left out")
		}
		out.Services = append(out.Services, state.EnvoyService{Namespace: s.Namespace, Name: s.Name, Ports: s.Ports, Listener: s.Listener})
	}
	for _, r := range in.Spec.Resources {
		if name, ok := listener(r); ok {
			out.Listeners = append(out.Listeners, name)
		}
	}
	if in.Spec.NodeSelector != nil {
		selector, err := metav1.LabelSelectorAsSelector(in.Spec.NodeSelector)
		if err != nil {
			n.add(state.Error, "snapshot/envoy-config", "spec.nodeSelector", "want a label selector", "the selector is not understood: %v; the configuration is left out", err)
			return out, n.list
		}
		text := selector.String()
		out.NodeSelector = &text
	}
	return out, n.list
}

// listener gives the name of a resource that is a listener with a port: one that
// has no address gets one from the agent, but for an internal listener.
func listener(r map[string]any) (string, bool) {
	kind, _ := r["@type"].(string)
	_, inner := either(r, "internalListener", "internal_listener")
	if !strings.HasSuffix(kind, "envoy.config.listener.v3.Listener") || inner {
		return "", false
	}
	name, _ := r["name"].(string)
	address, has := either(r, "address", "address")
	if !has {
		return name, true
	}
	fields, _ := address.(map[string]any)
	_, socket := either(fields, "socketAddress", "socket_address")
	return name, socket
}

// either finds a field by the two names that protobuf's JSON has for it.
func either(m map[string]any, a, b string) (any, bool) {
	if v := m[a]; v != nil {
		return v, true
	}
	return m[b], m[b] != nil
}
