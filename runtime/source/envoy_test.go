// SPDX-License-Identifier: Apache-2.0

package source

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"plumbline.dev/plumbline/schema/state"
)

const envoys = `
-- a.yaml --
apiVersion: cilium.io/v2
kind: CiliumEnvoyConfig
metadata: {name: one, namespace: n}
spec:
  services:
  - {name: s, namespace: n, listener: l, ports: [80]}
  nodeSelector: {matchLabels: {a: b}}
  resources:
  - {"@type": type.googleapis.com/envoy.config.listener.v3.Listener, name: l}
  - {"@type": type.googleapis.com/envoy.config.listener.v3.Listener, name: inner, internalListener: {x: y}}
  - {"@type": type.googleapis.com/envoy.config.listener.v3.Listener, name: pipe, address: {pipe: {path: /x}}}
  - {"@type": type.googleapis.com/envoy.config.listener.v3.Listener, name: own, address: {socketAddress: {address: 127.0.0.1, portValue: 10000}}}
  - {"@type": type.googleapis.com/envoy.config.cluster.v3.Cluster, name: c}
---
apiVersion: cilium.io/v2
kind: CiliumClusterwideEnvoyConfig
metadata: {name: wide}
spec:
  services:
  - {name: ""}
---
apiVersion: cilium.io/v2
kind: CiliumEnvoyConfig
metadata: {name: port, namespace: n}
spec:
  services:
  - {name: s, ports: [70000]}
---
apiVersion: cilium.io/v2alpha1
kind: CiliumEnvoyConfig
metadata: {name: old, namespace: n}
`

func TestEnvoyConfigs(t *testing.T) {
	got, notices := read(t, envoys, state.Node{})
	selector := "a=b"
	want := []state.EnvoyConfig{{
		Namespace: "n", Name: "one", NodeSelector: &selector, Listeners: []string{"l", "own"},
		Services: []state.EnvoyService{{Namespace: "n", Name: "s", Listener: "l", Ports: []uint16{80}}},
	}}
	for i := range got.EnvoyConfigs {
		got.EnvoyConfigs[i].Pos = state.Position{}
	}
	if diff := cmp.Diff(want, got.EnvoyConfigs); diff != "" {
		t.Errorf("configurations (-want +got):\n%s", diff)
	}
	wantNotices := []string{
		`error snapshot/envoy-config a.yaml:20: CiliumClusterwideEnvoyConfig wide: spec.services[0].name: the entry names no service; the configuration is left out`,
		`error snapshot/malformed-object a.yaml:22: CiliumEnvoyConfig n/port: cannot unmarshal number 70000 into Go struct field .spec.services.ports of type uint16; the object is left out`,
		`error snapshot/unknown-version a.yaml:29: CiliumEnvoyConfig old: version cilium.io/v2alpha1 is not read; the object is left out; want cilium.io/v2`,
	}
	if diff := cmp.Diff(wantNotices, notices); diff != "" {
		t.Errorf("notices (-want +got):\n%s", diff)
	}
}
